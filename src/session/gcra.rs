//! The generic cell rate algorithm (ITU-T I.371, section 5.4.1, "virtual scheduling"): a rate with a
//! burst, in one number a client (pure).

use crate::config::model::Rate;
use std::time::Duration;

/// Counts one more at `now`, in nanoseconds. `due` is when what was counted before will have been paid
/// for, at one each [`Rate::interval`]; 0 for nothing.
///
/// # Errors
/// There is no room for it yet, for as long as this; then nothing is counted.
pub(super) fn admit(due: &mut u64, now: u64, rate: &Rate) -> Result<(), Duration> {
    let interval = rate.interval().as_nanos() as u64;
    let burst = interval.saturating_mul(u64::from(rate.burst));
    // No debt is larger than a burst: one from before a reload may be, and is let off for good.
    *due = (*due).clamp(now, now.saturating_add(burst));
    let after = *due + interval;
    match after.saturating_sub(now).checked_sub(burst) {
        None | Some(0) => {
            *due = after;
            Ok(())
        }
        Some(over) => Err(Duration::from_nanos(over)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Period;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(count: u32, period: Period, burst: u32) -> Rate {
        Rate { count, period, burst }
    }

    #[test]
    fn a_burst_then_one_an_interval() {
        let (mut due, rate) = (0, rate(10, Period::Second, 3));
        let now = 77 * SECOND;
        assert!((0..3).all(|_| admit(&mut due, now, &rate).is_ok()));
        assert_eq!(admit(&mut due, now, &rate), Err(Duration::from_millis(100)));
        assert_eq!(admit(&mut due, now + SECOND / 20, &rate), Err(Duration::from_millis(50)));
        assert_eq!(admit(&mut due, now + SECOND / 10, &rate), Ok(()));
        assert_eq!(admit(&mut due, now + SECOND / 10, &rate), Err(Duration::from_millis(100)));
        assert!((0..3).all(|_| admit(&mut due, now + SECOND, &rate).is_ok()), "the burst is there again");
    }

    #[test]
    fn a_debt_from_a_slower_rate_is_no_larger_than_a_burst_of_the_new_one() {
        let (mut due, slow, fast) = (0, rate(1, Period::Hour, 1), rate(1, Period::Second, 1));
        admit(&mut due, 0, &slow).unwrap();
        assert_eq!(admit(&mut due, 1, &slow), Err(Duration::from_nanos(3600 * SECOND - 1)));
        assert_eq!(admit(&mut due, 1, &fast), Err(Duration::from_secs(1)));
    }

    proptest! {
        /// Within any time, no more is admitted than the burst and what the rate makes of that time; and
        /// whoever waits for as long as it is told is admitted.
        #[test]
        fn never_more_than_the_rate_and_a_burst(
            count in 1..100_u32,
            period in prop::sample::select(&Period::ALL),
            burst in 1..20_u32,
            steps in prop::collection::vec(0..2 * SECOND, 1..200),
        ) {
            let rate = rate(count, period, burst);
            let interval = rate.interval().as_nanos() as u64;
            let (mut due, mut now, mut admitted) = (0, 0, Vec::new());
            for step in steps {
                now += step;
                match admit(&mut due, now, &rate) {
                    Ok(()) => admitted.push(now),
                    Err(wait) => {
                        let later = now + wait.as_nanos() as u64;
                        prop_assert!(admit(&mut due.clone(), later, &rate).is_ok());
                        prop_assert!(admit(&mut due.clone(), later - 1, &rate).is_err());
                    }
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                let last = admitted.len() - 1;
                let most = u64::from(burst) + (admitted[last] - from) / interval;
                prop_assert!(((last - first) as u64) < most);
            }
        }
    }
}
