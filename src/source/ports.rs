//! The port budget of one source address towards one destination (pure).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// The local ports of one source address towards one destination, shared by all workers and by all
/// upstreams that have this endpoint.
#[derive(Debug)]
pub struct SourcePorts {
    source: IpAddr,
    destination: SocketAddr,
}

/// What the kernel holds between a source and a destination, whoever owns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelPorts {
    /// Sockets in any state but TIME_WAIT.
    pub open: u32,
    /// Sockets in TIME_WAIT.
    pub time_wait: u32,
}

impl SourcePorts {
    /// A budget with nothing taken.
    pub fn new(source: IpAddr, destination: SocketAddr) -> Self {
        Self { source, destination }
    }

    /// The local address.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// The endpoint.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The kernel's own count, taken at `now`.
    pub fn note_census(&self, _kernel: KernelPorts, _now: Instant) {}
}
