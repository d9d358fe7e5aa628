//! The backend: reads and writes at the same time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::thread;

use bench_tools::http::Head;
use bench_tools::sys;

use crate::exchange::{self, Pace, RECEIPT, TIMEOUT};

pub(crate) struct Backend {
    listener: TcpListener,
    pace: Pace,
    http: bool,
}

/// How many bytes a session's client will send and wants to have.
struct Order {
    up: u64,
    down: u64,
}

impl Backend {
    pub(crate) fn new(listen: SocketAddrV4, pace: Pace, http: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        if pace.narrow {
            sys::make_narrow(&listener)?;
        }
        Ok(Self { listener, pace, http })
    }

    pub(crate) fn run(self) -> io::Result<()> {
        loop {
            let (stream, _) = self.listener.accept()?;
            let (pace, http) = (self.pace, self.http);
            thread::spawn(move || {
                // The client reports a session that failed: it never gets its receipt.
                if serve(&stream, pace, http).is_err() {
                    exchange::give_up(&stream);
                }
            });
        }
    }
}

/// Serves one session in tcp, and in http as many as come on the connection.
fn serve(stream: &TcpStream, pace: Pace, http: bool) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    if !http {
        let order = raw_order(stream)?;
        return transfer(stream, &order, pace);
    }
    loop {
        let order = http_order(stream)?;
        let length = order.down + RECEIPT as u64;
        let mut writer = stream;
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
        transfer(stream, &order, pace)?;
    }
}

fn transfer(mut stream: &TcpStream, order: &Order, pace: Pace) -> io::Result<()> {
    let received = thread::scope(|scope| {
        let upload = scope.spawn(|| exchange::read_slowly(stream, order.up, pace));
        let written = exchange::write_pattern(stream, order.down);
        if written.is_err() {
            exchange::give_up(stream);
        }
        let received = upload.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
        written.and(received)
    })?;
    stream.write_all(&received.receipt())
}

fn raw_order(mut stream: &TcpStream) -> io::Result<Order> {
    let (mut up, mut down) = ([0; 8], [0; 8]);
    stream.read_exact(&mut up)?;
    stream.read_exact(&mut down)?;
    Ok(Order { up: u64::from_be_bytes(up), down: u64::from_be_bytes(down) })
}

/// `POST /DOWN` with the upload's length as its Content-Length.
fn http_order(stream: &TcpStream) -> io::Result<Order> {
    let bytes = exchange::read_head(stream)?;
    let up = Head::parse(&bytes).and_then(|head| head.content_length);
    let down = bytes.strip_prefix(b"POST /").and_then(|rest| {
        let end = rest.iter().position(|&byte| byte == b' ')?;
        std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
    });
    match (up, down) {
        (Some(up), Some(down)) => Ok(Order { up: up as u64, down }),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}
