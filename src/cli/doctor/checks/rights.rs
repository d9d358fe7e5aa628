//! What this process may do: ports, addresses, files.

use super::Check;
use crate::cli::doctor::facts::{Fact, HostFacts, Occupant, Place, Stranger, Unreadable};
use crate::cli::doctor::finding::{Finding, Fix, sentence};
use crate::config::model::{AccessLog, AdminListen, Config};
use crate::sys::probe::Access;
use crate::sys::rights::Capability;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "runtime.user", run: user },
    Check { name: "CAP_NET_BIND_SERVICE", run: net_bind_service },
    Check { name: "listener.bind", run: bind },
    Check { name: "admin.listen", run: admin_listen },
    Check { name: "admin.token_file", run: token_file },
    Check { name: "log.access", run: access_log },
];

/// Root is whom the process stays, unless it is told otherwise; nobody else can become another. setresuid(2)
fn user(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let Some(name) = &config.runtime.user else { return nobody_named(facts) };
    match &facts.account {
        None => Err(Unreadable(format!("{name}: was not looked up"))),
        Some(Err(Stranger { why, command })) => {
            let finding = Finding::critical(name, format!("{}.", sentence(why)));
            Ok(command.iter().fold(finding, |finding, line| finding.fix(Fix::command(line.clone()))))
        }
        Some(Ok(user)) if *user == facts.user => Ok(Finding::ok(name, "It is whom this process runs as.")),
        Some(Ok(0)) => Ok(Finding::critical(name, "Nobody but root is root.")
            .fix(Fix::toml_section("runtime", "user = \"none\""))),
        Some(Ok(_)) if facts.user == 0 => {
            Ok(Finding::ok(name, "Root is given up for it once the listeners are bound."))
        }
        Some(Ok(_)) => {
            let meaning = format!("Only root can become another user, and this is user id {}.", facts.user);
            Ok(Finding::critical(name, meaning).fix(Fix::toml_section("runtime", "user = \"none\"")))
        }
    }
}

/// In a user namespace of its own, root is somebody else's ordinary user. user_namespaces(7)
fn nobody_named(facts: &HostFacts) -> Fact<Finding> {
    if facts.user != 0 {
        return Ok(Finding::ok("none", format!("It stays user id {}.", facts.user)));
    }
    if !facts.rules_host.clone()? {
        return Ok(Finding::ok("none", "It stays root of a user namespace, which is nobody on the host."));
    }
    let meaning = "It stays root: whoever finds a fault in it has the whole host.";
    Ok(Finding::warn("none", meaning)
        .fix(Fix::toml_section("runtime", "user = \"millpond\""))
        .fix(Fix::command("useradd --system millpond".to_owned())))
}

/// Ports below net.ipv4.ip_unprivileged_port_start take the capability. capabilities(7),
/// ip-sysctl.rst
fn net_bind_service(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.ip_unprivileged_port_start";
    let first = facts.sysctls.number(NAME)?;
    let has = facts.capabilities.clone()?.has(Capability::NetBindService);
    let value = if has { "held" } else { "not held" };
    let lowest = bound(config).map(|address| address.port()).filter(|port| *port > 0).min();
    let Some(lowest) = lowest.filter(|port| u64::from(*port) < first) else {
        return Ok(Finding::ok(value, format!("No port of the configuration is below {first}.")));
    };
    if has {
        return Ok(Finding::ok(value, format!("Port {lowest}, below {first}, may be bound.")));
    }
    let meaning = format!("Port {lowest} is below {first} ({NAME}), so binding it is refused.");
    Ok(Finding::critical(value, meaning)
        .fix(Fix::service(
            "AmbientCapabilities=CAP_NET_BIND_SERVICE".to_owned(),
            "setcap cap_net_bind_service=+ep \"$(command -v millpond)\"".to_owned(),
        ))
        .fix(Fix::sysctl(NAME, lowest)))
}

/// Every address that is to be bound, the admin server's included.
fn bound(config: &Config) -> impl Iterator<Item = SocketAddr> {
    let admin = match config.admin.listen {
        AdminListen::Tcp(address) => Some(address),
        AdminListen::Unix(_) => None,
    };
    config.listeners.iter().flat_map(|listener| listener.bind.iter().copied()).chain(admin)
}

/// bind(2) to an address that no interface has fails with EADDRNOTAVAIL, unless ip_nonlocal_bind is set.
/// ip(7), ip-sysctl.rst
fn bind(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let mut missing = Vec::new();
    for (listener, address) in
        config.listeners.iter().flat_map(|one| one.bind.iter().map(move |at| (one, at)))
    {
        let ip = address.ip();
        if !ip.is_unspecified() && !facts.is_local(ip)? && !nonlocal(facts, *address)? {
            missing.push((listener, *address));
        }
    }
    let written = config.listeners.iter().flat_map(|listener| &listener.bind).map(SocketAddr::to_string);
    let value = written.collect::<Vec<_>>().join(", ");
    let Some((listener, address)) = missing.first() else {
        return Ok(Finding::ok(value, "Addresses of this host, or all of them."));
    };
    let meaning =
        format!("No interface has {}, so listener \"{}\" cannot bind it.", address.ip(), listener.name);
    let instead = listener.bind.iter().map(|at| match missing.iter().any(|(_, missing)| missing == at) {
        true => format!("\"{}\"", every_address(*at)),
        false => format!("\"{at}\""),
    });
    let line = format!("bind = [{}]", instead.collect::<Vec<_>>().join(", "));
    Ok(Finding::critical(value, meaning).fix(Fix::toml("listener", &listener.name, line)))
}

