//! How long an endpoint keeps an idle connection, learned from when it closed some (pure).
//!
//! A close is evidence of an idle timeout only if another one, at another moment, came at a like age:
//! an endpoint that restarts closes connections of all ages at once. What is learned is forgotten
//! slowly, because the endpoint's setting may have changed and nobody says so: as long as the pool
//! closes first, nothing is seen of it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An endpoint that closes sooner has crashed, or serves one request a connection and does not say so.
const LEAST_AGE: Duration = Duration::from_millis(100);
/// For how long closes are of one moment, such as a restart; half their age if that is less.
const MOMENT: Duration = Duration::from_secs(5);
/// For how long a close can be confirmed by another.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);
/// What is learned grows by 10 % a minute: it is double after this time.
const DOUBLES_IN: Duration = Duration::from_secs(600);
/// Each close that confirms a value again halves the pace at which it is forgotten, so many times at
/// most: then it takes 20 minutes until the endpoint closes first again.
const SLOWER_MAX: u32 = 3;

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub struct IdleLearning {
    earlier: Option<Moment>,
    latest: Option<Moment>,
    learned: Option<Learned>,
}

/// Closes that came together.
#[derive(Clone, Copy, Debug)]
struct Moment {
    began: Instant,
    youngest: Duration,
    oldest: Duration,
    /// What held before them, to be restored if they turn out to be of all ages.
    before: Option<Learned>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    /// At what age the endpoint closes.
    age: Duration,
    /// What followed from it at `at`.
    timeout: Duration,
    at: Instant,
    slower: u32,
}

impl IdleLearning {
    /// The endpoint closed a connection that had been idle for `age`.
    pub fn closed(&mut self, age: Duration, now: Instant) {
        if age < LEAST_AGE {
            return;
        }
        if let Some(latest) = &mut self.latest
            && now < latest.began + latest.length()
        {
            latest.youngest = latest.youngest.min(age);
            latest.oldest = latest.oldest.max(age);
            if !latest.is_of_one_age() {
                self.learned = latest.before;
            }
            return;
        }
        self.earlier = self.latest.take().filter(Moment::is_of_one_age).or(self.earlier);
        let before = self.learned;
        let earlier = self.earlier.filter(|earlier| now < earlier.began + REMEMBERED);
        if let Some(earlier) = earlier.filter(|earlier| alike(earlier.youngest, age)) {
            self.learned = Some(Learned::after(before, earlier.youngest.min(age), now));
        }
        self.latest = Some(Moment { began: now, youngest: age, oldest: age, before });
    }

    /// How long a connection may be idle, so that the endpoint does not close it; `None` if that is not
    /// known, or not less than `otherwise`, which holds in that case: then it is forgotten.
    pub fn timeout(&mut self, otherwise: Duration, now: Instant) -> Option<Duration> {
        self.learned = self.learned.filter(|learned| learned.timeout(now) < otherwise);
        self.learned.map(|learned| learned.timeout(now))
    }
}

impl Moment {
    fn length(&self) -> Duration {
        (self.youngest / 2).min(MOMENT)
    }

    fn is_of_one_age(&self) -> bool {
        alike(self.youngest, self.oldest)
    }
}

impl Learned {
    /// What follows from two closes, the sooner at `age`, after what was learned before.
    fn after(before: Option<Self>, age: Duration, now: Instant) -> Self {
        let timeout = age / 5 * 4;
        match before.filter(|before| alike(before.age, age)) {
            Some(before) => Self {
                age: age.min(before.age),
                timeout: timeout.min(before.timeout(now)),
                at: now,
                slower: SLOWER_MAX.min(before.slower + 1),
            },
            None => Self { age, timeout, at: now, slower: 0 },
        }
    }

    fn timeout(&self, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64() / DOUBLES_IN.as_secs_f64();
        self.timeout.mul_f64(1.0 + elapsed / f64::from(1 << self.slower))
    }
}

/// Whether the shorter is within a fifth of the longer.
fn alike(one: Duration, other: Duration) -> bool {
    one.min(other) * 5 >= one.max(other) * 4
}

/// The same for all workers: changed under a lock when an endpoint closes, read without one.
#[derive(Debug, Default)]
pub struct SharedIdleLearning {
    learning: Mutex<IdleLearning>,
    /// In milliseconds; 0: nothing is learned.
    timeout: AtomicU32,
}

impl SharedIdleLearning {
    /// What is learned, as of the last [`Self::closed`] or [`Self::forget`].
    pub fn timeout(&self) -> Option<Duration> {
        match self.timeout.load(Relaxed) {
            0 => None,
            ms => Some(Duration::from_millis(ms.into())),
        }
    }

    /// The endpoint closed a connection that had been idle for `age`. Whether connections are to be
    /// closed sooner from now on; `otherwise` is the idle timeout where nothing is learned.
    pub fn closed(&self, age: Duration, otherwise: Duration, now: Instant) -> bool {
        let mut learning = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        learning.closed(age, now);
        let before = self.timeout();
        self.publish(learning.timeout(otherwise, now));
        self.timeout().is_some_and(|timeout| before.is_none_or(|before| timeout < before))
    }

    /// Forgets what should be forgotten by now.
    pub fn forget(&self, otherwise: Duration, now: Instant) {
        if self.timeout().is_some() {
            let mut learning = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
            self.publish(learning.timeout(otherwise, now));
        }
    }

