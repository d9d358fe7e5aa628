//! A client's session, from accept to close: what it takes, what it gives back, and its one reason.

use crate::addr::ClientAddr;
use crate::budget::Budget;
use crate::metrics::counters::ListenerCounters;
use crate::reason::CloseReason;
use crate::registry::ListenerState;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions of each client address on a listener, all workers together. Kept only where
/// `limit.connections_per_client` is set.
#[derive(Debug, Default)]
pub struct ClientTable(Mutex<HashMap<IpAddr, usize>>);

impl ClientTable {
    fn enter(&self, client: IpAddr, limit: usize) -> bool {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.entry(client).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, client: IpAddr) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                table.remove(&client);
            }
        }
    }
}

/// One open session. Dropped, it gives back what it took and counts why it ended.
#[derive(Debug)]
pub struct Session {
    listener: Arc<ListenerState>,
    budget: Arc<Budget>,
    worker: usize,
    client: ClientAddr,
    reason: CloseReason,
}

impl Session {
    /// Opens a session for a client just accepted. `None`: a limit is reached.
    pub fn open(
        listener: &Arc<ListenerState>,
        budget: &Arc<Budget>,
        worker: usize,
        client: ClientAddr,
    ) -> Option<Self> {
        let limit = &listener.config.limit;
        let open = || listener.gauge(|w| &w.sessions);
        if limit.connections > 0 && open() >= limit.connections as u64 {
            return None;
        }
        if !budget.take_client() {
            return None;
        }
        let per_client = limit.connections_per_client;
        if per_client > 0 && !listener.clients.enter(client.0.ip(), per_client) {
            budget.release_client();
            return None;
        }
        listener.workers[worker].sessions.inc();
        listener.workers[worker].sessions_total.inc();
        Some(Self {
            listener: Arc::clone(listener),
            budget: Arc::clone(budget),
            worker,
            client,
            // What is dropped without a reason was cut when its worker ended.
            reason: CloseReason::Drain,
        })
    }

    /// The client.
    pub fn client(&self) -> ClientAddr {
        self.client
    }

    /// The listener's counters of this worker.
    pub fn counters(&self) -> &ListenerCounters {
        &self.listener.workers[self.worker]
    }

    /// Why the session ends, now that it does.
    pub fn ends(&mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let counters = self.counters();
        counters.sessions.dec();
        counters.closes.inc(self.reason.index());
        if self.listener.config.limit.connections_per_client > 0 {
            self.listener.clients.leave(self.client.0.ip());
        }
        self.budget.release_client();
    }
}
