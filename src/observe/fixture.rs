//! A configuration and a registry with known counts, for the tests of what reads them.

use crate::addr::{Ends, ListenAddr};
use crate::budget::Budget;
use crate::command::Peer;
use crate::config::model::{self, Config};
use crate::metrics::accept_queue::Sample;
use crate::metrics::budgets::{BudgetFigures, Resource, Urgency};
use crate::metrics::census::Taken;
use crate::metrics::close_wait::{CloseWait, Owner, Stuck, StuckSocket};
use crate::metrics::counters::{EndpointCounters, ListenerCounters};
use crate::metrics::tcp_states::Counts;
use crate::reason::{CloseReason, DiscardReason, RejectReason};
use crate::registry::{
    EndpointState, Leaving, ListenerState, PerWorker, Registry, Running, Sources, UpstreamState,
};
use crate::source::kernel::PortSettings;
use crate::source::ledger::Ledger;
use crate::source::ports::{KernelPorts, Route, SourcePorts};
use crate::sys::sock_diag::TcpState;
use crate::upstream::health::Health;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

const WORKERS: usize = 2;

/// One HTTP listener on two addresses, one TCP listener, one upstream with two endpoints.
pub(crate) fn config() -> Config {
    Config {
        runtime: model::Runtime {
            workers: WORKERS,
            shutdown_timeout: Duration::from_secs(30),
            watch: false,
            census_interval: Duration::from_secs(2),
            buffer_memory: None,
            user: None,
            group: None,
        },
        admin: model::Admin { listen: model::AdminListen::Tcp(address(9900)), token_file: None },
        log: model::Log {
            level: "info".into(),
            format: model::LogFormat::Text,
            access: model::AccessLog::Off,
        },
        resolver: resolver(),
        listeners: vec![
            Arc::new(listener("web", &[8080, 8081], model::Protocol::Http)),
            Arc::new(listener("db", &[5432], model::Protocol::Tcp)),
        ],
        upstreams: vec![Arc::new(upstream("app", &[3000, 3001]))],
    }
}

/// The registry of [`config`]. On the first address of `web`: 3 sessions of 90, 1,000 requests; on
/// its second: 10 requests. Endpoint 3000 opened 3 connections and served 997 leases from the pool.
pub(crate) fn registry() -> Arc<Registry> {
    registry_of(&config())
}

pub(crate) fn registry_of(config: &Config) -> Arc<Registry> {
    let budget = Budget::new(20_000, 10);
    (0..3).for_each(|_| assert!(budget.take_client() && budget.take_upstream()));
    let running = Running {
        generation: 1,
        loaded_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        config: Arc::new(config.clone()),
        listeners: config.listeners.iter().flat_map(listener_states).collect(),
        upstreams: config.upstreams.iter().map(upstream_state).collect(),
        leaving: Leaving::default(),
        needs_restart: Vec::new(),
    };
    if let [first, second, ..] = &running.listeners[..] {
        count_clients(&first.workers, 1000);
        second.workers[0].requests_total.add(10);
    }
    let first = &running.upstreams[0].endpoints[0];
    count_connections(&first.workers);
    first.sources()[0].note_census(KernelPorts { open: 3, time_wait: 0 }, Instant::now());
    kernel_view(&running);
    let mut registry = Registry::new(running, Arc::new(budget));
    registry.close_wait = close_wait();
    let taken = Taken { interval: Duration::from_secs(2), sockets: 7, cpu: Duration::from_micros(500) };
    registry.census.took(Duration::from_millis(250));
    registry.census.taken(taken, Arc::default(), Instant::now(), LONG);
    registry.census.queues.read((), Instant::now(), LONG);
    registry.budgets.set(budgets());
    registry.reloads.loaded_from("millpond.toml".into(), 1);
    Arc::new(registry)
}

/// Two are in CLOSE_WAIT, and one was closed by force.
fn close_wait() -> CloseWait {
    let state = CloseWait::default();
    let socket = |peer, name: &str, local: &str, remote: &str, owner, ms| StuckSocket {
        peer,
        name: name.into(),
        ends: Ends { local: local.parse().unwrap(), remote: remote.parse().unwrap() },
        owner,
        since: Duration::from_millis(ms),
    };
    let (client, endpoint) = (Peer::Client, Peer::Endpoint);
    let sockets = vec![
        socket(client, "web", "127.0.0.1:8080", "192.0.2.1:5", Owner::Known("exchange"), 1500),
        socket(endpoint, "app", "127.0.0.1:40000", "127.0.0.1:3000", Owner::Nobody, 1000),
    ];
    let stuck = Stuck { count: 2, oldest: Duration::from_millis(1500), sockets };
    state.stuck.read(stuck, Instant::now(), LONG);
    state.reaped();
    state
}

