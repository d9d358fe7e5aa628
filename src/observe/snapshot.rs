//! The JSON of `GET /stats`: types of its own, so that what users read changes only on purpose.
//!
//! A figure that could not be read is `None`, and [`Snapshot::notes`] says why; it is never 0. A
//! field that is added later must be an `Option` or have a serde default, because `millpond stats`
//! may be newer than the instance that it asks; fields that it does not know are ignored.

mod discovery;
mod take;

pub use discovery::{Discovered, Lookups};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that is known at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// millpond's version.
    pub version: String,
    /// Seconds since the process began to serve.
    pub uptime_s: f64,
    /// Whether a drain has begun.
    pub draining: bool,
    /// The running configuration.
    pub config: ConfigInfo,
    /// The process.
    pub process: Process,
    /// One for each worker.
    #[serde(default)]
    pub workers: Vec<Worker>,
    /// The kernel's settings and counters.
    pub kernel: Kernel,
    /// One for each address of each listener.
    pub listeners: Vec<Listener>,
    /// In the order of the configuration.
    pub upstreams: Vec<Upstream>,
    /// Sockets whose peer has closed and that we have not.
    pub close_wait: Option<CloseWait>,
    /// What can run out, apart from the source ports, which stand with their endpoints.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// How the kernel's view was taken.
    #[serde(default)]
    pub census: Option<Census>,
    /// Why figures are missing.
    pub notes: Vec<String>,
}

/// Which configuration runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigInfo {
    /// 1 for the configuration that the process was started with.
    pub generation: u64,
    /// RFC 3339, UTC.
    pub loaded_at: String,
    /// The file that it comes from; `None`: from the command line.
    #[serde(default)]
    pub file: Option<String>,
    /// Whether the file, or one of `conf.d`, says something else now.
    #[serde(default)]
    pub file_differs: bool,
    /// What is wrong with the file as it is now, warnings included.
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
    /// Why the last reload failed; `None`: it did not, or there was none.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Keys that the file has otherwise, and that take effect when millpond is started again.
    #[serde(default)]
    pub needs_restart: Vec<String>,
    /// Reloads that succeeded.
    #[serde(default)]
    pub reloads_total: u64,
    /// Reloads that failed, and changed nothing.
    #[serde(default)]
    pub reload_failures_total: u64,
}

/// Something that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// `file:line`, or whatever else the value comes from.
    pub position: String,
    /// The path of the key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

/// Figures of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// File descriptors.
    pub fds: Descriptors,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Its id, which is another after an upgrade.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The process that it has taken over from; `None`: it was started by itself.
    #[serde(default)]
    pub predecessor: Option<Predecessor>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its place among the workers.
    pub worker: u64,
    /// How often it has panicked, after which another took its place.
    pub restarts_total: u64,
}

/// The process before this one: an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Whether it still drains.
    pub draining: bool,
    /// Listening sockets that came from it.
    pub listening_sockets: u64,
    /// Idle connections to endpoints that came from it.
    pub connections: u64,
}

/// File descriptors of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptors {
    /// Open now.
    pub used: Option<u64>,
    /// RLIMIT_NOFILE.
    pub limit: u64,
}

/// Settings and counters of the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// net.core.somaxconn.
    pub somaxconn: Option<u32>,
    /// net.ipv4.tcp_max_syn_backlog.
    pub tcp_max_syn_backlog: Option<u32>,
    /// net.ipv4.ip_local_port_range, both ends included.
    pub local_ports: Option<[u16; 2]>,
    /// net.ipv4.tcp_tw_reuse.
    pub tcp_tw_reuse: Option<u32>,
    /// TcpExt ListenOverflows.
    pub listen_overflows: Option<u64>,
    /// TcpExt ListenDrops.
    pub listen_drops: Option<u64>,
    /// TcpExt TCPTimeWaitOverflow.
    pub time_wait_overflow: Option<u64>,
    /// Sockets without a process.
    pub orphans: Option<u64>,
    /// TcpExt TCPReqQFullDrop: SYNs dropped because a queue of half-open connections was full.
    #[serde(default)]
    pub syn_queue_drops: Option<u64>,
    /// TcpExt TCPReqQFullDoCookies: SYNs answered with a cookie for the same reason.
    #[serde(default)]
    pub syn_queue_cookies: Option<u64>,
    /// TcpExt SyncookiesSent.
    #[serde(default)]
    pub syncookies_sent: Option<u64>,
    /// Memory that TCP uses, in bytes, and the limit beyond which it is short of it (tcp_mem, third value).
    #[serde(default)]
    pub tcp_memory_bytes: Option<[u64; 2]>,
}

