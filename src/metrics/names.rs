//! Every metric that millpond exposes, once: name, type, labels and help text.
//!
//! `millpond_<noun>_<unit>[_total]`, in base units (seconds, bytes), as the Prometheus naming
//! guide asks. A metric that is not in [`ALL`] cannot be rendered.

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name of the family; a histogram's samples append `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The label names, in the order in which samples give their values.
    pub labels: &'static [&'static str],
    /// One line for people.
    pub help: &'static str,
}

/// The kind of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bound, with a sum.
    Histogram,
}

impl Kind {
    /// The word that a `# TYPE` line uses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $id: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+

        /// Every metric, in the order of `/metrics`.
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

metrics! {
    BUILD_INFO = Gauge "millpond_build_info" ["version"]
        "Always 1; the label says which version runs.";
    UPTIME = Gauge "millpond_uptime_seconds" []
        "Time since the process began to serve.";
    DRAINING = Gauge "millpond_draining" []
        "1 from the moment a drain begins.";
    WORKER_RESTARTS = Counter "millpond_worker_restarts_total" ["worker"]
        "Panics of the worker, after which another took its place; each is a fault of ours.";
    CONFIG_GENERATION = Gauge "millpond_config_generation" []
        "Which configuration runs: 1 since the start, one more for each reload.";
    CONFIG_RELOADS = Counter "millpond_config_reloads_total" []
        "Reloads of the configuration that succeeded.";
    CONFIG_RELOAD_FAILURES = Counter "millpond_config_reload_failures_total" []
        "Reloads of the configuration that failed, and changed nothing.";
    CONFIG_FILE_DIFFERS = Gauge "millpond_config_file_differs" []
        "1 while the configuration file says something else than what runs. Absent without a file.";
    DESCRIPTORS = Gauge "millpond_descriptors" ["state"]
        "Open file descriptors: held by a client, by an upstream connection (also one being opened), or by anything else.";
    DESCRIPTORS_LIMIT = Gauge "millpond_descriptors_limit" []
        "RLIMIT_NOFILE, the file descriptors that the process may open.";
    DESCRIPTORS_BUDGET = Gauge "millpond_descriptors_budget" []
        "The part of the limit that clients and upstream connections may use together; beyond it clients are refused.";
    MEMORY_RESIDENT = Gauge "millpond_memory_resident_bytes" []
        "Resident memory of the process.";
    CLOSE_WAIT_SOCKETS = Gauge "millpond_close_wait_sockets" []
        "Sockets of ours in CLOSE_WAIT: the peer has sent FIN and we have not.";
    CLOSE_WAIT_OLDEST = Gauge "millpond_close_wait_oldest_seconds" []
        "For how long the oldest of them has been so without a byte of it being read; 0 when there is none.";
    CLOSE_WAIT_REAPED = Counter "millpond_close_wait_reaped_total" []
        "Sockets stuck in CLOSE_WAIT that were closed by force; each is a fault of ours.";
    BUDGET_USED = Gauge "millpond_budget_used" ["budget"]
        "How much is taken of what can run out: descriptors for clients and upstream connections, bytes of buffers, all descriptors, files of the host, tracked connections.";
    BUDGET_LIMIT = Gauge "millpond_budget_limit" ["budget"]
        "All there is of it.";
    BUDGET_EXHAUSTION = Gauge "millpond_budget_exhaustion_seconds" ["budget"]
        "Time until nothing is left of it if it goes on like in the last 30 seconds; absent if it never comes to that, or not within an hour.";
    BUDGET_LEVEL = Gauge "millpond_budget_level" ["budget"]
        "How urgent that is: 0 ok, 1 warn, 2 critical.";
    CENSUS_AGE = Gauge "millpond_census_age_seconds" []
        "Time since all connections in the kernel were last counted.";
    CENSUS_INTERVAL = Gauge "millpond_census_interval_seconds" []
        "Time from that count to the next: runtime.census_interval, or longer where there are very many.";
    CENSUS_SOCKETS = Gauge "millpond_census_sockets" []
        "Sockets that the kernel listed for it.";
    CENSUS_TAKEN = Counter "millpond_census_taken_total" []
        "Counts of all connections.";
    CENSUS_CPU = Counter "millpond_census_cpu_seconds_total" []
        "CPU time of these counts and of all looks at accept queues and budgets.";
    ACCESS_LOG_LOST = Counter "millpond_access_log_lines_lost_total" []
        "Lines missing from the access log, because its queue was full or a write failed.";
    KERNEL_LISTEN_OVERFLOWS = Counter "millpond_kernel_listen_overflows_total" []
        "Connections that the kernel dropped because an accept queue was full, of any listener in the network namespace (ListenOverflows).";
    KERNEL_LISTEN_DROPS = Counter "millpond_kernel_listen_drops_total" []
        "SYNs and connections dropped at listening sockets for any reason, overflows included (ListenDrops).";
    KERNEL_SYN_QUEUE_DROPS = Counter "millpond_kernel_syn_queue_drops_total" []
        "SYNs dropped because the queue of half-open connections was full (TCPReqQFullDrop).";
    KERNEL_SYN_QUEUE_COOKIES = Counter "millpond_kernel_syn_queue_cookies_total" []
        "SYNs answered with a cookie because the queue of half-open connections was full (TCPReqQFullDoCookies).";
    KERNEL_SYNCOOKIES = Counter "millpond_kernel_syncookies_sent_total" []
        "SYN cookies sent (SyncookiesSent).";
    KERNEL_TIME_WAIT_OVERFLOW = Counter "millpond_kernel_time_wait_overflow_total" []
        "Connections closed without TIME_WAIT because tcp_max_tw_buckets were taken (TCPTimeWaitOverflow).";
    KERNEL_ORPHANS = Gauge "millpond_kernel_orphans" []
        "TCP connections of the network namespace that no process holds any more.";
    KERNEL_TCP_MEMORY = Gauge "millpond_kernel_tcp_memory_bytes" []
        "Memory of all TCP socket buffers of the host.";
    KERNEL_TCP_MEMORY_LIMIT = Gauge "millpond_kernel_tcp_memory_limit_bytes" []
        "The memory beyond which TCP is short of it (third value of tcp_mem).";

    TCP_SOCKETS = Gauge "millpond_tcp_sockets" ["side", "listener", "upstream", "endpoint", "state"]
        "Sockets in the kernel by TCP state: of clients (side client, with the listener), and to endpoints (side upstream, with upstream and endpoint).";
    ACCEPT_QUEUE_DEPTH = Gauge "millpond_accept_queue_depth" ["listener"]
        "Connections that wait to be accepted, in the deepest of the queues of the listener's sockets.";
    ACCEPT_QUEUE_DEPTH_MAX = Gauge "millpond_accept_queue_depth_max" ["listener"]
        "The most that were seen in one of them, once a second, within the last minute.";
    ACCEPT_QUEUE_LIMIT = Gauge "millpond_accept_queue_limit" ["listener"]
        "The backlog in force for each of them: beyond it the kernel drops connections.";
    LISTEN_DROPS = Counter "millpond_listen_drops_total" ["listener"]
        "SYNs and connections that the kernel dropped at the listener's sockets, for whichever reason.";

    SESSIONS = Gauge "millpond_sessions" ["listener"]
        "Client connections open now.";
    SESSIONS_TOTAL = Counter "millpond_sessions_total" ["listener"]
        "Client connections accepted.";
    ACCEPT_ERRORS = Counter "millpond_accept_errors_total" ["listener"]
        "Errors of accept(2).";
    REQUESTS = Counter "millpond_requests_total" ["listener"]
        "Requests answered, by the upstream or by millpond itself.";
    RESPONSES = Counter "millpond_responses_total" ["listener", "class"]
        "Responses by the class of their status.";
    REJECTS = Counter "millpond_rejects_total" ["listener", "reason"]
        "Requests that millpond answered itself and TCP sessions that it refused, by reason.";
    CLOSES = Counter "millpond_closes_total" ["listener", "reason"]
        "Client connections that ended, by reason.";
    REQUEST_DURATION = Histogram "millpond_request_duration_seconds" ["listener"]
        "From the request head read whole to the response written whole.";
    RECEIVED_BYTES = Counter "millpond_received_bytes_total" ["listener"]
        "Bytes read from clients.";
    SENT_BYTES = Counter "millpond_sent_bytes_total" ["listener"]
        "Bytes written to clients.";

    ENDPOINT_UP = Gauge "millpond_endpoint_up" ["upstream", "endpoint"]
        "1 while the endpoint may be chosen, 0 while it is left out because connects failed.";
    UPSTREAM_CONNECTIONS = Gauge "millpond_upstream_connections" ["upstream", "endpoint", "state"]
        "Connections to the endpoint: idle in the pool, leased to an exchange or tunnel, or connecting.";
    UPSTREAM_IDLE_TIMEOUT = Gauge "millpond_upstream_idle_timeout_seconds" ["upstream", "endpoint"]
        "How long a connection to the endpoint may be idle in the pool, by the configuration or by what is known of the endpoint.";
    UPSTREAM_WAITING = Gauge "millpond_upstream_waiting_requests" ["upstream", "endpoint"]
        "Requests in the queue for a connection to the endpoint.";
    UPSTREAM_OPENED = Counter "millpond_upstream_connections_opened_total" ["upstream", "endpoint"]
        "Connections established.";
    UPSTREAM_REUSED = Counter "millpond_upstream_connections_reused_total" ["upstream", "endpoint"]
        "Leases that were served by a connection used before.";
    UPSTREAM_TAKEN_OVER = Counter "millpond_upstream_connections_taken_over_total" ["upstream", "endpoint"]
        "Idle connections taken over from another worker or, after an upgrade, from the process before this one.";
    UPSTREAM_RETRIES = Counter "millpond_upstream_retries_total" ["upstream", "endpoint"]
        "Requests sent again on another connection.";
    UPSTREAM_CONNECT_ERRORS = Counter "millpond_upstream_connect_errors_total" ["upstream", "endpoint"]
        "Connects that failed or timed out through the endpoint or the network.";
    UPSTREAM_LOCAL_ERRORS = Counter "millpond_upstream_local_errors_total" ["upstream", "endpoint"]
        "Connects that failed for want of something local: descriptors, ports, memory.";
    UPSTREAM_DISCARDS = Counter "millpond_upstream_discards_total" ["upstream", "endpoint", "reason"]
        "Connections to the endpoint that were closed, by reason.";
    UPSTREAM_TIME_WAIT_CAUSED = Counter "millpond_upstream_time_wait_caused_total" ["upstream", "endpoint"]
        "Connections closed here first by FIN: each leaves a TIME_WAIT here.";
    UPSTREAM_TIME_WAIT_AVOIDED = Counter "millpond_upstream_time_wait_avoided_total" ["upstream", "endpoint"]
        "Connections closed here by RST, which leaves no TIME_WAIT.";
    UPSTREAM_SENT_BYTES = Counter "millpond_upstream_sent_bytes_total" ["upstream", "endpoint"]
        "Bytes written to the endpoint.";
    UPSTREAM_RECEIVED_BYTES = Counter "millpond_upstream_received_bytes_total" ["upstream", "endpoint"]
        "Bytes read from the endpoint.";
    DNS_LOOKUPS = Counter "millpond_dns_lookups_total" ["upstream", "name", "result"]
        "Questions for a name that stands for endpoints, by what became of them: found, partial, empty, failed.";
    DNS_ENDPOINTS = Gauge "millpond_dns_endpoints" ["upstream", "name"]
        "Endpoints that the name stands for.";
    DNS_FAILURES = Gauge "millpond_dns_failures" ["upstream", "name"]
        "Questions in a row that were not answered, or not wholly; 0: the last one was.";
    DNS_AGE = Gauge "millpond_dns_age_seconds" ["upstream", "name"]
        "Time since the name was last answered, with whatever; absent if it never was.";
    SOURCE_PORTS_CAPACITY = Gauge "millpond_source_ports_capacity" ["upstream", "endpoint", "source"]
        "Local ports that there are for connections from the source to the endpoint.";
    SOURCE_PORTS_USED = Gauge "millpond_source_ports_used" ["upstream", "endpoint", "source"]
        "Ports of open connections, those of other processes included.";
    SOURCE_PORTS_TIME_WAIT = Gauge "millpond_source_ports_time_wait" ["upstream", "endpoint", "source"]
        "Ports of closed connections that are held still, in TIME_WAIT or by a NAT.";
    SOURCE_PORTS_FREE = Gauge "millpond_source_ports_free" ["upstream", "endpoint", "source"]
        "Ports that are left.";
    SOURCE_PORTS_EXHAUSTION = Gauge "millpond_source_ports_exhaustion_seconds" ["upstream", "endpoint", "source"]
        "Time until no port is left at the rates of the last seconds; absent if it never comes to that, or not within an hour.";
    SOURCE_PORTS_LEVEL = Gauge "millpond_source_ports_level" ["upstream", "endpoint", "source"]
        "How scarce the ports are: 0 ok, 1 warn, 2 reuse_only, 3 refuse.";
    SOURCE_PORTS_UNAVAILABLE = Counter "millpond_source_ports_unavailable_total" ["upstream", "endpoint", "source"]
        "Dials for which the kernel had no port or not the address (EADDRNOTAVAIL).";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_follow_the_convention() {
        let names: HashSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("millpond_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        }
    }

    #[test]
    fn labels_come_from_the_agreed_set_and_help_is_one_plain_line() {
        let known = [
            "listener", "upstream", "endpoint", "state", "reason", "class", "version", "source", "side",
            "budget", "name", "result", "worker",
        ];
        for metric in ALL {
            assert!(metric.labels.iter().all(|label| known.contains(label)), "{}", metric.name);
            assert!(!metric.help.contains(['\n', '\\']), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
