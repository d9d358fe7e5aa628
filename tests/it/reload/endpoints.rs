//! Endpoints and upstreams that come and go.

use super::{Load, addresses, origins};
use crate::harness::{Client, Ended, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use millpond::metrics::host::Host;
use millpond::observe::snapshot::Snapshot;
use std::sync::Arc;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        endpoints_come_and_go_under_load,
        the_idle_connections_of_a_removed_endpoint_are_closed_without_a_time_wait,
        a_removed_endpoint_serves_what_runs_and_is_seen_until_then,
        what_a_removed_endpoint_still_serves_has_a_deadline,
        an_endpoint_that_comes_back_in_time_is_the_same,
        tunnels_count_in_the_balance_after_a_reload,
        other_sources_keep_the_ports_that_are_taken,
    ]
}

fn endpoints_come_and_go_under_load() {
    let all: [Origin; 3] = origins();
    let some = |which: &[usize]| Setup::http(which.iter().map(|i| all[*i].address())).workers(2);
    let proxy = some(&[0]).start();
    let (keeping, reconnecting) = (Load::keeping(proxy.address(), 4), Load::reconnecting(proxy.address(), 2));
    for which in [&[0, 1][..], &[1], &[1, 2], &[0, 1, 2], &[2], &[0]].repeat(3) {
        keeping.more(20);
        reconnecting.more(5);
        let done = proxy.reload(&some(which));
        let now = [addresses(&done.difference.endpoints.kept), addresses(&done.difference.endpoints.added)];
        assert_eq!(now.concat().len(), which.len());
    }
    assert!(keeping.end() >= 18 * 20 && reconnecting.end() >= 18 * 5);
    assert_eq!(proxy.listener().total(|w| &w.accept_errors), 0);
    let failed: u64 = proxy.listener().workers.iter().map(|w| w.responses.get(4)).sum();
    assert_eq!(failed, 0, "responses with 5xx");
    eventually("nothing is leaving", || proxy.registry().running().leaving.upstreams.is_empty());
    drop(all);
}

fn the_idle_connections_of_a_removed_endpoint_are_closed_without_a_time_wait() {
    let [one, other] = origins();
    let proxy = Proxy::http(one.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    let removed = proxy.rested().endpoint(0);
    let done = proxy.reload(&Setup::http([other.address()]));
    assert_eq!(addresses(&done.difference.endpoints.removed), [one.address().to_string()]);
    assert_eq!(one.wait_for_end(0), Ended::Reset);
    assert_eq!(removed.gauge(|w| &w.idle), 0);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(other.connections(), 1);
}

fn statistics(proxy: &Proxy) -> Snapshot {
    Snapshot::take(proxy.registry(), Host::default())
}

fn a_removed_endpoint_serves_what_runs_and_is_seen_until_then() {
    let ((origin, gate), [other]) = (Origin::gated(), origins());
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    proxy.reload(&Setup::http([other.address()]));
    let seen = statistics(&proxy).upstreams.remove(0).endpoints;
    let words: Vec<_> =
        seen.iter().map(|e| (e.address.as_str(), e.admin.as_str(), e.connections.leased)).collect();
    let (old, new) = (origin.address().to_string(), other.address().to_string());
    assert_eq!(words, [(new.as_str(), "enabled", 0), (old.as_str(), "draining", 1)]);
    gate.open();
    assert_eq!(client.response().text(), "ok");
    eventually("it is gone", || statistics(&proxy).upstreams[0].endpoints.len() == 1);
    assert_eq!(origin.wait_for_end(0), Ended::Reset);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!((other.connections(), origin.connections()), (1, 1));
}

fn what_a_removed_endpoint_still_serves_has_a_deadline() {
    let [other] = origins();
    let origin = Origin::start(|conn| {
        conn.hold();
    });
    let short = |endpoint: &Origin| Setup::tcp([endpoint.address()]).runtime("shutdown_timeout = \"200ms\"");
    let proxy = short(&origin).start();
    let mut client = Client::connect(proxy.address());
    origin.wait_for_connections(1);
    proxy.reload(&short(&other));
    client.rest();
    eventually("it is gone", || proxy.registry().running().leaving.upstreams.is_empty());
}

fn an_endpoint_that_comes_back_in_time_is_the_same() {
    let ((origin, gate), [other]) = (Origin::gated(), origins());
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    let before = proxy.endpoint(0);
    proxy.reload(&Setup::http([other.address()]));
    proxy.reload(&Setup::http([origin.address()]));
    assert!(Arc::ptr_eq(&before, &proxy.endpoint(0)));
    let is_leaving = || proxy.registry().running().leaving.upstreams.len();
    eventually("the other is gone", || is_leaving() == 0);
    gate.open();
    assert_eq!(client.response().text(), "ok");
    assert_eq!(proxy.rested().idle(), 1, "its connection is kept");
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!((proxy.opened(), origin.connections()), (1, 1));
}

fn tunnels_count_in_the_balance_after_a_reload() {
    let both = [(); 2].map(|()| {
        Origin::start(|conn| {
            conn.hold();
        })
    });
    let proxy = Setup::tcp([both[0].address()]).start();
    let before: Vec<Client> = (0..4).map(|_| Client::connect(proxy.address())).collect();
    both[0].wait_for_connections(4);
    proxy.reload(&Setup::tcp([both[1].address(), both[0].address()]));
    let after: Vec<Client> = (0..4).map(|_| Client::connect(proxy.address())).collect();
    both[1].wait_for_connections(4);
    assert_eq!(both[0].connections(), 4, "the least loaded has all of the new ones");
    drop(before);
    eventually("they are gone", || proxy.listener().gauge(|w| &w.sessions) == 4);
    let _more: Vec<Client> = (0..4).map(|_| Client::connect(proxy.address())).collect();
    both[0].wait_for_connections(8);
    assert_eq!(both[1].connections(), 4);
    drop(after);
}

fn other_sources_keep_the_ports_that_are_taken() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    let used = |proxy: &Proxy| proxy.endpoint(0).sources()[0].figures(std::time::Instant::now()).used;
    assert_eq!(used(proxy.rested()), 1);
    proxy.reload(&setup.upstream("source.warn_percent = 50"));
    assert_eq!((used(&proxy), proxy.idle()), (1, 1), "the connection has its port, and is kept");
    proxy.reload(&Setup::http([]).weighted(origin.address(), 3).upstream("pool.idle_timeout = \"10ms\""));
    eventually("it is closed and its port is free", || proxy.idle() == 0 && used(&proxy) == 0);
}
