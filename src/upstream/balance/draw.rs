//! At random, by weight.

use super::mix::SplitMix;

/// Draws members, each as likely as its weight says.
#[derive(Debug)]
pub(super) struct Draw {
    weights: Vec<u16>,
    members: Vec<bool>,
    /// Endpoint i has the numbers from `ends[i - 1]` to `ends[i]`: as many as its weight, or none where
    /// it is no member.
    ends: Vec<u64>,
    /// `ends` is older than `members`. It is rebuilt at the next draw, so that many changes at once
    /// cost one rebuild.
    stale: bool,
    random: SplitMix,
}

impl Draw {
    pub(super) fn new(weights: &[u16], seed: u64) -> Self {
        Self {
            weights: weights.to_vec(),
            members: vec![true; weights.len()],
            ends: Vec::with_capacity(weights.len()),
            stale: true,
            random: SplitMix::new(seed),
        }
    }

    pub(super) fn set_member(&mut self, endpoint: usize, member: bool) {
        self.members[endpoint] = member;
        self.stale = true;
    }

    /// One member that is not `avoid`.
    pub(super) fn one(&mut self, avoid: Option<usize>) -> usize {
        self.rebuild();
        self.draw([avoid, None]).expect("a policy always has a member that is not avoided")
    }

    /// Two different members that are not `avoid`; the same twice where there is no second one.
    pub(super) fn two(&mut self, avoid: Option<usize>) -> (usize, usize) {
        let one = self.one(avoid);
        let other = self.draw([avoid, Some(one)]).unwrap_or(one);
        (one, other)
    }

    /// Draws from the numbers that are left without these endpoints' numbers.
    fn draw(&mut self, mut without: [Option<usize>; 2]) -> Option<usize> {
        without.sort_unstable();
        let mut left = self.ends.last().copied().unwrap_or(0);
        for range in without.into_iter().flatten().map(|endpoint| self.range(endpoint)) {
            left -= range.end - range.start;
        }
        if left == 0 {
            return None;
        }
        let mut number = self.random.below(left);
        // In ascending order, each gap that the number has reached shifts it on.
        for range in without.into_iter().flatten().map(|endpoint| self.range(endpoint)) {
            if number >= range.start {
                number += range.end - range.start;
            }
        }
        Some(self.ends.partition_point(|end| *end <= number))
    }

    fn range(&self, endpoint: usize) -> std::ops::Range<u64> {
        let start = endpoint.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[endpoint]
    }

    fn rebuild(&mut self) {
        if self.stale {
            self.ends.clear();
            let mut end = 0;
            self.ends.extend(self.weights.iter().zip(&self.members).map(|(weight, member)| {
                end += if *member { u64::from(*weight) } else { 0 };
                end
            }));
            self.stale = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_never_drawn_and_the_rest_keep_their_odds() {
        let weights = [1, 1000, 3, 0, 5];
        for avoid in [None, Some(0), Some(1), Some(4)] {
            let mut draw = Draw::new(&weights, 42);
            draw.set_member(2, false);
            let mut counts = [0_u32; 5];
            for _ in 0..60_000 {
                let (one, other) = draw.two(avoid);
                assert!(one != other && avoid != Some(one) && avoid != Some(other));
                counts[one] += 1;
            }
            assert_eq!((counts[2], counts[3]), (0, 0));
            let fair = |e: usize| if avoid == Some(e) || e == 2 { 0.0 } else { f64::from(weights[e]) };
            let all: f64 = (0..5).map(fair).sum();
            for (endpoint, count) in counts.iter().enumerate() {
                let expected = 60_000.0 * fair(endpoint) / all;
                // Six standard deviations.
                assert!(
                    (f64::from(*count) - expected).abs() <= 6.0 * expected.sqrt(),
                    "{avoid:?} {counts:?}"
                );
            }
        }
    }

    #[test]
    fn a_single_member_is_both() {
        let mut draw = Draw::new(&[2, 2], 1);
        assert_eq!(draw.two(Some(0)), (1, 1));
        draw.set_member(1, false);
        assert_eq!(draw.two(None), (0, 0));
    }
}
