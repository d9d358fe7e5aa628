//! Sockets by place and state (pure).

use crate::addr::Ends;
use crate::metrics::census::Since;
use crate::metrics::tcp_states::Counts;
use crate::observe::places::{Place, Places};
use crate::source::ports::KernelPorts;
use crate::sys::sock_diag::{Socket, TcpState, TcpStates};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Those that a connection is soon to leave. How long it has been in one is worth knowing.
const PASSING: TcpStates = TcpStates::of(&[
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::Closing,
]);

/// Connections whose time in their state is kept. Beyond these, it is unknown.
const SINCE_MAX: usize = 65_536;

/// One count.
#[derive(Debug)]
pub struct Tally {
    pub(super) listeners: Vec<Counts>,
    /// By local address.
    endpoints: Vec<HashMap<IpAddr, Counts>>,
    /// All that the kernel listed, ours or not.
    pub sockets: u64,
    pub(super) close_wait: Vec<(Socket, Place)>,
    pub(super) since: Since,
}

impl Tally {
    /// Nothing is counted yet.
    pub fn new(places: &Places) -> Self {
        let (listeners, endpoints) = places.len();
        Self {
            listeners: vec![Counts::default(); listeners],
            endpoints: vec![HashMap::new(); endpoints],
            sockets: 0,
            close_wait: Vec::new(),
            since: Since::new(),
        }
    }

    /// One socket, found by the census that began at `now`; `before` is what the one before has seen.
    pub fn add(&mut self, socket: Socket, places: &Places, before: &Since, now: Instant) {
        self.sockets += 1;
        let Some(place) = places.find(&socket) else { return };
        let counts = match place {
            Place::Listener(at) => &mut self.listeners[at],
            Place::Endpoint(at) => self.endpoints[at].entry(socket.local.ip()).or_default(),
        };
        counts[socket.state.index()] += 1;
        if socket.state == TcpState::CloseWait {
            self.close_wait.push((socket, place));
        }
        if PASSING.contains(socket.state) && self.since.len() < SINCE_MAX {
            let ends = Ends::new(socket.local, socket.remote);
            let known = before.get(&ends).filter(|(state, _)| *state == socket.state);
            self.since.insert(ends, known.copied().unwrap_or((socket.state, now)));
        }
    }

    /// Towards an endpoint, from this source; one that is unspecified is whichever address the kernel
    /// chooses.
    pub(super) fn towards(&self, endpoint: usize, source: Option<IpAddr>) -> Counts {
        let source = source.map(|source| source.to_canonical()).filter(|source| !source.is_unspecified());
        let own = self.endpoints[endpoint]
            .iter()
            .filter(|(local, _)| source.is_none_or(|source| **local == source));
        own.fold(Counts::default(), |mut sum, (_, counts)| {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sum
        })
    }
}

/// Which of them hold a local port, and how.
pub(super) fn ports(counts: &Counts) -> KernelPorts {
    let time_wait = counts[TcpState::TimeWait.index()];
    KernelPorts { open: counts.iter().sum::<u32>() - time_wait, time_wait }
}

#[cfg(test)]
mod tests;
