//! What forwarding needs of a socket, so that it can run over in-memory ones in tests.

use super::blocked::Look;
use crate::buffer::Lent;
use crate::sys::stream::{recv, send};
use crate::sys::tcp_info::{TcpInfo, tcp_state};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream that can be watched without being read.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// What would be read next; pending while there is nothing.
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Peek>;

    /// Reads into the buffer's space, which is not empty; 0 is the peer's FIN.
    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut Lent) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(buffer.space());
        ready!(Pin::new(self).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Writes the front of `bytes`, as much as there is room for.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    /// The kernel's socket, if its bytes are the stream's bytes.
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }
}

/// What the next read of a socket would give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Bytes.
    Bytes,
    /// The end: the peer sent FIN.
    Fin,
    /// An error: the peer reset the connection, or it timed out.
    Reset,
}

impl Socket for TcpStream {
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Peek> {
        let mut byte = [0; 1];
        Poll::Ready(match ready!(TcpStream::poll_peek(self, cx, &mut ReadBuf::new(&mut byte))) {
            Ok(0) => Peek::Fin,
            Ok(_) => Peek::Bytes,
            Err(_) => Peek::Reset,
        })
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut Lent) -> Poll<io::Result<usize>> {
        loop {
            // First, for it counts what a task does before others have their turn; and where there is nothing to
            // read, the buffer takes no memory.
            ready!(self.poll_read_ready(cx))?;
            let space = buffer.space();
            if let Some(read) = attempt(self, Interest::READABLE, space.len(), || recv(&*self, space))? {
                return Poll::Ready(Ok(read));
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(sent) = attempt(self, Interest::WRITABLE, bytes.len(), || send(&*self, bytes))? {
                return Poll::Ready(Ok(sent));
            }
            ready!(self.poll_write_ready(cx))?;
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// Moves up to `wanted` bytes by a system call, if the runtime takes the socket for ready; `None`: it is not.
/// Fewer bytes say that it has just been emptied or filled, and the runtime is told so, as its own reads and
/// writes do: the call that would find that out again is saved.
fn attempt(
    socket: &TcpStream,
    interest: Interest,
    wanted: usize,
    transfer: impl FnOnce() -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    let mut moved = None;
    let attempted = socket.try_io(interest, || {
        let count = transfer()?;
        moved = Some(count);
        if 0 < count && count < wanted { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match attempted {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(moved),
    }
}

/// Looks at a flow that is blocked: whether its source has closed, and what its target, if it is one
/// that takes bytes, has acknowledged. A system call for each, so not for every byte.
pub fn look<S: Socket>(source: &S, target: Option<&impl Socket>) -> Look {
    Look {
        source: source.tcp().and_then(|tcp| tcp_state(tcp).ok()),
        acknowledged: target.and_then(Socket::tcp).and_then(|tcp| TcpInfo::of(tcp).ok()?.bytes_acked),
    }
}

/// Reads into `buffer`; 0 is the peer's FIN. While there is nothing to read, an empty buffer gives
/// its memory back.
pub fn poll_read<S: Socket>(
    socket: &mut S,
    cx: &mut Context<'_>,
    buffer: &mut Lent,
) -> Poll<io::Result<usize>> {
    debug_assert!(!buffer.is_full(), "a read into nothing looks like FIN");
    match socket.poll_recv(cx, buffer) {
        Poll::Pending => {
            buffer.rest();
            Poll::Pending
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(read)) => {
            buffer.advance(read);
            Poll::Ready(Ok(read))
        }
    }
}
