//! What the reaper asks of a pool.

use super::Pool;
use crate::pool::idle::Key;
use crate::reason::DiscardReason;
use std::net::SocketAddr;
use std::time::Instant;

impl Pool {
    /// Whether a connection with this local address is idle here.
    pub fn has_idle_from(&self, local: SocketAddr) -> bool {
        self.idle_from(local).is_some()
    }

    /// Closes the idle connection with this local address by force; `false`: there is none.
    pub fn reap_idle_from(&self, local: SocketAddr, now: Instant) -> bool {
        let found = self.idle_from(local);
        if let Some(key) = found {
            self.evict(key, DiscardReason::Reaped, now);
        }
        found.is_some()
    }

    fn idle_from(&self, local: SocketAddr) -> Option<Key> {
        self.idle.borrow().find(|connection| connection.identity().local == local)
    }
}
