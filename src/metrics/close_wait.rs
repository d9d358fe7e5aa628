//! What the census finds of our sockets in CLOSE_WAIT, for whoever reports it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sockets of ours whose peer has closed and that we have not.
#[derive(Debug, Default)]
pub struct CloseWait {
    last: Mutex<Last>,
    reaped: AtomicU64,
}

/// One count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// How many there are.
    pub count: u64,
    /// For how long the oldest has been so, without a byte of it being read; zero: there is none.
    pub oldest: Duration,
}

#[derive(Debug, Default)]
enum Last {
    #[default]
    Never,
    Counted(Stuck, Instant),
    Failed(String),
}

/// A count that is older says nothing of the present: the census has ended.
const STALE: Duration = Duration::from_secs(10);

impl CloseWait {
    /// The census counted at `now`.
    pub fn counted(&self, stuck: Stuck, now: Instant) {
        self.set(Last::Counted(stuck, now));
    }

    /// The census could not count, and why.
    pub fn failed(&self, why: String) {
        self.set(Last::Failed(why));
    }

    /// The last count.
    ///
    /// # Errors
    /// Why there is none.
    pub fn stuck(&self, now: Instant) -> Result<Stuck, String> {
        match &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            Last::Never => Err("not counted yet".to_owned()),
            Last::Failed(why) => Err(why.clone()),
            Last::Counted(_, at) if now.saturating_duration_since(*at) > STALE => {
                Err(format!("last counted more than {} s ago", STALE.as_secs()))
            }
            Last::Counted(stuck, _) => Ok(*stuck),
        }
    }

    /// A socket was closed by force.
    pub fn reaped(&self) {
        self.reaped.fetch_add(1, Relaxed);
    }

    /// How many were.
    pub fn reaped_total(&self) -> u64 {
        self.reaped.load(Relaxed)
    }

    fn set(&self, last: Last) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_count_only_while_the_census_counts() {
        let (state, now) = (CloseWait::default(), Instant::now());
        assert_eq!(state.stuck(now), Err("not counted yet".to_owned()));
        let stuck = Stuck { count: 2, oldest: Duration::from_secs(3) };
        state.counted(stuck, now);
        assert_eq!(state.stuck(now + STALE), Ok(stuck));
        assert!(state.stuck(now + STALE + Duration::from_millis(1)).unwrap_err().contains("10 s"));
        state.failed("no answer".to_owned());
        assert_eq!(state.stuck(now), Err("no answer".to_owned()));
    }
}
