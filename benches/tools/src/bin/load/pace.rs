//! When requests are due in an open loop, which waits for no answer.

use std::time::Duration;

/// Requests that are due one after the other at a steady rate; all times are since the beginning.
pub(crate) struct Pace {
    rate: f64,
    end: Duration,
    taken: u64,
}

impl Pace {
    /// `rate` requests a second until `end`.
    pub(crate) fn new(rate: f64, end: Duration) -> Self {
        Self { rate, end, taken: 0 }
    }

    /// When the next request is due; `None` once all were taken.
    pub(crate) fn next(&self) -> Option<Duration> {
        let due = Duration::from_secs_f64(self.taken as f64 / self.rate);
        (due < self.end).then_some(due)
    }

    /// Takes no more.
    pub(crate) fn stop(&mut self) {
        self.end = Duration::ZERO;
    }

    /// Takes the next request if it is due by `now`, and returns when it was. One that is late keeps
    /// its time: what is measured from then on has the wait in it.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Duration> {
        let due = self.next().filter(|&due| due <= now)?;
        self.taken += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn requests_are_due_one_by_one() {
        let mut pace = Pace::new(100.0, ms(30));
        assert_eq!(pace.take(ms(0)), Some(ms(0)));
        assert_eq!((pace.take(ms(9)), pace.next()), (None, Some(ms(10))));
        assert_eq!(pace.take(ms(10)), Some(ms(10)));
        assert_eq!(pace.take(ms(29)), Some(ms(20)));
        assert_eq!((pace.take(ms(1000)), pace.next()), (None, None));
    }

    #[test]
    fn what_was_missed_is_made_up_for_with_its_own_times() {
        let mut pace = Pace::new(1000.0, ms(50));
        let due: Vec<_> = std::iter::from_fn(|| pace.take(ms(500))).collect();
        assert_eq!(due, (0..50).map(ms).collect::<Vec<_>>());
    }
}
