//! What is known of every listener and endpoint, shared by all threads: identity, configuration and
//! the counters of each worker. The workers write their own counters; the admin side only reads.

mod endpoint;
mod per_worker;
mod reloads;
mod succession;

pub use endpoint::{EndpointState, IdleTimeoutFrom, Sources};
pub use per_worker::{Iter, PerWorker};
pub use reloads::{FileStatus, ReloadLog};
pub use succession::{Predecessor, Succession};

use crate::addr::ListenAddr;
use crate::budget::Budget;
use crate::buffer::BufferMemory;
use crate::config::model;
use crate::discovery::report::Reports;
use crate::metrics::accept_queue::AcceptQueues;
use crate::metrics::budgets::Budgets;
use crate::metrics::census::Census;
use crate::metrics::close_wait::CloseWait;
use crate::metrics::counters::{Counter, Gauge, ListenerCounters};
use crate::metrics::restarts::Restarts;
use crate::metrics::tcp_states::StateCounts;
use crate::session::{ClientTable, Rated};
use crate::upstream::health::Health;
use arc_swap::ArcSwap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Everything that is known, for the whole life of the process.
#[derive(Debug)]
pub struct Registry {
    running: ArcSwap<Running>,
    /// Descriptors.
    pub budget: Arc<Budget>,
    /// What buffers may take, and take.
    pub buffers: Arc<BufferMemory>,
    /// How the kernel's view was taken.
    pub census: Census,
    /// What can run out, apart from source ports.
    pub budgets: Budgets,
    /// Sockets whose peer has closed and that we have not.
    pub close_wait: CloseWait,
    /// Workers that have panicked.
    pub restarts: Restarts,
    /// What became of the configuration file since.
    pub reloads: ReloadLog,
    /// The process before this one, and the one after it.
    pub succession: Succession,
    /// What is known of the names that stand for endpoints.
    pub discovery: Reports,
    /// When the process began to serve.
    pub started: Instant,
    /// Set once, when the drain begins.
    pub draining: AtomicBool,
}

/// What runs with one configuration. A reload replaces it as a whole; what it keeps is in both.
#[derive(Clone, Debug)]
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
    /// What is not in the configuration any more, but not over yet.
    pub leaving: Leaving,
    /// Keys that the file has otherwise and that take effect when the process is started again.
    pub needs_restart: Vec<String>,
}

/// What a reload has removed and that still serves who was there. What is over is taken out.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// Addresses of listeners that have sessions.
    pub listeners: Vec<Arc<ListenerState>>,
    /// Upstreams, each with the endpoints that have connections and no others.
    pub upstreams: Vec<Arc<UpstreamState>>,
}

/// One address of one listener, as one configuration has it. What a reload changes of a listener is in
/// another of these, which counts in the same place.
#[derive(Debug)]
pub struct ListenerState {
    /// The address it is bound to, with the port that the kernel gave where the configuration said 0.
    pub address: ListenAddr,
    /// The address as the configuration has it.
    pub bind: SocketAddr,
    /// Its configuration.
    pub config: Arc<model::Listener>,
    /// The name of the upstream that it forwards to.
    pub upstream: String,
    /// The argument that listen(2) was given.
    pub backlog: u32,
    /// One entry a worker.
    pub workers: Arc<PerWorker<ListenerCounters>>,
    /// For `limit.connections_per_client`.
    pub clients: Arc<ClientTable>,
    /// Its listening sockets, as the kernel sees them.
    pub queues: Arc<AcceptQueues>,
    /// Its clients' connections, likewise.
    pub tcp_states: Arc<StateCounts>,
}

/// One upstream, as one configuration has it.
#[derive(Debug)]
pub struct UpstreamState {
    /// Its configuration.
    pub config: Arc<model::Upstream>,
    /// In the order of the configuration.
    pub endpoints: Vec<Arc<EndpointState>>,
    /// Availability of the endpoints, from failed and successful connects.
    pub health: Arc<Health>,
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

    /// Counts one more of what is rated for this client; how long it has to wait if that is too many.
    pub fn over_rate(&self, client: impl FnOnce() -> IpAddr, rated: Rated, now: Instant) -> Option<Duration> {
        let limit = &self.config.limit;
        let rate = match rated {
            Rated::Requests => &limit.request_rate,
            Rated::Connections => &limit.connection_rate,
        };
        let (rate, client) = (rate.as_ref()?, client());
        if limit.exempts(client) { None } else { self.clients.admit(client, rated, rate, now).err() }
    }
}

impl Running {
    /// The listeners, then those that are leaving.
    pub fn all_listeners(&self) -> impl Iterator<Item = &Arc<ListenerState>> {
        self.listeners.iter().chain(&self.leaving.listeners)
    }

    /// The upstreams, then those with endpoints that are leaving.
    pub fn all_upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamState>> {
        self.upstreams.iter().chain(&self.leaving.upstreams)
    }

    /// The endpoints of all upstreams, then those that are leaving.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<EndpointState>> {
        self.all_upstreams().flat_map(|upstream| &upstream.endpoints)
    }
}

impl Registry {
    /// What is known when this begins to run.
    pub fn new(running: Running, budget: Arc<Budget>) -> Self {
        Self {
            running: ArcSwap::from_pointee(running),
            budget,
            buffers: Arc::default(),
            census: Census::default(),
            budgets: Budgets::default(),
            close_wait: CloseWait::default(),
            restarts: Restarts::default(),
            reloads: ReloadLog::default(),
            succession: Succession::default(),
            discovery: Reports::default(),
            started: Instant::now(),
            draining: AtomicBool::new(false),
        }
    }

    /// What runs now. Whoever looks twice may see two generations: take it once, and read from that.
    pub fn running(&self) -> Arc<Running> {
        self.running.load_full()
    }

    /// Something else runs from now on. Only the supervisor says so, one after the other.
    pub fn run(&self, running: Arc<Running>) {
        self.running.store(running);
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
