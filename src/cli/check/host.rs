//! What a configuration asks for and this host does not allow. Apart from [`Host::read`] pure; not for
//! `config`, which compiles the same everywhere.

use crate::budget::Budget;
use crate::cli::table::count;
use crate::config::load::{Element, Loaded};
use crate::config::model::{Backlog, Config, Listener, Source, Upstream};
use crate::source::kernel::narrowed;
use crate::supervisor::fixed_descriptors;
use crate::sys::limits;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Limits of a host; `None`: it does not tell, and nothing is said of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    somaxconn: Option<u32>,
    local_ports: Option<RangeInclusive<u16>>,
    /// RLIMIT_NOFILE's hard limit, to which `run` raises its own.
    nofile: Option<u64>,
}

impl Host {
    /// Those of this host, as they are now.
    pub(super) fn read() -> Self {
        Self {
            somaxconn: limits::somaxconn().ok(),
            local_ports: limits::local_port_range().ok(),
            nofile: limits::nofile().ok().map(|(_, hard)| hard),
        }
    }
}

/// Adds a warning for everything that the host does not allow.
pub(super) fn compare(loaded: &mut Loaded, host: &Host) {
    let (listeners, upstreams) = (loaded.config.listeners.clone(), loaded.config.upstreams.clone());
    for (index, listener) in listeners.iter().enumerate() {
        backlog(loaded, Element::Listener(index), listener, host);
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        ports(loaded, Element::Upstream(index), &upstream.source, host);
        pool(loaded, Element::Upstream(index), upstream, host);
    }
    descriptors(loaded, host);
}

/// listen(2): the kernel cuts the backlog to somaxconn, silently.
fn backlog(loaded: &mut Loaded, element: Element, listener: &Listener, host: &Host) {
    let (Backlog::Connections(backlog), Some(most)) = (listener.socket.backlog, host.somaxconn) else {
        return;
    };
    if backlog > most {
        let message = format!("the kernel cuts it to net.core.somaxconn, which is {most} here");
        let fix = format!("write {most} or less, or set net.core.somaxconn to {backlog}");
        loaded.warn(element, "socket.backlog", message, fix);
    }
}

fn ports(loaded: &mut Loaded, element: Element, source: &Source, host: &Host) {
    let (Some(configured), Some(local)) = (&source.ports, &host.local_ports) else { return };
    let narrowed = narrowed(configured, local);
    if narrowed != *configured {
        let message = format!(
            "net.ipv4.ip_local_port_range is {}, which it only makes narrower: connections come from {}",
            range(local),
            range(&narrowed)
        );
        let fix = format!("write a range within \"{}\", or set the former to hold this one", range(local));
        loaded.warn(element, "source.ports", message, fix);
    }
}

/// Connections to one endpoint that the pool may hold, against the ports for them.
fn pool(loaded: &mut Loaded, element: Element, upstream: &Upstream, host: &Host) {
    let Some((room, of)) = room(&upstream.source, host) else { return };
    let pool = &upstream.pool;
    // Nobody meant the default of max_idle to be reached.
    let max_idle = if loaded.is_written(element, "pool.max_idle") { pool.max_idle } else { 0 };
    for (key, connections) in [
        ("pool.min_idle", pool.min_idle),
        ("pool.max_idle", max_idle),
        ("pool.max_connections", pool.max_connections),
    ] {
        if connections as u64 > room {
            let percent = upstream.source.refuse_percent;
            let message =
                format!("{of} are not enough: up to refuse_percent ({percent} %), {room} connections");
            let fix = format!("write {room} or less, or provide more ports");
            loaded.warn(element, key, message, fix);
        }
    }
}

/// How many connections may be open to one endpoint, and what of.
fn room(source: &Source, host: &Host) -> Option<(u64, String)> {
    let sources = source.addresses.len().max(1) as u64;
    let local = match (&source.ports, &host.local_ports) {
        (Some(configured), Some(local)) => Some(narrowed(configured, local)),
        (configured, local) => configured.clone().or_else(|| local.clone()),
    };
    let local = local.map(|range| sources * range.len() as u64);
    let local = local.map(|ports| (ports, format!("the {} local ports towards an endpoint", count(ports))));
    let nat =
        source.nat.map(|nat| (nat.ports.into(), format!("the {} ports of the NAT", count(nat.ports.into()))));
    let (ports, of): (u64, String) = [local, nat].into_iter().flatten().min()?;
    Some(((ports * u64::from(source.refuse_percent)).div_ceil(100), of))
}

