//! Ports that come back by themselves after a time (pure).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Ports that come back within this time of each other are counted together, so that there is no
/// entry for each of thousands. None comes back early; each comes back this much late at most.
const GRANULE: Duration = Duration::from_millis(100);

/// How many ports are held, and until when; those that come back soonest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    returns: VecDeque<(Instant, u32)>,
    total: u32,
}

impl Held {
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// When they come back, in seconds from `now`, and how many: those that come back soonest first.
    pub(super) fn returns(&self, now: Instant) -> Vec<(f64, u32)> {
        let in_s = |at: Instant| at.saturating_duration_since(now).as_secs_f64();
        self.returns.iter().map(|(at, count)| (in_s(*at), *count)).collect()
    }

    /// Holds one more, until this time.
    pub(super) fn hold(&mut self, until: Instant) {
        self.total += 1;
        let place = self.returns.partition_point(|(at, _)| *at < until);
        match self.returns.get_mut(place) {
            Some((at, count)) if *at <= until + GRANULE => *count += 1,
            _ => self.returns.insert(place, (until + GRANULE, 1)),
        }
    }

    /// Lets go of those whose time has come.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((at, count)) = self.returns.front()
            && *at <= now
        {
            self.total -= count;
            self.returns.pop_front();
        }
    }

    /// Lets go of so many, those first that would come back soonest.
    pub(super) fn forget(&mut self, mut count: u32) {
        while count > 0
            && let Some((_, first)) = self.returns.front_mut()
        {
            let gone = count.min(*first);
            self.total -= gone;
            count -= gone;
            *first -= gone;
            if *first == 0 {
                self.returns.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn closes_of_one_moment_share_an_entry() {
        let (mut held, start) = (Held::default(), Instant::now());
        (0..10_000).for_each(|ms| held.hold(start + Duration::from_millis(ms)));
        assert_eq!(held.total(), 10_000);
        assert!(held.returns.len() <= 101, "{}", held.returns.len());
    }

    #[test]
    fn what_is_forgotten_is_what_would_come_back_first() {
        let (mut held, start) = (Held::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        [3, 1, 1, 2].into_iter().for_each(|seconds| held.hold(at(seconds)));
        held.forget(3);
        held.expire(at(3) - Duration::from_millis(1));
        assert_eq!(held.total(), 1);
        held.forget(5);
        assert_eq!((held.total(), held.returns.len()), (0, 0));
    }

    proptest! {
        /// Times in any order: never early, and late by no more than a granule.
        #[test]
        fn each_comes_back_in_time(times in prop::collection::vec(0u64..3000, 0..200)) {
            let (mut held, start) = (Held::default(), Instant::now());
            times.iter().for_each(|ms| held.hold(start + Duration::from_millis(*ms)));
            for now in (0..3200).step_by(7) {
                held.expire(start + Duration::from_millis(now));
                let due = |after: u64| times.iter().filter(|ms| **ms + after > now).count() as u32;
                prop_assert!(held.total() >= due(0), "early at {now}");
                prop_assert!(held.total() <= due(GRANULE.as_millis() as u64), "late at {now}");
            }
        }
    }
}
