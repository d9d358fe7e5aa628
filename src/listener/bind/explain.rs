//! What an error of bind(2) or listen(2) means and what to do about it, in one line.

use super::Bound;
use crate::sys::limits;
use crate::sys::sock_diag::{self, Filter, Socket, TcpState, TcpStates};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// Explains why this address could not be bound; `ours` is what has it, if that is a listener of the
/// same configuration.
pub(super) fn why(error: &io::Error, address: SocketAddr, ours: Option<&Bound>) -> String {
    match (error.kind(), ours) {
        (ErrorKind::AddrInUse, Some(ours)) => format!(
            "listener \"{}\" of this configuration has {} already: give one of them another port",
            ours.config.name, ours.address,
        ),
        (ErrorKind::AddrInUse, None) => in_use(address.port(), listening(address)),
        (ErrorKind::PermissionDenied, _) => not_permitted(address.port(), limits::unprivileged_port_start()),
        (ErrorKind::AddrNotAvailable, _) => not_here(address),
        _ => error.to_string(),
    }
}

/// Who listens where it is in the way of this address, of whichever process.
fn listening(address: SocketAddr) -> io::Result<Vec<Socket>> {
    let states = TcpStates::of(&[TcpState::Listen]);
    let filter = Filter { local_port: Some(address.port()), ..Filter::states(states) };
    let mut sockets = sock_diag::sockets(&filter)?;
    sockets.retain(|socket| overlap(socket.local, address));
    Ok(sockets)
}

/// Whether one of two addresses of the same port includes the other.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn in_use(port: u16, listening: io::Result<Vec<Socket>>) -> String {
    match listening.as_deref() {
        Ok([first, ..]) => format!(
            "a socket of user id {} listens on {} already: stop its process (`ss -ltnp 'sport = :{port}'` \
             names it), or choose another port",
            first.uid, first.local,
        ),
        Ok([]) => format!(
            "nothing listens there, but a connection has the port (`ss -tanp 'sport = :{port}'` shows it): \
             write socket.reuse_address = true if that is false, and keep the port out of those for \
             outgoing connections (`sysctl -w net.ipv4.ip_local_reserved_ports={port}`)",
        ),
        Err(_) => format!(
            "the port is in use: stop the process that has it (`ss -tanp 'sport = :{port}'` names it), or \
             choose another port",
        ),
    }
}

fn not_permitted(port: u16, unprivileged: io::Result<u32>) -> String {
    match unprivileged {
        Ok(first) if u32::from(port) >= first => format!(
            "permission denied, though ports from {first} need no privilege: a security module (SELinux, \
             AppArmor, seccomp) forbids it; see its log",
        ),
        unprivileged => format!(
            "ports below {} (net.ipv4.ip_unprivileged_port_start) take CAP_NET_BIND_SERVICE: run \
             `setcap cap_net_bind_service=+ep` on the program, or write \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or run \
             `sysctl -w net.ipv4.ip_unprivileged_port_start={port}`",
            unprivileged.unwrap_or(1024),
        ),
    }
}

fn not_here(address: SocketAddr) -> String {
    let every = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
    format!(
        "no interface of this host has {}: write an address that `ip address` lists, or {every}:{} for all \
         of them",
        address.ip(),
        address.port(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sock_diag::Family;

    fn listener() -> Socket {
        Socket {
            family: Family::V4,
            state: TcpState::Listen,
            local: "127.0.0.1:80".parse().unwrap(),
            remote: "0.0.0.0:0".parse().unwrap(),
            rqueue: 0,
            wqueue: 128,
            inode: 7,
            ends_in: None,
            uid: 33,
        }
    }

    fn unreadable<T>() -> io::Result<T> {
        Err(io::Error::from(ErrorKind::NotFound))
    }

    #[test]
    fn each_cause_has_its_own_line_with_what_to_do() {
        let lines = [
            (in_use(80, Ok(vec![listener()])), "user id 33 listens on 127.0.0.1:80"),
            (in_use(80, Ok(vec![])), "net.ipv4.ip_local_reserved_ports=80"),
            (in_use(80, unreadable()), "'sport = :80'"),
            (not_permitted(80, Ok(1024)), "ports below 1024"),
            (not_permitted(80, Ok(81)), "net.ipv4.ip_unprivileged_port_start=80"),
            (not_permitted(80, unreadable()), "CAP_NET_BIND_SERVICE"),
            (not_permitted(80, Ok(80)), "security module"),
            (not_here("192.0.2.1:80".parse().unwrap()), "0.0.0.0:80 for all"),
            (not_here("[2001:db8::1]:80".parse().unwrap()), "[::]:80 for all"),
        ];
        for (line, part) in lines {
            assert!(line.contains(part), "{line}");
            assert!(!line.contains('\n') && !line.contains("  "), "{line}");
        }
    }

    #[test]
    fn the_error_kinds_lead_to_their_lines() {
        let address = "192.0.2.1:81".parse().unwrap();
        let line = |errno| why(&io::Error::from_raw_os_error(errno), address, None);
        assert!(line(libc::EACCES).contains("CAP_NET_BIND_SERVICE"));
        assert!(line(libc::EADDRNOTAVAIL).contains("no interface of this host has 192.0.2.1"));
        assert!(line(libc::EADDRINUSE).contains("'sport = :81'"));
        assert!(line(libc::EMFILE).contains("os error 24"));
    }
}
