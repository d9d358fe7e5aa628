//! One client: its connection and the request that it has under way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use bench_tools::http::{Expected, Mismatch, Progress, Reply};
use bench_tools::sys::{Epoll, READ, WRITE};

/// What the client is doing with its connection.
enum Phase {
    /// No request is under way; the connection, if there is one, has to be silent.
    Quiet,
    /// The connect has not ended.
    Connecting,
    /// So many bytes of the request are written.
    Sending(usize),
    /// The request is written; the response is awaited or has begun.
    Receiving,
}

/// What an event came to.
pub(crate) enum Outcome {
    /// The request goes on, or there is none.
    Pending,
    /// The answer is whole and right.
    Answered,
    /// The request failed, and the connection with it.
    Failed(&'static str),
    /// The server spoke between two requests; the connection is closed.
    Unasked,
}

pub(crate) struct Client {
    stream: Option<TcpStream>,
    phase: Phase,
    reply: Reply,
    interest: u32,
    /// When the request under way began.
    pub(crate) began: Instant,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            stream: None,
            phase: Phase::Quiet,
            reply: Reply::default(),
            interest: 0,
            began: Instant::now(),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Quiet)
    }

    /// Takes a connection whose connect has begun.
    pub(crate) fn attach(&mut self, stream: TcpStream, epoll: &Epoll, token: usize) -> io::Result<()> {
        epoll.add(&stream, token, WRITE)?;
        self.interest = WRITE;
        self.stream = Some(stream);
        self.phase = Phase::Connecting;
        Ok(())
    }

    /// Closes the connection, if there is one.
    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
        self.phase = Phase::Quiet;
        self.reply = Reply::default();
    }

    /// Sends `request` over the connection that is there.
    pub(crate) fn send(&mut self, request: &[u8], epoll: &Epoll, token: usize) -> Outcome {
        self.phase = Phase::Sending(0);
        self.go_on_sending(request, epoll, token)
    }

    /// Does what an event allows.
    pub(crate) fn progress(
        &mut self,
        request: &[u8],
        expected: Expected,
        buffer: &mut [u8],
        epoll: &Epoll,
        token: usize,
    ) -> Outcome {
        match self.phase {
            Phase::Quiet => self.notice_end(buffer),
            Phase::Connecting => match self.connect_error() {
                None => self.send(request, epoll, token),
                Some(_) => Outcome::Failed("connect"),
            },
            Phase::Sending(_) => self.go_on_sending(request, epoll, token),
            Phase::Receiving => self.receive(expected, buffer),
        }
    }

    /// Between two requests the server may close, but not speak.
    fn notice_end(&mut self, buffer: &mut [u8]) -> Outcome {
        let Some(stream) = &mut self.stream else { return Outcome::Pending };
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Outcome::Pending,
            Ok(0) | Err(_) => {
                self.hang_up();
                Outcome::Pending
            }
            Ok(_) => {
                self.hang_up();
                Outcome::Unasked
            }
        }
    }

    fn connect_error(&self) -> Option<io::Error> {
        self.stream.as_ref().and_then(|stream| stream.take_error().unwrap_or_else(Some))
    }

    fn go_on_sending(&mut self, request: &[u8], epoll: &Epoll, token: usize) -> Outcome {
        let (Some(stream), Phase::Sending(sent)) = (&mut self.stream, &mut self.phase) else {
            return Outcome::Pending;
        };
        let mut interest = READ;
        while *sent < request.len() {
            match stream.write(&request[*sent..]) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    interest = WRITE;
                    break;
                }
                Err(_) => return Outcome::Failed("write"),
            }
        }
        if interest != self.interest && epoll.modify(stream, token, interest).is_err() {
            return Outcome::Failed("write");
        }
        self.interest = interest;
        if interest == READ {
            self.phase = Phase::Receiving;
        }
        Outcome::Pending
    }

    fn receive(&mut self, expected: Expected, buffer: &mut [u8]) -> Outcome {
        let Some(stream) = &mut self.stream else { return Outcome::Pending };
        let count = match stream.read(buffer) {
            Ok(0) if self.reply.is_empty() => return Outcome::Failed("closed_before_answer"),
            Ok(0) => return Outcome::Failed("closed_within_answer"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Outcome::Pending,
            Err(_) => return Outcome::Failed("read"),
        };
        match self.reply.take(&buffer[..count], expected) {
            Ok(Progress::Partial) => Outcome::Pending,
            Ok(Progress::Whole { close }) => {
                self.reply = Reply::default();
                self.phase = Phase::Quiet;
                if close {
                    self.hang_up();
                }
                Outcome::Answered
            }
            Err(Mismatch::Head) => Outcome::Failed("head"),
            Err(Mismatch::Status) => Outcome::Failed("status"),
            Err(Mismatch::Length) => Outcome::Failed("length"),
            Err(Mismatch::Sum) => Outcome::Failed("sum"),
            Err(Mismatch::Surplus) => Outcome::Failed("surplus"),
        }
    }
}