/// The same port, whatever the interfaces have.
fn every_address(address: SocketAddr) -> SocketAddr {
    let any =
        if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(any, address.port())
}

fn nonlocal(facts: &HostFacts, address: SocketAddr) -> Fact<bool> {
    let name = if address.is_ipv4() { "net.ipv4.ip_nonlocal_bind" } else { "net.ipv6.ip_nonlocal_bind" };
    Ok(facts.sysctls.number(name)? != 0)
}

/// An address has to be this host's. A Unix socket's file is made in its directory, and replaces a socket
/// but nothing else. ip(7), unix(7)
fn admin_listen(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    match (&config.admin.listen, &facts.admin_socket) {
        (AdminListen::Tcp(address), _) => admin_address(facts, *address),
        (AdminListen::Unix(_), Some(place)) => admin_socket(facts, place),
        (AdminListen::Unix(path), None) => Err(Unreadable(format!("{}: was not looked at", path.display()))),
    }
}

fn admin_address(facts: &HostFacts, address: SocketAddr) -> Fact<Finding> {
    let ip = address.ip();
    if !ip.is_unspecified() && !facts.is_local(ip)? && !nonlocal(facts, address)? {
        let fix = Fix::toml_section("admin", format!("listen = \"{}\"", every_address(address)));
        return Ok(Finding::critical(address, format!("No interface has {ip}.")).fix(fix));
    }
    let who =
        if ip.is_loopback() { "Only this host reaches it." } else { "Other hosts reach it, with the token." };
    Ok(Finding::ok(address, who))
}

fn admin_socket(facts: &HostFacts, place: &Place) -> Fact<Finding> {
    let value = format!("unix:{}", place.path.display());
    if let Some(finding) = directory_refuses(facts, &value, place, "The admin socket")? {
        return Ok(finding);
    }
    match place.occupant.clone()? {
        Occupant::Nothing | Occupant::Socket => {
            Ok(Finding::ok(value, format!("{} may be written to.", place.directory())))
        }
        Occupant::Directory | Occupant::Other => {
            let meaning = "What is there is no socket, and in the way of the admin socket.";
            let fix = Fix::toml_section("admin", format!("listen = \"{value}.sock\""));
            Ok(Finding::critical(value, meaning).fix(fix))
        }
    }
}

/// Without its token, the admin server does not start; one that everybody may read is no secret. open(2)
fn token_file(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let (Some(path), Some(token)) = (&config.admin.token_file, &facts.token) else {
        return Ok(Finding::ok("none", "Whoever reaches the admin server may use it."));
    };
    let path = path.display();
    Ok(match token {
        Err(why) => {
            let line = format!("openssl rand -hex 32 | install -m 600 -o {} /dev/stdin {path}", facts.user);
            Finding::critical(&path, format!("{}.", sentence(why))).fix(Fix::command(line))
        }
        Ok(mode) if mode & 0o007 != 0 => {
            let meaning =
                format!("Its mode is {mode:04o}, so that every user of this host may use the token.");
            Finding::warn(&path, meaning).fix(Fix::command(format!("chmod o= {path}")))
        }
        Ok(mode) => Finding::ok(path, format!("It holds a token, and its mode is {mode:04o}.")),
    })
}

/// The log is appended to, or made if it is not there. open(2)
fn access_log(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let Some(place) = &facts.access_log else {
        let value = if config.log.access == AccessLog::Stdout { "stdout" } else { "off" };
        return Ok(Finding::ok(value, "No file is written."));
    };
    let value = place.path.display().to_string();
    if place.occupant.clone()? == Occupant::Directory {
        let fix = Fix::toml_section("log", format!("access = \"{value}/access.log\""));
        return Ok(Finding::critical(value, "The access log is a file, and this is a directory.").fix(fix));
    }
    match place.file.clone()? {
        Access::Granted => Ok(Finding::ok(value, "The file may be written to.")),
        Access::Denied(why) => {
            let fix = Fix::command(format!("chown {} {value}", facts.user));
            Ok(Finding::critical(value, format!("The access log cannot be written to: {why}.")).fix(fix))
        }
        Access::Missing => {
            let refused = directory_refuses(facts, &value, place, "The access log")?;
            let made = || Finding::ok(&value, format!("It will be made in {}.", place.directory()));
            Ok(refused.unwrap_or_else(made))
        }
    }
}

/// Why nothing can be created in the directory of a place, if that is so.
fn directory_refuses(facts: &HostFacts, value: &str, place: &Place, what: &str) -> Fact<Option<Finding>> {
    let (directory, user) = (place.directory(), facts.user);
    let (meaning, now) = match place.directory.clone()? {
        Access::Granted => return Ok(None),
        Access::Missing => (
            format!("{what} cannot be made: there is no directory {directory}."),
            format!("install -d -o {user} {directory}"),
        ),
        Access::Denied(why) => {
            (format!("{what} cannot be made in {directory}: {why}."), format!("chown {user} {directory}"))
        }
    };
    let fix = match owned_by_service(&directory) {
        Some(line) => Fix::service(line, now),
        None => Fix::command(now),
    };
    Ok(Some(Finding::critical(value, meaning).fix(fix)))
}

/// What makes a directory for the service at its start, where systemd does. systemd.exec(5)
fn owned_by_service(directory: &str) -> Option<String> {
    let places =
        [("RuntimeDirectory", "/run/"), ("LogsDirectory", "/var/log/"), ("StateDirectory", "/var/lib/")];
    places.iter().find_map(|(key, parent)| Some(format!("{key}={}", directory.strip_prefix(parent)?)))
}
