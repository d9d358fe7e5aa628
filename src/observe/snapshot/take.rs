//! From the registry to a [`Snapshot`].

use super::*;
use crate::config::model::{Balance, Protocol};
use crate::metrics::counters::{EndpointCounters, ListenerCounters};
use crate::metrics::host::Host;
use crate::metrics::render::RESPONSE_CLASSES;
use crate::reason::{CloseReason, DiscardReason, RejectReason};
use crate::registry::{EndpointState, ListenerState, Registry, Running, UpstreamState};
use crate::source::ports::Figures;
use std::time::{Duration, Instant};

/// Why the kernel's view is `null` everywhere.
const NO_CENSUS: &str = "not measured by this version: tcp_states, accept_queue.depth \
     and depth_max, and in kernel: tcp_tw_reuse";

impl Snapshot {
    /// The figures now. The workers go on counting meanwhile, so that two of them may be a few
    /// events apart.
    pub fn take(registry: &Registry, host: Host) -> Self {
        let mut notes = host.notes.clone();
        let running = registry.running();
        let close_wait = close_wait(registry, &mut notes);
        notes.push(NO_CENSUS.to_owned());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: seconds(registry.started.elapsed()),
            draining: registry.is_draining(),
            config: ConfigInfo {
                generation: running.generation,
                loaded_at: humantime::format_rfc3339_millis(running.loaded_at).to_string(),
            },
            process: Process {
                fds: Descriptors { used: host.descriptors, limit: registry.budget.nofile() as u64 },
                memory_bytes: host.resident_bytes,
            },
            kernel: kernel(&host),
            listeners: running
                .listeners
                .iter()
                .map(|state| listener(&running, state, host.somaxconn))
                .collect(),
            upstreams: running.upstreams.iter().map(|state| upstream(state)).collect(),
            close_wait: Some(close_wait),
            budgets: Vec::new(),
            census: None,
            notes,
        }
    }
}

fn close_wait(registry: &Registry, notes: &mut Vec<String>) -> CloseWait {
    let stuck = registry.close_wait.stuck(Instant::now());
    let stuck = stuck.map_err(|why| notes.push(format!("close_wait.count and oldest_s: {why}"))).ok();
    CloseWait {
        count: stuck.map(|stuck| stuck.count),
        oldest_s: stuck.map(|stuck| seconds(stuck.oldest)),
        reaped_total: registry.close_wait.reaped_total(),
        sockets: Vec::new(),
    }
}

fn kernel(host: &Host) -> Kernel {
    Kernel {
        somaxconn: host.somaxconn,
        tcp_max_syn_backlog: host.tcp_max_syn_backlog,
        local_ports: host.local_ports,
        tcp_tw_reuse: None,
        listen_overflows: host.tcp.listen_overflows,
        listen_drops: host.tcp.listen_drops,
        time_wait_overflow: host.tcp.time_wait_overflow,
        orphans: host.tcp_sockets.orphans,
        syn_queue_drops: host.tcp.syn_queue_drops,
        syn_queue_cookies: host.tcp.syn_queue_cookies,
        syncookies_sent: host.tcp.syncookies_sent,
        tcp_memory_bytes: host
            .tcp_sockets
            .memory_bytes
            .zip(host.tcp_memory_limit)
            .map(|(used, limit)| [used, limit]),
    }
}

