//! How an endpoint is chosen. Pure: the seed is an argument.

use crate::config::model::Balance;

/// Chooses endpoints for one worker and counts what each carries.
#[derive(Debug)]
pub struct Balancer {}

impl Balancer {
    /// A balancer over endpoints with these weights, all available.
    pub fn new(_policy: &Balance, _weights: &[u16], _seed: u64) -> Self {
        todo!()
    }

    /// Chooses an available endpoint and counts one exchange on it until [`Self::release`]. `key`
    /// is what [`Balance::Hash`] hashes by. `avoid` is left out as long as another is available.
    /// Where none is available, all are taken to be: trying beats refusing.
    pub fn pick(&mut self, _key: u64, _avoid: Option<usize>) -> usize {
        todo!()
    }

    /// Counts one exchange on this endpoint without choosing.
    pub fn take(&mut self, _endpoint: usize) {
        todo!()
    }

    /// The exchange on this endpoint is over.
    pub fn release(&mut self, _endpoint: usize) {
        todo!()
    }

    /// Whether this endpoint may be chosen.
    pub fn set_available(&mut self, _endpoint: usize, _available: bool) {
        todo!()
    }
}