/// All connections that the limits speak of, against the descriptors that are left for them.
fn descriptors(loaded: &mut Loaded, host: &Host) {
    let Some(nofile) = host.nofile.and_then(|nofile| usize::try_from(nofile).ok()) else { return };
    let wanted = wanted(&loaded.config);
    let sum: usize = wanted.iter().fold(0, |sum, (_, _, connections)| sum.saturating_add(*connections));
    let room = Budget::new(nofile, fixed_descriptors(&loaded.config)).limit();
    let most = wanted.into_iter().max_by_key(|(_, _, connections)| *connections);
    let Some((element, key, _)) = most.filter(|_| sum > room) else { return };
    let message = format!(
        "listeners and pools may hold {} connections together, and RLIMIT_NOFILE ({}) leaves {}",
        count(sum as u64),
        count(nofile as u64),
        count(room as u64)
    );
    let enough = sum.saturating_add(nofile - room.min(nofile));
    let fix = format!("write less, or raise it to {enough} (LimitNOFILE= of systemd, ulimit -Hn)");
    loaded.warn(element, key, message, fix);
}

/// The keys that speak of a number of connections, and that number, over all endpoints.
fn wanted(config: &Config) -> Vec<(Element, &'static str, usize)> {
    let clients = |(index, listener): (usize, &Arc<Listener>)| {
        (Element::Listener(index), "limit.connections", listener.limit.connections)
    };
    let pooled = |(index, upstream): (usize, &Arc<Upstream>)| {
        let (key, each) = match upstream.pool.max_connections {
            0 => ("pool.min_idle", upstream.pool.min_idle),
            most => ("pool.max_connections", most),
        };
        (Element::Upstream(index), key, each.saturating_mul(upstream.endpoints_at_least()))
    };
    let clients = config.listeners.iter().enumerate().map(clients);
    clients.chain(config.upstreams.iter().enumerate().map(pooled)).collect()
}

