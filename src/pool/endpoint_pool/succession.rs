//! Connections that a pool gives to another process, and those that it has from one.

use super::{Pool, Standing};
use crate::pool::connection::{Connection, Quiet};
use crate::pool::heir::{Heir, IDLE_BEFORE_GIVEN, Lent};
use crate::reason::DiscardReason;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that a request waits for a connection from a predecessor before one is dialled for it. What
/// comes, comes within a few milliseconds; on a busy host the processes have to wait for their turn.
const GIFT_PATIENCE: Duration = Duration::from_millis(100);

impl Pool {
    /// Gives away what has been idle for at least this long.
    pub fn lend(&self, idle_for: Duration, heir: &Heir, now: Instant) {
        loop {
            let is_due = |connection: &Connection| connection.life().idle_since + idle_for <= now;
            if !self.idle.borrow().oldest().is_some_and(is_due) {
                return;
            }
            let oldest = self.pop_oldest();
            let Some(connection) = oldest else { return };
            match connection.retired(now, self.max_requests()) {
                Some(reason) => self.drop_idle(connection, reason),
                None => self.give(connection, heir, now),
            }
        }
    }

    /// Gives a connection away that is counted as idle, if it is good.
    pub(super) fn give(&self, connection: Connection, heir: &Heir, now: Instant) {
        if let Quiet::No(reason) = connection.watch_idle(usize::MAX) {
            return self.drop_disturbed(connection, reason, now);
        }
        let upstream = Arc::clone(&self.config());
        let Some(detached) = self.detach(connection) else { return };
        let lent = Lent::new(&self.endpoint, &upstream, self.worker, detached);
        if let Err(unsent) = heir.send(lent) {
            unsent.0.close(DiscardReason::Drain);
        }
    }

    /// Who gets what becomes idle here; nobody, as long as this process keeps it.
    pub(super) fn heir(&self) -> Option<Heir> {
        match self.standing.get() {
            Standing::Open => None,
            Standing::Shut | Standing::Dismissed => self.handover.heir(),
        }
    }

    /// How long a connection may be idle until it is closed, or given away.
    pub(super) fn idle_limit(&self) -> Duration {
        match self.heir() {
            Some(_) => self.idle_timeout().min(IDLE_BEFORE_GIVEN),
            None => self.idle_timeout(),
        }
    }

    /// Whether those who wait had better go on for a moment before anything is dialled: a predecessor gives up
    /// connections.
    pub fn awaits_gift(&self, now: Instant) -> bool {
        let is_awaited = self.unprovided() > 0 && !self.insists() && self.handover.expects_gifts(now);
        if !is_awaited {
            self.gift_awaited_since.set(None);
            return false;
        }
        let since = self.gift_awaited_since.get().unwrap_or(now);
        self.gift_awaited_since.set(Some(since));
        now < since + GIFT_PATIENCE
    }

    /// Whether a predecessor may give up what would be dialled to keep `min_idle` warm.
    pub fn expects_gifts(&self, now: Instant) -> bool {
        self.handover.expects_gifts(now)
    }
}
