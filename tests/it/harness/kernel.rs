//! The kernel's view of sockets.

use millpond::sys::sock_diag::{Filter, Socket, TcpState, TcpStates, sockets};
use std::net::SocketAddr;

/// Sockets in one of these states that lead to this origin: the proxy's own ends.
pub(crate) fn towards(origin: SocketAddr, states: &[TcpState]) -> Vec<Socket> {
    let filter = Filter { remote_port: Some(origin.port()), ..Filter::states(TcpStates::of(states)) };
    let mut found = sockets(&filter).expect("netlink answers");
    found.retain(|socket| socket.remote == origin);
    found
}

/// The proxy's end of a client's connection, if it is in one of these states.
pub(crate) fn session(proxy: SocketAddr, client: SocketAddr, states: &[TcpState]) -> Option<Socket> {
    of_listener(proxy, states).into_iter().find(|socket| socket.remote == client)
}

/// The proxy's ends of all clients' connections that are in one of these states.
pub(crate) fn of_listener(proxy: SocketAddr, states: &[TcpState]) -> Vec<Socket> {
    let filter = Filter { local_port: Some(proxy.port()), ..Filter::states(TcpStates::of(states)) };
    let mut found = sockets(&filter).expect("netlink answers");
    found.retain(|socket| socket.local == proxy);
    found
}