    fn publish(&self, timeout: Option<Duration>) {
        let ms = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self.timeout.store(ms, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where nothing is learned.
    const DEFAULT: Duration = Duration::from_secs(4);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What is learned, in milliseconds, after closes at these times of connections of these ages.
    fn learned(closes: &[(u64, u64)]) -> Option<u128> {
        let start = Instant::now();
        let mut learning = IdleLearning::default();
        closes.iter().for_each(|(at, age)| learning.closed(ms(*age), start + ms(*at)));
        let last = closes.last().map_or(0, |(at, _)| *at);
        learning.timeout(DEFAULT, start + ms(last)).map(|timeout| timeout.as_millis())
    }

    #[test]
    fn two_closes_at_a_like_age_and_at_different_moments_are_an_idle_timeout() {
        assert_eq!(learned(&[(0, 300)]), None);
        assert_eq!(learned(&[(0, 300), (300, 300)]), Some(240));
        assert_eq!(learned(&[(0, 375), (300, 300)]), Some(240), "the smallest counts");
        assert_eq!(learned(&[(0, 300), (300, 375)]), Some(240));
        assert_eq!(learned(&[(0, 300), (300, 376)]), None, "these are not alike");
        assert_eq!(learned(&[(0, 300), (149, 300)]), None, "these are of one moment");
        assert_eq!(learned(&[(0, 300), (149, 300), (150, 300)]), Some(240));
        assert_eq!(learned(&[(0, 4900), (2450, 4900)]), Some(3920));
        assert_eq!(learned(&[(0, 5000), (2500, 5000)]), None, "the default is as short as that");
        assert_eq!(learned(&[(0, 99), (300, 99), (600, 99)]), None, "nobody's idle timeout");
    }

    #[test]
    fn a_restart_teaches_nothing() {
        const AGES: [u64; 6] = [100, 700, 1400, 2100, 2800, 3500];
        let restart = |at: u64, ages: [u64; 6]| [0, 1, 2, 3, 4, 5].map(|i| (at + i, ages[i as usize]));
        let backwards = [3500, 2800, 2100, 1400, 700, 100];
        assert_eq!(learned(&restart(0, AGES)), None);
        assert_eq!(learned(&[restart(0, AGES), restart(60_000, AGES)].concat()), None, "nor do two");
        for ages in [AGES, backwards] {
            let one_before = [&[(0, 3500)][..], &restart(60_000, ages)].concat();
            assert_eq!(learned(&one_before), None, "one of them was of a like age");
            let one_after = [&restart(0, ages)[..], &[(60_000, ages[0])]].concat();
            assert_eq!(learned(&one_after), None);
        }
    }

    #[test]
    fn a_restart_leaves_what_was_learned() {
        let closes = [(0, 1000), (1000, 1000), (2000, 1000), (2001, 100), (2002, 3900)];
        assert_eq!(learned(&closes), Some(801), "800, and what grew in a second");
    }

    #[test]
    fn a_close_can_be_confirmed_for_half_an_hour() {
        assert_eq!(learned(&[(0, 1000), (1_799_999, 1000)]), Some(800));
        assert_eq!(learned(&[(0, 1000), (1_800_000, 1000)]), None);
        assert_eq!(learned(&[(0, 1000), (1_800_000, 1000), (1_801_000, 1000)]), Some(800));
    }

    #[test]
    fn what_is_learned_is_forgotten_slowly() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut learning = IdleLearning::default();
        learning.closed(ms(1000), after(0));
        learning.closed(ms(1000), after(1));
        let mut at = |seconds: u64| learning.timeout(DEFAULT, after(1 + seconds)).map(|t| t.as_millis());
        assert_eq!((at(0), at(60), at(600), at(2399)), (Some(800), Some(880), Some(1600), Some(3998)));
        assert_eq!((at(2400), at(60)), (None, None), "dropped where it says no more than the default");
    }

    #[test]
    fn what_is_seen_again_is_forgotten_more_slowly() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut learning = IdleLearning::default();
        let a_minute_later = [None, Some(880), Some(840), Some(820), Some(810), Some(810)];
        for (sighting, expected) in a_minute_later.into_iter().enumerate() {
            let at = 200 * sighting as u64;
            learning.closed(ms(1000), after(at));
            let mut learned = |at| learning.timeout(DEFAULT, after(at)).map(|t| t.as_millis());
            assert_eq!(learned(at), expected.and(Some(800)), "at once, {sighting}");
            assert_eq!(learned(at + 60), expected, "{sighting}");
        }
    }

    #[test]
    fn a_setting_that_changed_is_learned_anew() {
        assert_eq!(learned(&[(0, 300), (300, 300), (400_000, 200), (400_300, 200)]), Some(160));
        assert_eq!(learned(&[(0, 200), (200, 200), (1_700_000, 600), (1_701_000, 600)]), Some(480));
    }

    #[test]
    fn all_workers_read_what_one_has_seen() {
        let start = Instant::now();
        let shared = SharedIdleLearning::default();
        assert!(!shared.closed(ms(500), DEFAULT, start));
        assert_eq!(shared.timeout(), None);
        assert!(shared.closed(ms(500), DEFAULT, start + ms(500)), "sooner than the default");
        assert_eq!(shared.timeout(), Some(ms(400)));
        assert!(!shared.closed(ms(500), DEFAULT, start + ms(1000)));
        shared.forget(DEFAULT, start + ms(1000) + DOUBLES_IN);
        assert_eq!(shared.timeout(), Some(ms(600)), "seen again, it grows half as fast");
        shared.forget(ms(500), start + ms(1000) + DOUBLES_IN);
        assert_eq!(shared.timeout(), None, "a hint says less now");
    }
}
