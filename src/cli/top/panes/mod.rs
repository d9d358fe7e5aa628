//! The three tables: what stands in them, from a snapshot and its rates. Pure.

mod endpoints;
mod listeners;
mod sockets;

pub(super) use endpoints::{LATER, share_taken, tightest, time_wait};
pub(super) use listeners::is_nearly_full;

use super::grid::Grid;
use super::rates::Rates;
use super::theme::Tone;
use crate::observe::snapshot::Snapshot;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_go_round() {
        assert_eq!(Pane::ALL.map(|pane| pane.after(1).index()), [1, 2, 0]);
        assert_eq!(Pane::ALL.map(|pane| pane.after(2).index()), [2, 0, 1]);
    }
}
