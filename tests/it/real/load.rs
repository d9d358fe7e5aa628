//! Load generators: nothing fails, and few connections are enough.

use super::nginx::Nginx;
use super::process::succeeds;
use super::program::{AB, WRK};
use crate::harness::Proxy;
use libtest_mimic::Trial;
use millpond::reason::RejectReason;

/// Clients at once.
const CLIENTS: u64 = 32;
/// Requests after which nginx closes a connection (`keepalive_requests`).
const NGINX_REQUESTS: u64 = 1000;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![wrk_sees_no_error, wrk_fetches_bodies_in_pieces, ab_keeps_connections_alive, ab_reconnects]
}

fn wrk_sees_no_error() {
    let requests = wrk(1024);
    assert!(requests > 100, "{requests} requests");
}

/// 300,000 bytes are more than a socket takes at once.
fn wrk_fetches_bodies_in_pieces() {
    let requests = wrk(300_000);
    assert!(requests > 100, "{requests} requests");
}

/// Runs wrk for three seconds and returns how many requests it made.
fn wrk(bytes: u64) -> u64 {
    let nginx = Nginx::start();
    nginx.create("file", bytes);
    let proxy = nginx.proxied();
    let mut command = WRK.command();
    command.args(["-t1", &format!("-c{CLIENTS}"), "-d3s", "--timeout", "10s"]);
    let report = succeeds(command.arg(format!("http://{}/file", proxy.address())));
    assert!(!report.contains("Non-2xx") && !report.contains("Socket errors"), "{report}");
    let requests = report.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests = requests.unwrap_or_else(|| panic!("{report}")).0.parse().expect("a count");
    assert_nothing_refused(&proxy);
    assert_few_connections(&proxy, requests);
    requests
}

fn ab_keeps_connections_alive() {
    let nginx = Nginx::start();
    nginx.create("file", 10_000);
    let proxy = nginx.proxied();
    let report = ab(&proxy, &["-k"]);
    assert!(report.contains("Keep-Alive requests:    5000\n"), "{report}");
    assert_eq!(proxy.listener().total(|w| &w.sessions_total), CLIENTS, "one connection a client");
}

fn ab_reconnects() {
    let nginx = Nginx::start();
    nginx.create("file", 10_000);
    let proxy = nginx.proxied();
    ab(&proxy, &[]);
    // At its end, ab leaves connections that it has opened and has no request for.
    let sessions = proxy.listener().total(|w| &w.sessions_total);
    assert!((5000..=5000 + CLIENTS).contains(&sessions), "{sessions} connections for 5,000 requests");
}

/// 5,000 requests by HTTP/1.0.
fn ab(proxy: &Proxy, options: &[&str]) -> String {
    let mut command = AB.command();
    command.args(["-q", "-n", "5000", "-c", &CLIENTS.to_string(), "-s", "20"]).args(options);
    let report = succeeds(command.arg(format!("http://{}/file", proxy.address())));
    assert!(report.contains("Complete requests:      5000\n"), "{report}");
    assert!(report.contains("Failed requests:        0\n") && !report.contains("Non-2xx"), "{report}");
    assert_nothing_refused(proxy);
    assert_few_connections(proxy, 5000);
    report
}

#[track_caller]
fn assert_nothing_refused(proxy: &Proxy) {
    let refused: Vec<_> = RejectReason::ALL.iter().filter(|reason| proxy.rejects(**reason) > 0).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// A connection is opened only for a client that has none, or for one that nginx has closed.
#[track_caller]
fn assert_few_connections(proxy: &Proxy, requests: u64) {
    let most = CLIENTS + requests / NGINX_REQUESTS + CLIENTS;
    assert!(proxy.opened() <= most, "{} connections for {requests} requests", proxy.opened());
}
