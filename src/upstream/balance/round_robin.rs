//! In turn, by weight.

use super::heap::Heap;
use super::turns::{Turn, Turns};

/// The members by their next turn.
#[derive(Debug)]
pub(super) struct RoundRobin {
    turns: Turns,
    members: Heap<Turn>,
}

impl RoundRobin {
    pub(super) fn new(weights: &[u16], seed: u64) -> Self {
        let turns = Turns::new(weights, seed);
        let mut members = Heap::new(weights.len());
        for endpoint in 0..weights.len() {
            members.set(endpoint, turns.of(endpoint));
        }
        Self { turns, members }
    }

    pub(super) fn pick(&mut self, avoid: Option<usize>) -> usize {
        let endpoint = self.members.first(avoid).expect("a policy always has a member that is not avoided");
        self.members.set(endpoint, self.turns.take(endpoint));
        endpoint
    }

    pub(super) fn set_member(&mut self, endpoint: usize, member: bool) {
        if member {
            self.members.set(endpoint, self.turns.catch_up(endpoint));
        } else {
            self.members.remove(endpoint);
        }
    }
}
