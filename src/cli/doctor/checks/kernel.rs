//! What the kernel has to have.

use super::Check;
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::config::model::Config;
use crate::forward::splice::PIPE;
use crate::sys::probe::SocketOption;
use std::io::ErrorKind;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "kernel", run: release },
    Check { name: "SO_REUSEPORT", run: reuse_port },
    Check { name: "IP_BIND_ADDRESS_NO_PORT", run: bind_address_no_port },
    Check { name: "IP_LOCAL_PORT_RANGE", run: local_port_range },
    Check { name: "TCP_USER_TIMEOUT", run: user_timeout },
    Check { name: "sock_diag", run: sock_diag },
    Check { name: "splice", run: splice },
];

/// Releases that brought something that is used, the latest first.
const BROUGHT: [((u32, u32), &str); 3] = [
    ((6, 3), "IP_LOCAL_PORT_RANGE for upstream.source.ports"),
    ((5, 14), "net.ipv4.tcp_migrate_req"),
    ((4, 19), "net.ipv4.tcp_tw_reuse = 2, the reuse on loopback"),
];
/// Without IP_BIND_ADDRESS_NO_PORT, a source address has as many connections as ports, to all endpoints
/// together. ip(7)
const OLDEST: (u32, u32) = (4, 2);

/// Which releases brought what: ip(7), ip-sysctl.rst, IP_LOCAL_PORT_RANGE(2const).
fn release(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    let text = facts.sysctls.text("kernel.osrelease")?;
    let release = facts.release()?;
    let value = format!("Linux {text}");
    if release < OLDEST {
        return Ok(Finding::critical(value, "Linux 4.2 is the oldest that has what is needed."));
    }
    let missing = BROUGHT.iter().filter(|(since, _)| release < *since).map(|(_, what)| *what);
    let missing: Vec<&str> = missing.collect();
    Ok(match missing.is_empty() {
        true => Finding::ok(value, "It has everything that is used."),
        false => Finding::ok(value, format!("It does without {}.", missing.join(", and without "))),
    })
}

/// A listening socket for each worker. socket(7), since Linux 3.9
fn reuse_port(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let several = config.runtime.workers > 1;
    let user = config.listeners.iter().find(|listener| several && listener.socket.reuse_port);
    Ok(option(
        facts.has_option(SocketOption::ReusePort)?,
        user.map(|listener| Table::Listener(&listener.name)),
        "listener.socket.reuse_port with several workers",
        "socket.reuse_port = false",
    ))
}

/// Lets connections to different endpoints share a port of a source address. ip(7), since Linux 4.2
fn bind_address_no_port(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let user = config.upstreams.iter().find(|upstream| !upstream.source.addresses.is_empty());
    Ok(option(
        facts.has_option(SocketOption::BindAddressNoPort)?,
        user.map(|upstream| Table::Upstream(&upstream.name)),
        "upstream.source.addresses",
        "source.addresses = []",
    ))
}

/// Narrows the ports of one socket, and lets connect(2) take the next free one of either parity.
/// IP_LOCAL_PORT_RANGE(2const), since Linux 6.3
fn local_port_range(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let is_there = facts.has_option(SocketOption::LocalPortRange)?;
    let user = config.upstreams.iter().find(|upstream| upstream.source.ports.is_some());
    Ok(match (user, is_there) {
        (Some(upstream), _) => option(
            is_there,
            Some(Table::Upstream(&upstream.name)),
            "upstream.source.ports",
            "source.ports = \"auto\"",
        ),
        (None, true) => Finding::ok("there", "Helps connect(2) to find a port when half of them are taken."),
        (None, false) => {
            Finding::ok("missing", "connect(2) takes longer to find a port when half of them are taken.")
        }
    })
}

/// How long sent bytes may go unacknowledged. tcp(7), since Linux 2.6.37
fn user_timeout(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let mut listeners = config.listeners.iter();
    let listener = listeners.find(|listener| !listener.socket.user_timeout.is_zero());
    let upstream = config.upstreams.iter().find(|upstream| !upstream.socket.user_timeout.is_zero());
    let user = listener.map(|listener| Table::Listener(&listener.name));
    Ok(option(
        facts.has_option(SocketOption::UserTimeout)?,
        user.or(upstream.map(|upstream| Table::Upstream(&upstream.name))),
        "socket.user_timeout",
        "socket.user_timeout = \"0s\"",
    ))
}

/// A table of the configuration, by its name.
enum Table<'a> {
    Listener(&'a str),
    Upstream(&'a str),
}

/// Whether a socket option is there for the `user` of a key, who could do without it by writing `line`.
fn option(is_there: bool, user: Option<Table<'_>>, key: &str, line: &str) -> Finding {
    let value = if is_there { "there" } else { "missing" };
    let Some(user) = user else { return Finding::ok(value, "Not used by this configuration.") };
    let meaning = format!("Needed for {key}.");
    if is_there {
        return Finding::ok(value, meaning);
    }
    let (table, name) = match user {
        Table::Listener(name) => ("listener", name),
        Table::Upstream(name) => ("upstream", name),
    };
    Finding::critical(value, meaning).fix(Fix::toml(table, name, line.to_owned()))
}

/// Lists every socket with its state, whoever owns it. sock_diag(7)
fn sock_diag(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    Ok(match &facts.sock_diag {
        Ok(()) => {
            Finding::ok("answers", "Sockets are counted by state, TIME_WAIT and CLOSE_WAIT among them.")
        }
        Err(why) => {
            let meaning = format!("Sockets cannot be counted by state: {why}.");
            let line = "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK";
            let fix = Fix::service(line.to_owned(), "modprobe -a inet_diag tcp_diag".to_owned());
            Finding::warn("no answer", meaning).fix(fix)
        }
    })
}

/// Moves long flows from socket to socket without copying them. splice(2); pipe(7): EPERM means that
/// the pipe would be too large for this user, anything else that a sandbox has no splice(2).
fn splice(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    let size = PIPE / 1024;
    let Err((kind, why)) = &facts.splice else {
        return Ok(Finding::ok("works", format!("Long flows pass through pipes of {size} KiB.")));
    };
    let meaning = format!("Long flows are copied, as a pipe of {size} KiB cannot be used: {why}.");
    let finding = Finding::warn("refused", meaning);
    Ok(match kind {
        ErrorKind::PermissionDenied => finding.fix(Fix::sysctl("fs.pipe-max-size", PIPE)),
        _ => finding.fix(Fix::unit("SystemCallFilter=splice".to_owned())),
    })
}
