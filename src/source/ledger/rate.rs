//! How often something happens (pure).

use std::time::Instant;

/// The time over which a rate is smoothed, in seconds: what happened as long ago counts 1/e of what
/// happens now.
const SMOOTHED_S: f64 = 10.0;

/// Events a second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    per_s: f64,
    at: Option<Instant>,
}

impl Rate {
    /// One more at `now`.
    pub(super) fn count(&mut self, now: Instant) {
        self.per_s = self.per_s(now) + 1.0 / SMOOTHED_S;
        self.at = self.at.max(Some(now));
    }

    /// The rate at `now`.
    pub(super) fn per_s(&self, now: Instant) -> f64 {
        let Some(at) = self.at else { return 0.0 };
        self.per_s * (-now.saturating_duration_since(at).as_secs_f64() / SMOOTHED_S).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(rate.per_s(start), 0.0);
        (0..60_000).step_by(10).for_each(|ms| rate.count(at(ms)));
        let found = rate.per_s(at(60_000));
        assert!((98.0..102.0).contains(&found), "{found}");
        assert!(rate.per_s(at(70_000)) < found / 2.7);
        assert!(rate.per_s(at(300_000)) < 0.001);
    }
}
