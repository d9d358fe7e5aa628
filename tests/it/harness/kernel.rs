//! The kernel's view of sockets.

use millpond::sys::sock_diag::{Filter, Socket, TcpState, TcpStates, sockets};
use std::fs;
use std::net::SocketAddr;

/// Sockets in one of these states that lead to this origin: the proxy's own ends.
pub(crate) fn towards(origin: SocketAddr, states: &[TcpState]) -> Vec<Socket> {
    let filter = Filter { remote_port: Some(origin.port()), ..Filter::states(TcpStates::of(states)) };
    let mut found = sockets(&filter).expect("netlink answers");
    found.retain(|socket| socket.remote == origin);
    found
}

/// Sockets of this host in CLOSE_WAIT that somebody holds.
pub(crate) fn in_close_wait() -> Vec<Socket> {
    let filter = Filter::states(TcpStates::of(&[TcpState::CloseWait]));
    let mut found = sockets(&filter).expect("netlink answers");
    found.retain(|socket| socket.inode != 0);
    found
}

/// Those of them that this process holds.
pub(crate) fn in_close_wait_of(pid: u32) -> Vec<Socket> {
    let mut found = in_close_wait();
    // A process that has ended holds none.
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links: Vec<_> = links.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    found.retain(|socket| links.contains(&format!("socket:[{}]", socket.inode).into()));
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
