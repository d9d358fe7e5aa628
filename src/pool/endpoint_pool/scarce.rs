//! When there are no descriptors: what is idle gives way to what runs, here and in other pools.

use super::Pool;
use crate::reason::DiscardReason;
use std::time::{Duration, Instant};

/// How soon it is tried again to dial, should nobody say that there is a descriptor: other processes give back
/// those of the host without a word.
const DESCRIPTORS_LOOK: Duration = Duration::from_millis(100);

impl Pool {
    /// There was no descriptor for a dial. Until one is given back, none is tried.
    pub fn want_descriptor(&self, now: Instant) {
        self.descriptor_at.set(Some(now + DESCRIPTORS_LOOK));
        if let Some(waker) = self.watches.want_descriptor() {
            self.budget.want(waker);
        }
    }

    /// Until when whoever waits here does so for a descriptor; `None`: it does not.
    pub fn awaits_descriptor(&self, now: Instant) -> Option<Instant> {
        self.descriptor_at.get().filter(|at| self.watches.wants_descriptor() && now < *at)
    }

    /// Whether others wait for a descriptor, of this pool or another.
    pub fn is_short_of_descriptors(&self) -> bool {
        self.budget.is_short()
    }

    /// Since when the connection has been idle that has been so longest.
    pub fn idle_since(&self) -> Option<Instant> {
        self.idle.borrow().oldest().map(|connection| connection.life().idle_since)
    }

    /// Closes that connection, whose descriptor is wanted elsewhere.
    pub fn shed(&self) {
        if let Some(connection) = self.pop_oldest() {
            self.drop_idle(connection, DiscardReason::Descriptors);
        }
    }
}
