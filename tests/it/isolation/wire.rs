//! One side of a connection, which waits without a thread.

use crate::harness::Message;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use tokio::net::TcpStream;

/// A socket with what was read of it and not dealt with yet.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Rc<TcpStream>,
    pub(super) buffer: Vec<u8>,
    /// Bytes read so far.
    pub(super) read: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream: Rc::new(stream), buffer: Vec::new(), read: 0 }
    }

    /// Sends all of it.
    pub(super) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends FIN.
    pub(super) fn half_close(&self) {
        let _ = socket2::SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write);
    }

    /// Its end will be an RST.
    pub(super) fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(&*self.stream).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Reads a head; `None`: the peer has closed before its first byte.
    pub(super) async fn head(&mut self) -> io::Result<Option<Message>> {
        let mut looked = 0_usize;
        let end = loop {
            let from = looked.saturating_sub(3);
            if let Some(at) = self.buffer[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                break from + at + 4;
            }
            looked = self.buffer.len();
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        Ok(Some(Message::of_head(&head)))
    }

    /// Reads the body of a message whose head says how long it is; gives each part to `each`.
    pub(super) async fn body(&mut self, head: &Message, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        if !head.is_chunked() {
            return self.exactly(head.length().unwrap_or_default(), each).await;
        }
        loop {
            let size = usize::from_str_radix(&self.line().await?, 16).expect("a chunk size");
            self.exactly(size, &mut each).await?;
            assert_eq!(self.line().await?, "", "behind a chunk");
            if size == 0 {
                return Ok(());
            }
        }
    }

    async fn exactly(&mut self, mut count: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let part = count.min(self.buffer.len());
            each(&self.buffer[..part]);
            self.buffer.drain(..part);
            count -= part;
            if count == 0 {
                return Ok(());
            }
            if !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            if !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        };
        let line = self.buffer.drain(..end + 2).take(end).collect();
        Ok(String::from_utf8(line).expect("a line in ASCII"))
    }

    /// Reads what comes next; `false`: the peer's FIN.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        loop {
            let mut chunk = [0; 8 * 1024];
            match self.stream.try_read(&mut chunk) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    self.read += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.readable().await?,
                Err(error) => return Err(error),
            }
        }
    }
}
