//! One request and its response, in both directions at once.
//!
//! Two state machines share two sockets: [`RequestSide`] moves bytes from the client to the
//! endpoint, [`ResponseSide`] the other way. Neither waits for the other, so that an answer that
//! comes early is passed on while the request is still being sent. Whoever is waited for has a
//! deadline, and the client is watched while its answer is awaited.

mod deadline;
mod request;
mod response;
mod shortcut;

pub use deadline::Deadlines;
pub use request::{RequestSide, WaitsFor};
pub use response::{ResponseEnd, ResponseSide};

use super::failure::Failure;
use super::inbound::Inbound;
use super::socket::{Peek, Socket, poll_read};
use super::splice::Pipes;
use crate::timer::Timer;
use deadline::Clock;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

/// A running exchange.
#[derive(Debug)]
pub struct Exchange<'a, C, U> {
    /// The client's socket.
    pub client: &'a mut C,
    /// What the client has sent that is not dealt with yet.
    pub inbound: &'a mut Inbound,
    /// The endpoint's socket.
    pub endpoint: &'a mut U,
    /// The one direction.
    pub request: &'a mut RequestSide,
    /// The other.
    pub response: &'a mut ResponseSide,
    /// The limits.
    pub deadlines: Deadlines,
    /// Where long bodies find pipes.
    pub pipes: &'a Rc<Pipes>,
    /// What wakes the task for them.
    pub timer: &'a Timer,
    /// Set when the proxy drains: the client's connection is not to go on then.
    pub draining: &'a Cell<bool>,
    /// Whether the request is given up when its client sends FIN and nothing else before the response.
    pub abort_on_fin: bool,
}

impl<C: Socket, U: Socket> Exchange<'_, C, U> {
    /// Runs the exchange to its end, begun at `now`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run(&mut self, now: Instant) -> Result<ResponseEnd, Failure> {
        let mut clock = Clock::new(now);
        poll_fn(|cx| self.poll(cx, &mut clock)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, clock: &mut Clock) -> Poll<Result<ResponseEnd, Failure>> {
        let before = self.progress();
        let request = self.request.poll(cx, self.client, &mut self.inbound.input, self.endpoint, self.pipes);
        if let Poll::Ready(Err(failure)) = request {
            return Poll::Ready(Err(failure));
        }
        let may_persist = self.request.is_sent() && !self.draining.get();
        if let Poll::Ready(end) = self.response.poll(cx, self.endpoint, self.client, self.pipes, may_persist)
        {
            return Poll::Ready(end);
        }
        if self.request.is_sent() {
            self.watch_client(cx)?;
        }
        let progressed = self.progress() != before;
        self.poll_deadline(cx, progressed, clock)
    }

    /// All bytes moved so far.
    fn progress(&self) -> u64 {
        let ((a, b), (c, d)) = (self.request.bytes(), self.response.bytes());
        a + b + c + d + u64::from(self.inbound.closed.is_some())
    }

    /// Notices the client's FIN or RST while its answer is awaited. What it sends in the meantime
    /// (pipelined requests) is read as far as there is room.
    fn watch_client(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        while self.inbound.closed.is_none() && !self.inbound.input.is_full() {
            match self.client.poll_peek(cx) {
                Poll::Pending => {
                    self.inbound.input.rest();
                    break;
                }
                Poll::Ready(Peek::Reset) => return Err(Failure::ClientReset),
                Poll::Ready(Peek::Fin) => {
                    self.inbound.closed = Some(Instant::now() + self.deadlines.client_half_close);
                    if self.abort_on_fin && self.inbound.input.is_empty() && !self.response.has_begun() {
                        return Err(Failure::ClientLeft);
                    }
                }
                Poll::Ready(Peek::Bytes) => match poll_read(self.client, cx, &mut self.inbound.input) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Err(Failure::ClientReset),
                    Poll::Pending => break,
                },
            }
        }
        Ok(())
    }
}
