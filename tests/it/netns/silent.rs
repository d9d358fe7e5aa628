//! A NAT or a firewall that has forgotten a connection drops what comes of it, and says nothing.

use super::namespace::{NFT, nft, trials};
use crate::harness::{Client, Origin, Proxy, Setup, eventually, kernel};
use libtest_mimic::Trial;
use millpond::sys::sock_diag::TcpState;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[NFT];
        the_next_request_is_served_within_user_timeout,
        of_several_silent_connections_none_is_tried_for_the_same_request,
        all_requests_that_meet_silent_connections_at_once_are_served,
        a_silent_connection_of_a_sibling_is_tried_only_once,
        a_post_is_answered_within_user_timeout,
    ]
}

/// How long the kernel is told to wait for an acknowledgement. It counts from the first segment that it
/// sends again (retransmits_timed_out in net/ipv4/tcp_timer.c), which is a fraction of a second later. A
/// client here waits for longer than that, and for less than it would take by default.
const USER_TIMEOUT: &str = "socket.user_timeout = \"1s\"";

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// A proxy with this many idle connections.
struct Idle {
    // Dropped in this order.
    clients: Vec<Client>,
    proxy: Proxy,
    origin: Origin,
}

impl Idle {
    fn new(count: usize, workers: usize) -> Self {
        let (origin, gate) = Origin::gated();
        let setup = Setup::http([origin.address()]).workers(workers).upstream(USER_TIMEOUT);
        let proxy = setup.upstream("pool.idle_timeout = \"60s\"").start();
        let mut clients: Vec<_> = (0..count).map(|_| proxy.client_of(0)).collect();
        clients.iter().for_each(|client| client.send(GET));
        origin.wait_for_requests(count);
        gate.open();
        clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
        eventually("all are idle", || proxy.idle() == count as u64);
        Self { clients, proxy, origin }
    }

    /// From now on, nothing of the idle connections arrives.
    fn silence(&self) {
        silence(self.origin.address());
    }
}

/// Drops whatever arrives of the connections that are established with this origin now.
fn silence(origin: SocketAddr) {
    let established = kernel::towards(origin, &[TcpState::Established]);
    let ports: Vec<_> = established.iter().map(|socket| socket.local.port().to_string()).collect();
    assert!(!ports.is_empty());
    let (ports, origin) = (ports.join(", "), origin.port());
    nft(&format!(
        "table ip silence {{
            chain input {{
                type filter hook input priority 0;
                tcp sport {{ {ports} }} tcp dport {origin} drop
                tcp sport {origin} tcp dport {{ {ports} }} drop
            }}
        }}"
    ));
}

fn the_next_request_is_served_within_user_timeout() {
    let mut idle = Idle::new(1, 1);
    idle.silence();
    let since = Instant::now();
    idle.clients[0].send(GET);
    assert_eq!(idle.clients[0].response().text(), "ok");
    assert!(since.elapsed() > Duration::from_millis(900), "the kernel was not asked to wait for 1 s");
    assert_eq!((idle.proxy.retries(), idle.proxy.opened()), (1, 2));
    // The new connection is used from here on.
    assert_eq!(idle.clients[0].get("/").text(), "ok");
    assert_eq!((idle.proxy.retries(), idle.proxy.opened()), (1, 2));
}

fn of_several_silent_connections_none_is_tried_for_the_same_request() {
    let mut idle = Idle::new(5, 1);
    idle.silence();
    idle.clients[0].send(GET);
    assert_eq!(idle.clients[0].response().text(), "ok");
    assert_eq!((idle.proxy.retries(), idle.proxy.opened(), idle.proxy.rested().idle()), (1, 6, 5));
}

fn all_requests_that_meet_silent_connections_at_once_are_served() {
    let mut idle = Idle::new(5, 1);
    idle.silence();
    idle.clients.iter().for_each(|client| client.send(GET));
    for client in &mut idle.clients {
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!((idle.proxy.retries(), idle.proxy.opened(), idle.proxy.rested().idle()), (5, 10, 5));
}

/// The second worker has none of its own, takes one of the first's, and then must not take another.
fn a_silent_connection_of_a_sibling_is_tried_only_once() {
    let idle = Idle::new(3, 2);
    let mut other = idle.proxy.client_of(1);
    idle.silence();
    other.send(GET);
    assert_eq!(other.response().text(), "ok");
    assert_eq!((idle.proxy.retries(), idle.proxy.opened()), (1, 4));
}

fn a_post_is_answered_within_user_timeout() {
    let mut idle = Idle::new(2, 1);
    idle.silence();
    let client = &mut idle.clients[0];
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
    let response = client.response();
    // It may have arrived, so that it is not sent again.
    assert_eq!((response.status(), response.reason()), (502, Some("upstream_reset")));
    assert_eq!(idle.proxy.retries(), 0);
}