/// What the kernel has of the first address of `web` and of endpoint 3000.
fn kernel_view(running: &Running) {
    let count = |counts: &[(TcpState, u32)]| {
        let mut all = Counts::default();
        counts.iter().for_each(|(state, count)| all[state.index()] = *count);
        all
    };
    if let Some(web) = running.listeners.first() {
        web.tcp_states.set_connections(&count(&[(TcpState::Established, 3), (TcpState::TimeWait, 1)]));
        web.tcp_states.set_listening(2);
        let now = Instant::now();
        for (inode, worker, depth, drops) in [(1, 0, 7, 0), (1, 0, 0, 0), (2, 1, 4, 9)] {
            web.queues.belong([(inode, Some(worker))]);
            web.queues.sample(inode, Sample { depth, limit: 512, drops: Some(drops) }, now);
        }
        web.queues.looked(now);
    }
    running.upstreams[0].endpoints[0].tcp_states.set_connections(&count(&[(TcpState::Established, 3)]));
}

/// One that is scarce, and one that cannot be read.
fn budgets() -> Vec<BudgetFigures> {
    let scarce = BudgetFigures {
        resource: Resource::Files,
        used: Some(900),
        limit: Some(1000),
        per_s: Some(2.0),
        exhausts_in_s: Some(50.0),
        urgency: Urgency::Warn,
        note: None,
    };
    let unknown = BudgetFigures {
        resource: Resource::Conntrack,
        used: None,
        limit: None,
        per_s: None,
        exhausts_in_s: None,
        urgency: Urgency::Ok,
        note: Some("budgets.conntrack: it cannot be read".into()),
    };
    vec![scarce, unknown]
}

/// Readings of the fixture's stay as they are.
const LONG: Duration = Duration::from_secs(3600);

/// The counts stand in both workers, so that a reader that forgets to add them up is caught.
fn count_clients(workers: &PerWorker<ListenerCounters>, requests: u64) {
    workers[0].sessions.set(1);
    workers[1].sessions.set(2);
    workers[0].sessions_total.add(40);
    workers[1].sessions_total.add(50);
    workers[0].requests_total.add(requests / 2);
    workers[1].requests_total.add(requests - requests / 2);
    for (worker, n) in workers.iter().zip([38, 42]) {
        (0..n).for_each(|_| worker.closes.inc(CloseReason::ClientFin.index()));
    }
    (0..7).for_each(|_| workers[0].closes.inc(CloseReason::Graceful.index()));
    (0..2).for_each(|_| workers[1].rejects.inc(RejectReason::PoolTimeout.index()));
    workers[0].responses.inc(1);
    workers[1].responses.inc(4);
    workers[0].request_duration.record(Duration::from_micros(200));
    workers[1].request_duration.record(Duration::from_millis(20));
    workers[1].request_duration.record(Duration::from_secs(3600));
    workers[0].received_bytes.add(1_000);
    workers[1].sent_bytes.add(2_000);
}

fn count_connections(workers: &PerWorker<EndpointCounters>) {
    workers[0].idle.set(1);
    workers[1].idle.set(1);
    workers[1].leased.set(1);
    workers[0].opened_total.add(1);
    workers[1].opened_total.add(2);
    workers[0].reused_total.add(500);
    workers[1].reused_total.add(497);
    workers[0].time_wait_avoided_total.add(4);
    workers[1].discards.inc(DiscardReason::IdleTimeout.index());
}

fn listener_states(config: &Arc<model::Listener>) -> Vec<Arc<ListenerState>> {
    let state = |address: &SocketAddr| ListenerState {
        address: ListenAddr(*address),
        bind: *address,
        config: config.clone(),
        upstream: "app".into(),
        backlog: 1024,
        workers: Arc::new(PerWorker::new(WORKERS)),
        clients: Default::default(),
        queues: Arc::default(),
        tcp_states: Arc::default(),
    };
    config.bind.iter().map(|address| Arc::new(state(address))).collect()
}

