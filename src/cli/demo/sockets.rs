//! What the kernel holds between this host and the origin.

use crate::sys::limits::local_port_range;
use crate::sys::sock_diag::{Filter, TcpStates, sockets};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

/// Our side of the connections to one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sockets {
    /// Sockets by TCP state.
    pub(super) states: BTreeMap<&'static str, usize>,
    /// Local ports that no socket towards this address holds.
    pub(super) ports_free: usize,
    /// Local ports that the kernel chooses from.
    pub(super) ports: usize,
}

/// Asks the kernel.
pub(super) fn towards(remote: SocketAddr) -> io::Result<Sockets> {
    let filter = Filter { remote_port: Some(remote.port()), ..Filter::states(TcpStates::ALL) };
    let range = local_port_range()?;
    let mut found = Sockets { ports: range.len(), ports_free: range.len(), ..Sockets::default() };
    for socket in sockets(&filter)?.iter().filter(|socket| socket.remote == remote) {
        *found.states.entry(socket.state.label()).or_default() += 1;
        if range.contains(&socket.local.port()) {
            found.ports_free = found.ports_free.saturating_sub(1);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn only_our_side_of_the_connections_to_it_counts() {
        // An address of its own: towards 127.0.0.1 others may have left a TIME_WAIT at the same port.
        let listener = TcpListener::bind("127.79.67.75:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
        let found = towards(address).unwrap();
        assert_eq!(found.states, BTreeMap::from([("established", 3)]));
        assert_eq!(found.ports - found.ports_free, 3);
        drop((clients, accepted));
    }
}
