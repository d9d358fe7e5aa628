//! The validated configuration: what the rest of the program reads. Nothing here can be wrong, and
//! no default is left open. Built only by `config::compile`.

mod limit;

pub use limit::{ListenerLimit, Period, Rate};

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Threads and shutdown.
    pub runtime: Runtime,
    /// The admin server.
    pub admin: Admin,
    /// Logs and the access log.
    pub log: Log,
    /// Who is asked for the addresses behind names.
    pub resolver: Resolver,
    /// At least one, with unique names and addresses.
    pub listeners: Vec<Arc<Listener>>,
    /// At least one, with unique names; every listener's [`Listener::upstream`] indexes this.
    pub upstreams: Vec<Arc<Upstream>>,
}

/// `[runtime]`
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Worker threads; at least 1.
    pub workers: usize,
    /// How long a drain may take before what is left is closed.
    pub shutdown_timeout: Duration,
    /// From one count of all connections in the kernel to the next.
    pub census_interval: Duration,
    /// Bytes that all buffers may take; `None`: a quarter of the memory that this process may have.
    pub buffer_memory: Option<u64>,
    /// Whom to become once all is bound, by name or number; `None`: nobody else.
    pub user: Option<String>,
    /// In which group; `None`: the user's own.
    pub group: Option<String>,
    /// Whether a change of the configuration file is reloaded without being asked for.
    pub watch: bool,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where the admin server listens.
    pub listen: AdminListen,
    /// The file with the token that requests must carry; always there when `listen` can be reached
    /// from other hosts.
    pub token_file: Option<PathBuf>,
}

/// Where the admin server listens.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminListen {
    /// An address of this host.
    Tcp(SocketAddr),
    /// The path of a Unix socket, created with mode 0600.
    Unix(PathBuf),
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// An `EnvFilter` directive: `info`, `millpond=debug`.
    pub level: String,
    /// Text or JSON, for both logs.
    pub format: LogFormat,
    /// Where the access log goes.
    pub access: AccessLog,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// `[resolver]`; what is `None` is as `/etc/resolv.conf` has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolver {
    /// Who is asked.
    pub nameservers: Option<Vec<SocketAddr>>,
    /// Domains that a name is looked for in, without a dot at their end.
    pub search: Option<Vec<String>>,
    /// A name with so many dots is asked for as it is before the domains are tried.
    pub ndots: Option<usize>,
    /// For one answer of one server.
    pub timeout: Duration,
    /// How often a server is asked before it is given up; at least 1.
    pub attempts: usize,
}

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Unique.
    pub name: String,
    /// At least one address.
    pub bind: Vec<SocketAddr>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// Socket options.
    pub socket: ListenerSocket,
    /// Deadlines.
    pub timeout: ListenerTimeout,
    /// Limits.
    pub limit: ListenerLimit,
    /// What becomes of an HTTP request whose client has sent FIN.
    pub client_fin: ClientFin,
}

/// What becomes of an HTTP request that is not answered yet when its client sends FIN: a client that
/// only closed its sending half still reads, one that is gone does not, and FIN does not tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFin {
    /// It is answered, within `timeout.half_close`.
    Finish,
    /// It is given up if that is safe: its method is safe (RFC 9110 section 9.2.1), or nothing of it
    /// was sent to an endpoint.
    Abort,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http,
    /// Bytes.
    Tcp,
}

/// `[listener.socket]`
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSocket {
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT: one listening socket a worker. Off: one socket that all workers share.
    pub reuse_port: bool,
    /// TCP_NODELAY on accepted sockets.
    pub no_delay: bool,
    /// How a client's connection is closed.
    pub linger: Linger,
    /// The argument of listen(2).
    pub backlog: Backlog,
    /// TCP_DEFER_ACCEPT.
    pub defer_accept: Option<Duration>,
    /// TCP_USER_TIMEOUT; zero leaves the kernel's default.
    pub user_timeout: Duration,
    /// Keepalive probes; `None` sends none.
    pub tcp_keepalive: Option<TcpKeepalive>,
}

/// How a connection that we close first is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linger {
    /// FIN, then read the peer's last bytes until its FIN or `timeout.linger`.
    Graceful,
    /// RST, once everything is acknowledged.
    Reset,
    /// SO_LINGER with this time, in whole seconds; close(2) is left to the kernel.
    Timed(Duration),
}

/// The argument of listen(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// net.core.somaxconn as it is when the socket is bound.
    Auto,
    /// This many; the kernel clamps it to net.core.somaxconn.
    Connections(u32),
}

/// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without an answer before the connection is dead.
    pub count: u32,
}

/// `[listener.timeout]`
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTimeout {
    /// A whole request head, from its first byte (on a new connection: from accept).
    pub header: Duration,
    /// Between two requests (http), or without a byte either way (tcp).
    pub idle: Duration,
    /// Without a byte of a request body from the client, or of a response to it.
    pub body: Duration,
    /// After the client's FIN, all is over by then; where that FIN waits behind bytes that the endpoint
    /// does not take, as long as this without a byte either way.
    pub half_close: Duration,
    /// Reading the peer's last bytes before close, or waiting for its acknowledgements.
    pub linger: Duration,
}

/// `[[upstream]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Unique; letters, digits, `.`, `-`, `_` (it serves as `Host` for a client that sent none).
    pub name: String,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// With unique addresses; at least one where there are no `names`. What runs has those behind its
    /// names too.
    pub endpoints: Vec<Endpoint>,
    /// Names that stand for endpoints, each once.
    pub names: Vec<DnsName>,
    /// What is made of the answers for `names`.
    pub discovery: Discovery,
    /// The pool.
    pub pool: Pool,
    /// Where connections come from, and how many ports there are for them.
    pub source: Source,
    /// Deadlines.
    pub timeout: UpstreamTimeout,
    /// Socket options.
    pub socket: UpstreamSocket,
    /// When an endpoint that fails is left out.
    pub passive: Passive,
}

