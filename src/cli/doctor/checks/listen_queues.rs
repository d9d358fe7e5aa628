//! Clients that wait to be accepted.

use super::Check;
use crate::cli::check::counted;
use crate::cli::doctor::demand;
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::cli::table::count;
use crate::config::model::{Backlog, Config, Listener};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "net.core.somaxconn", run: somaxconn },
    Check { name: "listener.socket.backlog", run: backlog },
    Check { name: "net.ipv4.tcp_max_syn_backlog", run: max_syn_backlog },
    Check { name: "net.ipv4.tcp_syncookies", run: syncookies },
    Check { name: "net.ipv4.tcp_abort_on_overflow", run: abort_on_overflow },
    Check { name: "net.ipv4.tcp_migrate_req", run: migrate_req },
    Check { name: "net.core.netdev_max_backlog", run: netdev_max_backlog },
];

/// The kernel's default since Linux 5.4, ip-sysctl.rst.
const USUAL_SOMAXCONN: u64 = 4096;
/// What SOMAXCONN was before that: less has always been little.
const SMALL_BACKLOG: u32 = 128;

/// listen(2) cuts a longer backlog to net.core.somaxconn without a word. listen(2), ip-sysctl.rst
fn somaxconn(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.core.somaxconn";
    let limit = facts.sysctls.number(NAME)?;
    let cut = |listener: &&Listener| demand::backlog(listener, limit) > limit;
    let longest = config.listeners.iter().map(AsRef::as_ref).filter(cut);
    if let Some(listener) = longest.max_by_key(|listener| demand::backlog(listener, limit)) {
        let wanted = demand::backlog(listener, limit);
        let meaning = format!(
            "Listener \"{}\" asks for a queue of {}, which the kernel cuts to {}.",
            listener.name,
            count(wanted),
            count(limit),
        );
        return Ok(Finding::warn(count(limit), meaning).fix(Fix::sysctl(NAME, wanted)));
    }
    let queues = queues(config, limit);
    let is_auto = |listener: &Listener| listener.socket.backlog == Backlog::Auto;
    if limit < USUAL_SOMAXCONN && config.listeners.iter().any(|listener| is_auto(listener)) {
        let meaning = format!(
            "{queues}; in a burst of more, the others' handshakes are dropped, and they try again after a \
             second. The kernel's default is {}.",
            count(USUAL_SOMAXCONN),
        );
        return Ok(Finding::warn(count(limit), meaning).fix(Fix::sysctl(NAME, USUAL_SOMAXCONN)));
    }
    Ok(Finding::ok(count(limit), format!("{queues}.")))
}

/// How many sockets queue how many clients.
fn queues(config: &Config, limit: u64) -> String {
    let addresses = demand::listening_addresses(config);
    let workers = config.runtime.workers;
    let sockets = config.listeners.iter().map(|listener| {
        if listener.socket.reuse_port { listener.bind.len() * workers } else { listener.bind.len() }
    });
    let limit = count(limit);
    match sockets.sum() {
        1 => format!("1 listening socket queues up to {limit} clients"),
        sockets => format!(
            "{sockets} listening sockets ({}, {}) queue up to {limit} clients each",
            demand::counted_addresses(addresses),
            counted(workers, "worker"),
        ),
    }
}

/// A queue that is short overflows between two turns of a busy worker. listen(2)
fn backlog(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let somaxconn = facts.sysctls.number("net.core.somaxconn")?;
    let value = |listener: &Listener| match listener.socket.backlog {
        Backlog::Auto => "auto".to_owned(),
        Backlog::Connections(wanted) => count(wanted.into()),
    };
    let values: Vec<String> = config.listeners.iter().map(|listener| value(listener)).collect();
    let value = values.join(", ");
    let is_small = |listener: &&Listener| matches!(listener.socket.backlog, Backlog::Connections(wanted) if wanted < SMALL_BACKLOG);
    let mut small = config.listeners.iter().map(AsRef::as_ref).filter(is_small).peekable();
    let Some(first) = small.peek() else {
        let longest = demand::longest_queue(config, somaxconn);
        return Ok(Finding::ok(value, format!("The longest accept queue holds {} clients.", count(longest))));
    };
    let meaning = format!(
        "Listener \"{}\" queues no more clients than that; in a burst of more, the others' handshakes are \
         dropped, and they try again after a second.",
        first.name,
    );
    let fix = |listener: &Listener| Fix::toml("listener", &listener.name, "socket.backlog = \"auto\"".into());
    Ok(small.fold(Finding::warn(value, meaning), |finding, listener| finding.fix(fix(listener))))
}