fn range(ports: &RangeInclusive<u16>) -> String {
    format!("{}-{}", ports.start(), ports.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse_str;

    /// One worker, so that 7 descriptors are taken for good and 64 kept back.
    const SOUND: &str = r#"runtime.workers = 1
[[listener]]
bind = "127.0.0.1:8080"
upstream = "app"
[[upstream]]
name = "app"
endpoints = ["192.0.2.1:1", "192.0.2.2:1"]
"#;

    fn host() -> Host {
        Host { somaxconn: Some(128), local_ports: Some(32_768..=60_999), nofile: Some(1072) }
    }

    fn warnings_on(host: &Host, text: &str) -> Vec<String> {
        let mut loaded = parse_str("x", text).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(loaded.warnings, [], "{text}");
        compare(&mut loaded, host);
        loaded.warnings.iter().map(ToString::to_string).collect()
    }

    fn warnings(lines: &str) -> Vec<String> {
        warnings_on(&host(), &format!("{SOUND}{lines}"))
    }

    #[test]
    fn a_backlog_is_cut_to_somaxconn() {
        let text = |n: u32| {
            SOUND.replace("upstream = \"app\"", &format!("upstream = \"app\"\nsocket.backlog = {n}"))
        };
        assert_eq!(warnings_on(&host(), &text(128)), [""; 0]);
        assert_eq!(
            warnings_on(&host(), &text(129)),
            [
                "warning: x:5: listener[0].socket.backlog: the kernel cuts it to net.core.somaxconn, which is 128 \
              here; write 128 or less, or set net.core.somaxconn to 129"
            ]
        );
    }

    #[test]
    fn ports_lie_within_the_kernels() {
        let ports = |range| warnings(&format!("source.ports = \"{range}\""));
        assert_eq!(ports("32768-60999"), [""; 0]);
        assert_eq!(
            ports("20000-40000"),
            [
                "warning: x:8: upstream.app.source.ports: net.ipv4.ip_local_port_range is 32768-60999, which it \
              only makes narrower: connections come from 32768-40000; write a range within \"32768-60999\", or \
              set the former to hold this one"
            ]
        );
        assert!(ports("1000-2000")[0].contains("connections come from 32768-60999"), "neither end counts");
    }

    #[test]
    fn a_pool_holds_no_more_than_its_ports() {
        // 85 % of 28,232 is 23,997.2: one more may begin below that.
        let plenty = Host { nofile: Some(1 << 30), ..host() };
        let pool = |lines: &str| warnings_on(&plenty, &format!("{SOUND}{lines}\n"));
        assert_eq!(pool("pool.max_connections = 23998"), [""; 0]);
        assert_eq!(
            pool("pool.max_connections = 23999"),
            [
                "warning: x:8: upstream.app.pool.max_connections: the 28,232 local ports towards an endpoint are \
              not enough: up to refuse_percent (85 %), 23998 connections; write 23998 or less, or provide more \
              ports"
            ]
        );
        let two = "source.addresses = [\"192.0.2.3\", \"192.0.2.4\"]\n";
        assert_eq!(pool(&format!("{two}pool.max_idle = 47995")), [""; 0]);
        assert!(pool(&format!("{two}pool.max_idle = 47996"))[0].contains("pool.max_idle: the 56,464 local"));
        let few = "source.ports = \"40000-40009\"\nsource.refuse_percent = 90\n";
        assert_eq!(pool(few), [""; 0], "the default of max_idle is nobody's wish");
        assert_eq!(pool(&format!("{few}pool.min_idle = 9")), [""; 0]);
        assert!(pool(&format!("{few}pool.min_idle = 10"))[0].contains("pool.min_idle: the 10 local ports"));
        let nat = pool("source.nat = \"gcp-cloud-nat\"\npool.max_connections = 56\n");
        assert!(nat[0].contains("the 64 ports of the NAT") && nat[0].contains("write 55 or less"), "{nat:?}");
    }

    #[test]
    fn limits_fit_into_the_descriptors_together() {
        // 1,072 less 64 and 8 are 1,000, for two endpoints.
        let limit = |n: u32| {
            SOUND.replace("upstream = \"app\"", &format!("upstream = \"app\"\nlimit.connections = {n}"))
        };
        assert_eq!(warnings_on(&host(), &format!("{}pool.max_connections = 300", limit(400))), [""; 0]);
        assert_eq!(
            warnings_on(&host(), &format!("{}pool.max_connections = 300", limit(401))),
            [
                "warning: x:9: upstream.app.pool.max_connections: listeners and pools may hold 1,001 connections \
              together, and RLIMIT_NOFILE (1,072) leaves 1,000; write less, or raise it to 1073 (LimitNOFILE= of \
              systemd, ulimit -Hn)"
            ]
        );
        assert!(
            warnings_on(&host(), &limit(1001))[0].starts_with("warning: x:5: listener[0].limit.connections")
        );
        assert!(
            warnings("pool.max_idle = 501\npool.min_idle = 501")[0].contains("9: upstream.app.pool.min_idle")
        );
        let shared =
            limit(995).replace("upstream = \"app\"\n", "upstream = \"app\"\nsocket.reuse_port = false\n");
        assert_eq!(warnings_on(&host(), &shared.replace("workers = 1", "workers = 2")), [""; 0]);
        assert_eq!(warnings_on(&host(), &limit(997).replace("workers = 1", "workers = 2")).len(), 1);
    }

    #[test]
    fn what_a_host_does_not_tell_is_not_guessed() {
        let lines = "pool.max_connections = 1000000\nsource.addresses = [\"192.0.2.3\"]\n";
        assert_eq!(warnings_on(&Host::default(), &format!("{SOUND}{lines}")), [""; 0]);
        let read = Host::read();
        assert!(read.somaxconn.is_some() && read.local_ports.is_some() && read.nofile.is_some(), "{read:?}");
    }
}
