//! When a tunnel is over although nobody said so (pure): idle for too long, or half-closed for too
//! long. A half-closed peer waits in CLOSE_WAIT or FIN_WAIT2 and holds a descriptor; connection
//! tracking forgets it after 60 s (nf_conntrack_tcp_timeout_close_wait), so the deadline is shorter.

use super::blocked::{Blocked, Look, Source};
use crate::reason::CloseReason;
use std::time::{Duration, Instant};

/// The deadlines of a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Without a byte either way.
    pub idle: Duration,
    /// From the client's FIN to the end.
    pub client_half_close: Duration,
    /// From the endpoint's FIN to the end.
    pub endpoint_half_close: Duration,
}

impl Limits {
    /// The same for a tunnel that begins at `now`, when the client's FIN was seen before: it does not
    /// gain time by that. `due`: when all was to be over.
    pub fn after_fin(self, due: Option<Instant>, now: Instant) -> Self {
        let left = due.map(|due| due.saturating_duration_since(now));
        Self { client_half_close: left.unwrap_or(self.client_half_close), ..self }
    }
}

/// Where a tunnel stands.
#[derive(Clone, Copy, Debug)]
pub struct HalfClose {
    limits: Limits,
    moved_at: Instant,
    /// Set by the FINs that were read.
    half_close_due: Option<Instant>,
    blocked: Blocked,
}