/// Without SYN cookies, the kernel drops the SYN of an address that it does not know once three
/// quarters of this many handshakes are unfinished on a socket; with them it sends cookies once the
/// backlog is full, and this setting has no part in it. ip-sysctl.rst, tcp_conn_request() in
/// net/ipv4/tcp_input.c; both were seen on Linux 6.18
fn max_syn_backlog(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_max_syn_backlog";
    let most = facts.sysctls.number(NAME)?;
    let cookies = facts.sysctls.number("net.ipv4.tcp_syncookies")?;
    let longest = demand::longest_queue(config, facts.sysctls.number("net.core.somaxconn")?);
    let begun = most - most / 4;
    if cookies > 0 {
        let meaning = format!(
            "Without effect while SYN cookies are on: {} unfinished handshakes are kept for a socket, and \
             cookies answer beyond.",
            count(longest),
        );
        return Ok(Finding::ok(count(most), meaning));
    }
    if begun < longest {
        let meaning = format!(
            "Without SYN cookies, new clients are dropped once {} handshakes are unfinished on a socket, though \
             {} could wait to be accepted.",
            count(begun),
            count(longest),
        );
        let enough = demand::round_up(longest.saturating_mul(4).div_ceil(3));
        return Ok(Finding::warn(count(most), meaning).fix(Fix::sysctl(NAME, enough)));
    }
    let meaning = format!("Up to {} handshakes may be unfinished on a socket.", count(begun));
    Ok(Finding::ok(count(most), meaning))
}

/// Cookies are the fallback for a queue that overflows; 2 sends them always, for testing, and they carry
/// no TCP options. ip-sysctl.rst
fn syncookies(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_syncookies";
    let value = facts.sysctls.number(NAME)?;
    let longest = count(demand::longest_queue(config, facts.sysctls.number("net.core.somaxconn")?));
    let (is_good, meaning) = match value {
        0 => (false, format!("A flood of SYNs, from {longest} on at a socket, keeps every other client out.")),
        1 => (true, format!("Clients beyond {longest} unfinished handshakes of a socket are still let in.")),
        _ => (
            false,
            "Every handshake is answered with a cookie, which is for testing: clients without timestamps lose \
             window scaling and selective acknowledgement."
                .to_owned(),
        ),
    };
    Ok(match is_good {
        true => Finding::ok(value, meaning),
        false => Finding::warn(value, meaning).fix(Fix::sysctl(NAME, 1)),
    })
}

/// "Enable this option only if you are really sure that listening daemon cannot be tuned to accept
/// connections faster." ip-sysctl.rst
fn abort_on_overflow(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_abort_on_overflow";
    let value = facts.sysctls.number(NAME)?;
    let longest = count(demand::longest_queue(config, facts.sysctls.number("net.core.somaxconn")?));
    if value == 0 {
        let meaning = format!("A client that finds {longest} before it in a queue tries again by itself.");
        return Ok(Finding::ok(value, meaning));
    }
    let meaning = format!(
        "A client that finds {longest} before it in a queue is reset, where it could try again by itself."
    );
    Ok(Finding::warn(value, meaning).fix(Fix::sysctl(NAME, 0)))
}

/// A listening socket that closes aborts the handshakes and the queue that it holds; with this setting
/// they move to another socket of the port. All of ours have the same options, which the document asks
/// for. ip-sysctl.rst, since Linux 5.14
fn migrate_req(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_migrate_req";
    let value = facts.sysctls.number(NAME)?;
    let workers = config.runtime.workers;
    let shares = config.listeners.iter().any(|listener| listener.socket.reuse_port) && workers > 1;
    Ok(match (shares, value) {
        (false, _) => Finding::ok(value, "Of no account: every address has a single listening socket."),
        (true, 0) => {
            let meaning = format!(
                "Each address has {workers} listening sockets. When one closes, the clients whose handshake \
                 or queue place it holds are reset, although the others could take them.",
            );
            Finding::warn(value, meaning).fix(Fix::sysctl(NAME, 1))
        }
        (true, _) => {
            let meaning = format!(
                "Each address has {workers} listening sockets. When one closes, the others take its clients.",
            );
            Finding::ok(value, meaning)
        }
    })
}

/// For information: what is enough depends on the network card. Shown by the first network namespace
/// alone. Documentation/admin-guide/sysctl/net.rst
fn netdev_max_backlog(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    let value = facts.sysctls.number("net.core.netdev_max_backlog")?;
    let meaning = format!(
        "Up to {} packets wait for a processor. The second column of /proc/net/softnet_stat counts those that \
         were dropped: raise it if that grows.",
        count(value),
    );
    Ok(Finding::ok(count(value), meaning))
}
