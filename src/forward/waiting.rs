//! A client that is not being served yet: while a connection to an endpoint is awaited on its behalf, it
//! is watched, so that neither its FIN nor its reset goes unnoticed.

use super::blocked::{Blocked, Source};
use super::inbound::Inbound;
use super::socket::{look, poll_read};
use crate::reason::CloseReason;
use crate::sys::sock_diag::TcpState;
use crate::timer::Timer;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// A client that waits.
#[derive(Debug)]
pub struct Waiting<'a> {
    /// Its socket.
    pub client: &'a mut TcpStream,
    /// What it sends in the meantime, as far as there is room.
    pub inbound: &'a mut Inbound,
    /// What wakes the task, once the client has closed or there is no room.
    pub timer: &'a Timer,
    /// How long it waits on after its FIN.
    pub half_close: Duration,
    /// Whether it is given up when it sends FIN and nothing else.
    pub abort_on_fin: bool,
}

/// Why nobody waits any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The client reset the connection.
    Reset,
    /// It sent FIN, and is taken to have left.
    Left,
    /// It sent FIN, and nothing came of the waiting in time.
    Late,
}

impl Gone {
    /// Why its session ends.
    pub fn close_reason(self) -> CloseReason {
        match self {
            Self::Reset => CloseReason::ClientReset,
            Self::Left => CloseReason::ClientAborted,
            Self::Late => CloseReason::HalfCloseDeadline,
        }
    }
}

/// What is known of the time that it has.
#[derive(Debug, Default)]
struct Limit {
    /// Whether the timer was set.
    is_set: bool,
    blocked: Blocked,
}

impl Waiting<'_> {
    /// Drives `future` to its end, unless the client goes before.
    ///
    /// # Errors
    /// Why it was given up. The future has not ended then.
    pub async fn for_output<F: Future>(mut self, mut future: Pin<&mut F>) -> Result<F::Output, Gone> {
        let mut limit = Limit::default();
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.watch(cx)?;
            self.poll_deadline(cx, &mut limit).map(Err)
        })
        .await
    }

    /// Reads what the client sends, until its FIN or until there is no room.
    fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), Gone> {
        let Inbound { input, closed } = &mut *self.inbound;
        while closed.is_none() && !input.is_full() {
            match poll_read(self.client, cx, input) {
                Poll::Pending => break,
                Poll::Ready(Err(_)) => return Err(Gone::Reset),
                Poll::Ready(Ok(0)) if self.abort_on_fin && input.is_empty() => return Err(Gone::Left),
                Poll::Ready(Ok(0)) => *closed = Some(Instant::now() + self.half_close),
                Poll::Ready(Ok(_)) => {}
            }
        }
        Ok(())
    }

    /// Ready when the client has waited for too long behind its FIN. While there is no room for what it
    /// sends, that FIN shows in the state of its socket alone.
    fn poll_deadline(&self, cx: &Context<'_>, limit: &mut Limit) -> Poll<Gone> {
        let Inbound { input, closed } = &*self.inbound;
        let is_unread = closed.is_none() && input.is_full();
        if closed.is_none() && !is_unread {
            return Poll::Pending;
        }
        if !std::mem::replace(&mut limit.is_set, true) {
            self.set_timer(limit, is_unread, Instant::now());
        }
        while self.timer.poll_expired(cx) {
            let now = Instant::now();
            if is_unread {
                let found = look(self.client, None::<&TcpStream>);
                if found.source == Some(TcpState::Closed) {
                    return Poll::Ready(Gone::Reset);
                }
                limit.blocked.looked(Source::Client, found, now);
            }
            if self.due(limit, now) <= now {
                return Poll::Ready(Gone::Late);
            }
            self.set_timer(limit, is_unread, now);
        }
        Poll::Pending
    }

    fn set_timer(&self, limit: &mut Limit, is_unread: bool, now: Instant) {
        let due = self.due(limit, now);
        self.timer.set(limit.blocked.wake_at(is_unread, due, now));
    }

    /// When it has waited for too long; as long as it has not closed, that is not near.
    fn due(&self, limit: &Limit, now: Instant) -> Instant {
        let hidden = limit.blocked.closed_since(Source::Client).map(|since| since + self.half_close);
        self.inbound.closed.or(hidden).unwrap_or(now + self.half_close)
    }
}
