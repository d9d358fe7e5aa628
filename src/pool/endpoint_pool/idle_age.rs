//! What an endpoint's closes say of its idle timeout.

use super::Pool;
use crate::pool::connection::Life;
use crate::reason::DiscardReason;
use std::time::{Duration, Instant};

/// How often a worker lets what was learned grow.
const FORGETS_EVERY: Duration = Duration::from_secs(1);
/// What may pass beside two round trips before a close that crossed a request is heard of. Later, the
/// endpoint had read the request, and closed for a reason of its own.
const HEARD_WITHIN: Duration = Duration::from_millis(50);

impl Pool {
    /// A connection was found to have ended while it was in the pool.
    pub(super) fn closed_in_pool(&self, life: &Life, reason: DiscardReason, now: Instant) {
        if matches!(reason, DiscardReason::EndpointClosed | DiscardReason::EndpointReset) {
            self.closed_idle(life, now.saturating_duration_since(life.idle_since), now);
        }
    }

    /// A connection was found to have ended when it was used again.
    pub(in crate::pool) fn closed_under_lease(&self, life: &Life, now: Instant) {
        if now.saturating_duration_since(life.leased_at) <= life.connect_time * 2 + HEARD_WITHIN {
            self.closed_idle(life, life.leased_at.saturating_duration_since(life.idle_since), now);
        }
    }

    /// Lets what was learned grow.
    pub(super) fn forget_idle(&self, now: Instant) {
        if self.endpoint.idle_learning.timeout().is_some() && self.forget_at.get().is_none_or(|at| at <= now)
        {
            self.forget_at.set(Some(now + FORGETS_EVERY));
            self.endpoint.forget_idle(now);
        }
    }

    /// A connection that was never used says nothing: how long a server waits for a first request is
    /// another of its settings.
    fn closed_idle(&self, life: &Life, age: Duration, now: Instant) {
        let is_learning = self.config().pool.idle_timeout.is_none() && life.uses > 0;
        if is_learning && self.endpoint.closed_idle(age, now) {
            tracing::debug!(
                upstream = %self.config().name, endpoint = %self.endpoint.address, ?age,
                "the endpoint closes idle connections: they are closed before it does"
            );
            self.wake_keepers();
        }
    }

    /// What the keepers of all workers wait for may have to end sooner.
    pub(super) fn wake_keepers(&self) {
        (0..self.endpoint.workers.len()).for_each(|worker| self.handover.wake(worker));
    }
}