fn upstream_state(config: &Arc<model::Upstream>) -> Arc<UpstreamState> {
    let health = Arc::new(Health::new(config.endpoints.len(), &config.passive));
    let endpoints = config.endpoints.iter().enumerate().map(|(place, endpoint)| {
        let sources = sources(config, endpoint.address);
        let state = EndpointState::new(endpoint.address, WORKERS, sources, (&health, place));
        state.open.store(3, Relaxed);
        Arc::new(state)
    });
    let endpoints = endpoints.collect();
    Arc::new(UpstreamState { config: config.clone(), endpoints, health })
}

/// The loopback address, which has 28,232 ports.
fn sources(config: &model::Upstream, destination: SocketAddr) -> Sources {
    let settings = PortSettings::default();
    let route = Route { source: [127, 0, 0, 1].into(), is_bound: false, destination, sources: 1 };
    let ledger = Ledger::new(settings.hold(route.source, destination));
    Box::new([Arc::new(SourcePorts::new(config, route, &settings, Arc::new(Mutex::new(ledger))))])
}

fn listener(name: &str, ports: &[u16], protocol: model::Protocol) -> model::Listener {
    model::Listener {
        name: name.into(),
        bind: ports.iter().copied().map(address).collect(),
        protocol,
        upstream: 0,
        socket: model::ListenerSocket {
            reuse_address: true,
            reuse_port: true,
            no_delay: true,
            linger: model::Linger::Graceful,
            backlog: model::Backlog::Auto,
            defer_accept: None,
            user_timeout: Duration::from_secs(30),
            tcp_keepalive: Some(KEEPALIVE),
        },
        timeout: model::ListenerTimeout {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            half_close: Duration::from_secs(30),
            linger: Duration::from_millis(1500),
        },
        limit: model::ListenerLimit {
            connections: 0,
            connections_per_client: 0,
            connection_rate: None,
            request_rate: None,
            exempt_clients: Vec::new(),
            header_bytes: 32 * 1024,
            headers: 100,
            target_bytes: 8 * 1024,
            body_bytes: 0,
        },
        client_fin: model::ClientFin::Finish,
    }
}

pub(crate) fn resolver() -> model::Resolver {
    let timeout = Duration::from_secs(2);
    model::Resolver { nameservers: None, search: None, ndots: None, timeout, attempts: 2 }
}

pub(crate) fn discovery() -> model::Discovery {
    model::Discovery {
        family: model::Family::Auto,
        ttl_min: Duration::from_secs(1),
        ttl_max: Duration::from_secs(60),
        grace: Duration::from_secs(30),
        max_endpoints: 256,
    }
}

pub(crate) fn upstream(name: &str, ports: &[u16]) -> model::Upstream {
    let endpoint = |port| model::Endpoint { address: address(port), weight: 1 };
    model::Upstream {
        name: name.into(),
        balance: model::Balance::LeastConn,
        endpoints: ports.iter().copied().map(endpoint).collect(),
        names: Vec::new(),
        discovery: discovery(),
        pool: model::Pool {
            max_idle: 256,
            min_idle: 0,
            max_connections: 0,
            idle_timeout: None,
            max_age: Duration::from_secs(3600),
            max_requests: 0,
            wait_timeout: Duration::from_secs(3),
            wait_queue: 1024,
        },
        source: model::Source {
            addresses: Vec::new(),
            ports: None,
            warn_percent: 60,
            reuse_only_percent: 75,
            refuse_percent: 85,
            nat: None,
        },
        timeout: model::UpstreamTimeout {
            connect: Duration::from_secs(3),
            response_header: Duration::from_secs(60),
            body: Duration::from_secs(60),
            half_close: Duration::from_secs(30),
        },
        socket: model::UpstreamSocket {
            no_delay: true,
            user_timeout: Duration::from_secs(30),
            tcp_keepalive: Some(KEEPALIVE),
            close: model::UpstreamClose::Auto,
        },
        passive: model::Passive {
            failures: 3,
            retry_after: Duration::from_secs(1),
            retry_after_max: Duration::from_secs(30),
        },
    }
}

const KEEPALIVE: model::TcpKeepalive =
    model::TcpKeepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 6 };

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// What was logged, for tests that ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What writes to this log.
    pub(crate) fn subscriber(&self) -> impl tracing::Subscriber + use<> {
        let writer = self.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish()
    }

    /// Its lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
