//! What this process may do: ports, addresses, files.

use super::Check;
use crate::cli::doctor::facts::{Fact, HostFacts, Occupant, Place};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::config::model::{AccessLog, AdminListen, Config};
use crate::sys::probe::Access;
use crate::sys::rights::Capability;
use std::net::SocketAddr;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "CAP_NET_BIND_SERVICE", run: net_bind_service },
    Check { name: "listener.bind", run: bind },
    Check { name: "admin.listen", run: admin_listen },
    Check { name: "log.access", run: access_log },
];

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
    let mut written = Vec::new();
    let mut missing = None;
    for listener in &config.listeners {
        for address in &listener.bind {
            written.push(address.to_string());
            let here =
                address.ip().is_unspecified() || facts.is_local(address.ip())? || nonlocal(facts, *address)?;
            if !here && missing.is_none() {
                missing = Some((&listener.name, *address));
            }
        }
    }
    let value = written.join(", ");
    let Some((name, address)) = missing else {
        return Ok(Finding::ok(value, "Addresses of this host, or all of them."));
    };
    let meaning = format!("No interface has {}, so listener \"{name}\" cannot bind it.", address.ip());
    let every = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
    let line = format!("bind = \"{every}:{}\"", address.port());
    Ok(Finding::critical(value, meaning).fix(Fix::toml("listener", name, line)))
}

fn nonlocal(facts: &HostFacts, address: SocketAddr) -> Fact<bool> {
    let name = if address.is_ipv4() { "net.ipv4.ip_nonlocal_bind" } else { "net.ipv6.ip_nonlocal_bind" };
    Ok(facts.sysctls.number(name)? != 0)
}

/// The socket's file is made in its directory, and replaces a socket but nothing else. unix(7)
fn admin_listen(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let Some(place) = &facts.admin_socket else {
        let value = match &config.admin.listen {
            AdminListen::Tcp(address) => address.to_string(),
            AdminListen::Unix(path) => format!("unix:{}", path.display()),
        };
        return Ok(Finding::ok(value, "A loopback address: no file is needed."));
    };
    let value = format!("unix:{}", place.path.display());
    if let Some(finding) = directory_refuses(&value, place, "RuntimeDirectory=millpond", "The admin socket")?
    {
        return Ok(finding);
    }
    if place.occupant.clone()? == Occupant::Other {
        let meaning = "A file that is no socket is in the way of the admin socket.";
        let fix = Fix::toml_section("admin", format!("listen = \"{value}.sock\""));
        return Ok(Finding::critical(value, meaning).fix(fix));
    }
    Ok(Finding::ok(value, format!("{} may be written to.", place.directory())))
}

/// The log is appended to, or made if it is not there. open(2)
fn access_log(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let Some(place) = &facts.access_log else {
        let value = if config.log.access == AccessLog::Stdout { "stdout" } else { "off" };
        return Ok(Finding::ok(value, "No file is written."));
    };
    let value = place.path.display().to_string();
    match place.file.clone()? {
        Access::Granted => Ok(Finding::ok(value, "The file may be written to.")),
        Access::Denied(why) => {
            let fix = Fix::command(format!("chown millpond: {value}"));
            Ok(Finding::critical(value, format!("The access log cannot be written to: {why}.")).fix(fix))
        }
        Access::Missing => {
            let refused = directory_refuses(&value, place, "LogsDirectory=millpond", "The access log")?;
            let made = || Finding::ok(&value, format!("It will be made in {}.", place.directory()));
            Ok(refused.unwrap_or_else(made))
        }
    }
}

/// Why nothing can be created in the directory of a place, if that is so. `unit` is what makes a directory
/// of millpond's own in /run or /var/log. systemd.exec(5)
fn directory_refuses(value: &str, place: &Place, unit: &str, what: &str) -> Fact<Option<Finding>> {
    let directory = place.directory();
    let (meaning, now) = match place.directory.clone()? {
        Access::Granted => return Ok(None),
        Access::Missing => (
            format!("{what} cannot be made: there is no directory {directory}."),
            format!("install -d -o millpond {directory}"),
        ),
        Access::Denied(why) => {
            (format!("{what} cannot be made in {directory}: {why}."), format!("chown millpond: {directory}"))
        }
    };
    Ok(Some(Finding::critical(value, meaning).fix(Fix::service(unit.to_owned(), now))))
}