impl Upstream {
    /// How many endpoints it has at the least, if every name stands for one.
    pub fn endpoints_at_least(&self) -> usize {
        self.endpoints.len() + self.names.len()
    }
}

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share, 1 to 1000.
    pub weight: u16,
}

/// A name that stands for endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsName {
    /// Lower-case labels; one with a dot at its end is looked for in no domain.
    pub name: String,
    /// What it is asked for.
    pub kind: DnsKind,
}

/// What a name is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DnsKind {
    /// Its addresses (A and AAAA records).
    Addresses {
        /// The port of every one of them.
        port: u16,
        /// The share of every one of them, 1 to 1000.
        weight: u16,
    },
    /// Its services (SRV records, RFC 2782), which say ports and shares.
    Services,
}

/// `[upstream.discovery]`
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// Which addresses of a name are its endpoints.
    pub family: Family,
    /// A name is not asked for again any sooner, whatever its TTL is.
    pub ttl_min: Duration,
    /// Nor any later than this.
    pub ttl_max: Duration,
    /// How long the endpoints of a name stay that is said to have none any more.
    pub grace: Duration,
    /// Endpoints of one name; the rest is left out.
    pub max_endpoints: usize,
}

/// Which addresses of a name are its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The IPv4 ones, or the IPv6 ones where there are no others.
    Auto,
    /// The IPv4 ones.
    Ipv4,
    /// The IPv6 ones.
    Ipv6,
    /// All of them.
    Both,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// The fewest exchanges in progress, by weight.
    LeastConn,
    /// The less loaded of two drawn at random.
    P2c,
    /// At random, by weight.
    Random,
    /// Always the same one for the same key, as long as it is up.
    Hash(HashKey),
}

/// What [`Balance::Hash`] hashes.
#[derive(Clone, Debug, PartialEq)]
pub enum HashKey {
    /// The client's IP address.
    Client,
    /// The value of this request header, by its lower-case name; the client's address where it is absent.
    Header(String),
}

/// `[upstream.source]`
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Local addresses to dial from: the one with the most room for the destination; empty: the
    /// kernel's choice.
    pub addresses: Vec<IpAddr>,
    /// Local ports to dial from; `None`: net.ipv4.ip_local_port_range.
    pub ports: Option<RangeInclusive<u16>>,
    /// Percent of the ports of a source towards a destination in use at which this is logged.
    pub warn_percent: u8,
    /// From here on, a request waits for a pooled connection before another is dialled.
    pub reuse_only_percent: u8,
    /// From here on, nothing is dialled from this source to this destination.
    pub refuse_percent: u8,
    /// What stands between this host and the endpoints.
    pub nat: Option<Nat>,
}

/// A network address translator on the way to the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Connections that it carries at once to one destination.
    pub ports: u32,
    /// It forgets a connection that has been silent for this long.
    pub idle_timeout: Duration,
    /// It keeps the port of a connection that was closed, by FIN or RST, for this long.
    pub time_wait: Duration,
}

/// `[upstream.pool]`
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Idle connections kept to an endpoint, all workers together.
    pub max_idle: usize,
    /// Connections kept warm to an endpoint, all workers together; at most `max_idle`.
    pub min_idle: usize,
    /// Connections to an endpoint, all workers together; 0: what the descriptor budget allows.
    pub max_connections: usize,
    /// `None` is "auto": the endpoint's Keep-Alive hint less 1 s, or 0.8 of what was learned, or 4 s;
    /// with a [`Nat`], no more than 0.8 of its idle timeout.
    pub idle_timeout: Option<Duration>,
    /// A connection's life, jittered by 10 %; zero: no limit.
    pub max_age: Duration,
    /// Requests on one connection; 0: no limit.
    pub max_requests: u64,
    /// In the queue for a connection.
    pub wait_timeout: Duration,
    /// Requests waiting for a connection to an endpoint, in each worker.
    pub wait_queue: usize,
}

/// `[upstream.timeout]`
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTimeout {
    /// Until the endpoint accepts.
    pub connect: Duration,
    /// From the request sent whole to the response head read whole.
    pub response_header: Duration,
    /// Without a byte of a response body from the endpoint, or of a request to it.
    pub body: Duration,
    /// After the endpoint's FIN in a tunnel, all is over by then; where that FIN waits behind bytes that
    /// the client does not take, as long as this without a byte either way.
    pub half_close: Duration,
}

/// `[upstream.socket]`
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSocket {
    /// TCP_NODELAY.
    pub no_delay: bool,
    /// TCP_USER_TIMEOUT; zero leaves the kernel's default.
    pub user_timeout: Duration,
    /// Keepalive probes; `None` sends none. With a [`Nat`], early enough for it.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How its connections are closed.
    pub close: UpstreamClose,
}

/// How a connection to an endpoint is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamClose {
    /// RST, so that no TIME_WAIT is left here; FIN where the endpoint closed first, or bytes are on
    /// their way that somebody wants.
    Auto,
    /// FIN; RST for what has nothing outstanding while ports run short.
    Graceful,
    /// RST.
    Reset,
}

/// `[upstream.passive]`
#[derive(Clone, Debug, PartialEq)]
pub struct Passive {
    /// Consecutive failed connects after which an endpoint is down; 0: never.
    pub failures: u32,
    /// How long it is left out the first time; doubled at each failed re-trial.
    pub retry_after: Duration,
    /// The longest it is left out.
    pub retry_after_max: Duration,
}
