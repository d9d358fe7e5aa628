//! One connection of the origin.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use bench_tools::http::{self, Head};

/// The two responses there are.
pub(crate) struct Answers {
    keep: Vec<u8>,
    last: Vec<u8>,
    close_every: u64,
    echo: bool,
}

impl Answers {
    /// Responses with a body of `bytes`; each `close_every`-th of a connection is its last (0: none).
    pub(crate) fn new(bytes: usize, close_every: u64) -> Self {
        let (keep, last) = (response(bytes, ""), response(bytes, "Connection: close\r\n"));
        Self { keep, last, close_every, echo: false }
    }

    /// No responses: all that comes goes back, and each piece read counts as a request.
    pub(crate) fn echo() -> Self {
        Self { echo: true, ..Self::new(0, 0) }
    }
}

/// Why a connection is over.
pub(crate) enum End {
    /// The peer has closed, or the socket has failed, or the last response is sent.
    Closed,
    /// The peer has sent what is not read here.
    Refused,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// The start of a head whose end has not come.
    received: Vec<u8>,
    /// Bytes of a request's body that are still to come.
    body_left: usize,
    answered: u64,
    /// What the socket has not taken.
    unsent: Vec<u8>,
    asked_to_close: bool,
    last_sent: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            body_left: 0,
            answered: 0,
            unsent: Vec::new(),
            asked_to_close: false,
            last_sent: false,
        }
    }

    /// Whether no response was sent yet.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.answered == 0
    }

    /// Whether it waits for room to write instead of for bytes to read.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads once and returns how many requests ended with these bytes; an echo has then been sent.
    pub(crate) fn read(&mut self, buffer: &mut [u8], answers: &Answers) -> Result<usize, End> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(End::Closed),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            result => result?,
        };
        if answers.echo {
            return self.send(&buffer[..count]).map(|()| 1);
        }
        if self.received.is_empty() {
            return self.take(&buffer[..count]);
        }
        let mut bytes = std::mem::take(&mut self.received);
        bytes.extend_from_slice(&buffer[..count]);
        self.take(&bytes)
    }

    /// Sends the responses to `count` requests, or as much as the socket takes.
    pub(crate) fn answer(&mut self, count: usize, answers: &Answers) -> Result<(), End> {
        for _ in 0..if answers.echo { 0 } else { count } {
            if self.last_sent {
                break;
            }
            self.answered += 1;
            let turn = answers.close_every > 0 && self.answered.is_multiple_of(answers.close_every);
            self.last_sent = turn || self.asked_to_close;
            self.send(if self.last_sent { &answers.last } else { &answers.keep })?;
        }
        self.end_after_last()
    }

    /// Goes on with what the socket did not take.
    pub(crate) fn flush(&mut self) -> Result<(), End> {
        let unsent = std::mem::take(&mut self.unsent);
        self.send(&unsent)?;
        self.end_after_last()
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<usize, End> {
        let mut whole = 0;
        while !bytes.is_empty() {
            let swallowed = self.body_left.min(bytes.len());
            if swallowed > 0 {
                self.body_left -= swallowed;
                bytes = &bytes[swallowed..];
                whole += usize::from(self.body_left == 0);
                continue;
            }
            let Some(head) = Head::parse(bytes) else { break };
            if head.encoded {
                return Err(End::Refused);
            }
            self.asked_to_close |= head.close;
            self.body_left = head.content_length.unwrap_or(0);
            bytes = &bytes[head.length..];
            whole += usize::from(self.body_left == 0);
        }
        if bytes.len() > http::MAX_HEAD {
            return Err(End::Refused);
        }
        self.received.extend_from_slice(bytes);
        Ok(whole)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut sent = 0;
        while self.unsent.is_empty() && sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn end_after_last(&self) -> Result<(), End> {
        if self.last_sent && !self.is_blocked() { Err(End::Closed) } else { Ok(()) }
    }
}

fn response(bytes: usize, field: &str) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\n{field}\r\n");
    [head.into_bytes(), http::body(bytes)].concat()
}
