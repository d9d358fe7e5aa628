//! What happens behind a session's back while it is blocked (pure). Where a flow's target takes nothing,
//! its source is not read, and neither the source's FIN is noticed nor what the kernel still gets rid of
//! on our behalf. A blocked session looks at the TCP state of its sockets from time to time.

use crate::sys::sock_diag::TcpState;
use std::time::{Duration, Instant};

/// How often a blocked session looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where a flow comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Source {
    Client,
    Endpoint,
}

/// What a look at a blocked flow has found. What could not be found out changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// The state of the source's socket.
    pub source: Option<TcpState>,
    /// Bytes that the target has acknowledged so far.
    pub acknowledged: Option<u64>,
}

/// What is known of a session's blocked flows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocked {
    look_at: Option<Instant>,
    from_client: Flow,
    from_endpoint: Flow,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// When it was first seen that the source has closed.
    closed_since: Option<Instant>,
    acknowledged: Option<u64>,
}

impl Look {
    /// Whether the source has sent FIN, or is gone: nothing comes but what is here already.
    pub fn source_has_closed(&self) -> bool {
        use TcpState as State;
        self.source.is_some_and(|state| {
            matches!(
                state,
                State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed
            )
        })
    }
}

impl Blocked {
    /// When the session is to be woken next, if what it is due for is at `due`. While nothing is blocked
    /// there is nothing to look at.
    pub fn wake_at(&mut self, is_blocked: bool, due: Instant, now: Instant) -> Instant {
        if !is_blocked {
            self.look_at = None;
            return due;
        }
        // Soon enough that a short deadline sees what has moved since.
        let interval = INTERVAL.min(due.saturating_duration_since(now) / 2);
        due.min(*self.look_at.get_or_insert(now + interval))
    }

    /// Takes note of what a look at the flow from `source` has found. Returns whether the target has
    /// taken anything since the last look.
    pub fn looked(&mut self, source: Source, look: Look, now: Instant) -> bool {
        self.look_at = None;
        let flow = self.flow(source);
        if look.source_has_closed() {
            flow.closed_since.get_or_insert(now);
        }
        let before = std::mem::replace(&mut flow.acknowledged, look.acknowledged);
        matches!((before, look.acknowledged), (Some(before), Some(after)) if after > before)
    }

    /// The FIN of this side was read: it is no secret any more.
    pub fn fin_was_read(&mut self, source: Source) {
        self.flow(source).closed_since = None;
    }

    /// When a session in which nothing has moved since `moved` has kept a source that has closed waiting
    /// for `limit`. It may go on for as long as bytes move: what is left is bounded.
    pub fn stalled_at(&self, source: Source, moved: Instant, limit: Duration) -> Option<Instant> {
        self.closed_since(source).map(|since| since.max(moved) + limit)
    }

    /// Since when this side is known to have closed behind bytes that were not read, if it is.
    pub fn closed_since(&self, source: Source) -> Option<Instant> {
        match source {
            Source::Client => self.from_client.closed_since,
            Source::Endpoint => self.from_endpoint.closed_since,
        }
    }

    fn flow(&mut self, source: Source) -> &mut Flow {
        match source {
            Source::Client => &mut self.from_client,
            Source::Endpoint => &mut self.from_endpoint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;
    const LIMIT: Duration = Duration::from_secs(30);

    fn look(state: TcpState, acknowledged: u64) -> Look {
        Look { source: Some(state), acknowledged: Some(acknowledged) }
    }

    #[test]
    fn only_what_is_blocked_is_looked_at() {
        let now = Instant::now();
        let mut blocked = Blocked::default();
        assert_eq!(blocked.wake_at(false, now + S(60), now), now + S(60));
        assert_eq!(blocked.wake_at(true, now + S(60), now), now + S(1));
        // Bytes that move do not put it off.
        assert_eq!(blocked.wake_at(true, now + S(61), now + S(1)), now + S(1));
        blocked.looked(Source::Client, look(TcpState::Established, 0), now + S(1));
        assert_eq!(blocked.wake_at(true, now + S(61), now + S(1)), now + S(2));
    }

    #[test]
    fn a_short_deadline_is_preceded_by_a_look() {
        let now = Instant::now();
        let due = now + Duration::from_millis(200);
        assert_eq!(Blocked::default().wake_at(true, due, now), now + Duration::from_millis(100));
    }

    #[test]
    fn a_side_has_closed_when_its_state_says_so_whatever_we_have_sent() {
        use TcpState as State;
        for state in State::ALL {
            let mut blocked = Blocked::default();
            blocked.looked(Source::Endpoint, look(state, 0), Instant::now());
            let closed = [State::CloseWait, State::LastAck, State::Closing, State::TimeWait, State::Closed];
            assert_eq!(
                blocked.closed_since(Source::Endpoint).is_some(),
                closed.contains(&state),
                "{state:?}"
            );
            assert!(blocked.closed_since(Source::Client).is_none());
        }
        let mut blocked = Blocked::default();
        assert!(!blocked.looked(Source::Client, Look::default(), Instant::now()));
        assert!(blocked.closed_since(Source::Client).is_none(), "nothing is known");
    }

    #[test]
    fn the_stall_counts_from_the_fin_or_from_the_last_byte() {
        let (now, source) = (Instant::now(), Source::Client);
        let mut blocked = Blocked::default();
        assert_eq!(blocked.stalled_at(source, now, LIMIT), None);
        blocked.looked(source, look(TcpState::CloseWait, 0), now + S(20));
        blocked.looked(source, look(TcpState::CloseWait, 0), now + S(21));
        assert_eq!(blocked.stalled_at(source, now, LIMIT), Some(now + S(50)));
        assert_eq!(blocked.stalled_at(source, now + S(40), LIMIT), Some(now + S(70)));
    }

    #[test]
    fn what_the_target_acknowledges_moves() {
        let (now, source) = (Instant::now(), Source::Endpoint);
        let mut blocked = Blocked::default();
        let mut moved = |acknowledged| blocked.looked(source, Look { source: None, acknowledged }, now);
        assert!(!moved(Some(5)), "there is nothing to compare it with");
        assert!(moved(Some(6)));
        assert!(!moved(Some(6)));
        assert!(!moved(None));
        assert!(!moved(Some(9)));
    }
}
