//! The states of a connection to an endpoint, and the one place that counts them (pure).

use crate::metrics::counters::{EndpointCounters, Gauge};

/// Where a connection is. The exits of each state stand beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not there: before the dial, after the close, or with another worker.
    Absent,
    /// connect(2) is under way. Exits: `Idle` or `Leased` (established), `Absent` (failed).
    Connecting,
    /// In the pool. Exits: `Leased` (checked out), `Absent` (evicted, condemned, handed over).
    Idle,
    /// Carrying an exchange or a tunnel. Exits: `Idle` (released), `Absent` (discarded, handed over).
    Leased,
}

/// Counts a connection's step from one state to another. The new state is counted before the old one
/// is not: whoever reads meanwhile finds the connection twice, never nowhere.
pub fn transition(counters: &EndpointCounters, from: State, to: State) {
    debug_assert!(allowed(from, to), "no connection goes from {from:?} to {to:?}");
    if from == State::Connecting && to != State::Absent {
        counters.opened_total.inc();
    }
    if let Some(gauge) = gauge(counters, to) {
        gauge.inc();
    }
    if let Some(gauge) = gauge(counters, from) {
        gauge.dec();
    }
}

fn allowed(from: State, to: State) -> bool {
    use State::{Absent, Connecting, Idle, Leased};
    matches!(
        (from, to),
        (Absent, Connecting | Idle | Leased)
            | (Connecting, Idle | Leased | Absent)
            | (Idle, Leased | Absent)
            | (Leased, Idle | Absent)
    )
}

fn gauge(counters: &EndpointCounters, state: State) -> Option<&Gauge> {
    match state {
        State::Absent => None,
        State::Connecting => Some(&counters.connecting),
        State::Idle => Some(&counters.idle),
        State::Leased => Some(&counters.leased),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_moves_one_from_gauge_to_gauge() {
        let counters = EndpointCounters::default();
        let read = || (counters.connecting.get(), counters.idle.get(), counters.leased.get());
        transition(&counters, State::Absent, State::Connecting);
        assert_eq!(read(), (1, 0, 0));
        transition(&counters, State::Connecting, State::Leased);
        assert_eq!((read(), counters.opened_total.get()), ((0, 0, 1), 1));
        transition(&counters, State::Leased, State::Idle);
        assert_eq!(read(), (0, 1, 0));
        transition(&counters, State::Idle, State::Absent);
        assert_eq!((read(), counters.opened_total.get()), ((0, 0, 0), 1));
    }

    #[test]
    fn a_failed_dial_opened_nothing() {
        let counters = EndpointCounters::default();
        transition(&counters, State::Absent, State::Connecting);
        transition(&counters, State::Connecting, State::Absent);
        assert_eq!((counters.connecting.get(), counters.opened_total.get()), (0, 0));
    }
}