impl HalfClose {
    /// A tunnel that begins at `now`, open both ways.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, moved_at: now, half_close_due: None, blocked: Blocked::default() }
    }

    /// Something moved; the flags tell whose FIN has been read.
    pub fn moved(&mut self, client_closed: bool, endpoint_closed: bool, now: Instant) {
        self.moved_at = now;
        for (source, closed) in [(Source::Client, client_closed), (Source::Endpoint, endpoint_closed)] {
            if closed {
                self.blocked.fin_was_read(source);
            }
        }
        let limit = match (client_closed, endpoint_closed) {
            (false, false) => return,
            (true, false) => self.limits.client_half_close,
            (false, true) => self.limits.endpoint_half_close,
            (true, true) => self.limits.client_half_close.min(self.limits.endpoint_half_close),
        };
        let due = now + limit;
        self.half_close_due = Some(self.half_close_due.map_or(due, |set| set.min(due)));
    }

    /// The blocked flow from `source` was looked at.
    pub fn looked(&mut self, source: Source, look: Look, now: Instant) {
        if self.blocked.looked(source, look, now) {
            self.moved_at = now;
        }
    }

    /// When it is over unless something moves.
    pub fn due(&self) -> Instant {
        self.half_close_at().map_or(self.idle_at(), |due| due.min(self.idle_at()))
    }

    /// When to look again, or when it is over.
    pub fn wake_at(&mut self, is_blocked: bool, now: Instant) -> Instant {
        self.blocked.wake_at(is_blocked, self.due(), now)
    }

    /// Why it is over once [`Self::due`] has passed.
    pub fn reason(&self) -> CloseReason {
        match self.half_close_at() {
            Some(due) if due <= self.idle_at() => CloseReason::HalfCloseDeadline,
            _ => CloseReason::IdleTimeout,
        }
    }

    fn idle_at(&self) -> Instant {
        self.moved_at + self.limits.idle
    }

    /// When the half-closed tunnel is over. Where one side's FIN was read, the other may go on for ever
    /// and has a deadline; where its FIN waits behind bytes that are not read, no more is to come, and
    /// only a stall has one.
    fn half_close_at(&self) -> Option<Instant> {
        let stalled_at = |source, limit| self.blocked.stalled_at(source, self.moved_at, limit);
        let client = stalled_at(Source::Client, self.limits.client_half_close);
        let endpoint = stalled_at(Source::Endpoint, self.limits.endpoint_half_close);
        [client, endpoint].into_iter().flatten().min().or(self.half_close_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sock_diag::TcpState;

    const S: fn(u64) -> Duration = Duration::from_secs;
    const CLOSED: Look = Look { source: Some(TcpState::CloseWait), acknowledged: None };

    fn tunnel(now: Instant) -> HalfClose {
        let limits = Limits { idle: S(60), client_half_close: S(30), endpoint_half_close: S(20) };
        HalfClose::new(limits, now)
    }

    #[test]
    fn bytes_move_the_idle_deadline_only() {
        let now = Instant::now();
        let mut tunnel = tunnel(now);
        tunnel.moved(false, false, now + S(50));
        assert_eq!((tunnel.due(), tunnel.reason()), (now + S(110), CloseReason::IdleTimeout));
    }

    #[test]
    fn bytes_do_not_move_the_half_close_deadline() {
        let now = Instant::now();
        let mut tunnel = tunnel(now);
        tunnel.moved(true, false, now);
        tunnel.moved(true, false, now + S(29));
        assert_eq!((tunnel.due(), tunnel.reason()), (now + S(30), CloseReason::HalfCloseDeadline));
    }

    #[test]
    fn the_second_fin_never_extends_it() {
        let now = Instant::now();
        let mut tunnel = tunnel(now);
        tunnel.moved(false, true, now);
        tunnel.moved(true, true, now + S(19));
        assert_eq!(tunnel.due(), now + S(20));
    }

    #[test]
    fn a_fin_behind_unread_bytes_limits_a_stall() {
        for (source, limit) in [(Source::Client, S(30)), (Source::Endpoint, S(20))] {
            let now = Instant::now();
            let mut tunnel = tunnel(now);
            tunnel.looked(source, CLOSED, now + S(5));
            assert_eq!(tunnel.due(), now + S(5) + limit);
            assert_eq!(tunnel.reason(), CloseReason::HalfCloseDeadline);
            // A slow transfer goes on for as long as it likes.
            for passed in (20..600).step_by(15) {
                tunnel.moved(false, false, now + S(passed));
                assert_eq!(tunnel.due(), now + S(passed) + limit);
            }
        }
    }

    #[test]
    fn what_the_kernel_gets_rid_of_is_no_stall() {
        let now = Instant::now();
        let mut tunnel = tunnel(now);
        let look = |acknowledged| Look { acknowledged: Some(acknowledged), ..CLOSED };
        tunnel.looked(Source::Endpoint, look(1000), now);
        tunnel.looked(Source::Endpoint, look(1001), now + S(19));
        assert_eq!(tunnel.due(), now + S(39));
        tunnel.looked(Source::Endpoint, look(1001), now + S(38));
        assert_eq!(tunnel.due(), now + S(39));
    }

    /// Both sides have closed: what is left is bounded, and only has to go on.
    #[test]
    fn the_rest_of_a_tunnel_closed_on_both_sides_is_not_cut() {
        let now = Instant::now();
        let mut tunnel = tunnel(now);
        tunnel.moved(true, false, now);
        tunnel.looked(Source::Endpoint, CLOSED, now + S(10));
        tunnel.moved(true, false, now + S(28));
        assert_eq!(tunnel.due(), now + S(48));
    }

    /// The client's last bytes were taken and its FIN was read: now the endpoint has its time, and not
    /// more for sending on and on.
    #[test]
    fn a_fin_that_was_read_after_all_has_its_deadline() {
        let now = Instant::now();
        let mut tunnel = tunnel(now);
        tunnel.looked(Source::Client, CLOSED, now);
        tunnel.moved(true, false, now + S(10));
        tunnel.moved(true, false, now + S(39));
        assert_eq!(tunnel.due(), now + S(40));
    }

    #[test]
    fn a_silent_tunnel_ends_by_whichever_is_first() {
        let now = Instant::now();
        let limits = Limits { idle: S(10), client_half_close: S(30), endpoint_half_close: S(20) };
        let mut tunnel = HalfClose::new(limits, now);
        tunnel.looked(Source::Client, CLOSED, now);
        assert_eq!((tunnel.due(), tunnel.reason()), (now + S(10), CloseReason::IdleTimeout));
    }
}
