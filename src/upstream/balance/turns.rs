//! Whose turn it is, by weight.
//!
//! Each endpoint's turns lie on one time line, evenly spaced: an endpoint of weight w has w turns in a
//! unit of time, the k-th of them at (k + 1/2) / w. Whoever has the earliest turn is next, which
//! interleaves heavy and light endpoints smoothly (stride scheduling) and gives each exactly its share.
//! Times are fractions that are compared by cross multiplication: nothing is rounded.

use super::mix::SplitMix;
use std::cmp::Ordering;

/// The next turn of one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Turns before this one.
    taken: u64,
    weight: u16,
    /// Decides between turns at the same time; no two endpoints have the same.
    rank: u32,
}

impl Turn {
    /// The time of the turn as a fraction of integers: (2k + 1) / 2w, times 2.
    fn time(self) -> (u64, u16) {
        (2 * self.taken + 1, self.weight)
    }
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.time(), other.time()).then(self.rank.cmp(&other.rank))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

/// The next turn of every endpoint, and the time.
#[derive(Debug)]
pub(super) struct Turns {
    turns: Vec<Turn>,
    /// The latest turn that was taken.
    now: (u64, u16),
}

impl Turns {
    /// Nobody has had a turn. The seed decides who is first among equals, so that workers with
    /// different seeds do not all begin at the same endpoint.
    pub(super) fn new(weights: &[u16], seed: u64) -> Self {
        let ranks = SplitMix::new(seed).permutation(weights.len());
        let turns =
            weights.iter().zip(ranks).map(|(&weight, rank)| Turn { taken: 0, weight, rank }).collect();
        Self { turns, now: (0, 1) }
    }

    /// The next turn of this endpoint.
    pub(super) fn of(&self, endpoint: usize) -> Turn {
        self.turns[endpoint]
    }

    /// The endpoint takes its turn; returns its next.
    pub(super) fn take(&mut self, endpoint: usize) -> Turn {
        self.catch_up(endpoint);
        let turn = &mut self.turns[endpoint];
        if compare(turn.time(), self.now).is_gt() {
            self.now = turn.time();
        }
        turn.taken += 1;
        *turn
    }

    /// The endpoint gives up the turns that it let pass, so that it has no arrears to make up for at
    /// the cost of the others; returns its next.
    pub(super) fn catch_up(&mut self, endpoint: usize) -> Turn {
        let (now, scale) = (u128::from(self.now.0), u128::from(self.now.1));
        let turn = &mut self.turns[endpoint];
        // The first k with (2k + 1) / w >= now / scale.
        let due = (now * u128::from(turn.weight)).saturating_sub(scale).div_ceil(2 * scale);
        turn.taken = turn.taken.max(u64::try_from(due).unwrap_or(u64::MAX));
        *turn
    }
}

/// Compares two fractions.
fn compare(one: (u64, u16), other: (u64, u16)) -> Ordering {
    let left = u128::from(one.0) * u128::from(other.1);
    let right = u128::from(other.0) * u128::from(one.1);
    left.cmp(&right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(turns: &mut Turns, among: &[usize]) -> usize {
        let first = among.iter().copied().min_by_key(|endpoint| turns.of(*endpoint)).unwrap();
        turns.take(first);
        first
    }

    #[test]
    fn the_order_is_smooth_and_repeats() {
        let mut turns = Turns::new(&[5, 1, 2], 7);
        let mut round = || (0..8).map(|_| next(&mut turns, &[0, 1, 2])).collect::<Vec<_>>();
        let first = round();
        for (endpoint, weight) in [(0, 5), (1, 1), (2, 2)] {
            assert_eq!(first.iter().filter(|e| **e == endpoint).count(), weight, "{first:?}");
        }
        // 0.1, 0.25, 0.3, 0.5, 0.5, 0.7, 0.75, 0.9: only the two in the middle are a tie.
        assert_eq!((&first[..3], &first[5..]), (&[0, 2, 0][..], &[0, 2, 0][..]));
        assert_eq!(round(), first);
    }

    #[test]
    fn who_was_away_has_no_arrears() {
        let mut turns = Turns::new(&[3, 3, 1], 1);
        for _ in 0..3_000 {
            next(&mut turns, &[0, 1]);
        }
        turns.catch_up(2);
        let mut counts = [0; 3];
        for _ in 0..70 {
            counts[next(&mut turns, &[0, 1, 2])] += 1;
        }
        assert!(
            counts.iter().zip([30, 30, 10]).all(|(count, fair)| i32::abs(count - fair) <= 1),
            "{counts:?}"
        );
    }

    #[test]
    fn times_are_compared_exactly() {
        let turn = |taken, weight, rank| Turn { taken, weight, rank };
        // 1.5 / 3 is 0.5 / 1; (2^62 + 1/2) / 999 is a hair less than (2^62 + 1 + 1/2) / 999.
        assert!(turn(1, 3, 0) < turn(0, 1, 1) && turn(1, 3, 1) > turn(0, 1, 0));
        assert!(turn(1 << 62, 999, 1) < turn((1 << 62) + 1, 999, 0));
        assert_eq!(turn(4, 9, 3), turn(4, 9, 3));
    }
}
