//! What is known of every listener and endpoint, shared by all threads: identity, configuration and
//! the counters of each worker. The workers write their own counters; the admin side only reads.

use crate::addr::{EndpointAddr, ListenAddr};
use crate::budget::Budget;
use crate::config::model;
use crate::metrics::accept_queue::AcceptQueues;
use crate::metrics::budgets::Budgets;
use crate::metrics::census::Census;
use crate::metrics::close_wait::CloseWait;
use crate::metrics::counters::{Counter, EndpointCounters, Gauge, ListenerCounters};
use crate::metrics::tcp_states::StateCounts;
use crate::session::ClientTable;
use crate::source::level::Level;
use crate::source::ports::SourcePorts;
use crate::upstream::health::Health;
use crate::upstream::idle_learning::SharedIdleLearning;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Everything that is known, for the whole life of the process.
#[derive(Debug)]
pub struct Registry {
    running: ArcSwap<Running>,
    /// Descriptors.
    pub budget: Arc<Budget>,
    /// How the kernel's view was taken.
    pub census: Census,
    /// What can run out, apart from source ports.
    pub budgets: Budgets,
    /// Sockets whose peer has closed and that we have not.
    pub close_wait: CloseWait,
    /// When the process began to serve.
    pub started: Instant,
    /// Set once, when the drain begins.
    pub draining: AtomicBool,
}

/// What runs with one configuration. A reload replaces it as a whole; what it keeps is in both.
#[derive(Debug)]
pub struct Running {
    /// 1 for the configuration that the process was started with, one more for each reload.
    pub generation: u64,
    /// When this configuration began to run.
    pub loaded_at: SystemTime,
    /// The configuration.
    pub config: Arc<model::Config>,
    /// One entry for each address of each listener.
    pub listeners: Vec<Arc<ListenerState>>,
    /// In the order of the configuration.
    pub upstreams: Vec<Arc<UpstreamState>>,
}

/// One address of one listener.
#[derive(Debug)]
pub struct ListenerState {
    /// The address it is bound to, with the port that the kernel gave where the configuration said 0.
    pub address: ListenAddr,
    /// Its configuration.
    pub config: Arc<model::Listener>,
    /// The argument that listen(2) was given.
    pub backlog: u32,
    /// One entry a worker.
    pub workers: Box<[ListenerCounters]>,
    /// For `limit.connections_per_client`.
    pub clients: ClientTable,
    /// Its listening sockets, as the kernel sees them.
    pub queues: AcceptQueues,
    /// Its clients' connections, likewise.
    pub tcp_states: StateCounts,
}

/// One upstream.
#[derive(Debug)]
pub struct UpstreamState {
    /// Its configuration.
    pub config: Arc<model::Upstream>,
    /// In the order of the configuration.
    pub endpoints: Vec<Arc<EndpointState>>,
    /// Availability of the endpoints, from failed and successful connects.
    pub health: Health,
}

/// One endpoint of one upstream.
#[derive(Debug)]
pub struct EndpointState {
    /// Where it listens.
    pub address: EndpointAddr,
    /// Its share.
    pub weight: u16,
    /// One entry a worker.
    pub workers: Box<[EndpointCounters]>,
    /// Connections open or being opened, all workers together; for `max_connections`.
    pub open: AtomicUsize,
    /// Workers that keep more than their share of `max_idle`. While there is none, no worker has to
    /// look at the others before it keeps a connection.
    pub over_share: AtomicUsize,
    /// Its sources, each with the ports that are left towards it: one for each configured address, or
    /// the one that the kernel chooses.
    pub sources: Box<[Arc<SourcePorts>]>,
    /// The smallest `Keep-Alive: timeout=` that it announced, in milliseconds; 0: none.
    pub keep_alive_hint_ms: AtomicU32,
    /// What it keeps idle connections for, from when it closed some.
    pub idle_learning: SharedIdleLearning,
    /// The connections to it, whoever on this host has them, as the kernel sees them.
    pub tcp_states: StateCounts,
}

/// Where an endpoint's idle timeout comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleTimeoutFrom {
    /// `pool.idle_timeout`.
    Configured,
    /// The endpoint's own `Keep-Alive: timeout=`.
    Hint,
    /// When the endpoint closed idle connections, less a fifth.
    Learned,
    /// Nothing is known: [`EndpointState::DEFAULT_IDLE_TIMEOUT`].
    Default,
    /// `source.nat`, which forgets a connection earlier than the endpoint does.
    Nat,
}

impl IdleTimeoutFrom {
    /// The label used in JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Hint => "hint",
            Self::Learned => "learned",
            Self::Default => "default",
            Self::Nat => "nat",
        }
    }
}

