//! The way of a long body past the buffers: from socket to socket through a pipe, where its length is known
//! and nothing of it needs to be looked at.

use crate::buffer::{Lent, SMALL};
use crate::forward::pump::{Body, Outgoing};
use crate::forward::socket::Socket;
use crate::forward::splice::{Bypass, Pipes};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// What must be left of a body for it to begin, in bytes: less is copied with as few system calls.
const LONG: usize = 256 * 1024;

/// One direction's shortcut, if it is taken.
#[derive(Debug, Default)]
pub(super) struct Shortcut(Option<Bypass>);

impl Shortcut {
    /// Whether bytes are in a pipe.
    pub(super) fn holds_bytes(&self) -> bool {
        self.0.as_ref().is_some_and(Bypass::holds_bytes)
    }

    /// Takes note of bytes that were read into the buffer after all.
    pub(super) fn saw(&mut self, bytes: usize) {
        if let Some(bypass) = &mut self.0 {
            bypass.saw(bytes);
        }
    }

    /// Takes what comes next of `body` from `source`; ready with how many bytes, 0 if they are to be read in
    /// the ordinary way. `input`, which is empty, gives its memory back.
    pub(super) fn poll_take<S: Socket, T: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        pipes: &Rc<Pipes>,
        body: &mut Body,
        (source, target): (&S, &T),
        input: &mut Lent,
    ) -> Poll<io::Result<usize>> {
        let rest = body.plain_rest();
        if rest < if self.0.is_some() { SMALL } else { LONG } {
            return Poll::Ready(Ok(0));
        }
        let (Some(source), Some(_)) = (source.tcp(), target.tcp()) else { return Poll::Ready(Ok(0)) };
        let bypass = self.0.get_or_insert_with(|| Bypass::for_long(pipes));
        if !bypass.is_wanted() {
            return Poll::Ready(Ok(0));
        }
        input.rest();
        ready!(source.poll_read_ready(cx))?;
        let bytes = bypass.fill(source, rest)?;
        body.bypassed(bytes);
        Poll::Ready(Ok(bytes))
    }

    /// Sends what is staged, and then what is in the pipe, which takes the way through `input` and `out` if the
    /// target cannot be spliced to.
    pub(super) fn poll_flush<T: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut T,
        input: &mut Lent,
        out: &mut Outgoing,
        sent: &mut u64,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(out.poll_flush(cx, target, input, sent))?;
            let Some(bypass) = self.0.as_mut().filter(|bypass| bypass.holds_bytes()) else {
                return Poll::Ready(Ok(()));
            };
            *sent += ready!(bypass.poll_drain(cx, target.tcp(), input))? as u64;
            out.send_as_is(input.len());
        }
    }
}
