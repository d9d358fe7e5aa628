//! How often something happens (pure).

use std::time::Instant;

/// The whole seconds over which a rate is taken: as long as it takes to follow one that changes.
const SECONDS: u64 = 10;
/// Those, and the one that is not over yet.
const COUNTED: u64 = SECONDS + 1;

/// Events a second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The first event ever; seconds count from it.
    first: Option<Instant>,
    /// The second of the last event.
    last: u64,
    /// Events of each of the last seconds, in the place of its remainder.
    counts: [u32; COUNTED as usize],
}

impl Rate {
    /// One more at `now`.
    pub(super) fn count(&mut self, now: Instant) {
        let first = *self.first.get_or_insert(now);
        let second = now.saturating_duration_since(first).as_secs().max(self.last);
        for passed in (self.last + 1..=second).take(COUNTED as usize) {
            self.counts[place(passed)] = 0;
        }
        // All of them, if it was silent for long.
        self.last = second;
        self.counts[place(second)] += 1;
    }

    /// The rate at `now`.
    pub(super) fn per_s(&self, now: Instant) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let since = now.saturating_duration_since(first);
        let second = since.as_secs().max(self.last);
        let oldest = second.saturating_sub(SECONDS).max(self.last.saturating_sub(SECONDS));
        let events: u32 = (oldest..=self.last).map(|second| self.counts[place(second)]).sum();
        let counted = since.as_secs_f64() - second.saturating_sub(SECONDS) as f64;
        // A rate of less than a second is none.
        f64::from(events) / counted.max(1.0)
    }
}

fn place(second: u64) -> usize {
    (second % COUNTED) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_rate_is_found_at_once_and_forgotten_soon() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(rate.per_s(start), 0.0);
        for ms in (0..60_000).step_by(10) {
            rate.count(at(ms));
            let found = rate.per_s(at(ms));
            assert!(ms < 1000 || (99.0..=101.0).contains(&found), "{found} at {ms}");
        }
        let found = [65_000, 71_000, 300_000].map(|ms| rate.per_s(at(ms)));
        assert!((45.0..=55.0).contains(&found[0]) && found[1..] == [0.0; 2], "{found:?}");
        // After a silence it is found as soon as it has lasted.
        (300_000..311_000).step_by(10).for_each(|ms| rate.count(at(ms)));
        let found = rate.per_s(at(311_000));
        assert!((99.0..=101.0).contains(&found), "{found}");
    }

    #[test]
    fn one_event_is_no_more_than_one_a_second() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        rate.count(start);
        assert_eq!(rate.per_s(start), 1.0);
        assert_eq!(rate.per_s(start + Duration::from_secs(5)), 0.2);
        // Threads may have looked at their clocks in another order.
        rate.count(start + Duration::from_secs(7));
        rate.count(start + Duration::from_secs(6));
        assert_eq!(rate.per_s(start + Duration::from_secs(10)), 0.3);
    }
}
