//! Sockets by TCP state, as the census counts them.

use crate::sys::sock_diag::TcpState;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many sockets are in each state, by [`TcpState::index`].
pub type Counts = [u32; TcpState::ALL.len()];

/// The last count of one listener's address, of one endpoint, or of one source towards it. Whether it
/// still holds, the census says for all of them together.
#[derive(Debug, Default)]
pub struct StateCounts([AtomicU32; TcpState::ALL.len()]);

impl StateCounts {
    /// So many connections were counted.
    pub fn set_connections(&self, counts: &Counts) {
        for state in TcpState::ALL.into_iter().filter(|state| *state != TcpState::Listen) {
            self.0[state.index()].store(counts[state.index()], Relaxed);
        }
    }

    /// So many sockets were found that listen.
    pub fn set_listening(&self, count: u32) {
        self.0[TcpState::Listen.index()].store(count, Relaxed);
    }

    /// How many are in this state.
    pub fn get(&self, state: TcpState) -> u32 {
        self.0[state.index()].load(Relaxed)
    }
}
