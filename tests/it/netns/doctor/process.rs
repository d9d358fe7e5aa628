//! What the process is let do, and what the kernel has.

use super::scene::{PLAIN, Row, config};

/// RLIMIT_NOFILE, soft and hard.
const FEW: &[&str] = &["sh", "-c", "ulimit -n 200 && exec \"$0\" \"$@\""];
const ENOUGH: &[&str] = &["sh", "-c", "ulimit -n 600 && exec \"$0\" \"$@\""];
const POOL: [&str; 3] = ["", "limit.connections = 100", "pool.max_idle = 256"];

pub(super) const DESCRIPTORS: &[Row] = &[
    Row {
        check: "RLIMIT_NOFILE",
        bad: PLAIN.through(FEW),
        verdict: "critical",
        good: config(POOL).through(ENOUGH),
    },
    Row {
        check: "RLIMIT_NOFILE",
        bad: config(["", "limit.connections = 270", ""]).through(ENOUGH),
        verdict: "critical",
        good: config(["", "limit.connections = 250", "pool.max_idle = 10"]).through(ENOUGH),
    },
    Row {
        check: "RLIMIT_NOFILE",
        bad: config(["", "limit.connections = 250", ""]).through(ENOUGH),
        verdict: "warn",
        good: config(["", "limit.connections = 250", "pool.max_idle = 10"]).through(ENOUGH),
    },
];

pub(super) const PLACES: &[Row] = &[
    Row {
        check: "runtime.user",
        bad: config(["runtime.user = \"no-such-user-here\"", "", ""]),
        verdict: "critical",
        good: config(["runtime.user = \"root\"", "", ""]),
    },
    Row {
        check: "upstream.source.addresses",
        bad: config(["", "", "source.addresses = [\"192.0.2.7\"]"]),
        verdict: "critical",
        good: config(["", "", "endpoints = [\"127.0.0.1:1\"]\nsource.addresses = [\"127.0.0.7\"]"]),
    },
    Row {
        check: "listener.bind",
        bad: config(["", "bind = \"192.0.2.7:8080\"", ""]),
        verdict: "critical",
        good: config(["", "bind = \"127.0.0.7:8080\"", ""]),
    },
    Row {
        check: "admin.listen",
        bad: config(["admin.listen = \"unix:{dir}/missing/admin.sock\"", "", ""]),
        verdict: "critical",
        good: config(["admin.listen = \"unix:{dir}/admin.sock\"", "", ""]),
    },
    Row {
        check: "admin.listen",
        bad: config(["admin.listen = \"192.0.2.7:9900\"\nadmin.token_file = \"{dir}/token\"", "", ""]),
        verdict: "critical",
        good: config(["admin.listen = \"127.0.0.7:9900\"", "", ""]),
    },
    Row {
        check: "admin.token_file",
        bad: config(["admin.token_file = \"{dir}/missing\"", "", ""]),
        verdict: "critical",
        good: config(["admin.token_file = \"{dir}/token\"", "", ""]),
    },
    Row {
        check: "admin.token_file",
        bad: config(["admin.token_file = \"{dir}/everybodys\"", "", ""]),
        verdict: "warn",
        good: config(["admin.token_file = \"{dir}/token\"", "", ""]),
    },
    Row {
        check: "log.access",
        bad: config(["log.access = \"{dir}/missing/access.log\"", "", ""]),
        verdict: "critical",
        good: config(["log.access = \"{dir}/access.log\"", "", ""]),
    },
];

/// A kernel that has no socket option that is asked for.
const NO_OPTIONS: &[&str] =
    &["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=getsockopt:error=ENOPROTOOPT"];
/// One without netlink.
const NO_NETLINK: &[&str] =
    &["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=sendto:error=ECONNREFUSED"];
/// A sandbox that forbids splice(2).
const NO_SPLICE: &[&str] = &["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=splice:error=ENOSYS"];
const WORKERS: [&str; 3] = ["runtime.workers = 2", "", ""];
const SOURCES: [&str; 3] = ["", "", "source.ports = \"40000-49999\"\nsource.addresses = [\"127.0.0.7\"]"];

pub(super) const FEATURES: &[Row] = &[
    Row {
        check: "SO_REUSEPORT",
        bad: config(WORKERS).through(NO_OPTIONS),
        verdict: "critical",
        good: config(WORKERS),
    },
    Row {
        check: "IP_BIND_ADDRESS_NO_PORT",
        bad: config(SOURCES).through(NO_OPTIONS),
        verdict: "critical",
        good: config(SOURCES),
    },
    Row {
        check: "IP_LOCAL_PORT_RANGE",
        bad: config(SOURCES).through(NO_OPTIONS),
        verdict: "critical",
        good: PLAIN.through(NO_OPTIONS),
    },
    Row { check: "TCP_USER_TIMEOUT", bad: PLAIN.through(NO_OPTIONS), verdict: "critical", good: PLAIN },
    Row { check: "sock_diag", bad: PLAIN.through(NO_NETLINK), verdict: "warn", good: PLAIN },
    Row { check: "splice", bad: PLAIN.through(NO_SPLICE), verdict: "warn", good: PLAIN },
];

const PORT_80: [&str; 3] = ["", "bind = \"0.0.0.0:80\"", ""];
/// Root in its namespace, but for this.
const UNPRIVILEGED: &[&str] = &["setpriv", "--bounding-set=-net_bind_service"];

pub(super) const CAPABILITIES: &[Row] = &[Row {
    check: "CAP_NET_BIND_SERVICE",
    bad: config(PORT_80).through(UNPRIVILEGED),
    verdict: "critical",
    good: config(PORT_80),
}];
