//! What forwarding needs of a socket, so that it can run over in-memory ones in tests.

use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream that can be watched without being read.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// What would be read next; pending while there is nothing.
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Peek>;
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
}

/// Reads into `space`; 0 is the peer's FIN.
pub fn poll_read<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    space: &mut [u8],
) -> Poll<io::Result<usize>> {
    debug_assert!(!space.is_empty(), "a read into nothing looks like FIN");
    let mut buffer = ReadBuf::new(space);
    ready!(std::pin::Pin::new(socket).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
