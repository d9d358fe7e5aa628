//! How an endpoint is chosen. Pure: the seed is an argument.
//!
//! A choice costs about the same from one endpoint to ten thousand: O(log n) with `heap` and
//! `draw`, one search of the `ring` for hashes.

mod draw;
mod heap;
mod least_conn;
mod mix;
mod ring;
mod round_robin;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use mix::SplitMix;
pub use mix::stable_hash;

use crate::config::model::Balance;
use draw::Draw;
use least_conn::LeastConn;
use ring::Ring;
use round_robin::RoundRobin;

/// Chooses endpoints for one worker and counts what each carries.
///
/// Endpoints that may be chosen are *members* of the policy. Those are the available ones, or all of
/// them while none is available, so that a policy always has a member.
#[derive(Debug)]
pub struct Balancer {
    weights: Vec<u16>,
    /// Exchanges in progress on each endpoint.
    loads: Vec<u32>,
    available: Vec<bool>,
    available_count: usize,
    policy: Policy,
}

#[derive(Debug)]
enum Policy {
    RoundRobin(RoundRobin),
    LeastConn(LeastConn),
    P2c(Draw),
    Random(Draw),
    Hash(Ring),
}

impl Balancer {
    /// A balancer over endpoints with these weights, all available. Where there is none, none may be picked.
    /// [`Balance::Hash`] knows them by their place, see [`Self::with_identities`].
    pub fn new(policy: &Balance, weights: &[u16], seed: u64) -> Self {
        let places: Vec<u64> = (0..weights.len() as u64).collect();
        Self::with_identities(policy, weights, &places, seed)
    }

    /// The same, where [`Balance::Hash`] knows the endpoints by these identities, for example the
    /// [`stable_hash`] of their addresses. Wherever the identities are the same (in another worker or
    /// process, after a reload that adds or removes others) a key stays with its endpoint. The seed has
    /// no influence on that.
    ///
    /// # Panics
    /// If there are not as many identities as weights.
    pub fn with_identities(policy: &Balance, weights: &[u16], identities: &[u64], seed: u64) -> Self {
        assert_eq!(weights.len(), identities.len(), "each endpoint has one identity");
        let weights: Vec<u16> = weights.iter().map(|weight| (*weight).max(1)).collect();
        let policy = match policy {
            Balance::RoundRobin => Policy::RoundRobin(RoundRobin::new(&weights, seed)),
            Balance::LeastConn => Policy::LeastConn(LeastConn::new(&weights, seed)),
            Balance::P2c => Policy::P2c(Draw::new(&weights, seed)),
            Balance::Random => Policy::Random(Draw::new(&weights, seed)),
            Balance::Hash(_) => Policy::Hash(Ring::new(&weights, identities)),
        };
        let count = weights.len();
        Self { weights, loads: vec![0; count], available: vec![true; count], available_count: count, policy }
    }

    /// Chooses an available endpoint and counts one exchange on it until [`Self::release`]. `key`
    /// is what [`Balance::Hash`] hashes by. `avoid` is left out as long as another is available.
    /// Where none is available, all are taken to be: trying beats refusing.
    ///
    /// # Panics
    /// If there is no endpoint at all.
    pub fn pick(&mut self, key: u64, avoid: Option<usize>) -> usize {
        // Policies are told to avoid only members that are not the last one.
        let avoid = avoid.filter(|endpoint| self.is_member(*endpoint) && self.members() > 1);
        let endpoint = match &mut self.policy {
            Policy::RoundRobin(turns) => turns.pick(avoid),
            Policy::LeastConn(queue) => queue.pick(avoid),
            Policy::Random(draw) => draw.one(avoid),
            Policy::Hash(ring) => ring.pick(key, avoid),
            Policy::P2c(draw) => {
                let (one, other) = draw.two(avoid);
                let load =
                    |of: usize, scale: usize| u64::from(self.loads[of]) * u64::from(self.weights[scale]);
                if load(other, one) < load(one, other) { other } else { one }
            }
        };
        self.take(endpoint);
        endpoint
    }

    /// Counts one exchange on this endpoint without choosing.
    pub fn take(&mut self, endpoint: usize) {
        self.set_load(endpoint, self.loads[endpoint].saturating_add(1));
    }

    /// The exchange on this endpoint is over.
    pub fn release(&mut self, endpoint: usize) {
        debug_assert!(self.loads[endpoint] > 0, "released more often than taken");
        self.set_load(endpoint, self.loads[endpoint].saturating_sub(1));
    }

    /// Exchanges in progress on this endpoint.
    pub fn load(&self, endpoint: usize) -> u32 {
        self.loads[endpoint]
    }

    /// Counts this many exchanges in progress on this endpoint.
    pub fn set_load(&mut self, endpoint: usize, load: u32) {
        self.loads[endpoint] = load;
        if let Policy::LeastConn(queue) = &mut self.policy {
            queue.set_load(endpoint, load);
        }
    }

    /// Whether this endpoint may be chosen.
    pub fn set_available(&mut self, endpoint: usize, available: bool) {
        if self.available[endpoint] == available {
            return;
        }
        self.available[endpoint] = available;
        if available {
            self.available_count += 1;
            if self.available_count == 1 {
                // Until now all were members for want of an available one.
                self.set_others(endpoint, false);
            } else {
                self.set_member(endpoint, true);
            }
        } else {
            self.available_count -= 1;
            if self.available_count == 0 {
                self.set_others(endpoint, true);
            } else {
                self.set_member(endpoint, false);
            }
        }
    }

    fn set_others(&mut self, but: usize, member: bool) {
        for endpoint in (0..self.weights.len()).filter(|endpoint| *endpoint != but) {
            self.set_member(endpoint, member);
        }
    }

    fn set_member(&mut self, endpoint: usize, member: bool) {
        match &mut self.policy {
            Policy::RoundRobin(turns) => turns.set_member(endpoint, member),
            Policy::LeastConn(queue) => queue.set_member(endpoint, member, self.loads[endpoint]),
            Policy::P2c(draw) | Policy::Random(draw) => draw.set_member(endpoint, member),
            Policy::Hash(ring) => ring.set_member(endpoint, member),
        }
    }

    fn is_member(&self, endpoint: usize) -> bool {
        self.available_count == 0 || self.available[endpoint]
    }

    fn members(&self) -> usize {
        if self.available_count == 0 { self.weights.len() } else { self.available_count }
    }
}
