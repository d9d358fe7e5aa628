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
use socket2::{SockRef, Socket};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// One address of one listener, bound and listening.
#[derive(Debug)]
pub struct Bound {
    /// With the port that the kernel gave where the configuration said 0.
    pub address: ListenAddr,
    /// As the configuration has it.
    pub bind: SocketAddr,
    /// The listener's configuration.
    pub config: Arc<Listener>,
    /// The argument that listen(2) was given: what was asked for, at most net.core.somaxconn.
    pub backlog: u32,
    /// Non-blocking; one a worker. Without SO_REUSEPORT one for all of them.
    pub sockets: Vec<TcpListener>,
    /// Whether they were there already.
    pub is_inherited: bool,
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

/// One error a line.
pub fn lines(errors: &[BindError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Binds every address of every listener, or nothing and says everything that is wrong.
pub fn bind_all(config: &Config) -> Result<Vec<Bound>, Vec<BindError>> {
    bind_listeners(&config.listeners, config.runtime.workers)
}

/// The same where sockets are there already that listen on some of the addresses: `inherited`, one entry for
/// each address of each listener, or none at all.
pub fn bind_missing(config: &Config, inherited: Vec<Vec<TcpListener>>) -> Result<Vec<Bound>, Vec<BindError>> {
    let all = config.listeners.iter().flat_map(|l| l.bind.iter().map(move |bind| (l, *bind)));
    let all: Vec<(&Arc<Listener>, SocketAddr)> = all.collect();
    let has = |place: usize| inherited.get(place).is_some_and(|sockets| !sockets.is_empty());
    let places = |there: bool| (0..all.len()).filter(move |place| has(*place) == there);
    let ours: Vec<SocketAddr> = places(true).map(|place| all[place].1).collect();
    let missing = places(false).map(|place| all[place]);
    let mut bound = bind_addresses(missing, config.runtime.workers, &ours)?.into_iter();
    let mut inherited = inherited.into_iter();
    let each = all.iter().map(|(listener, bind)| match inherited.next().filter(|all| !all.is_empty()) {
        Some(sockets) => taken(listener, *bind, sockets),
        None => Ok(bound.next().expect("whatever was missing is bound")),
    });
    each.collect::<Result<_, BindError>>().map_err(|error| vec![error])
}

/// An address with sockets that listen already. Their options are left alone, as they may be another process's
/// as well: [`adapt`].
fn taken(listener: &Arc<Listener>, bind: SocketAddr, sockets: Vec<TcpListener>) -> Result<Bound, BindError> {
    let failed = |error: io::Error| BindError {
        listener: listener.name.clone(),
        address: bind,
        why: format!("a socket that was handed over is of no use: {error}"),
    };
    let address = sockets.first().map_or(Ok(bind), TcpListener::local_addr).map_err(failed)?;
    sockets.iter().try_for_each(|socket| socket.set_nonblocking(true)).map_err(failed)?;
    let (config, backlog) = (Arc::clone(listener), effective_backlog(listener));
    Ok(Bound { address: ListenAddr(address), bind, config, backlog, sockets, is_inherited: true })
}

/// Binds every address of these listeners, for this many workers, or nothing and says everything that
/// is wrong.
pub fn bind_listeners(listeners: &[Arc<Listener>], workers: usize) -> Result<Vec<Bound>, Vec<BindError>> {
    let all = listeners.iter().flat_map(|listener| listener.bind.iter().map(move |bind| (listener, *bind)));
    bind_addresses(all, workers, &[])
}

/// Binds these addresses, each of a listener, for this many workers, or nothing and says everything that
/// is wrong. `ours` are addresses that listeners of this process have and are about to give up: those
/// are no hindrance as far as they have SO_REUSEPORT.
pub fn bind_addresses<'a>(
    wanted: impl Iterator<Item = (&'a Arc<Listener>, SocketAddr)>,
    workers: usize,
    ours: &[SocketAddr],
) -> Result<Vec<Bound>, Vec<BindError>> {
    let mut bound: Vec<Bound> = Vec::new();
    let mut errors = Vec::new();
    for (listener, bind) in wanted {
        let backlog = effective_backlog(listener);
        let beside = ours.iter().any(|other| explain::overlap(*other, bind));
        match open_all(bind, &listener.socket, backlog, workers, beside) {
            Ok((address, sockets)) => {
                let config = Arc::clone(listener);
                bound.push(Bound { address, bind, config, backlog, sockets, is_inherited: false });
            }
            Err(error) => errors.push(BindError {
                listener: listener.name.clone(),
                address: bind,
                why: explain::why(&error, bind, holder(&bound, bind)),
            }),
        }
    }
    if errors.is_empty() { Ok(bound) } else { Err(errors) }
}

/// Opens one more listening socket on an address where this listener has one with SO_REUSEPORT.
///
/// # Errors
/// As bind(2) and listen(2).
pub fn open_beside(address: ListenAddr, listener: &Listener, backlog: u32) -> io::Result<TcpListener> {
    Ok(open(address.0, &listener.socket, backlog, true)?.into())
}

/// Gives a socket that listens the options that its listener has now. Who comes to it from then on
/// inherits them; listen(2) changes the backlog of a socket that listens already.
///
/// # Errors
/// As setsockopt(2) and listen(2); what was set before stays so.
pub fn adapt(socket: &TcpListener, listener: &Listener, backlog: u32) -> io::Result<()> {
    let options = &listener.socket;
    let listening = socket;
    let socket = SockRef::from(listening);
    socket.set_reuse_address(options.reuse_address)?;
    socket.set_reuse_port(options.reuse_port)?;
    // What is off is left out of what follows.
    socket.set_tcp_nodelay(options.no_delay)?;
    socket.set_tcp_user_timeout(None)?;
    socket.set_keepalive(options.tcp_keepalive.is_some())?;
    sockopt::set_transport(&socket, options.no_delay, options.user_timeout, options.tcp_keepalive.as_ref())?;
    match options.linger {
        Linger::Timed(time) => sockopt::set_linger(&socket, time)?,
        Linger::Graceful | Linger::Reset => socket.set_linger(None)?,
    }
    sockopt::set_defer_accept(listening, options.defer_accept.unwrap_or_default())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// What listen(2) is to be given. The kernel clamps a larger number without a word, so it is said here.
pub fn effective_backlog(listener: &Listener) -> u32 {
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

/// Opens one listening socket for each worker, or one for all of them without SO_REUSEPORT.
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
    beside: bool,
) -> io::Result<(ListenAddr, Vec<TcpListener>)> {
    let first = open(address, options, backlog, beside)?;
    if options.reuse_port {
        first.set_reuse_port(true)?;
    }
    let first = TcpListener::from(first);
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while options.reuse_port && sockets.len() < workers {
        sockets.push(open(address, options, backlog, true)?.into());
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
