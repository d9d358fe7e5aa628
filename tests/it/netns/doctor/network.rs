//! Settings that each network namespace has for itself.

use super::scene::{PLAIN, Row, Scene, config, pretended, settings};

const WORKERS: [&str; 3] = ["runtime.workers = 2", "", ""];
const GRACEFUL: [&str; 3] = ["", "", "socket.close = \"graceful\""];
const LISTENS_AT_40000: [&str; 3] = ["", "bind = \"0.0.0.0:40000\"", ""];
const DIALS_FROM_40000: [&str; 3] = ["", "", "source.ports = \"40000-49999\""];
const SHORT: Scene = settings(&[("ipv4/ip_local_port_range", "40000 40255")]);
const USUAL: Scene = settings(&[("ipv4/ip_local_port_range", "32768 60999")]);

pub(super) const LISTEN_QUEUES: &[Row] = &[
    Row {
        check: "net.core.somaxconn",
        bad: settings(&[("core/somaxconn", "128")]),
        verdict: "warn",
        good: settings(&[("core/somaxconn", "4096")]),
    },
    Row {
        check: "net.core.somaxconn",
        bad: config(["", "socket.backlog = 8192", ""]),
        verdict: "warn",
        good: settings(&[("core/somaxconn", "8192")]).with(["", "socket.backlog = 8192", ""]),
    },
    Row {
        check: "listener.socket.backlog",
        bad: config(["", "socket.backlog = 10", ""]),
        verdict: "warn",
        good: PLAIN,
    },
    Row {
        check: "net.ipv4.tcp_max_syn_backlog",
        bad: settings(&[("ipv4/tcp_syncookies", "0"), ("ipv4/tcp_max_syn_backlog", "256")]),
        verdict: "warn",
        good: settings(&[("core/somaxconn", "4096"), ("ipv4/tcp_max_syn_backlog", "8192")]),
    },
    Row {
        check: "net.ipv4.tcp_syncookies",
        bad: settings(&[("ipv4/tcp_syncookies", "0")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_syncookies", "1")]),
    },
    Row {
        check: "net.ipv4.tcp_abort_on_overflow",
        bad: settings(&[("ipv4/tcp_abort_on_overflow", "1")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_abort_on_overflow", "0")]),
    },
    Row {
        check: "net.ipv4.tcp_migrate_req",
        bad: settings(&[("ipv4/tcp_migrate_req", "0")]).with(WORKERS),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_migrate_req", "1")]).with(WORKERS),
    },
    Row {
        check: "net.core.netdev_max_backlog",
        bad: pretended(&[("net.core.netdev_max_backlog", "1")]),
        verdict: "ok",
        good: pretended(&[("net.core.netdev_max_backlog", "1000")]),
    },
];

pub(super) const SOURCE_PORTS: &[Row] = &[
    Row { check: "net.ipv4.ip_local_port_range", bad: SHORT, verdict: "warn", good: USUAL },
    Row {
        check: "net.ipv4.ip_local_port_range",
        bad: SHORT.with(["", "", "pool.max_connections = 256"]),
        verdict: "critical",
        good: USUAL.with(["", "", "pool.max_connections = 256"]),
    },
    Row {
        check: "source_port_parity",
        bad: settings(&[("ipv4/ip_local_port_range", "32768 61000")]),
        verdict: "warn",
        good: USUAL,
    },
    Row {
        check: "net.ipv4.ip_local_reserved_ports",
        bad: settings(&[("ipv4/ip_local_reserved_ports", "50000")]).with(LISTENS_AT_40000),
        verdict: "warn",
        good: settings(&[("ipv4/ip_local_reserved_ports", "50000,40000")]).with(LISTENS_AT_40000),
    },
    Row {
        check: "upstream.source.ports",
        bad: settings(&[("ipv4/ip_local_port_range", "45000 60999")]).with(DIALS_FROM_40000),
        verdict: "warn",
        good: USUAL.with(DIALS_FROM_40000),
    },
    Row {
        check: "upstream.source.ports",
        bad: settings(&[("ipv4/ip_local_port_range", "50000 60999")]).with(DIALS_FROM_40000),
        verdict: "critical",
        good: USUAL.with(DIALS_FROM_40000),
    },
    Row {
        check: "net.ipv4.tcp_tw_reuse",
        bad: settings(&[("ipv4/tcp_tw_reuse", "0")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_tw_reuse", "2")]),
    },
    Row {
        check: "net.ipv4.tcp_tw_reuse",
        bad: settings(&[("ipv4/tcp_tw_reuse", "2")]).with(GRACEFUL),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_tw_reuse", "1")]).with(GRACEFUL),
    },
    Row {
        check: "net.ipv4.tcp_max_tw_buckets",
        bad: settings(&[("ipv4/tcp_max_tw_buckets", "20000")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_max_tw_buckets", "32768")]),
    },
];

pub(super) const TCP: &[Row] = &[
    Row {
        check: "net.ipv4.tcp_timestamps",
        bad: settings(&[("ipv4/tcp_timestamps", "0")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_timestamps", "1")]),
    },
    Row {
        check: "net.ipv4.tcp_fin_timeout",
        bad: settings(&[("ipv4/tcp_fin_timeout", "120")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_fin_timeout", "60")]),
    },
    Row {
        check: "net.ipv4.tcp_slow_start_after_idle",
        bad: settings(&[("ipv4/tcp_slow_start_after_idle", "1")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_slow_start_after_idle", "0")]),
    },
    Row {
        check: "net.ipv4.tcp_keepalive_time",
        bad: config(["", "socket.tcp_keepalive = \"off\"", ""]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_keepalive_time", "30000")]),
    },
    Row {
        check: "net.ipv4.tcp_mem",
        bad: pretended(&[("net.ipv4.tcp_mem", "96 128 192")]),
        verdict: "warn",
        good: pretended(&[("net.ipv4.tcp_mem", "96000 128000 192000")]),
    },
    Row {
        check: "net.ipv4.tcp_rmem",
        bad: settings(&[("ipv4/tcp_rmem", "4096 16384 65536")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_rmem", "4096 131072 6291456")]),
    },
    Row {
        check: "net.ipv4.tcp_wmem",
        bad: settings(&[("ipv4/tcp_wmem", "4096 16384 32768")]),
        verdict: "warn",
        good: settings(&[("ipv4/tcp_wmem", "4096 16384 4194304")]),
    },
];

pub(super) const TRACKING: &[Row] = &[
    Row {
        check: "net.netfilter.nf_conntrack_tcp_timeout_established",
        bad: settings(&[("netfilter/nf_conntrack_tcp_timeout_established", "60")]),
        verdict: "warn",
        good: settings(&[("netfilter/nf_conntrack_tcp_timeout_established", "61")]),
    },
    Row {
        check: "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
        bad: settings(&[("netfilter/nf_conntrack_tcp_timeout_close_wait", "30")]),
        verdict: "warn",
        good: settings(&[("netfilter/nf_conntrack_tcp_timeout_close_wait", "60")]),
    },
    Row {
        check: "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
        bad: settings(&[("netfilter/nf_conntrack_tcp_timeout_time_wait", "600")]),
        verdict: "warn",
        good: settings(&[("netfilter/nf_conntrack_tcp_timeout_time_wait", "120")]),
    },
    Row {
        check: "net.netfilter.nf_conntrack_tcp_be_liberal",
        bad: settings(&[("netfilter/nf_conntrack_tcp_be_liberal", "0")]),
        verdict: "ok",
        good: settings(&[("netfilter/nf_conntrack_tcp_be_liberal", "1")]),
    },
    Row {
        check: "net.netfilter.nf_conntrack_max",
        bad: pretended(&[("net.netfilter.nf_conntrack_max", "8192")]).with([
            "",
            "limit.connections = 10000",
            "",
        ]),
        verdict: "warn",
        good: pretended(&[("net.netfilter.nf_conntrack_max", "65536")]).with([
            "",
            "limit.connections = 10000",
            "",
        ]),
    },
    Row {
        check: "net.netfilter.nf_conntrack_buckets",
        bad: pretended(&[("net.netfilter.nf_conntrack_buckets", "1024")]),
        verdict: "warn",
        good: PLAIN,
    },
];
