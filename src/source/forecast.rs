//! When ports run out at the present rate (pure).

use std::time::Duration;

/// How the ports of a source are being used up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Ports there are.
    pub capacity: u32,
    /// Ports of open connections.
    pub used: u32,
    /// Ports of closed connections that are held still.
    pub held: u32,
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
        let (used, held) = (f64::from(self.used), f64::from(self.held));
        let (capacity, hold) = (f64::from(self.capacity), self.hold.as_secs_f64());
        let free = capacity - used - held;
        if free <= 0.0 {
            return Some(0.0);
        }
        // What is held now comes back evenly during one hold time.
        let net = if hold > 0.0 { self.growth + self.holds_per_s - held / hold } else { self.growth };
        let soon = Some(free / net).filter(|seconds| net > 0.0 && *seconds <= hold);
        let settled = used + self.holds_per_s * hold;
        let later = Some((capacity - settled) / self.growth).filter(|_| self.growth > 0.0);
        soon.or(later.map(|seconds| seconds.max(hold))).filter(|seconds| *seconds <= HORIZON_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const IDLE: Trend =
        Trend { capacity: 28_232, used: 0, held: 0, growth: 0.0, holds_per_s: 0.0, hold: MINUTE };

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
