//! From the registry to a [`Snapshot`].

use super::*;
use crate::config::diagnostic;
use crate::config::model::{Balance, Protocol};
use crate::metrics::accept_queue::QueueFigures;
use crate::metrics::budgets::BudgetFigures;
use crate::metrics::close_wait::StuckSocket;
use crate::metrics::counters::{EndpointCounters, ListenerCounters};
use crate::metrics::host::Host;
use crate::metrics::render::RESPONSE_CLASSES;
use crate::metrics::tcp_states::StateCounts;
use crate::reason::{CloseReason, DiscardReason, RejectReason};
use crate::registry::{self, EndpointState, ListenerState, Registry, Running, UpstreamState};
use crate::source::ports::Figures;
use crate::sys::sock_diag::TcpState;
use std::time::{Duration, Instant};

impl Snapshot {
    /// The figures now. The workers go on counting meanwhile, so that two of them may be a few
    /// events apart.
    pub fn take(registry: &Registry, host: Host) -> Self {
        let mut notes = host.notes.clone();
        let (now, running) = (Instant::now(), registry.running());
        let view = View::at(registry, now, &mut notes);
        let close_wait = close_wait(registry, &mut notes);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: seconds(registry.started.elapsed()),
            draining: registry.is_draining(),
            config: config(registry, &running),
            process: Process {
                fds: Descriptors { used: host.descriptors, limit: registry.budget.nofile() as u64 },
                memory_bytes: host.resident_bytes,
                pid: Some(std::process::id()),
                predecessor: predecessor(registry),
            },
            workers: workers(registry, &running),
            kernel: kernel(&host),
            listeners: listeners(&running, &view, host.somaxconn),
            upstreams: upstreams(registry, &running, &view),
            close_wait: Some(close_wait),
            budgets: budgets(registry, &mut notes),
            census: view.census,
            notes,
        }
    }
}

/// What of the kernel's view is known at this moment.
struct View {
    now: Instant,
    census: Option<Census>,
    /// Whether the listening sockets have been looked at.
    queues: bool,
}

impl View {
    fn at(registry: &Registry, now: Instant, notes: &mut Vec<String>) -> Self {
        let (census, queues) = (registry.census.last.with_age(now), registry.census.queues.get(now));
        let census = census.map_err(|why| notes.push(format!("tcp_states, census: {why}"))).ok();
        let queues = queues.map_err(|why| notes.push(format!("accept_queue: {why}")));
        let census = census.map(|(taken, age)| Census {
            interval_s: seconds(taken.interval),
            age_s: seconds(age),
            sockets: taken.sockets,
            cpu_s: taken.cpu.as_secs_f64(),
            cpu_total_s: registry.census.cpu_total().as_secs_f64(),
        });
        Self { now, census, queues: queues.is_ok() }
    }

    /// Sockets by each state that a connection can be in, and by these. The kernel lists none that is
    /// CLOSED.
    fn tcp_states(&self, counts: &StateCounts, others: &[TcpState]) -> Option<TcpStates> {
        self.census.as_ref()?;
        let states = TcpState::CONNECTION.iter().chain(others);
        Some(states.map(|state| (state.label().to_owned(), counts.get(*state).into())).collect())
    }
}

fn workers(registry: &Registry, running: &Running) -> Vec<Worker> {
    let counts = registry.restarts.by_worker(running.config.runtime.workers);
    let all = counts.into_iter();
    all.map(|(worker, restarts_total)| Worker { worker: worker as u64, restarts_total }).collect()
}

fn predecessor(registry: &Registry) -> Option<Predecessor> {
    let succession = &registry.succession;
    let registry::Predecessor { pid, version, listening_sockets, has_ended } = succession.predecessor()?;
    let (listening_sockets, connections) = (listening_sockets as u64, succession.connections());
    Some(Predecessor { pid, version, draining: !has_ended, listening_sockets, connections })
}

fn close_wait(registry: &Registry, notes: &mut Vec<String>) -> CloseWait {
    let stuck = registry.close_wait.stuck(Instant::now());
    let stuck = stuck.map_err(|why| notes.push(format!("close_wait: {why}"))).ok();
    CloseWait {
        count: stuck.as_ref().map(|stuck| stuck.count),
        oldest_s: stuck.as_ref().map(|stuck| seconds(stuck.oldest)),
        reaped_total: registry.close_wait.reaped_total(),
        sockets: stuck.iter().flat_map(|stuck| &stuck.sockets).map(close_wait_socket).collect(),
    }
}

fn close_wait_socket(socket: &StuckSocket) -> CloseWaitSocket {
    CloseWaitSocket {
        side: socket.peer.label().to_owned(),
        name: socket.name.clone(),
        local: socket.ends.local.to_string(),
        peer: socket.ends.remote.to_string(),
        phase: socket.owner.phase().map(str::to_owned),
        age_s: seconds(socket.since),
    }
}

fn budgets(registry: &Registry, notes: &mut Vec<String>) -> Vec<Budget> {
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let budget = |figures: BudgetFigures| {
        notes.extend(figures.note);
        Budget {
            name: figures.resource.label().to_owned(),
            used: figures.used,
            limit: figures.limit,
            per_s: figures.per_s.map(tenths),
            exhausts_in_s: figures.exhausts_in_s.map(tenths),
            level: figures.urgency.label().to_owned(),
        }
    };
    registry.budgets.get().into_iter().map(budget).collect()
}

