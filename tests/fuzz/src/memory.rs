//! Sockets in memory, whose bytes come and go in the pieces that a target says.

use crate::Splits;
use millpond::forward::socket::{Peek, Socket};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the peer of a socket does and sees.
#[derive(Debug)]
pub struct Peer {
    /// Sent by it, but not here yet.
    coming: Vec<u8>,
    /// Here, and not read.
    here: Vec<u8>,
    closes: bool,
    has_closed: bool,
    in_pieces: Splits,
    out_pieces: Splits,
    /// Whether the next write finds no room.
    is_full: bool,
    /// Every byte that it has received.
    pub received: Vec<u8>,
}

/// One end of a connection to a [`Peer`].
#[derive(Clone, Debug)]
pub struct End(pub Rc<RefCell<Peer>>);

impl End {
    /// A connection on which nothing has been sent.
    pub fn new(in_pieces: Splits, out_pieces: Splits) -> Self {
        Self(Rc::new(RefCell::new(Peer {
            coming: Vec::new(),
            here: Vec::new(),
            closes: false,
            has_closed: false,
            in_pieces,
            out_pieces,
            is_full: false,
            received: Vec::new(),
        })))
    }

    /// The peer sends this, and FIN behind it if `closes`.
    pub fn sends(&self, bytes: &[u8], closes: bool) {
        let mut peer = self.0.borrow_mut();
        peer.coming.extend_from_slice(bytes);
        peer.closes |= closes;
    }

    /// Lets the next piece arrive, and makes room for the next write; returns whether anything has changed.
    pub fn advance(&self) -> bool {
        let mut peer = self.0.borrow_mut();
        let had_room = !std::mem::replace(&mut peer.is_full, false);
        let left = peer.coming.len();
        if left > 0 {
            let count = peer.in_pieces.next(left);
            let piece: Vec<u8> = peer.coming.drain(..count).collect();
            peer.here.extend(piece);
            return true;
        }
        let closes_now = peer.closes && !peer.has_closed;
        peer.has_closed |= closes_now;
        closes_now || !had_room
    }

    /// What the peer has received.
    pub fn received(&self) -> Vec<u8> {
        self.0.borrow().received.clone()
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut peer = self.0.borrow_mut();
        if peer.here.is_empty() {
            return if peer.has_closed { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let count = into.remaining().min(peer.here.len());
        let bytes: Vec<u8> = peer.here.drain(..count).collect();
        into.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut peer = self.0.borrow_mut();
        if peer.is_full {
            return Poll::Pending;
        }
        let count = peer.out_pieces.next(bytes.len());
        peer.is_full = count < bytes.len();
        peer.received.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Socket for End {
    fn poll_peek(&mut self, _: &mut Context<'_>) -> Poll<Peek> {
        let peer = self.0.borrow();
        match (peer.here.is_empty(), peer.has_closed) {
            (false, _) => Poll::Ready(Peek::Bytes),
            (true, true) => Poll::Ready(Peek::Fin),
            (true, false) => Poll::Pending,
        }
    }
}
