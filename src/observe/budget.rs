//! How much of something is left, and for how long it lasts (pure).

use crate::metrics::budgets::Urgency;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time over which growth is measured: long enough for a slow one, short enough to be of the present.
const WINDOW: Duration = Duration::from_secs(30);
/// With fewer readings than these, nothing is foretold.
const READINGS: usize = 5;
/// Growth explains this much of how the readings differ (the coefficient of determination), or it is no
/// growth but coming and going, which foretells nothing.
const STEADY: f64 = 0.8;
/// Rates are those of the last seconds: what they would lead to later than this is not worth telling.
const HORIZON_S: f64 = 3600.0;

/// From this share on, in percent, an urgency holds: by itself, and if the rest lasts no longer than so
/// many seconds.
const LEVELS: [(Urgency, u64, u64, f64); 2] =
    [(Urgency::Critical, 95, 80, 60.0), (Urgency::Warn, 80, 50, 300.0)];
/// An urgency is left this many percentage points below where it is entered, and after this time.
const HYSTERESIS: u64 = 2;
const SETTLED: Duration = Duration::from_secs(5);

/// Follows one budget.
#[derive(Debug, Default)]
pub struct Track {
    readings: VecDeque<(Instant, u64)>,
    urgency: Urgency,
    /// Since when it could be lower than that.
    lower_since: Option<Instant>,
}

/// What follows from a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// How fast it grows a second; `None`: too few readings.
    pub per_s: Option<f64>,
    /// Seconds until nothing is left; `None`: never, or not within an hour.
    pub exhausts_in_s: Option<f64>,
    /// How urgent that is.
    pub urgency: Urgency,
    /// The urgency before, if it is another now: that is to be told, once.
    pub changed_from: Option<Urgency>,
}

impl Track {
    /// So much is taken of so much, at `now`.
    pub fn note(&mut self, used: u64, limit: u64, now: Instant) -> Outlook {
        self.readings.push_back((now, used));
        while self.readings.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.readings.pop_front();
        }
        let growth = self.growth();
        let left = limit.saturating_sub(used) as f64;
        let steady = growth.filter(|growth| growth.per_s > 0.0 && growth.explains >= STEADY);
        let exhausts_in_s = match left {
            0.0 => Some(0.0),
            left => steady.map(|growth| left / growth.per_s).filter(|seconds| *seconds <= HORIZON_S),
        };
        let changed_from = self.change(urgency(used, limit, exhausts_in_s, self.urgency), now);
        let per_s = growth.map(|growth| growth.per_s);
        Outlook { per_s, exhausts_in_s, urgency: self.urgency, changed_from }
    }

    /// A higher urgency holds at once, a lower one when it has lasted.
    fn change(&mut self, urgency: Urgency, now: Instant) -> Option<Urgency> {
        let is_settled = match urgency {
            same if same == self.urgency => {
                self.lower_since = None;
                return None;
            }
            lower if lower < self.urgency => {
                now.saturating_duration_since(*self.lower_since.get_or_insert(now)) >= SETTLED
            }
            _ => true,
        };
        is_settled.then(|| {
            self.lower_since = None;
            std::mem::replace(&mut self.urgency, urgency)
        })
    }

    /// The line through the readings that is nearest to all of them (least squares).
    fn growth(&self) -> Option<Growth> {
        let (first, _) = *self.readings.front()?;
        let count = self.readings.len();
        if count < READINGS {
            return None;
        }
        let points = || self.readings.iter().map(|(at, used)| ((*at - first).as_secs_f64(), *used as f64));
        let mean = |sum: f64| sum / count as f64;
        let (x, y) = (mean(points().map(|(x, _)| x).sum()), mean(points().map(|(_, y)| y).sum()));
        let sum = |of: fn(f64, f64) -> f64| points().map(|(px, py)| of(px - x, py - y)).sum::<f64>();
        let (xx, xy, yy) = (sum(|x, _| x * x), sum(|x, y| x * y), sum(|_, y| y * y));
        let per_s = if xx > 0.0 { xy / xx } else { return None };
        Some(Growth { per_s, explains: if yy > 0.0 { xy * xy / (xx * yy) } else { 0.0 } })
    }
}

#[derive(Clone, Copy, Debug)]
struct Growth {
    per_s: f64,
    explains: f64,
}