fn config(registry: &Registry, running: &Running) -> ConfigInfo {
    let (reloads, status) = (&registry.reloads, registry.reloads.status());
    ConfigInfo {
        generation: running.generation,
        loaded_at: humantime::format_rfc3339_millis(running.loaded_at).to_string(),
        file: status.path,
        file_differs: status.differs,
        diagnostics: status.diagnostics.iter().map(Into::into).collect(),
        last_error: status.last_error,
        needs_restart: running.needs_restart.clone(),
        reloads_total: reloads.succeeded_total(),
        reload_failures_total: reloads.failed_total(),
    }
}

impl From<&diagnostic::Diagnostic> for Diagnostic {
    fn from(found: &diagnostic::Diagnostic) -> Self {
        Self {
            severity: found.severity.to_string(),
            position: found.position.to_string(),
            key: found.key.clone(),
            message: found.message.clone(),
            fix: found.fix.clone(),
        }
    }
}

fn listeners(running: &Running, view: &View, somaxconn: Option<u32>) -> Vec<Listener> {
    let current = running.listeners.iter().map(|state| listener(state, false, view, somaxconn));
    let leaving = running.leaving.listeners.iter().map(|state| listener(state, true, view, somaxconn));
    current.chain(leaving).collect()
}

/// Those that are leaving stand behind the others of their upstream, where it is still there.
fn upstreams(registry: &Registry, running: &Running, view: &View) -> Vec<Upstream> {
    let now = Instant::now();
    let current = running.upstreams.iter().map(|state| {
        let reports = registry.discovery.of(&state.config.name);
        let discovery = reports.iter().map(|report| Discovered::of(report, now)).collect();
        Upstream { discovery, ..upstream(state, false, view) }
    });
    let mut upstreams: Vec<Upstream> = current.collect();
    for leaving in running.leaving.upstreams.iter().map(|state| upstream(state, true, view)) {
        match upstreams.iter_mut().find(|upstream| upstream.name == leaving.name) {
            Some(upstream) => upstream.endpoints.extend(leaving.endpoints),
            None => upstreams.push(leaving),
        }
    }
    upstreams
}

fn kernel(host: &Host) -> Kernel {
    Kernel {
        somaxconn: host.somaxconn,
        tcp_max_syn_backlog: host.tcp_max_syn_backlog,
        local_ports: host.local_ports,
        tcp_tw_reuse: host.tcp_tw_reuse,
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

fn listener(state: &ListenerState, draining: bool, view: &View, somaxconn: Option<u32>) -> Listener {
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
        upstream: Some(state.upstream.clone()),
        draining,
        sessions: Sessions {
            current: state.gauge(|w| &w.sessions),
            total: state.total(|w| &w.sessions_total),
        },
        requests_total: state.total(|w| &w.requests_total),
        accept_errors_total: state.total(|w| &w.accept_errors),
        accept_queue: accept_queue(state, view, somaxconn),
        tcp_states: view.tcp_states(&state.tcp_states, &[TcpState::Listen]),
        closes: named(closes),
        rejects: named(rejects),
        responses: named(responses),
        bytes: Bytes {
            received_total: state.total(|w| &w.received_bytes),
            sent_total: state.total(|w| &w.sent_bytes),
        },
    }
}

/// Where the listening sockets have not been looked at, the limit is what listen(2) was given, as far as
/// net.core.somaxconn allows it.
fn accept_queue(state: &ListenerState, view: &View, somaxconn: Option<u32>) -> AcceptQueue {
    let asked = somaxconn.map_or(state.backlog, |most| state.backlog.min(most));
    let queues = if view.queues { state.queues.figures(view.now) } else { Vec::new() };
    let deepest = |pick: fn(&QueueFigures) -> u32| queues.iter().map(pick).max().map(u64::from);
    AcceptQueue {
        depth: deepest(|queue| queue.depth),
        limit: queues.iter().map(|queue| queue.limit).min().unwrap_or(asked).into(),
        depth_max: deepest(|queue| queue.deepest),
        drops_total: view.queues.then(|| state.queues.drops_total()),
        sockets: queues.iter().map(listen_socket).collect(),
    }
}

fn listen_socket(queue: &QueueFigures) -> ListenSocket {
    ListenSocket {
        worker: queue.worker.map(|worker| worker as u64),
        depth: queue.depth.into(),
        limit: queue.limit.into(),
        depth_max: queue.deepest.into(),
        drops_total: queue.drops_total,
    }
}

fn upstream(state: &UpstreamState, leaving: bool, view: &View) -> Upstream {
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
        endpoints: state.endpoints.iter().map(|one| endpoint(state, one, leaving, view)).collect(),
        discovery: Vec::new(),
    }
}

fn endpoint(upstream: &UpstreamState, state: &EndpointState, leaving: bool, view: &View) -> Endpoint {
    let written = upstream.config.endpoints.iter().find(|written| written.address == state.address.0);
    let (idle_timeout, idle_timeout_from) = state.idle_timeout_at(&upstream.config, Instant::now());
    let (opened, reused) = (state.total(|w| &w.opened_total), state.total(|w| &w.reused_total));
    let discards = |worker: &EndpointCounters, r: &DiscardReason| worker.discards.get(r.index());
    let discards = DiscardReason::ALL
        .iter()
        .map(|r| (r.label(), state.workers.iter().map(|worker| discards(worker, r)).sum()));
    Endpoint {
        address: state.address.to_string(),
        weight: written.map_or(0, |written| written.weight),
        health: if state.is_up() { "up" } else { "down" }.to_owned(),
        admin: if leaving { "draining" } else { "enabled" }.to_owned(),
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
        tcp_states: view.tcp_states(&state.tcp_states, &[]),
        time_wait: TimeWait {
            caused_total: state.total(|w| &w.time_wait_caused_total),
            avoided_total: state.total(|w| &w.time_wait_avoided_total),
        },
        ports: Some(state.sources().iter().map(|source| ports(&source.figures(Instant::now()))).collect()),
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
