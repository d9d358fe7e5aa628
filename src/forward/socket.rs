//! What forwarding needs of a socket, so that it can run over in-memory ones in tests.

use super::blocked::Look;
use crate::buffer::Lent;
use crate::sys::tcp_info::{TcpInfo, tcp_state};
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream that can be watched without being read.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// What would be read next; pending while there is nothing.
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Peek>;

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

    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
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
pub fn poll_read<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    buffer: &mut Lent,
) -> Poll<io::Result<usize>> {
    let space = buffer.space();
    debug_assert!(!space.is_empty(), "a read into nothing looks like FIN");
    let mut into = ReadBuf::new(space);
    match std::pin::Pin::new(socket).poll_read(cx, &mut into) {
        Poll::Pending => {
            buffer.rest();
            Poll::Pending
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) => {
            let read = into.filled().len();
            buffer.advance(read);
            Poll::Ready(Ok(read))
        }
    }
}
