//! Which local ports towards the endpoints the kernel holds, whoever holds them.

use crate::addr::plain;
use crate::registry::{EndpointState, Running};
use crate::source::ports::{KernelPorts, SourcePorts};
use crate::sys::sock_diag::{self, Family, Filter, Socket, TcpState, TcpStates};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// Ports of endpoints up to which each is asked for by itself. For each question the kernel looks at
/// all of its sockets, which takes about 25 ns each, and it takes 300 ns to list one. So with more
/// ports than these, it is cheaper to be told of every socket than to ask so often.
const PORTS_APART: usize = 12;

/// The states in which a socket holds a local port towards a remote one.
const HOLDING: TcpStates = TcpStates::of(&[
    TcpState::Established,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::Closing,
]);

/// Sockets by remote address, then by local address.
type Held = HashMap<SocketAddr, HashMap<IpAddr, KernelPorts>>;

/// Counts, and tells the budget of every source that has been dialled from. `now` is before the count.
pub(super) fn count(running: &Running, now: Instant) -> io::Result<()> {
    let dialled = running.endpoints().filter(|endpoint| was_dialled(endpoint));
    let sources: Vec<&Arc<SourcePorts>> = dialled.flat_map(|endpoint| &endpoint.sources).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let held = held(sources.iter().map(|source| source.destination()))?;
    for source in sources {
        let remote = held.get(&plain(source.destination()));
        source.note_census(remote.map(|locals| from(source.source(), locals)).unwrap_or_default(), now);
    }
    Ok(())
}

/// An endpoint that nothing was sent to yet costs nothing.
fn was_dialled(endpoint: &EndpointState) -> bool {
    endpoint.workers.iter().any(|worker| {
        let dials = [&worker.opened_total, &worker.connect_errors_total, &worker.local_errors_total];
        dials.iter().any(|counter| counter.get() > 0)
    })
}

/// What is held towards these destinations.
fn held(destinations: impl Iterator<Item = SocketAddr>) -> io::Result<Held> {
    let mut held: Held = destinations.map(|destination| (plain(destination), HashMap::new())).collect();
    for family in [Family::V4, Family::V6] {
        let is_of = |address: &SocketAddr| address.is_ipv4() == (family == Family::V4);
        let ports: BTreeSet<u16> = held.keys().filter(|a| is_of(a)).map(SocketAddr::port).collect();
        let any = Filter::states(HOLDING);
        let one = |port: &u16| Filter { remote_port: Some(*port), ..any };
        let filters = match ports.len() {
            0..=PORTS_APART => ports.iter().map(one).collect(),
            _ => vec![any],
        };
        for filter in &filters {
            sock_diag::visit_family(family, filter, |socket| add(&mut held, &socket))?;
        }
    }
    Ok(held)
}

fn add(held: &mut Held, socket: &Socket) {
    if let Some(locals) = held.get_mut(&socket.remote) {
        let ports = locals.entry(socket.local.ip()).or_default();
        match socket.state {
            TcpState::TimeWait => ports.time_wait += 1,
            _ => ports.open += 1,
        }
    }
}

/// What one source holds; one that is unspecified is whichever address the kernel chooses.
fn from(source: IpAddr, locals: &HashMap<IpAddr, KernelPorts>) -> KernelPorts {
    let source = source.to_canonical();
    let own = locals.iter().filter(|(local, _)| source.is_unspecified() || **local == source);
    own.fold(KernelPorts::default(), |sum, (_, ports)| KernelPorts {
        open: sum.open + ports.open,
        time_wait: sum.time_wait + ports.time_wait,
    })
}

#[cfg(test)]
mod tests;
