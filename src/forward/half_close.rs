//! When a tunnel is over although nobody said so (pure): idle for too long, or half-closed for too
//! long. A half-closed peer waits in CLOSE_WAIT or FIN_WAIT2 and holds a descriptor; connection
//! tracking forgets it after 60 s (nf_conntrack_tcp_timeout_close_wait), so the deadline is shorter.

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

/// Where a tunnel stands.
#[derive(Clone, Copy, Debug)]
pub struct HalfClose {
    limits: Limits,
    idle_due: Instant,
    half_close_due: Option<Instant>,
}

impl HalfClose {
    /// A tunnel that begins at `now`, open both ways.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, idle_due: now + limits.idle, half_close_due: None }
    }

    /// Something moved; the flags tell whose FIN has been read.
    pub fn moved(&mut self, client_closed: bool, endpoint_closed: bool, now: Instant) {
        self.idle_due = now + self.limits.idle;
        let limit = match (client_closed, endpoint_closed) {
            (false, false) => return,
            (true, false) => self.limits.client_half_close,
            (false, true) => self.limits.endpoint_half_close,
            (true, true) => self.limits.client_half_close.min(self.limits.endpoint_half_close),
        };
        let due = now + limit;
        self.half_close_due = Some(self.half_close_due.map_or(due, |set| set.min(due)));
    }

    /// When it is over unless something moves.
    pub fn due(&self) -> Instant {
        self.half_close_due.map_or(self.idle_due, |due| due.min(self.idle_due))
    }

    /// Why it is over once [`Self::due`] has passed.
    pub fn reason(&self) -> CloseReason {
        match self.half_close_due {
            Some(due) if due <= self.idle_due => CloseReason::HalfCloseDeadline,
            _ => CloseReason::IdleTimeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

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
}