fn listener(running: &Running, state: &ListenerState, somaxconn: Option<u32>) -> Listener {
    let sum = |pick: &dyn Fn(&ListenerCounters) -> u64| state.workers.iter().map(pick).sum::<u64>();
    let closes = CloseReason::ALL.iter().map(|r| (r.label(), sum(&|w| w.closes.get(r.index()))));
    let rejects = RejectReason::ALL.iter().map(|r| (r.label(), sum(&|w| w.rejects.get(r.index()))));
    let responses =
        RESPONSE_CLASSES.iter().enumerate().map(|(i, class)| (*class, sum(&|w| w.responses.get(i))));
    Listener {
        name: state.config.name.clone(),
        address: state.address.to_string(),
        protocol: match state.config.protocol {
            Protocol::Http => "http",
            Protocol::Tcp => "tcp",
        }
        .to_owned(),
        upstream: running.upstreams.get(state.config.upstream).map(|upstream| upstream.config.name.clone()),
        sessions: Sessions {
            current: state.gauge(|w| &w.sessions),
            total: state.total(|w| &w.sessions_total),
        },
        requests_total: state.total(|w| &w.requests_total),
        accept_errors_total: state.total(|w| &w.accept_errors),
        accept_queue: AcceptQueue {
            depth: None,
            limit: somaxconn.map_or(state.backlog, |most| state.backlog.min(most)).into(),
            depth_max: None,
        },
        tcp_states: None,
        closes: named(closes),
        rejects: named(rejects),
        responses: named(responses),
        bytes: Bytes {
            received_total: state.total(|w| &w.received_bytes),
            sent_total: state.total(|w| &w.sent_bytes),
        },
    }
}

fn upstream(state: &UpstreamState) -> Upstream {
    let endpoints = state.endpoints.iter().enumerate();
    Upstream {
        name: state.config.name.clone(),
        balance: match state.config.balance {
            Balance::RoundRobin => "round_robin",
            Balance::LeastConn => "least_conn",
            Balance::P2c => "p2c",
            Balance::Random => "random",
            Balance::Hash(_) => "hash",
        }
        .to_owned(),
        endpoints: endpoints.map(|(index, one)| endpoint(state, index, one)).collect(),
    }
}

fn endpoint(upstream: &UpstreamState, index: usize, state: &EndpointState) -> Endpoint {
    let (idle_timeout, idle_timeout_from) = state.idle_timeout_at(&upstream.config, Instant::now());
    let (opened, reused) = (state.total(|w| &w.opened_total), state.total(|w| &w.reused_total));
    let discards = |worker: &EndpointCounters, r: &DiscardReason| worker.discards.get(r.index());
    let discards = DiscardReason::ALL
        .iter()
        .map(|r| (r.label(), state.workers.iter().map(|worker| discards(worker, r)).sum()));
    Endpoint {
        address: state.address.to_string(),
        weight: state.weight,
        health: if upstream.health.is_up(index) { "up" } else { "down" }.to_owned(),
        admin: "enabled".to_owned(),
        connections: Connections {
            idle: state.gauge(|w| &w.idle),
            leased: state.gauge(|w| &w.leased),
            connecting: state.gauge(|w| &w.connecting),
            waiting: state.gauge(|w| &w.waiting),
        },
        opened_total: opened,
        reused_total: reused,
        reuse_ratio: (opened + reused > 0).then(|| reused as f64 / (opened + reused) as f64),
        taken_over_total: state.total(|w| &w.taken_over_total),
        retries_total: state.total(|w| &w.retries_total),
        connect_errors_total: state.total(|w| &w.connect_errors_total),
        local_errors_total: state.total(|w| &w.local_errors_total),
        idle_timeout_s: seconds(idle_timeout),
        idle_timeout_from: idle_timeout_from.label().to_owned(),
        discards: named(discards),
        bytes: Bytes {
            received_total: state.total(|w| &w.received_bytes),
            sent_total: state.total(|w| &w.sent_bytes),
        },
        tcp_states: None,
        time_wait: TimeWait {
            caused_total: state.total(|w| &w.time_wait_caused_total),
            avoided_total: state.total(|w| &w.time_wait_avoided_total),
        },
        ports: Some(state.sources.iter().map(|source| ports(&source.figures(Instant::now()))).collect()),
    }
}

fn ports(figures: &Figures) -> Ports {
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    Ports {
        source: figures.source.to_string(),
        capacity: figures.capacity.into(),
        used: figures.used.into(),
        time_wait: figures.time_wait.into(),
        free: figures.free.into(),
        opens_per_s: tenths(figures.opens_per_s),
        exhausts_in_s: figures.exhausts_in_s.map(tenths),
        level: figures.level.label().to_owned(),
    }
}

fn named<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<String, u64> {
    counts.map(|(label, count)| (label.to_owned(), count)).collect()
}

/// To the millisecond.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
