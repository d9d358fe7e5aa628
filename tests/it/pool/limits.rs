//! How many connections there may be.

use super::{GET, OK, asking};
use crate::harness::{Client, Gate, Origin, Setup, eventually};
use libtest_mimic::Trial;
use millpond::reason::DiscardReason;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        no_more_are_idle_than_max_idle,
        nothing_is_kept_with_max_idle_0,
        no_more_are_open_than_max_connections,
        who_waits_is_served_in_order,
        a_waiting_request_is_served_when_a_connection_breaks,
        min_idle_is_kept_warm_without_a_request,
        what_is_warm_is_replaced,
        max_requests_ends_a_connection,
    ]
}

fn no_more_are_idle_than_max_idle() {
    let (origin, gate) = Origin::gated();
    let proxy = Setup::http([origin.address()]).upstream("pool.max_idle = 2").start();
    let mut clients = asking(&proxy, 6);
    origin.wait_for_requests(6);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    assert_eq!((proxy.opened(), proxy.rested().idle(), proxy.discards(DiscardReason::PoolFull)), (6, 2, 4));
}

fn nothing_is_kept_with_max_idle_0() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).upstream("pool.max_idle = 0").start();
    let mut client = Client::connect(proxy.address());
    (0..3).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert_eq!((proxy.opened(), proxy.rested().idle()), (3, 0));
}

fn no_more_are_open_than_max_connections() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).upstream("pool.max_connections = 4").start();
    let mut clients: Vec<Client> = (0..64).map(|_| Client::connect(proxy.address())).collect();
    for _ in 0..5 {
        clients.iter().for_each(|client| client.send(GET));
        clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    }
    assert!(proxy.opened() <= 4, "{} opened", proxy.opened());
    assert_eq!(proxy.waiting(), 0);
}

fn who_waits_is_served_in_order() {
    let (origin, gate) = Origin::gated();
    let proxy = Setup::http([origin.address()]).upstream("pool.max_connections = 1").start();
    let mut clients = Vec::new();
    for number in 0..5 {
        let client = Client::connect(proxy.address());
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
        eventually("it waits", || proxy.waiting() == number && proxy.endpoint(0).gauge(|w| &w.leased) == 1);
        clients.push(client);
    }
    origin.wait_for_requests(1);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    let targets: Vec<_> = origin.requests().into_iter().map(|request| request.message.start).collect();
    assert_eq!(targets, [0, 1, 2, 3, 4].map(|number| format!("GET /{number} HTTP/1.1")));
    assert_eq!(proxy.opened(), 1);
}

fn a_waiting_request_is_served_when_a_connection_breaks() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        if conn.number == 0 {
            wait.wait();
            return;
        }
        conn.send(OK);
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).upstream("pool.max_connections = 1").start();
    let mut first = asking(&proxy, 1).remove(0);
    origin.wait_for_requests(1);
    let mut second = asking(&proxy, 1).remove(0);
    eventually("the second waits", || proxy.waiting() == 1);
    gate.open();
    assert_eq!(first.response().reason(), Some("upstream_closed"));
    assert_eq!(second.response().text(), "ok");
    assert_eq!(proxy.opened(), 2);
}

fn min_idle_is_kept_warm_without_a_request() {
    for workers in [1, 2] {
        let origin = Origin::saying("ok");
        let proxy = Setup::http([origin.address()]).workers(workers).upstream("pool.min_idle = 3").start();
        eventually("three warm connections", || proxy.idle() == 3);
        assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
        assert_eq!(proxy.reused(), 0, "a warm connection is a first use");
        assert!(origin.requests()[0].connection < 3, "it was there before the request");
    }
}

fn what_is_warm_is_replaced() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        if conn.number < 2 {
            wait.wait();
            return;
        }
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).upstream("pool.min_idle = 2").start();
    eventually("two warm connections", || proxy.idle() == 2 && origin.connections() == 2);
    gate.open();
    eventually("two others", || proxy.idle() == 2 && origin.connections() == 4);
    assert_eq!(proxy.rested().discards(DiscardReason::EndpointClosed), 2);
}

fn max_requests_ends_a_connection() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).upstream("pool.max_requests = 3").start();
    let mut client = Client::connect(proxy.address());
    (0..7).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    let connections: Vec<_> = origin.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1, 1, 1, 2]);
    assert_eq!(proxy.rested().discards(DiscardReason::MaxRequests), 2);
}
