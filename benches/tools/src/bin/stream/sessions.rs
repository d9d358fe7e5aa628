//! The clients' side.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::thread;
use std::time::Instant;

use bench_tools::http::Head;
use bench_tools::sys;

use crate::exchange::{self, Pace, RECEIPT, Received, TIMEOUT};

pub(crate) struct Sessions {
    pub(crate) target: SocketAddrV4,
    pub(crate) count: usize,
    /// Bytes of each session.
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) pace: Pace,
    pub(crate) http: bool,
    /// Whether a TCP client's FIN is the last thing that happens in a session.
    pub(crate) fin_last: bool,
}

pub(crate) struct Report {
    sessions: usize,
    up: u64,
    down: u64,
    wrong: u64,
    seconds: f64,
    /// For how long both ends were reading at once, in the session where that was the shortest.
    both_ways_ms: Option<u64>,
    errors: Vec<String>,
}

struct Session {
    uploaded: u64,
    downloaded: u64,
    wrong: u64,
    both_ways_ms: u64,
}

impl Sessions {
    /// Runs all of them at once, to their ends.
    pub(crate) fn run(&self) -> Report {
        let began = Instant::now();
        let outcomes: Vec<io::Result<Session>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.count).map(|_| scope.spawn(|| self.session())).collect();
            threads.into_iter().map(join).collect()
        });
        let mut report = Report {
            sessions: self.count,
            up: 0,
            down: 0,
            wrong: 0,
            seconds: began.elapsed().as_secs_f64(),
            both_ways_ms: None,
            errors: Vec::new(),
        };
        for outcome in outcomes {
            report.add(outcome);
        }
        report
    }

    fn session(&self) -> io::Result<Session> {
        let stream = self.open()?;
        thread::scope(|scope| {
            let upload = scope.spawn(|| self.upload(&stream));
            let download = self.download(&stream);
            if download.is_err() {
                exchange::give_up(&stream);
            }
            join(upload).and(download).map(|(downloaded, uploaded)| Session {
                uploaded: uploaded.bytes,
                downloaded: downloaded.bytes,
                wrong: uploaded.wrong + downloaded.wrong + self.up.abs_diff(uploaded.bytes),
                both_ways_ms: uploaded.milliseconds.min(downloaded.milliseconds),
            })
        })
    }

    fn open(&self) -> io::Result<TcpStream> {
        let mut stream = sys::connect(self.target, None, self.pace.narrow)?;
        sys::wait_writable(&stream)?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        if self.http {
            let Self { up, down, .. } = self;
            write!(stream, "POST /{down} HTTP/1.1\r\nHost: bench.local\r\nContent-Length: {up}\r\n\r\n")?;
        } else {
            stream.write_all(&[self.up.to_be_bytes(), self.down.to_be_bytes()].concat())?;
        }
        Ok(stream)
    }

    /// Sends the upload; a TCP client has then said all it has to say.
    fn upload(&self, stream: &TcpStream) -> io::Result<()> {
        exchange::write_pattern(stream, self.up)?;
        if !self.http && !self.fin_last {
            stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Reads the download, then the receipt: what has come here, and what there.
    fn download(&self, mut stream: &TcpStream) -> io::Result<(Received, Received)> {
        if self.http {
            self.check_head(&exchange::read_head(stream)?)?;
        }
        let downloaded = exchange::read_slowly(stream, self.down, self.pace)?;
        let mut receipt = [0; RECEIPT];
        stream.read_exact(&mut receipt)?;
        Ok((downloaded, Received::from_receipt(receipt)))
    }

    fn check_head(&self, bytes: &[u8]) -> io::Result<()> {
        let length = Head::parse(bytes).and_then(|head| head.content_length);
        if bytes.starts_with(b"HTTP/1.1 200") && length == Some(self.down as usize + RECEIPT) {
            return Ok(());
        }
        let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
        Err(io::Error::other(format!("wrong response: {}", String::from_utf8_lossy(line))))
    }
}

impl Report {
    fn add(&mut self, outcome: io::Result<Session>) {
        match outcome {
            Ok(session) => {
                self.up += session.uploaded;
                self.down += session.downloaded;
                self.wrong += session.wrong;
                let shortest = self.both_ways_ms.unwrap_or(u64::MAX).min(session.both_ways_ms);
                self.both_ways_ms = Some(shortest);
            }
            Err(error) => self.errors.push(error.to_string()),
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.wrong == 0
    }

    pub(crate) fn json(&self) -> String {
        let first_error = self.errors.first().map_or("null".into(), |error| format!("{error:?}"));
        let both_ways = self.both_ways_ms.unwrap_or(0) as f64 / 1000.0;
        format!(
            "{{\"sessions\": {}, \"failed\": {}, \"first_error\": {first_error}, \"bytes_up\": {}, \
             \"bytes_down\": {}, \"wrong_bytes\": {}, \"seconds\": {:.3}, \"both_ways_s\": {both_ways:.3}}}",
            self.sessions,
            self.errors.len(),
            self.up,
            self.down,
            self.wrong,
            self.seconds,
        )
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}
