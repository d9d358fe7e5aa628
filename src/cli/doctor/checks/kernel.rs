//! What the kernel has to have.

use super::Check;
use crate::cli::doctor::facts::{Fact, HostFacts, Unreadable};
use crate::cli::doctor::finding::{Finding, Fix, Verdict};
use crate::config::model::{Config, Listener, Upstream};
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
    let release =
        parse(text).ok_or_else(|| Unreadable(format!("kernel.osrelease: not understood: {text:?}")))?;
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

/// The first two numbers of "6.18.44-generic".
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A listening socket for each worker. socket(7), since Linux 3.9
fn reuse_port(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let wants = |one: &Listener| one.socket.reuse_port && config.runtime.workers > 1;
    let wanting = config.listeners.iter().find(|listener| wants(listener));
    option(
        facts,
        SocketOption::ReusePort,
        wanting.is_some(),
        "listener.socket.reuse_port with several workers",
    )
    .map(|finding| match wanting {
        Some(listener) => {
            fixed(finding, Fix::toml("listener", &listener.name, "socket.reuse_port = false".into()))
        }
        None => finding,
    })
}

/// Lets connections to different endpoints share a port of a source address. ip(7), since Linux 4.2
fn bind_address_no_port(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let wanting = config.upstreams.iter().find(|upstream| !upstream.source.addresses.is_empty());
    let line = "source.addresses = []";
    for_upstream(
        facts,
        SocketOption::BindAddressNoPort,
        wanting.map(AsRef::as_ref),
        "upstream.source.addresses",
        line,
    )
}

/// Narrows the ports of one socket. IP_LOCAL_PORT_RANGE(2const), since Linux 6.3
fn local_port_range(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let wanting = config.upstreams.iter().find(|upstream| upstream.source.ports.is_some());
    let line = "source.ports = \"auto\"";
    for_upstream(
        facts,
        SocketOption::LocalPortRange,
        wanting.map(AsRef::as_ref),
        "upstream.source.ports",
        line,
    )
}

/// How long sent bytes may go unacknowledged. tcp(7), since Linux 2.6.37
fn user_timeout(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let wanting = config.upstreams.iter().find(|upstream| !upstream.socket.user_timeout.is_zero());
    let line = "socket.user_timeout = \"0s\"";
    for_upstream(facts, SocketOption::UserTimeout, wanting.map(AsRef::as_ref), "socket.user_timeout", line)
}

fn for_upstream(
    facts: &HostFacts,
    wanted: SocketOption,
    wanting: Option<&Upstream>,
    key: &str,
    line: &str,
) -> Fact<Finding> {
    let finding = option(facts, wanted, wanting.is_some(), key)?;
    Ok(match wanting {
        Some(upstream) => fixed(finding, Fix::toml("upstream", &upstream.name, line.to_owned())),
        None => finding,
    })
}

fn option(facts: &HostFacts, wanted: SocketOption, is_used: bool, key: &str) -> Fact<Finding> {
    Ok(match (facts.has_option(wanted)?, is_used) {
        (true, true) => Finding::ok("there", format!("Needed for {key}.")),
        (true, false) => Finding::ok("there", "Not used by this configuration."),
        (false, true) => Finding::critical("missing", format!("Needed for {key}.")),
        (false, false) => Finding::ok("missing", "Not used by this configuration."),
    })
}

/// Adds the fix where something is to be fixed.
fn fixed(finding: Finding, fix: Fix) -> Finding {
    if finding.verdict == Verdict::Critical { finding.fix(fix) } else { finding }
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