impl ListenerState {
    /// The sum of one gauge over the workers.
    pub fn gauge(&self, pick: impl Fn(&ListenerCounters) -> &Gauge) -> u64 {
        self.workers.iter().map(|w| pick(w).get()).sum()
    }

    /// The sum of one counter over the workers.
    pub fn total(&self, pick: impl Fn(&ListenerCounters) -> &Counter) -> u64 {
        self.workers.iter().map(|w| pick(w).get()).sum()
    }
}

impl EndpointState {
    /// How long a pooled connection may be idle when neither the configuration nor the endpoint says:
    /// less than the 5 s after which the common short-lived servers close (Node.js, Apache httpd).
    pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

    /// An endpoint without connections.
    pub fn new(config: model::Endpoint, workers: usize, sources: Box<[Arc<SourcePorts>]>) -> Self {
        Self {
            address: EndpointAddr(config.address),
            weight: config.weight,
            workers: (0..workers).map(|_| EndpointCounters::default()).collect(),
            open: AtomicUsize::new(0),
            over_share: AtomicUsize::new(0),
            sources,
            keep_alive_hint_ms: AtomicU32::new(0),
            idle_learning: SharedIdleLearning::default(),
            tcp_states: StateCounts::default(),
        }
    }

    /// Whether a request is not dialled for at once, from whatever source, as far as is known without
    /// looking.
    pub fn is_short_of_ports(&self) -> bool {
        self.sources.iter().all(|source| source.level() >= Level::ReuseOnly)
    }

    /// How long a pooled connection may be idle, and who says so: the configuration, or else the
    /// shortest of what is known.
    pub fn idle_timeout(&self, upstream: &model::Upstream) -> (Duration, IdleTimeoutFrom) {
        if let Some(configured) = upstream.pool.idle_timeout {
            return (configured, IdleTimeoutFrom::Configured);
        }
        let unlearned = self.unlearned_idle_timeout();
        let learned = self.idle_learning.timeout().map(|timeout| (timeout, IdleTimeoutFrom::Learned));
        let nat = upstream.source.nat.map(|nat| (nat.pool_idle_max(), IdleTimeoutFrom::Nat));
        let shorter = |one: (Duration, _), other: (Duration, _)| if other.0 < one.0 { other } else { one };
        learned.into_iter().chain(nat).fold(unlearned, shorter)
    }

    /// The same at `now`, for what was learned is forgotten with time.
    pub fn idle_timeout_at(&self, upstream: &model::Upstream, now: Instant) -> (Duration, IdleTimeoutFrom) {
        self.forget_idle(now);
        self.idle_timeout(upstream)
    }

    /// The same from the endpoint's hint alone, or by default. A hint is undercut by a second, or by
    /// half where it is shorter than two, so that we close before the endpoint does.
    fn unlearned_idle_timeout(&self) -> (Duration, IdleTimeoutFrom) {
        let hint = Duration::from_millis(self.keep_alive_hint_ms.load(Relaxed).into());
        match hint.is_zero() {
            true => (Self::DEFAULT_IDLE_TIMEOUT, IdleTimeoutFrom::Default),
            false => (hint - (hint / 2).min(Duration::from_secs(1)), IdleTimeoutFrom::Hint),
        }
    }

    /// The endpoint closed a connection that had been idle for `age`. Whether pooled connections are to
    /// be closed sooner from now on.
    pub fn closed_idle(&self, age: Duration, now: Instant) -> bool {
        self.idle_learning.closed(age, self.unlearned_idle_timeout().0, now)
    }

    /// Forgets what was learned of its idle timeout, as far as it is time to.
    pub fn forget_idle(&self, now: Instant) {
        self.idle_learning.forget(self.unlearned_idle_timeout().0, now);
    }

    /// The sum of one gauge over the workers.
    pub fn gauge(&self, pick: impl Fn(&EndpointCounters) -> &Gauge) -> u64 {
        self.workers.iter().map(|w| pick(w).get()).sum()
    }

    /// The sum of one counter over the workers.
    pub fn total(&self, pick: impl Fn(&EndpointCounters) -> &Counter) -> u64 {
        self.workers.iter().map(|w| pick(w).get()).sum()
    }
}

impl Running {
    /// The endpoints of all upstreams.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<EndpointState>> {
        self.upstreams.iter().flat_map(|upstream| &upstream.endpoints)
    }
}

impl Registry {
    /// What is known when this begins to run.
    pub fn new(running: Running, budget: Arc<Budget>) -> Self {
        Self {
            running: ArcSwap::from_pointee(running),
            budget,
            census: Census::default(),
            budgets: Budgets::default(),
            close_wait: CloseWait::default(),
            started: Instant::now(),
            draining: AtomicBool::new(false),
        }
    }

    /// What runs now. Whoever looks twice may see two generations: take it once, and read from that.
    pub fn running(&self) -> Arc<Running> {
        self.running.load_full()
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
