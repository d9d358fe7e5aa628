//! What the census finds of our sockets in CLOSE_WAIT, for whoever reports it.

use super::reading::Reading;
use crate::addr::Ends;
use crate::command::Peer;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Sockets of ours whose peer has closed and that we have not.
#[derive(Debug, Default)]
pub struct CloseWait {
    /// The last count.
    pub stuck: Reading<Stuck>,
    reaped: AtomicU64,
}

/// One count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// How many there are.
    pub count: u64,
    /// For how long the oldest has been so, without a byte of it being read; zero: there is none.
    pub oldest: Duration,
    /// Those that were there at two counts, the oldest first; a bounded number.
    pub sockets: Vec<StuckSocket>,
}

/// One socket in CLOSE_WAIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckSocket {
    /// Who its peer is.
    pub peer: Peer,
    /// The listener's name, or the upstream's.
    pub name: String,
    /// Its addresses.
    pub ends: Ends,
    /// Who owns it.
    pub owner: Owner,
    /// For how long it has been so, without a byte of it being read.
    pub since: Duration,
}

/// Who owns a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A session or an idle connection, which is at this.
    Known(&'static str),
    /// None of the workers.
    Nobody,
    /// Not all workers have answered.
    Unanswered,
}

impl Owner {
    /// What is told of it; `None`: nobody owns it.
    pub const fn phase(self) -> Option<&'static str> {
        match self {
            Self::Known(phase) => Some(phase),
            Self::Nobody => None,
            Self::Unanswered => Some("unanswered"),
        }
    }
}

impl CloseWait {
    /// The last count.
    ///
    /// # Errors
    /// Why there is none.
    pub fn stuck(&self, now: Instant) -> Result<Stuck, String> {
        self.stuck.get(now)
    }

    /// A socket was closed by force.
    pub fn reaped(&self) {
        self.reaped.fetch_add(1, Relaxed);
    }

    /// How many were.
    pub fn reaped_total(&self) -> u64 {
        self.reaped.load(Relaxed)
    }
}
