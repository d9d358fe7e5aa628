//! The kernel's view of sockets.

use millpond::sys::sock_diag::{Filter, Socket, TcpState, TcpStates, sockets};

/// Sockets with this remote port in one of these states: with an origin's port, the proxy's own ends.
pub(crate) fn towards(port: u16, states: &[TcpState]) -> Vec<Socket> {
    let filter = Filter { remote_port: Some(port), ..Filter::states(TcpStates::of(states)) };
    sockets(&filter).expect("netlink answers")
}

/// Sockets with this local port in one of these states.
pub(crate) fn at(port: u16, states: &[TcpState]) -> Vec<Socket> {
    let filter = Filter { local_port: Some(port), ..Filter::states(TcpStates::of(states)) };
    sockets(&filter).expect("netlink answers")
}
