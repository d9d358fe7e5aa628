//! Listening sockets: every option set before listen(2), all or nothing.
//!
//! Accepted sockets inherit TCP_NODELAY, TCP_USER_TIMEOUT, keepalive and SO_LINGER from the socket
//! that listens, so that none of them costs a system call for each client.

mod explain;
#[cfg(test)]
mod tests;

use crate::addr::ListenAddr;
use crate::config::model::{Backlog, Config, Linger, Listener, ListenerSocket};
use crate::sys::{limits, sockopt};
use socket2::Socket;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// One address of one listener, bound and listening.
#[derive(Debug)]
pub struct Bound {
    /// With the port that the kernel gave where the configuration said 0.
    pub address: ListenAddr,
    /// The listener's configuration.
    pub config: Arc<Listener>,
    /// The argument that listen(2) was given: what was asked for, at most net.core.somaxconn.
    pub backlog: u32,
    /// Non-blocking; one a worker. Without SO_REUSEPORT they are duplicates of one socket.
    pub sockets: Vec<TcpListener>,
}

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener \"{listener}\" cannot bind {address}: {why}")]
pub struct BindError {
    /// The listener's name.
    pub listener: String,
    /// The address.
    pub address: SocketAddr,
    /// What is wrong and what to do.
    pub why: String,
}

/// Binds every address of every listener, or nothing and says everything that is wrong.
pub fn bind_all(config: &Config) -> Result<Vec<Bound>, Vec<BindError>> {
    bind_listeners(&config.listeners, config.runtime.workers)
}

/// Binds every address of these listeners, for this many workers, or nothing and says everything that
/// is wrong.
pub fn bind_listeners(listeners: &[Arc<Listener>], workers: usize) -> Result<Vec<Bound>, Vec<BindError>> {
    let mut bound: Vec<Bound> = Vec::new();
    let mut errors = Vec::new();
    for listener in listeners {
        let backlog = effective_backlog(listener);
        for &address in &listener.bind {
            match open_all(address, &listener.socket, backlog, workers) {
                Ok((address, sockets)) => {
                    bound.push(Bound { address, config: Arc::clone(listener), backlog, sockets });
                }
                Err(error) => errors.push(BindError {
                    listener: listener.name.clone(),
                    address,
                    why: explain::why(&error, address, holder(&bound, address)),
                }),
            }
        }
    }
    if errors.is_empty() { Ok(bound) } else { Err(errors) }
}

/// What listen(2) is to be given. The kernel clamps a larger number without a word, so it is said here.
fn effective_backlog(listener: &Listener) -> u32 {
    /// The kernel's default since Linux 5.4.
    const USUAL_SOMAXCONN: u32 = 4096;
    let somaxconn = limits::somaxconn().unwrap_or_else(|error| {
        tracing::warn!("cannot tell how long an accept queue may be, taking {USUAL_SOMAXCONN}: {error}");
        USUAL_SOMAXCONN
    });
    match listener.socket.backlog {
        Backlog::Auto => somaxconn,
        Backlog::Connections(wanted) if wanted > somaxconn => {
            tracing::warn!(
                "listener \"{}\": socket.backlog = {wanted} is more than net.core.somaxconn = {somaxconn}, \
                 and the kernel uses {somaxconn}: run `sysctl -w net.core.somaxconn={wanted}` and start \
                 again, or write backlog = \"auto\"",
                listener.name,
            );
            somaxconn
        }
        Backlog::Connections(wanted) => wanted,
    }
}

/// Opens one listening socket for each worker.
///
/// SO_REUSEPORT lets any process of the same user listen on a port that is taken, and the kernel would
/// then give each a part of the clients. So the first socket binds and listens without it, which fails
/// if anybody listens there (connections left in TIME_WAIT are no hindrance with SO_REUSEADDR), and
/// only then are the others let in.
fn open_all(
    address: SocketAddr,
    options: &ListenerSocket,
    backlog: u32,
    workers: usize,
) -> io::Result<(ListenAddr, Vec<TcpListener>)> {
    let first = open(address, options, backlog, false)?;
    if options.reuse_port {
        first.set_reuse_port(true)?;
    }
    let first = TcpListener::from(first);
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < workers {
        let next = if options.reuse_port {
            open(address, options, backlog, true)?.into()
        } else {
            sockets[0].try_clone()?
        };
        sockets.push(next);
    }
    Ok((ListenAddr(address), sockets))
}

/// Opens one listening socket; `shared`: on a port that another of ours has.
fn open(address: SocketAddr, options: &ListenerSocket, backlog: u32, shared: bool) -> io::Result<Socket> {
    let socket = sockopt::tcp_socket(address)?;
    if address.is_ipv6() {
        // Otherwise [::] would take IPv4 too, and 0.0.0.0 could not be bound beside it.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(options.reuse_address)?;
    socket.set_reuse_port(shared)?;
    sockopt::set_transport(&socket, options.no_delay, options.user_timeout, options.tcp_keepalive.as_ref())?;
    if let Linger::Timed(time) = options.linger {
        sockopt::set_linger(&socket, time)?;
    }
    if let Some(time) = options.defer_accept {
        sockopt::set_defer_accept(&socket, time)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// Which of those bound already is in the way of this address.
fn holder(bound: &[Bound], address: SocketAddr) -> Option<&Bound> {
    bound.iter().find(|other| {
        other.address.0.is_ipv4() == address.is_ipv4() && explain::overlap(other.address.0, address)
    })
}
