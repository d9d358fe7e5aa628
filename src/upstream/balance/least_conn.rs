//! The fewest exchanges in progress, by weight.

use super::heap::Heap;
use super::turns::{Turn, Turns};
use std::cmp::Ordering;

/// The members by load; among equally loaded ones, as among idle ones, it goes in turn by weight.
#[derive(Debug)]
pub(super) struct LeastConn {
    weights: Vec<u16>,
    turns: Turns,
    members: Heap<Key>,
}

#[derive(Debug)]
struct Key {
    load: u32,
    weight: u16,
    turn: Turn,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        // load / weight < load' / weight', without rounding.
        let (left, right) =
            (u64::from(self.load) * u64::from(other.weight), u64::from(other.load) * u64::from(self.weight));
        left.cmp(&right).then_with(|| self.turn.cmp(&other.turn))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl LeastConn {
    pub(super) fn new(weights: &[u16], seed: u64) -> Self {
        let mut new = Self {
            weights: weights.to_vec(),
            turns: Turns::new(weights, seed),
            members: Heap::new(weights.len()),
        };
        for endpoint in 0..weights.len() {
            new.place(endpoint, 0);
        }
        new
    }

    /// The caller counts the exchange by [`Self::set_load`], which moves the endpoint to its new place.
    pub(super) fn pick(&mut self, avoid: Option<usize>) -> usize {
        let endpoint = self.members.first(avoid).expect("a policy always has a member that is not avoided");
        self.turns.take(endpoint);
        endpoint
    }

    pub(super) fn set_load(&mut self, endpoint: usize, load: u32) {
        if self.members.contains(endpoint) {
            self.place(endpoint, load);
        }
    }

    pub(super) fn set_member(&mut self, endpoint: usize, member: bool, load: u32) {
        if member {
            self.turns.catch_up(endpoint);
            self.place(endpoint, load);
        } else {
            self.members.remove(endpoint);
        }
    }

    fn place(&mut self, endpoint: usize, load: u32) {
        let key = Key { load, weight: self.weights[endpoint], turn: self.turns.of(endpoint) };
        self.members.set(endpoint, key);
    }
}
