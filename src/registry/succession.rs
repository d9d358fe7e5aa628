//! The process before this one, and the one after it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What this process has from another, and has given to another.
#[derive(Debug, Default)]
pub struct Succession {
    predecessor: Mutex<Option<Predecessor>>,
    connections: AtomicU64,
    given_away: Mutex<BTreeSet<SocketAddr>>,
    is_handed_over: AtomicBool,
}

/// The process that this one has taken over from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Listening sockets that came from it.
    pub listening_sockets: usize,
    /// Whether it has ended.
    pub has_ended: bool,
}

impl Succession {
    /// This process takes over from another.
    pub fn took_over_from(&self, predecessor: Predecessor) {
        *lock(&self.predecessor) = Some(predecessor);
    }

    /// The other one has ended.
    pub fn predecessor_ended(&self) {
        if let Some(predecessor) = &mut *lock(&self.predecessor) {
            predecessor.has_ended = true;
        }
    }

    /// Which that was; `None`: this process began by itself.
    pub fn predecessor(&self) -> Option<Predecessor> {
        lock(&self.predecessor).clone()
    }

    /// So many idle connections came from it.
    pub fn count_connections(&self, count: usize) {
        self.connections.fetch_add(count as u64, Relaxed);
    }

    /// Idle connections that came from it.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Another process serves, which has the listening sockets of these addresses as well: who waits in their
    /// queues is that one's.
    pub fn hand_over(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        lock(&self.given_away).extend(addresses);
        self.is_handed_over.store(true, Relaxed);
    }

    /// Whether another process serves.
    pub fn is_handed_over(&self) -> bool {
        self.is_handed_over.load(Relaxed)
    }

    /// Whether those of this address are.
    pub fn has_given_away(&self, address: SocketAddr) -> bool {
        lock(&self.given_away).contains(&address)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
