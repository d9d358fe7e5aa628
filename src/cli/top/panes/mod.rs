//! The three tables: what stands in them, from a snapshot and its rates. Pure.

mod endpoints;
mod listeners;
mod sockets;

pub(super) use endpoints::{LATER, share_taken, tightest, time_wait};
pub(super) use listeners::is_nearly_full;

use super::grid::Grid;
use super::rates::Rates;
use super::theme::Tone;
use crate::observe::snapshot::{Snapshot, TcpStates};

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Listeners,
    Endpoints,
    CloseWait,
}

impl Pane {
    /// From the top to the bottom of the screen.
    pub(super) const ALL: [Self; 3] = [Self::Listeners, Self::Endpoints, Self::CloseWait];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// The one this many further down, from the top again after the last.
    pub(super) fn after(self, steps: usize) -> Self {
        Self::ALL[(self.index() + steps) % Self::ALL.len()]
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Listeners => "Listeners",
            Self::Endpoints => "Endpoints",
            Self::CloseWait => "CLOSE_WAIT",
        }
    }

    /// All of its rows, as the instance lists them.
    pub(super) fn grid(self, snapshot: &Snapshot, rates: &Rates) -> Grid {
        match self {
            Self::Listeners => listeners::grid(snapshot, rates),
            Self::Endpoints => endpoints::grid(snapshot, rates),
            Self::CloseWait => sockets::grid(snapshot),
        }
    }
}

/// How urgent a level of a budget is. One that this version does not know is not `ok`.
pub(super) fn level_tone(level: &str) -> Tone {
    match level {
        "ok" => Tone::Good,
        "warn" => Tone::Warn,
        _ => Tone::Critical,
    }
}

/// The states of TCP in the order of interest, and what they are called where room is short.
const STATES: [(&str, &str); 9] = [
    ("close_wait", "cw"),
    ("established", "est"),
    ("time_wait", "tw"),
    ("syn_sent", "ss"),
    ("syn_recv", "sr"),
    ("fin_wait1", "fw1"),
    ("fin_wait2", "fw2"),
    ("last_ack", "la"),
    ("closing", "cg"),
];

/// The states that sockets are in, such as `est 120 tw 4`.
fn states(states: Option<&TcpStates>) -> String {
    let Some(states) = states else { return super::format::MISSING.to_owned() };
    let known = STATES.iter().filter_map(|(state, short)| Some((*short, *states.get(*state)?)));
    // Sockets that listen are no connections, and stand in the queue's column.
    let is_new = |state: &str| state != "listen" && STATES.iter().all(|(known, _)| *known != state);
    let others = states.iter().filter(|(state, _)| is_new(state)).map(|(state, n)| (state.as_str(), *n));
    let counted: Vec<_> =
        known.chain(others).filter(|(_, n)| *n > 0).map(|(state, n)| format!("{state} {n}")).collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_go_round() {
        assert_eq!(Pane::ALL.map(|pane| pane.after(1).index()), [1, 2, 0]);
        assert_eq!(Pane::ALL.map(|pane| pane.after(2).index()), [2, 0, 1]);
    }

    #[test]
    fn states_are_short_and_the_worst_comes_first() {
        let counted = |counts: &[(&str, u64)]| {
            states(Some(&counts.iter().map(|(state, n)| ((*state).to_owned(), *n)).collect()))
        };
        let many = [
            ("established", 120),
            ("time_wait", 4),
            ("close_wait", 2),
            ("last_ack", 0),
            ("listen", 2),
            ("zombie", 1),
        ];
        assert_eq!(counted(&many), "cw 2 est 120 tw 4 zombie 1");
        assert_eq!((counted(&[("established", 0)]), states(None)), ("none".into(), "-".into()));
    }
}
