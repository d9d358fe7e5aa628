//! How TCP itself behaves here: its windows, its probes, its memory.

use super::Check;
use crate::cli::doctor::demand::{self, Descriptors};
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::cli::table::count;
use crate::config::model::{Config, TcpKeepalive};
use humantime::format_duration;
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "net.ipv4.tcp_slow_start_after_idle", run: slow_start_after_idle },
    Check { name: "net.ipv4.tcp_keepalive_time", run: keepalive },
    Check { name: "net.ipv4.tcp_mem", run: mem },
    Check { name: "net.ipv4.tcp_rmem", run: rmem },
    Check { name: "net.ipv4.tcp_wmem", run: wmem },
];

/// What tcp_rmem and tcp_wmem guarantee a socket together, in bytes: 4 KiB each. ip-sysctl.rst
const SOCKET_MINIMUM: u64 = 8 * 1024;
/// Less than this for all sockets is no server's setting: it is what the kernel takes on 64 MiB of RAM.
const TCP_MEMORY_FLOOR: u64 = 6 << 20;

/// A connection that idles for a retransmission timeout begins again with the first window, which takes
/// from a kept connection most of what it was kept for. ip-sysctl.rst, RFC 2861
fn slow_start_after_idle(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_slow_start_after_idle";
    let value = facts.sysctls.number(NAME)?;
    let pooled = config.upstreams.iter().map(|upstream| upstream.pool.max_idle).max().unwrap_or(0);
    let idle = config.listeners.iter().map(|listener| listener.timeout.idle).max().unwrap_or_default();
    let whose = format!(
        "{} pooled connections to an endpoint, and clients silent for up to {},",
        count(pooled as u64),
        format_duration(idle),
    );
    if value == 0 {
        return Ok(Finding::ok(value, format!("{whose} keep the window that they have reached.")));
    }
    let meaning =
        format!("{whose} begin again with 10 segments after a fraction of a second without traffic.");
    Ok(Finding::warn(value, meaning).fix(Fix::sysctl(NAME, 0)))
}

/// The configuration sets its own times on every socket, so that these hold for none of ours. tcp(7)
fn keepalive(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let time = facts.sysctls.number("net.ipv4.tcp_keepalive_time")?;
    let interval = facts.sysctls.number("net.ipv4.tcp_keepalive_intvl")?;
    let probes = facts.sysctls.number("net.ipv4.tcp_keepalive_probes")?;
    let value = format!("{} s + {probes} x {interval} s", count(time));
    let listeners = config.listeners.iter();
    let mut off: Vec<(&str, &str)> = listeners
        .filter(|listener| listener.socket.tcp_keepalive.is_none())
        .map(|listener| ("listener", listener.name.as_str()))
        .collect();
    let upstreams = config.upstreams.iter();
    let silent = upstreams.filter(|upstream| upstream.socket.tcp_keepalive.is_none());
    off.extend(silent.map(|upstream| ("upstream", upstream.name.as_str())));
    if let Some((table, name)) = off.first() {
        let silence = demand::longest_silence(config).map(|silence| silence.time).unwrap_or_default();
        let meaning = format!(
            "Not used, and the {table} \"{name}\" has probes of its own off: a peer that vanished while \
             nothing was on the way is noticed only by a timeout, after up to {}.",
            format_duration(silence),
        );
        let line = "socket.tcp_keepalive = { idle = \"60s\", interval = \"10s\", count = 6 }";
        let fixes = off.iter().map(|(table, name)| Fix::toml(table, name, line.to_owned()));
        return Ok(fixes.fold(Finding::warn(value, meaning), Finding::fix));
    }
    let meaning = format!(
        "Not used: the configuration's own probes find a peer that vanished within {}.",
        format_duration(longest_search(config)),
    );
    Ok(Finding::ok(value, meaning))
}

/// The longest time from the last packet to a connection found dead by probes.
fn longest_search(config: &Config) -> Duration {
    let clients = config.listeners.iter().map(|listener| listener.socket.tcp_keepalive);
    let endpoints = config.upstreams.iter().map(|upstream| upstream.socket.tcp_keepalive);
    let time =
        |probes: TcpKeepalive| probes.idle.saturating_add(probes.interval.saturating_mul(probes.count));
    clients.chain(endpoints).flatten().map(time).max().unwrap_or_default()
}

/// What all TCP sockets may hold in queues, in pages; beyond it, the kernel drops. ip-sysctl.rst
fn mem(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_mem";
    let [low, pressure, most] = facts.sysctls.numbers::<u64, 3>(NAME)?;
    let page = facts.page_size.clone()?;
    let bytes = most.saturating_mul(page);
    let value = format!("{low} {pressure} {most}");
    let sockets = Descriptors::of(config).least().map_or(0, |_| Descriptors::of(config).sockets());
    let need = TCP_MEMORY_FLOOR.max(sockets.saturating_mul(SOCKET_MINIMUM));
    let meaning = format!("All sockets together may have {} in their queues", mebibytes(bytes));
    if bytes >= need {
        return Ok(Finding::ok(value, format!("{meaning}.")));
    }
    let meaning = format!(
        "{meaning}; the {} of this configuration, at the {} KiB that each is guaranteed, come to {}.",
        if sockets == 0 { "sockets".to_owned() } else { format!("{} sockets", count(sockets)) },
        SOCKET_MINIMUM / 1024,
        mebibytes(need),
    );
    // The kernel's own proportions: 3 to 4 to 6. tcp_init_mem() in net/ipv4/tcp.c
    let most = need.div_ceil(page).next_multiple_of(6);
    let line = format!("{} {} {most}", most / 2, most / 3 * 2);
    Ok(Finding::warn(value, meaning).fix(Fix::sysctl(NAME, line)))
}

/// The kernel chooses a largest receive buffer of 128 KiB on the smallest machines. ip-sysctl.rst
fn rmem(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    buffer(facts, "net.ipv4.tcp_rmem", 128 * 1024, "4096 131072 6291456")
}

/// The kernel chooses a largest send buffer of 64 KiB on the smallest machines. ip-sysctl.rst
fn wmem(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    buffer(facts, "net.ipv4.tcp_wmem", 64 * 1024, "4096 16384 4194304")
}

/// A buffer holds what is on the way, so that its size over the round trip is the most that a
/// connection can carry.
fn buffer(facts: &HostFacts, name: &str, least: u64, usual: &str) -> Fact<Finding> {
    let [low, begin, most] = facts.sysctls.numbers::<u64, 3>(name)?;
    let value = format!("{low} {begin} {most}");
    let meaning = format!(
        "A connection carries up to {} a second where the round trip is 50 ms.",
        mebibytes(most.saturating_mul(20)),
    );
    if most < least {
        return Ok(Finding::warn(value, meaning).fix(Fix::sysctl(name, usual)));
    }
    Ok(Finding::ok(value, meaning))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
