//! What a reload changes of a pool, and what it leaves.

use super::{Pool, Standing};
use crate::config::model;
use crate::reason::DiscardReason;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

impl Pool {
    /// The upstream has another configuration, which may keep fewer connections, or others for longer.
    pub fn reconfigure(&self, upstream: &Arc<model::Upstream>) {
        if Arc::ptr_eq(&self.upstream.borrow(), upstream) {
            return;
        }
        *self.upstream.borrow_mut() = Arc::clone(upstream);
        self.note_share();
        while self.endpoint.gauge(|w| &w.idle) > upstream.pool.max_idle as u64 {
            let Some(connection) = self.pop_oldest() else { break };
            self.drop_idle(connection, DiscardReason::PoolFull);
        }
        self.handover.wake(self.worker);
    }

    /// Another number of workers shares what is kept.
    pub fn share_anew(&self) {
        self.note_share();
        self.handover.wake(self.worker);
    }

    /// Keeps connections again: the endpoint that was leaving has come back.
    pub fn reopen(&self) {
        if self.standing.get() == Standing::Shut {
            self.standing.set(Standing::Open);
        }
    }

    /// Ends its keeper: nobody will use it again. What siblings ask of it is answered with no.
    pub fn dismiss(&self) {
        if let Some(heir) = self.handover.heir() {
            self.lend(Duration::ZERO, &heir, Instant::now());
        }
        self.shut();
        self.standing.set(Standing::Dismissed);
        self.handover.abandon(self.worker);
        self.handover.wake(self.worker);
    }

    /// Whether its keeper is to end.
    pub fn is_dismissed(&self) -> bool {
        self.standing.get() == Standing::Dismissed
    }

    /// Workers that share what is kept.
    pub(super) fn sharers(&self) -> usize {
        self.endpoint.sharers.load(Relaxed).max(1)
    }
}