/// Sockets by TCP state, under the state's name in lower case.
pub type TcpStates = BTreeMap<String, u64>;

/// One address of one listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// The listener's name.
    pub name: String,
    /// The address it is bound to.
    pub address: String,
    /// `http` or `tcp`.
    pub protocol: String,
    /// The upstream that it forwards to.
    #[serde(default)]
    pub upstream: Option<String>,
    /// Whether a reload has removed it: it serves who is there, and nobody else.
    #[serde(default)]
    pub draining: bool,
    /// Client connections.
    pub sessions: Sessions,
    /// Requests answered.
    pub requests_total: u64,
    /// Errors of accept(2).
    pub accept_errors_total: u64,
    /// The queue of connections that the kernel has established and nobody has accepted.
    pub accept_queue: AcceptQueue,
    /// The kernel's view of the clients' connections.
    pub tcp_states: Option<TcpStates>,
    /// How sessions ended, by reason.
    pub closes: BTreeMap<String, u64>,
    /// What millpond answered itself or refused, by reason.
    pub rejects: BTreeMap<String, u64>,
    /// Responses, by the class of their status.
    pub responses: BTreeMap<String, u64>,
    /// To and from clients.
    pub bytes: Bytes,
}

/// Client connections of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// Open now.
    pub current: u64,
    /// Accepted.
    pub total: u64,
}

/// A listening socket's queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceptQueue {
    /// Connections in the deepest of its sockets' queues at the last look.
    pub depth: Option<u64>,
    /// The backlog in force: beyond it the kernel drops connections. Each socket has as much.
    pub limit: u64,
    /// The most that were seen in one of the queues within the last minute.
    pub depth_max: Option<u64>,
    /// SYNs and connections that its sockets have dropped, for whichever reason.
    #[serde(default)]
    pub drops_total: Option<u64>,
    /// Each socket by itself: with SO_REUSEPORT there is one for each worker.
    #[serde(default)]
    pub sockets: Vec<ListenSocket>,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenSocket {
    /// The worker that accepts from it; `None`: all of them do.
    pub worker: Option<u64>,
    /// Connections that wait.
    pub depth: u64,
    /// The backlog in force.
    pub limit: u64,
    /// The most that were seen within the last minute.
    pub depth_max: u64,
    /// SYNs and connections that it has dropped.
    pub drops_total: u64,
}

/// Bytes both ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bytes {
    /// Read.
    pub received_total: u64,
    /// Written.
    pub sent_total: u64,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// The upstream's name.
    pub name: String,
    /// How an endpoint is chosen, as in the configuration file.
    pub balance: String,
    /// In the order of the configuration, those behind names after the others.
    pub endpoints: Vec<Endpoint>,
    /// Its names, in the order of the configuration.
    #[serde(default)]
    pub discovery: Vec<Discovered>,
}

