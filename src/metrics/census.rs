//! How the census itself is doing, and what it knows beside the counts of listeners and endpoints.

use super::reading::Reading;
use crate::addr::Ends;
use crate::sys::sock_diag::TcpState;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What there is of the census beside its counts.
#[derive(Debug, Default)]
pub struct Census {
    /// The last look at all connections.
    pub last: Reading<Taken>,
    /// The last look at the listening sockets.
    pub queues: Reading<()>,
    /// CPU time of all looks, in microseconds.
    cpu_us: AtomicU64,
    taken_total: AtomicU64,
    since: Mutex<Arc<Since>>,
}

/// One look at all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Until the next one.
    pub interval: Duration,
    /// Sockets that the kernel listed.
    pub sockets: u64,
    /// CPU time of it, the kernel's included.
    pub cpu: Duration,
}

/// Since when connections are in their state: those that are in one that they are soon to leave.
pub type Since = HashMap<Ends, (TcpState, Instant)>;

impl Census {
    /// Adds to the CPU time that all of it has taken.
    pub fn took(&self, cpu: Duration) {
        self.cpu_us.fetch_add(u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The CPU time that all of it has taken.
    pub fn cpu_total(&self) -> Duration {
        Duration::from_micros(self.cpu_us.load(Relaxed))
    }

    /// All connections were looked at.
    pub fn taken(&self, taken: Taken, since: Arc<Since>, now: Instant, good_for: Duration) {
        self.taken_total.fetch_add(1, Relaxed);
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        self.last.read(taken, now, good_for);
    }

    /// How often they were.
    pub fn taken_total(&self) -> u64 {
        self.taken_total.load(Relaxed)
    }

    /// Since when this connection has been seen in this state; `None`: it was not seen in it.
    pub fn since(&self, ends: &Ends, state: TcpState) -> Option<Instant> {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get(ends).filter(|(seen, _)| *seen == state).map(|(_, at)| *at)
    }
}
