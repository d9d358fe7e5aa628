//! When an exchange has taken too long, and for whom it waited.

use super::{Exchange, ResponseEnd, WaitsFor};
use crate::forward::blocked::{Blocked, Source};
use crate::forward::failure::Failure;
use crate::forward::socket::{Socket, look};
use crate::sys::sock_diag::TcpState;
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
    /// Without a byte either way, when the endpoint has closed behind a response that is not taken.
    pub endpoint_half_close: Duration,
}

/// What an exchange knows of the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When it began, or bytes moved last.
    moved_at: Instant,
    /// Whether the timer was set.
    is_set: bool,
    /// The time by which the whole response head is there: bytes of it do not move it.
    head_due: Option<Instant>,
    was_blocked: bool,
    blocked: Blocked,
}

/// Which deadline is the next, and when.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    failure: Failure,
}

impl Clock {
    /// An exchange that begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { moved_at: now, is_set: false, head_due: None, was_blocked: false, blocked: Blocked::default() }
    }
}

impl<C: Socket, U: Socket> Exchange<'_, C, U> {
    /// Renews the deadline when bytes have moved, and tells when it has passed.
    pub(super) fn poll_deadline(
        &self,
        cx: &Context<'_>,
        progressed: bool,
        clock: &mut Clock,
    ) -> Poll<Result<ResponseEnd, Failure>> {
        let is_blocked = self.client_is_unread() || self.endpoint_is_unread();
        if !clock.is_set {
            self.renew(clock, is_blocked, clock.moved_at);
        } else if progressed {
            clock.moved_at = Instant::now();
            self.renew(clock, is_blocked, clock.moved_at);
        } else if is_blocked != clock.was_blocked {
            self.renew(clock, is_blocked, Instant::now());
        }
        while self.timer.poll_expired(cx) {
            let now = Instant::now();
            self.look(clock, now)?;
            let due = self.renew(clock, is_blocked, now);
            if due.at <= now {
                return Poll::Ready(Err(due.failure));
            }
        }
        Poll::Pending
    }

    /// Sets the timer for what is next: the deadline, or a look at what is blocked.
    fn renew(&self, clock: &mut Clock, is_blocked: bool, now: Instant) -> Due {
        let due = self.due(clock);
        (clock.is_set, clock.was_blocked) = (true, is_blocked);
        self.timer.set(clock.blocked.wake_at(is_blocked, due.at, now));
        due
    }

    /// Whether the client may close without being noticed: it has more to say than there is room for.
    fn client_is_unread(&self) -> bool {
        if self.inbound.closed.is_some() {
            return false;
        }
        match self.request.is_sent() {
            true => self.inbound.input.is_full(),
            false => self.request.is_refused() || self.request.waits_for() == WaitsFor::Endpoint,
        }
    }

    /// Whether the endpoint may: the client takes nothing of the response.
    fn endpoint_is_unread(&self) -> bool {
        self.response.waits_for() == WaitsFor::Client
    }

    /// Finds out what happens to sockets that are not being read.
    fn look(&self, clock: &mut Clock, now: Instant) -> Result<(), Failure> {
        let mut moved = false;
        if self.client_is_unread() {
            let is_sending = !self.request.is_sent() && !self.request.is_refused();
            let found = look(&*self.client, is_sending.then_some(&*self.endpoint));
            if found.source == Some(TcpState::Closed) {
                return Err(Failure::ClientReset);
            }
            moved |= clock.blocked.looked(Source::Client, found, now);
        }
        if self.endpoint_is_unread() {
            let found = look(&*self.endpoint, Some(&*self.client));
            moved |= clock.blocked.looked(Source::Endpoint, found, now);
        }
        if moved {
            clock.moved_at = now;
        }
        Ok(())
    }

    /// The earliest deadline, unless something moves.
    fn due(&self, clock: &mut Clock) -> Due {
        let (limits, moved_at) = (&self.deadlines, clock.moved_at);
        let request = match self.request.waits_for() {
            _ if self.request.is_sent() || self.request.is_refused() => None,
            WaitsFor::Client => Some((moved_at + limits.client_body, Failure::ClientSilent)),
            WaitsFor::Endpoint => Some((moved_at + limits.endpoint_body, Failure::EndpointStalled)),
        };
        let response = match self.response.waits_for() {
            WaitsFor::Client => Some((moved_at + limits.client_body, Failure::ClientStalled)),
            WaitsFor::Endpoint if self.response.has_begun() => {
                Some((moved_at + limits.endpoint_body, Failure::ResponseCut))
            }
            // While the request is still being sent, only the sending has a deadline.
            WaitsFor::Endpoint if request.is_some() => None,
            WaitsFor::Endpoint => {
                let due = *clock.head_due.get_or_insert(moved_at + limits.response_head);
                Some((due, Failure::EndpointSilent))
            }
        };
        let half_closed = self.half_closed_at(clock).map(|at| (at, Failure::HalfCloseDeadline));
        let all = [request, response, half_closed].into_iter().flatten();
        all.min_by_key(|(at, _)| *at).map_or_else(
            || Due { at: moved_at + limits.response_head, failure: Failure::EndpointSilent },
            |(at, failure)| Due { at, failure },
        )
    }

    /// When a side that has closed has been kept waiting for too long. Behind a client's FIN all is over
    /// in time; but once the endpoint has closed too, what is left is bounded and only has to go on, as
    /// it has behind a FIN that was not read yet.
    fn half_closed_at(&self, clock: &Clock) -> Option<Instant> {
        let Clock { moved_at, blocked, .. } = clock;
        let endpoint = blocked.stalled_at(Source::Endpoint, *moved_at, self.deadlines.endpoint_half_close);
        let client = match self.inbound.closed {
            Some(_) if endpoint.is_some() => None,
            Some(at) => Some(at),
            None => blocked.stalled_at(Source::Client, *moved_at, self.deadlines.client_half_close),
        };
        [client, endpoint].into_iter().flatten().min()
    }
}