/// One endpoint of an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: String,
    /// Its share.
    pub weight: u16,
    /// `up` or `down`.
    pub health: String,
    /// `enabled`, or `draining` once a reload has removed it.
    pub admin: String,
    /// Connections by state.
    pub connections: Connections,
    /// Connections established.
    pub opened_total: u64,
    /// Leases that were served by a connection used before.
    pub reused_total: u64,
    /// Reused leases of all leases; `None` before the first.
    pub reuse_ratio: Option<f64>,
    /// Idle connections taken over from another worker, or from the process before this one.
    pub taken_over_total: u64,
    /// Requests sent again on another connection.
    pub retries_total: u64,
    /// Connects that failed through the endpoint or the network.
    pub connect_errors_total: u64,
    /// Connects that failed for want of something local.
    pub local_errors_total: u64,
    /// How long a connection may be idle in the pool.
    pub idle_timeout_s: f64,
    /// `default`, `hint`, `learned`, `configured`, or `nat` where `source.nat` forgets earlier than that.
    pub idle_timeout_from: String,
    /// Why connections were closed, by reason.
    pub discards: BTreeMap<String, u64>,
    /// To and from the endpoint.
    pub bytes: Bytes,
    /// The kernel's view of the connections to it.
    pub tcp_states: Option<TcpStates>,
    /// What our closes left behind.
    pub time_wait: TimeWait,
    /// Local ports towards it, one entry a source address.
    pub ports: Option<Vec<Ports>>,
}

/// Connections to an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// In the pool.
    pub idle: u64,
    /// Carrying an exchange or a tunnel.
    pub leased: u64,
    /// Being opened.
    pub connecting: u64,
    /// Requests in the queue for one.
    pub waiting: u64,
}

/// What our closes left behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeWait {
    /// Connections closed here first by FIN.
    pub caused_total: u64,
    /// Connections closed here by RST.
    pub avoided_total: u64,
}

/// Local ports of one source address towards one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ports {
    /// The source address.
    pub source: String,
    /// Ports there are.
    pub capacity: u64,
    /// Ports of open connections, those of other processes included.
    pub used: u64,
    /// Ports held in TIME_WAIT, here or by a NAT.
    pub time_wait: u64,
    /// Ports left.
    pub free: u64,
    /// Connections opened a second.
    pub opens_per_s: f64,
    /// Seconds until none is left, at this rate; `None`: never, or not within an hour.
    pub exhausts_in_s: Option<f64>,
    /// `ok`, `warn`, `reuse_only` or `refuse`.
    pub level: String,
}

/// Sockets whose peer has closed and that we have not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloseWait {
    /// How many.
    pub count: Option<u64>,
    /// For how long the oldest has been so without a byte of it being read; 0 when there is none.
    pub oldest_s: Option<f64>,
    /// How many were closed by force.
    pub reaped_total: u64,
    /// The oldest of them, oldest first; a bounded number.
    #[serde(default)]
    pub sockets: Vec<CloseWaitSocket>,
}

/// One socket in CLOSE_WAIT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloseWaitSocket {
    /// `client` or `upstream`.
    pub side: String,
    /// The listener's name, or the upstream's.
    pub name: String,
    /// Our address.
    pub local: String,
    /// The peer's.
    pub peer: String,
    /// What its owner is doing; `unanswered`: a worker was too busy to tell; `None`: it has no owner.
    pub phase: Option<String>,
    /// For how long it has been seen.
    pub age_s: f64,
}

/// Something of which there is only so much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// `connections` (what clients and upstream connections may have of the descriptors), `descriptors`,
    /// `files` (of the whole system) or `conntrack`.
    pub name: String,
    /// Taken.
    pub used: Option<u64>,
    /// All there is.
    pub limit: Option<u64>,
    /// How fast `used` grows; negative while it shrinks.
    pub per_s: Option<f64>,
    /// Seconds until nothing is left, at this rate; `None`: never.
    pub exhausts_in_s: Option<f64>,
    /// `ok`, `warn` or `critical`.
    pub level: String,
}

/// One look at the kernel's sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Census {
    /// Seconds from the last one to the next: `runtime.census_interval`, or longer where it takes long.
    pub interval_s: f64,
    /// Seconds since the last one.
    pub age_s: f64,
    /// Sockets that the kernel listed.
    pub sockets: u64,
    /// CPU time of the last one, in seconds.
    pub cpu_s: f64,
    /// CPU time of all of them, and of all looks at accept queues and budgets.
    #[serde(default)]
    pub cpu_total_s: f64,
}

#[cfg(test)]
mod tests;
