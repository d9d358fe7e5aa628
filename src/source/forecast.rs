//! When ports run out at the present rate (pure).

use std::time::Duration;

/// How the ports of a source are being used up.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// Ports there are.
    pub capacity: u32,
    /// Ports of open connections.
    pub used: u32,
    /// Ports of closed connections that are held still.
    pub held: u32,
    /// When those of them come back of which it is known: in seconds from now, the soonest first, and how
    /// many. The others are taken to come back evenly during one hold time.
    pub returns: Vec<(f64, u32)>,
    /// Connections opened a second less those closed.
    pub growth: f64,
    /// Closes a second that hold their port.
    pub holds_per_s: f64,
    /// How long one does.
    pub hold: Duration,
}

/// Rates are those of the last seconds: what they would lead to later than this is not worth telling.
const HORIZON_S: f64 = 3600.0;

impl Trend {
    /// Seconds until no port is left; `None` if it never comes to that, or not within an hour.
    ///
    /// Closes hold more and more ports for one hold time; from then on as many come back as are
    /// held anew, and only the number of open connections can still grow.
    pub fn exhausts_in_s(&self) -> Option<f64> {
        let (capacity, hold) = (f64::from(self.capacity), self.hold.as_secs_f64());
        if f64::from(self.used) + f64::from(self.held) >= capacity {
            return Some(0.0);
        }
        let settled = f64::from(self.used) + self.holds_per_s * hold;
        let later = Some((capacity - settled) / self.growth).filter(|_| self.growth > 0.0);
        let later = later.map(|seconds| seconds.max(hold));
        self.within_one_hold().or(later).filter(|seconds| *seconds <= HORIZON_S)
    }

    /// The same within the next hold time, from one return to the next.
    fn within_one_hold(&self) -> Option<f64> {
        let (capacity, hold) = (f64::from(self.capacity), self.hold.as_secs_f64());
        let known: u32 = self.returns.iter().map(|(_, count)| count).sum();
        let evenly = if hold > 0.0 { f64::from(self.held.saturating_sub(known)) / hold } else { 0.0 };
        let net = self.growth + self.holds_per_s - evenly;
        let (mut at, mut taken) = (0.0, f64::from(self.used) + f64::from(self.held));
        for (until, count) in self.returns.iter().copied().chain([(hold, 0)]) {
            let until = until.clamp(at, hold.max(at));
            let full_at = at + (capacity - taken) / net;
            if net > 0.0 && full_at <= until {
                return Some(full_at);
            }
            taken += net * (until - at) - f64::from(count);
            at = until;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const IDLE: Trend = Trend {
        capacity: 28_232,
        used: 0,
        held: 0,
        returns: Vec::new(),
        growth: 0.0,
        holds_per_s: 0.0,
        hold: MINUTE,
    };

    #[test]
    fn a_rate_that_settles_below_the_capacity_exhausts_nothing() {
        // 470 a second, each held for a minute, are 28,200.
        assert_eq!(Trend { holds_per_s: 470.0, ..IDLE }.exhausts_in_s(), None);
        assert_eq!(Trend { holds_per_s: 470.0, held: 28_200, ..IDLE }.exhausts_in_s(), None);
        assert_eq!(IDLE.exhausts_in_s(), None);
        assert_eq!(Trend { used: 200, holds_per_s: 400.0, held: 24_000, ..IDLE }.exhausts_in_s(), None);
    }

    #[test]
    fn a_rate_that_does_not_settle_has_an_end() {
        let seconds = Trend { holds_per_s: 1000.0, ..IDLE }.exhausts_in_s().unwrap();
        assert_eq!(seconds, 28.232);
        // Half is held already, and comes back meanwhile.
        let seconds = Trend { holds_per_s: 1000.0, held: 14_116, ..IDLE }.exhausts_in_s().unwrap();
        assert!((18.0..19.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn what_is_known_to_come_back_late_does_not_help_before() {
        // 15 s of 25 a second, of which none is over before 45 s from now.
        let returns: Vec<_> = (0..15).map(|second| (f64::from(second) + 45.0, 25)).collect();
        let held = Trend { capacity: 600, held: 375, holds_per_s: 25.0, ..IDLE };
        let seconds = Trend { returns: returns.clone(), ..held.clone() }.exhausts_in_s().unwrap();
        assert_eq!(seconds, 9.0);
        assert!(held.exhausts_in_s().unwrap() > 11.0, "where it is not known");
        // As many come back at once as are held anew until then: it ends a little later.
        let soon = Trend { returns: vec![(2.0, 50), (45.0, 325)], ..held };
        assert_eq!(soon.exhausts_in_s(), Some(11.0));
        // At 9 a second, 540 are held in the end: the first are back before the last is taken.
        let slow = Trend { capacity: 600, held: 375, holds_per_s: 9.0, returns, ..IDLE };
        assert_eq!(slow.exhausts_in_s(), Some(25.0));
    }

    #[test]
    fn connections_that_stay_use_ports_up_too() {
        let seconds = Trend { growth: 100.0, ..IDLE }.exhausts_in_s().unwrap();
        assert_eq!(seconds, 282.32);
        // The same, while a closed part settles at 12,000.
        let seconds = Trend { growth: 100.0, holds_per_s: 200.0, ..IDLE }.exhausts_in_s().unwrap();
        assert_eq!(seconds, 162.32);
        assert_eq!(Trend { growth: -100.0, used: 1000, ..IDLE }.exhausts_in_s(), None);
    }

    #[test]
    fn what_is_further_off_than_an_hour_is_not_foretold() {
        assert_eq!(Trend { growth: 0.5, ..IDLE }.exhausts_in_s(), None);
    }

    #[test]
    fn nothing_left_is_now() {
        assert_eq!(Trend { used: 28_232, ..IDLE }.exhausts_in_s(), Some(0.0));
        assert_eq!(Trend { capacity: 10, used: 20, held: 5, ..IDLE }.exhausts_in_s(), Some(0.0));
        let no_hold = Trend { hold: Duration::ZERO, holds_per_s: 1e6, held: 1, ..IDLE };
        assert_eq!(no_hold.exhausts_in_s(), None);
    }
}
