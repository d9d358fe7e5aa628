//! The idle clients: one request each, then silence.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bench_tools::args::{self, Args, Failure};
use bench_tools::http::{Expected, Progress, Reply};
use bench_tools::sys;

const USAGE: &str = "\
idle: opens keep-alive clients, sends one request with each, and holds them silent

Prints {\"ready\": N} when the last answer is checked, and at the end how many connections the server
had kept: {\"clients\": N, \"still_open\": N}. The status is 1 if those differ.

usage: idle --target 127.0.0.1:PORT [options]

  --target ADDR     loopback only
  --clients N       (default 1000)
  --hold SECONDS    ends after that long, or when its standard input ends (default 60)
  --path PATH       (default /)
  --body BYTES      the body length that answers must have (default 128)";

/// Every answer has to come within this time.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    args::run(USAGE, |mut args: Args| {
        let target = args.loopback("--target")?;
        let count = args.count("--clients", 1000)?;
        let hold = Duration::from_secs(args.value("--hold", 60)?);
        let path: String = args.value("--path", "/".into())?;
        let expected = Expected::body(args.value("--body", 128)?);
        args.finish()?;
        sys::raise_file_limit()?;

        let request = format!("GET {path} HTTP/1.1\r\nHost: bench.local\r\nAccept: */*\r\n\r\n");
        let mut clients = Vec::with_capacity(count);
        for number in 1..=count {
            let client = open(target, request.as_bytes(), expected)
                .map_err(|error| Failure::Work(format!("client {number} of {count}: {error}")))?;
            clients.push(client);
        }
        println!("{{\"ready\": {count}}}");
        wait(hold);
        let still_open = clients.iter().filter(|client| is_silent(client)).count();
        println!("{{\"clients\": {count}, \"still_open\": {still_open}}}");
        Ok(still_open == count)
    })
}

fn open(target: SocketAddrV4, request: &[u8], expected: Expected) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&target.into(), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // Thousands of clients that end at once would leave as many sockets in TIME_WAIT.
    sys::reset_on_close(&stream)?;
    stream.write_all(request)?;
    let mut reply = Reply::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match reply.take(&buffer[..count], expected) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Whole { close: false }) => break,
            Ok(Progress::Whole { close: true }) => {
                return Err(io::Error::other("the server will not keep it"));
            }
            Err(mismatch) => return Err(io::Error::other(format!("wrong answer: {mismatch:?}"))),
        }
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Waits for the end of standard input, at most for `hold`.
fn wait(hold: Duration) {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let outcome = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // The main thread may have stopped waiting.
        drop(ended.send(outcome));
    });
    drop(end.recv_timeout(hold));
}

/// Whether the server has neither closed the connection nor sent anything on it.
fn is_silent(stream: &TcpStream) -> bool {
    matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}
