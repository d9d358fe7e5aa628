//! Workers that have panicked, each by its place.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How often each worker has panicked, after which another took its place.
#[derive(Debug, Default)]
pub struct Restarts(Mutex<BTreeMap<usize, u64>>);

impl Restarts {
    /// A worker has panicked.
    pub fn panicked(&self, worker: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(worker).or_default() += 1;
    }

    /// The count of each of this many workers, and of those beyond that have one.
    pub fn by_worker(&self, workers: usize) -> BTreeMap<usize, u64> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (0..workers).map(|worker| (worker, 0)).chain(counted.iter().map(|(w, count)| (*w, *count))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_panicked_has_none_and_who_is_gone_keeps_its_own() {
        let restarts = Restarts::default();
        [1, 5, 1].into_iter().for_each(|worker| restarts.panicked(worker));
        let all: Vec<_> = restarts.by_worker(2).into_iter().collect();
        assert_eq!(all, [(0, 0), (1, 2), (5, 1)]);
    }
}
