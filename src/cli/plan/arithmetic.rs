//! How many ports a rate of new connections holds in TIME_WAIT (pure, in whole numbers: what is said
//! to be enough is enough, and one less is not).

use std::fmt;
use std::time::Duration;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Question {
    /// Requests a second, or sessions.
    pub(in crate::cli) rate: u32,
    /// How many of them go over a connection that was used before.
    pub(in crate::cli) reuse: Percent,
    /// Endpoints that share them evenly.
    pub(in crate::cli) backends: u32,
    /// Local addresses that share them evenly.
    pub(in crate::cli) source_addresses: u32,
    /// Ports from one local address to one endpoint.
    pub(in crate::cli) ports: u32,
    /// How long the port of a closed connection is held; a millisecond or more.
    pub(in crate::cli) time_wait: Duration,
}

/// A percentage in thousandths, 100,000 at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Percent(pub(in crate::cli) u32);

/// What follows from a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct Answer {
    /// New connections a second, all together.
    pub(in crate::cli) opens: f64,
    /// New connections a second, from each local address to each endpoint.
    pub(in crate::cli) opens_each: f64,
    /// New connections a second, all together, that the ports are enough for.
    pub(in crate::cli) sustainable: f64,
    /// Ports held in TIME_WAIT from each local address to each endpoint, had they no end.
    pub(in crate::cli) held_each: u64,
    /// When the ports run out, with all of them free at the beginning; `None`: never.
    pub(in crate::cli) runs_out_after: Option<Duration>,
    /// What would be enough, if they do run out.
    pub(in crate::cli) enough: Option<Enough>,
}

/// The least change of one number alone with which the ports do not run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Enough {
    /// More reuse; always possible.
    pub(in crate::cli) reuse: Percent,
    /// More local addresses.
    pub(in crate::cli) source_addresses: u64,
    /// More endpoints.
    pub(in crate::cli) backends: u64,
    /// More ports, whether an address has as many or not.
    pub(in crate::cli) ports: u64,
    /// A shorter TIME_WAIT, in whole milliseconds.
    pub(in crate::cli) time_wait: Duration,
}

impl Percent {
    const ALL: u32 = 100_000;