fn urgency(used: u64, limit: u64, exhausts_in_s: Option<f64>, before: Urgency) -> Urgency {
    let holds = |(level, alone, ending, seconds): &(Urgency, u64, u64, f64)| {
        let less = if *level <= before { HYSTERESIS } else { 0 };
        let reaches = |percent: u64| u128::from(used) * 100 >= u128::from(limit) * u128::from(percent - less);
        reaches(*alone) || reaches(*ending) && exhausts_in_s.is_some_and(|left| left <= *seconds)
    };
    LEVELS.iter().find(|level| holds(level)).map_or(Urgency::Ok, |(level, ..)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What follows from one reading a second.
    fn follow(
        track: &mut Track,
        start: Instant,
        limit: u64,
        used: impl IntoIterator<Item = u64>,
    ) -> Vec<Outlook> {
        let at = |second| start + Duration::from_secs(second);
        used.into_iter().zip(0..).map(|(used, second)| track.note(used, limit, at(second))).collect()
    }

    fn urgencies(outlooks: &[Outlook]) -> Vec<(usize, Urgency)> {
        let changes = outlooks.iter().enumerate().filter(|(_, outlook)| outlook.changed_from.is_some());
        changes.map(|(at, outlook)| (at, outlook.urgency)).collect()
    }

    #[test]
    fn a_change_is_told_once_and_a_lower_urgency_has_to_last() {
        let path = (0..=100).chain([96, 92, 90, 90, 90, 90, 90, 90, 90, 90, 78, 77, 77, 77, 77, 77, 77, 77]);
        let outlooks = follow(&mut Track::default(), Instant::now(), 100, path);
        // By the share, and before that by how soon it ends.
        assert_eq!(urgencies(&outlooks)[..2], [(50, Urgency::Warn), (80, Urgency::Critical)]);
        assert_eq!(outlooks[100].exhausts_in_s, Some(0.0));
        assert_eq!(urgencies(&outlooks)[2..], [(110, Urgency::Warn), (117, Urgency::Ok)]);
    }

    #[test]
    fn what_comes_and_goes_foretells_nothing() {
        let steps = (0..120).map(|second| [700, 720, 690, 730, 710][second % 5]);
        let outlooks = follow(&mut Track::default(), Instant::now(), 1000, steps);
        assert!(outlooks.iter().all(|outlook| outlook.exhausts_in_s.is_none()), "{outlooks:?}");
        assert_eq!(urgencies(&outlooks), []);
    }

    #[test]
    fn nothing_grows_where_nothing_is_known_yet_or_nothing_changes() {
        let outlooks = follow(&mut Track::default(), Instant::now(), 10, [5; 40]);
        assert_eq!((outlooks[3].per_s, outlooks[4].per_s, outlooks[39].per_s), (None, Some(0.0), Some(0.0)));
        assert!(outlooks.iter().all(|outlook| outlook.exhausts_in_s.is_none()));
        let mut track = Track::default();
        let now = Instant::now();
        assert!((0..10).all(|_| track.note(1, 10, now).per_s.is_none()), "no time has passed");
    }

    #[test]
    fn a_limit_without_end_is_never_near() {
        let outlooks = follow(&mut Track::default(), Instant::now(), u64::MAX, (0..40).map(|n| n * 1000));
        assert_eq!((outlooks[39].exhausts_in_s, outlooks[39].urgency), (None, Urgency::Ok));
    }

    proptest! {
        /// At a constant rate, with readings that are late and counts that are rounded.
        #[test]
        fn the_end_is_foretold_from_far(
            rate in 1.0..5000.0_f64,
            seconds in 60.0..1800.0_f64,
            jitter_ms in prop::collection::vec(0_u64..300, 40),
        ) {
            let (limit, start, mut track) = ((rate * seconds) as u64, Instant::now(), Track::default());
            for (second, late) in (0..).zip(jitter_ms) {
                let at = Duration::from_millis(second * 1000 + late);
                let used = (rate * at.as_secs_f64()) as u64;
                let outlook = track.note(used, limit, start + at);
                if second >= 10 {
                    let end = outlook.exhausts_in_s.expect("it grows");
                    let left = (limit - used) as f64 / rate;
                    prop_assert!((end - left).abs() <= left * 0.2 + 1.0, "{end} where {left} were left");
                }
            }
        }
    }
}
