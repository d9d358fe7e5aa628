//! A clock that only the simulation moves.

use millpond::timer::{LATE, LOOKS, RESOLUTION};
use std::fmt;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// Plays `history` by a clock that stands still but for [`advance`]. A runtime of its own: another history would
/// have left its clock in the middle of a millisecond.
pub(crate) fn play(history: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    LocalSet::new().block_on(&runtime, history);
}

/// Moves the clock. Where it jumps, the drivers of timers look around before they fire anything.
pub(crate) async fn advance(time: Duration) {
    tokio::time::advance(time).await;
    if time + RESOLUTION > LATE {
        for _ in 0..LOOKS {
            tokio::task::yield_now().await;
        }
    }
}

/// The time from one moment to another, as it is told.
#[derive(Debug)]
pub(crate) struct Since(pub(crate) Instant, pub(crate) Instant);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.3} s", self.1.duration_since(self.0).as_secs_f64()))
    }
}