    /// The percentage with this text, such as `99.7` or `99.7%`.
    pub(in crate::cli) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let thousandths =
            whole.parse::<u32>().ok()? * 1000 + format!("{fraction:0<3}").parse::<u32>().ok()?;
        (thousandths <= Self::ALL).then_some(Self(thousandths))
    }

    /// As a number between 0 and 100.
    pub(in crate::cli) fn value(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl fmt::Display for Percent {
    /// As [`Self::parse`] reads it, without needless digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// One thousandth of a percent of one request a second, for one millisecond: the unit in which ports are
/// counted here, so that nothing is rounded before it is compared.
const PORT: u128 = Percent::ALL as u128 * 1000;

impl Question {
    /// What follows from it.
    pub(in crate::cli) fn answer(&self) -> Answer {
        let pairs = f64::from(self.backends) * f64::from(self.source_addresses);
        let opens = f64::from(self.rate) * f64::from(self.opened()) / f64::from(Percent::ALL);
        let opens_each = opens / pairs;
        let runs_out = self.held() > self.capacity();
        Answer {
            opens,
            opens_each,
            sustainable: f64::from(self.ports) * pairs / self.time_wait.as_secs_f64(),
            held_each: whole(self.held().div_ceil(self.pairs() * PORT)),
            // No port comes back before that, because every one is held for longer.
            runs_out_after: runs_out.then(|| Duration::from_secs_f64(f64::from(self.ports) / opens_each)),
            enough: runs_out.then(|| self.enough()),
        }
    }

    fn enough(&self) -> Enough {
        let ports = u128::from(self.ports) * PORT;
        let (rate, time_wait) = (u128::from(self.rate), self.time_wait.as_millis());
        let opened = u128::from(self.opened());
        let may_open = self.capacity() / (rate * time_wait);
        Enough {
            reuse: Percent(Percent::ALL - u32::try_from(may_open).unwrap_or(Percent::ALL)),
            source_addresses: whole(self.held().div_ceil(ports * u128::from(self.backends))),
            backends: whole(self.held().div_ceil(ports * u128::from(self.source_addresses))),
            ports: whole(self.held().div_ceil(self.pairs() * PORT)),
            time_wait: Duration::from_millis(whole(self.capacity() / (rate * opened))),
        }
    }

    /// How much of the rate is not reuse.
    fn opened(&self) -> u32 {
        Percent::ALL - self.reuse.0
    }

    fn pairs(&self) -> u128 {
        u128::from(self.backends) * u128::from(self.source_addresses)
    }

    /// Ports held in TIME_WAIT in all: rate times time (Little's law).
    fn held(&self) -> u128 {
        u128::from(self.rate) * u128::from(self.opened()) * self.time_wait.as_millis()
    }

    /// Ports in all.
    fn capacity(&self) -> u128 {
        u128::from(self.ports) * self.pairs() * PORT
    }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn question(rate: u32, ports: u32, seconds: u64) -> Question {
        Question {
            rate,
            reuse: Percent(0),
            backends: 1,
            source_addresses: 1,
            ports,
            time_wait: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn known_figures() {
        let sustainable = |ports, seconds| question(1, ports, seconds).answer().sustainable.floor();
        assert_eq!((sustainable(28_232, 60), sustainable(64_512, 240)), (470.0, 268.0));
        assert_eq!(question(470, 28_232, 60).answer().runs_out_after, None);
        let over = question(471, 28_232, 60).answer();
        assert_eq!((over.held_each, over.runs_out_after.map(|t| t.as_secs())), (28_260, Some(59)));
        assert_eq!(
            question(2000, 28_232, 60).answer().enough,
            Some(Enough {
                reuse: Percent(76_474),
                source_addresses: 5,
                backends: 5,
                ports: 120_000,
                time_wait: Duration::from_millis(14_116),
            })
        );
    }

    #[test]
    fn what_fits_exactly_does_not_run_out() {
        let exact = question(100, 6000, 60);
        assert_eq!((exact.answer().held_each, exact.answer().runs_out_after), (6000, None));
        let reused = Question { rate: 10_000, reuse: Percent(99_000), ..exact };
        assert_eq!((reused.answer().opens, reused.answer().runs_out_after), (100.0, None));
        assert!(Question { reuse: Percent(98_999), ..reused }.answer().runs_out_after.is_some());
        let all_reused = Question { reuse: Percent(Percent::ALL), rate: u32::MAX, ..exact }.answer();
        assert_eq!((all_reused.opens, all_reused.held_each, all_reused.enough), (0.0, 0, None));
    }

    #[test]
    fn percentages_are_exact_to_the_thousandth() {
        let parse = |text| Percent::parse(text).map(|percent| percent.0);
        assert_eq!(
            ["0", "99.7", "99.70%", "100", "5.005", "007"].map(parse).map(Option::unwrap),
            [0, 99_700, 99_700, 100_000, 5005, 7000]
        );
        for bad in ["", "%", "100.001", "101", "-1", "+1", "1.2345", ".5", "5.", "a", "1,5", "1e1"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        /// Every number named is enough, and the next smaller step is not.
        #[test]
        fn what_is_enough_is_the_least_that_is(
            (rate, reuse, time_wait) in (1..=1_000_000_u32, 0..=99_999_u32, 1..=600_000_u64),
            (backends, source_addresses, ports) in (1..=100_u32, 1..=20_u32, 1..=65_535_u32),
        ) {
            let time_wait = Duration::from_millis(time_wait);
            let asked = Question { rate, reuse: Percent(reuse), backends, source_addresses, ports, time_wait };
            let lasts = |question: Question| question.answer().enough.is_none();
            let Some(enough) = asked.answer().enough else {
                prop_assert!(asked.answer().opens <= asked.answer().sustainable * 1.000_001);
                return Ok(());
            };
            let narrow = |number: u64| u32::try_from(number).unwrap();
            let reuse = |Percent(reuse)| Question { reuse: Percent(reuse), ..asked };
            prop_assert!(lasts(reuse(enough.reuse)) && !lasts(reuse(Percent(enough.reuse.0 - 1))));
            let from = |n| Question { source_addresses: narrow(n), ..asked };
            prop_assert!(lasts(from(enough.source_addresses)) && !lasts(from(enough.source_addresses - 1)));
            let to = |n| Question { backends: narrow(n), ..asked };
            prop_assert!(lasts(to(enough.backends)) && !lasts(to(enough.backends - 1)));
            let with = |n| Question { ports: narrow(n), ..asked };
            prop_assert!(lasts(with(enough.ports)) && !lasts(with(enough.ports - 1)));
            let held = |time_wait| Question { time_wait, ..asked };
            let more = enough.time_wait + Duration::from_millis(1);
            prop_assert!(enough.time_wait.is_zero() || lasts(held(enough.time_wait)));
            prop_assert!(!lasts(held(more)));
            let after = asked.answer().runs_out_after.unwrap();
            prop_assert!(after < asked.time_wait + Duration::from_millis(1));
            prop_assert_eq!(Percent::parse(&enough.reuse.to_string()), Some(enough.reuse));
        }
    }
}
