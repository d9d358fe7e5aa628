//! Passive health: endpoints that fail to accept are left out for a while, then tried again.

use crate::config::model::Passive;
use std::time::Instant;

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    None,
    WentDown,
    CameUp,
}

/// The availability of an upstream's endpoints, shared by all workers.
#[derive(Debug)]
pub struct Health {}

impl Health {
    /// All endpoints up.
    pub fn new(_endpoints: usize, _policy: &Passive) -> Self {
        todo!()
    }

    /// A connect to this endpoint failed, and it was not a local shortage.
    pub fn failed(&self, _endpoint: usize, _now: Instant) -> Change {
        todo!()
    }

    /// A connect to this endpoint succeeded. Costs one relaxed load when nothing was wrong.
    pub fn succeeded(&self, _endpoint: usize) -> Change {
        todo!()
    }

    /// Whether this endpoint may be chosen.
    pub fn is_up(&self, _endpoint: usize) -> bool {
        todo!()
    }

    /// Grows whenever [`Self::is_up`] changes for any endpoint.
    pub fn epoch(&self) -> u64 {
        todo!()
    }

    /// A down endpoint whose re-trial is due: the caller is the one that tries it, and must report.
    pub fn due_trial(&self, _now: Instant) -> Option<usize> {
        todo!()
    }
}
