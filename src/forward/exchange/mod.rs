//! One request and its response, in both directions at once.
//!
//! Two state machines share two sockets: [`RequestSide`] moves bytes from the client to the
//! endpoint, [`ResponseSide`] the other way. Neither waits for the other, so that an answer that
//! comes early is passed on while the request is still being sent. Whoever is waited for has a
//! deadline, and the client is watched while its answer is awaited.

mod request;
mod response;

pub use request::{RequestSide, WaitsFor};
pub use response::{ResponseEnd, ResponseSide};

use super::failure::Failure;
use super::socket::{Peek, Socket, poll_read};
use crate::buffer::Lent;
use crate::timer::Timer;
use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long each side may keep the other waiting.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Between two reads from, or writes to, the client.
    pub client_body: Duration,
    /// From the client's FIN to the end.
    pub client_half_close: Duration,
    /// From the request sent to the response head read.
    pub response_head: Duration,
    /// Between two reads from, or writes to, the endpoint.
    pub endpoint_body: Duration,
}

/// A running exchange.
#[derive(Debug)]
pub struct Exchange<'a, C, U> {
    /// The client's socket.
    pub client: &'a mut C,
    /// What the client has sent that is not dealt with yet.
    pub input: &'a mut Lent,
    /// The endpoint's socket.
    pub endpoint: &'a mut U,
    /// The one direction.
    pub request: &'a mut RequestSide,
    /// The other.
    pub response: &'a mut ResponseSide,
    /// The limits.
    pub deadlines: Deadlines,
    /// What wakes the task for them.
    pub timer: &'a Timer,
    /// Set when the proxy drains: the client's connection is not to go on then.
    pub draining: &'a Cell<bool>,
    /// Set when the client's FIN was seen, with the time by which all is over.
    pub client_closed: &'a mut Option<Instant>,
}

/// What an exchange knows of the time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// When it began, until that has been used.
    begun: Option<Instant>,
    due: Option<Due>,
    /// The time by which the whole response head is there: bytes of it do not move it.
    head_due: Option<Instant>,
}

/// Which deadline is the next, and when.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    failure: Failure,
}

impl<C: Socket, U: Socket> Exchange<'_, C, U> {
    /// Runs the exchange to its end, begun at `now`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run(&mut self, now: Instant) -> Result<ResponseEnd, Failure> {
        let mut clock = Clock { begun: Some(now), due: None, head_due: None };
        poll_fn(|cx| self.poll(cx, &mut clock)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, clock: &mut Clock) -> Poll<Result<ResponseEnd, Failure>> {
        let before = self.progress();
        if let Poll::Ready(Err(failure)) = self.request.poll(cx, self.client, self.input, self.endpoint) {
            return Poll::Ready(Err(failure));
        }
        let may_persist = self.request.is_sent() && !self.draining.get();
        if let Poll::Ready(end) = self.response.poll(cx, self.endpoint, self.client, may_persist) {
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
        a + b + c + d + u64::from(self.client_closed.is_some())
    }

    /// Notices the client's FIN or RST while its answer is awaited. What it sends in the meantime
    /// (pipelined requests) is read as far as there is room.
    fn watch_client(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        while self.client_closed.is_none() && !self.input.is_full() {
            match self.client.poll_peek(cx) {
                Poll::Pending => break,
                Poll::Ready(Peek::Reset) => return Err(Failure::ClientReset),
                Poll::Ready(Peek::Fin) => {
                    *self.client_closed = Some(Instant::now() + self.deadlines.client_half_close);
                }
                Poll::Ready(Peek::Bytes) => match poll_read(self.client, cx, self.input) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Err(Failure::ClientReset),
                    Poll::Pending => break,
                },
            }
        }
        Ok(())
    }

    /// Renews the deadline when bytes have moved, and tells when it has passed.
    fn poll_deadline(
        &self,
        cx: &Context<'_>,
        progressed: bool,
        clock: &mut Clock,
    ) -> Poll<Result<ResponseEnd, Failure>> {
        if progressed || clock.due.is_none() {
            let now = clock.begun.take().unwrap_or_else(Instant::now);
            let next = self.due(now, &mut clock.head_due);
            self.timer.set(next.at);
            clock.due = Some(next);
        }
        match clock.due {
            Some(due) if self.timer.poll_expired(cx) => Poll::Ready(Err(due.failure)),
            _ => Poll::Pending,
        }
    }

    /// The earliest deadline, with nothing having moved since `now`.
    fn due(&self, now: Instant, head_due: &mut Option<Instant>) -> Due {
        let limits = &self.deadlines;
        let request = match self.request.waits_for() {
            _ if self.request.is_sent() || self.request.is_refused() => None,
            WaitsFor::Client => Some((limits.client_body, Failure::ClientSilent)),
            WaitsFor::Endpoint => Some((limits.endpoint_body, Failure::EndpointStalled)),
        };
        let response = match self.response.waits_for() {
            WaitsFor::Client => Some((limits.client_body, Failure::ClientStalled)),
            WaitsFor::Endpoint if self.response.has_begun() => {
                Some((limits.endpoint_body, Failure::ResponseCut))
            }
            // While the request is still being sent, only the sending has a deadline.
            WaitsFor::Endpoint if request.is_some() => None,
            WaitsFor::Endpoint => {
                let due = *head_due.get_or_insert(now + limits.response_head);
                Some((due.saturating_duration_since(now), Failure::EndpointSilent))
            }
        };
        let after = |(time, failure)| Due { at: now + time, failure };
        let half_closed = self.client_closed.map(|at| Due { at, failure: Failure::HalfCloseDeadline });
        let all = [request.map(after), response.map(after), half_closed];
        all.into_iter()
            .flatten()
            .min_by_key(|due| due.at)
            .unwrap_or(Due { at: now + limits.response_head, failure: Failure::EndpointSilent })
    }
}
