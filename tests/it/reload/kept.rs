//! What a reload does not change, it does not touch; what it changes applies to the next exchange.

use super::{Load, origins};
use crate::harness::{Client, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, DiscardReason};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        a_reload_of_the_same_touches_nothing,
        a_changed_timeout_applies_to_the_next_exchange,
        a_changed_pool_applies_to_what_is_idle,
        a_changed_balance_loses_no_connection,
        what_was_learned_of_an_endpoint_stays,
        an_endpoint_that_is_down_stays_down,
        another_limit_counts_who_is_there,
        a_listener_is_renamed_and_led_elsewhere_under_its_clients,
    ]
}

fn a_reload_of_the_same_touches_nothing() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    let before = (proxy.listener(), proxy.upstream(0));
    let done = proxy.rested().reload(&setup);
    assert!(done.difference.is_empty() && done.generation == 2, "{done:?}");
    let after = (proxy.listener(), proxy.upstream(0));
    assert!(Arc::ptr_eq(&before.0, &after.0) && Arc::ptr_eq(&before.1, &after.1));
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!((proxy.opened(), proxy.reused(), origin.connections()), (1, 1, 1));
}

fn a_changed_timeout_applies_to_the_next_exchange() {
    let (origin, gate) = Origin::gated();
    let setup = Setup::http([origin.address()]);
    let proxy = setup.clone().upstream("timeout.response_header = \"20s\"").start();
    let [mut before, mut after] = [(); 2].map(|()| Client::connect(proxy.address()));
    before.send("GET /before HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    let done = proxy.reload(&setup.upstream("timeout.response_header = \"100ms\""));
    assert_eq!(done.difference.upstreams.changed[0].keys, ["timeout.response_header"]);
    assert_eq!(done.difference.endpoints.kept.len(), 1);
    // By now the first would be over, if it had the new deadline.
    assert_eq!(after.get("/after").reason(), Some("response_timeout"));
    gate.open();
    assert_eq!(before.response().text(), "ok");
    assert_eq!(before.get("/next").text(), "ok");
    assert_eq!(origin.connections(), 2, "the first client's is kept");
}

fn a_changed_pool_applies_to_what_is_idle() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]).upstream("pool.idle_timeout = \"1h\"");
    let proxy = setup.start();
    let mut clients = [(); 4].map(|()| Client::connect(proxy.address()));
    // Four at once, so that there are four connections.
    let (gated, gate) = Origin::gated();
    let with_gate = Setup::http([gated.address()]).upstream("pool.idle_timeout = \"1h\"");
    proxy.reload(&with_gate);
    clients.iter().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    gated.wait_for_requests(4);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    assert_eq!(proxy.rested().idle(), 4);
    proxy.reload(&with_gate.clone().upstream("pool.max_idle = 3"));
    assert_eq!((proxy.idle(), proxy.discards(DiscardReason::PoolFull)), (3, 1));
    proxy.reload(&Setup::http([gated.address()]).upstream("pool.idle_timeout = \"10ms\""));
    eventually("they expire by the new timeout", || proxy.idle() == 0);
    proxy.reload(&Setup::http([gated.address()]).upstream("pool.min_idle = 2"));
    eventually("two are kept warm", || proxy.idle() == 2);
}

fn a_changed_balance_loses_no_connection() {
    let [one, other] = origins();
    let setup = Setup::http([one.address(), other.address()]).workers(2);
    let proxy = setup.start();
    let load = Load::keeping(proxy.address(), 4);
    for policy in ["round_robin", "p2c", "random", "hash", "least_conn"] {
        load.more(20);
        proxy.reload(&setup.clone().upstream(&format!("balance = \"{policy}\"")));
    }
    load.more(20);
    let requests = load.end();
    eventually("four clients have closed", || proxy.closes(CloseReason::ClientFin) == 4);
    assert!(requests >= 6 * 20);
}

fn what_was_learned_of_an_endpoint_stays() {
    let hinting = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=7\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::start(crate::harness::always(hinting));
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    proxy.rested().endpoint(0).closed_idle(Duration::from_secs(2), std::time::Instant::now());
    let learned = proxy.endpoint(0).idle_timeout(&proxy.upstream(0).config);
    proxy.reload(&setup.upstream("timeout.connect = \"1s\""));
    assert_eq!(proxy.endpoint(0).idle_timeout(&proxy.upstream(0).config), learned);
    assert_eq!(proxy.endpoint(0).keep_alive_hint_ms.load(Relaxed), 7000);
    assert_eq!((proxy.opened(), proxy.idle()), (1, 1));
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(proxy.opened(), 1);
}

fn an_endpoint_that_is_down_stays_down() {
    let [up] = origins();
    let down = crate::harness::Refusing::new();
    let passive = "passive.failures = 1\npassive.retry_after = \"1h\"\npassive.retry_after_max = \"1h\"";
    let setup = Setup::http([down.address(), up.address()]).upstream(passive);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    (0..4).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert!(!proxy.endpoint(0).is_up());
    // The other way round, and one more.
    let [third] = origins();
    proxy.reload(&Setup::http([third.address(), up.address(), down.address()]).upstream(passive));
    assert_eq!([0, 1, 2].map(|endpoint| proxy.endpoint(endpoint).is_up()), [true, true, false]);
    let errors = proxy.endpoint(2).total(|w| &w.connect_errors_total);
    (0..20).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert_eq!(proxy.endpoint(2).total(|w| &w.connect_errors_total), errors, "nobody tries it");
}

fn another_limit_counts_who_is_there() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    let mut clients = [(); 2].map(|()| Client::connect(proxy.address()));
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    proxy.reload(&setup.clone().listener("limit.connections = 2"));
    let mut third = Client::connect(proxy.address());
    assert_eq!(third.response().reason(), Some("connection_limit"));
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    proxy.reload(&setup.listener("limit.connections_per_client = 1"));
    // Those that came without such a limit are not counted, whenever they leave.
    let mut fourth = Client::connect(proxy.address());
    assert_eq!(fourth.get("/").text(), "ok");
    assert_eq!(Client::connect(proxy.address()).response().reason(), Some("connection_limit"));
    drop(clients);
    eventually("they are gone", || proxy.listener().gauge(|w| &w.sessions) == 1);
    assert_eq!(Client::connect(proxy.address()).response().reason(), Some("connection_limit"));
    assert_eq!(fourth.get("/").text(), "ok");
}

fn a_listener_is_renamed_and_led_elsewhere_under_its_clients() {
    let (one, other) = (Origin::saying("one"), Origin::saying("other"));
    let setup = Setup::http([one.address()]);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "one");
    let second = format!("\n[[upstream]]\nname = \"second\"\nendpoints = [\"{}\"]\n", other.address());
    let text =
        setup.text().replace("upstream = \"app\"", "upstream = \"second\"").replace("\"web\"", "\"www\"");
    let done = proxy.try_reload(&format!("{text}{second}")).unwrap();
    assert_eq!(done.difference.listeners.changed[0].keys, ["name", "upstream"]);
    assert_eq!(client.get("/").text(), "other", "on the same connection");
    eventually("both are counted", || proxy.listener().total(|w| &w.requests_total) == 2);
    assert_sessions(&proxy, 1);
}

#[track_caller]
fn assert_sessions(proxy: &Proxy, total: u64) {
    assert_eq!(proxy.listener().total(|w| &w.sessions_total), total);
}
