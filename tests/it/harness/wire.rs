//! One side of a connection: reads messages from it and remembers every byte.

use super::message::{Framing, Message, field};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

/// A socket with what was read of it and not dealt with yet.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Arc<TcpStream>,
    buffer: Vec<u8>,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream: Arc::new(stream), buffer: Vec::new(), received: Arc::default() }
    }

    /// The socket, which is closed when nobody has it any more.
    pub(crate) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Every byte that was ever read.
    pub(crate) fn received(&self) -> Arc<Mutex<Vec<u8>>> {
        Arc::clone(&self.received)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(bytes)
    }

    /// Sends FIN.
    pub(crate) fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The close of this socket will be an RST.
    pub(crate) fn reset_on_close(&self) {
        socket2::SockRef::from(&*self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Reads a request; `None` when the peer has closed instead of sending one.
    pub(crate) fn request(&mut self) -> io::Result<Option<Message>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let mut message = Message::of_head(&head);
        if message.is_chunked() {
            self.chunks(&mut message)?;
        } else if let Some(length) = message.length() {
            message.framing = Framing::Length;
            message.body = self.exactly(length)?;
        }
        Ok(Some(message))
    }

    /// Reads a response to a request with this method (RFC 9112 section 6.3).
    pub(crate) fn response(&mut self, method: &str) -> io::Result<Message> {
        let head = self.head()?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut message = Message::of_head(&head);
        let status = message.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(message);
        }
        if message.is_chunked() {
            self.chunks(&mut message)?;
        } else if let Some(length) = message.length() {
            message.framing = Framing::Length;
            message.body = self.exactly(length)?;
        } else {
            message.framing = Framing::UntilClose;
            message.body = self.rest()?;
        }
        Ok(message)
    }

    /// Reads a head with its empty line; `None` when the peer has closed before its first byte.
    pub(crate) fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match self.fill()? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        };
        Ok(Some(self.buffer.drain(..end).collect()))
    }

    /// Reads this many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads until this many bytes are there, for whatever reads on.
    pub(crate) fn gather(&mut self, count: usize) -> io::Result<()> {
        while self.buffer.len() < count {
            if self.fill_at_most(count - self.buffer.len())? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Reads until the peer's FIN.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads whatever comes next; nothing at the peer's FIN.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    fn chunks(&mut self, message: &mut Message) -> io::Result<()> {
        let mut sizes = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("a chunk of {line:?}"));
            if size == 0 {
                break;
            }
            sizes.push(size);
            message.body.extend(self.exactly(size)?);
            assert_eq!(self.exactly(2)?, b"\r\n", "behind a chunk");
        }
        message.framing = Framing::Chunked(sizes);
        loop {
            match self.line()?.as_str() {
                "" => return Ok(()),
                line => message.trailers.push(field(line)),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        };
        let line = String::from_utf8(self.buffer.drain(..end).collect()).expect("a line in ASCII");
        self.buffer.drain(..2);
        Ok(line)
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.fill_at_most(usize::MAX)
    }

    /// Reads once, and no more than this many bytes.
    fn fill_at_most(&mut self, most: usize) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let most = most.min(chunk.len());
        let count = loop {
            match (&*self.stream).read(&mut chunk[..most]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        self.received.lock().unwrap().extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}
