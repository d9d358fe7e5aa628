//! Few ports are left: a pooled connection is waited for first.

use super::{From, GET, GET_HELD, OK, all_come_back, asking, figures, level, origin, sessions, unavailable};
use crate::harness::{Client, Ended, Gate, Origin, Setup, eventually};
use libtest_mimic::Trial;
use millpond::source::level::Level;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        the_level_follows_what_is_open,
        a_request_waits_for_a_connection_that_comes_back,
        a_request_that_waited_in_vain_is_dialled_for,
        idle_connections_are_reset_although_they_are_to_be_closed_gracefully,
        a_request_is_dialled_for_at_once_where_nothing_can_come_back,
        a_tunnel_does_not_come_back,
        a_tcp_session_does_not_wait,
        a_returned_connection_goes_to_the_worker_that_waits,
        connections_are_kept_warm_only_while_there_are_ports,
    ]
}

fn the_level_follows_what_is_open() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let proxy = From::new().of(Setup::tcp([origin.address()])).start();
    assert_eq!((figures(&proxy, 0).capacity, level(&proxy)), (40, Level::Ok));
    let mut clients = Vec::new();
    for (count, expected) in [(23, Level::Ok), (24, Level::Warn), (30, Level::ReuseOnly), (34, Level::Refuse)]
    {
        clients.extend(sessions(&proxy, 0, count - clients.len()));
        let figures = figures(&proxy, 0);
        assert_eq!((figures.used as usize, figures.free as usize), (count, 40 - count));
        assert_eq!(figures.level, expected, "{count} open");
    }
    drop(clients);
    all_come_back(&proxy);
    assert_eq!((level(&proxy), unavailable(&proxy)), (Level::Ok, 0));
}

/// The level is `reuse_only` from the first connection on.
fn from_the_first() -> String {
    "source.warn_percent = 1\nsource.reuse_only_percent = 2".to_owned()
}

fn a_request_waits_for_a_connection_that_comes_back() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let proxy = From::new().of(Setup::http([origin.address()])).upstream(&from_the_first()).start();
    let mut first = asking(&proxy, GET_HELD);
    origin.wait_for_requests(1);
    assert_eq!(level(&proxy), Level::ReuseOnly);
    let mut others: Vec<_> = (0..5).map(|_| asking(&proxy, GET)).collect();
    eventually("they wait", || proxy.waiting() == 5);
    gate.open();
    assert_eq!(first.response().text(), "ok");
    others.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    assert_eq!((proxy.opened(), proxy.reused()), (1, 5));
}

/// A TIME_WAIT for each connection would use up what is left.
fn idle_connections_are_reset_although_they_are_to_be_closed_gracefully() {
    for (pressure, ended, time_waits) in
        [(from_the_first(), Ended::Reset, (0, 1)), (String::new(), Ended::Fin, (1, 0))]
    {
        let origin = origin(&Gate::new());
        let setup = From::new().of(Setup::http([origin.address()])).upstream(&pressure);
        let setup = setup.upstream("socket.close = \"graceful\"\npool.idle_timeout = \"200ms\"");
        let proxy = setup.start();
        assert_eq!(asking(&proxy, GET).response().text(), "ok");
        assert_eq!(origin.wait_for_end(0), ended);
        let counters = &proxy.rested().endpoint(0).workers[0];
        let counted = || (counters.time_wait_caused_total.get(), counters.time_wait_avoided_total.get());
        eventually("it is counted", || counted() == time_waits);
    }
}

fn a_request_that_waited_in_vain_is_dialled_for() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let setup = From::new().of(Setup::http([origin.address()])).upstream(&from_the_first());
    let proxy = setup.upstream("pool.wait_timeout = \"200ms\"").start();
    let mut first = asking(&proxy, GET_HELD);
    origin.wait_for_requests(1);
    let start = Instant::now();
    assert_eq!(asking(&proxy, GET).response().text(), "ok");
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!((proxy.opened(), proxy.reused()), (2, 0));
    gate.open();
    assert_eq!(first.response().text(), "ok");
}

fn a_request_is_dialled_for_at_once_where_nothing_can_come_back() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let proxy = From::new().shared(Setup::http([origin.address()]), origin.address()).start();
    let _sessions = sessions(&proxy, 1, 30);
    assert_eq!(level(&proxy), Level::ReuseOnly, "another upstream with this source and endpoint");
    assert_eq!(asking(&proxy, GET).response().text(), "ok");
    assert_eq!(proxy.opened(), 1);
}

fn a_tunnel_does_not_come_back() {
    let origin = Origin::start(|conn| {
        while let Some(request) = conn.request() {
            if request.start.contains("tunnel") {
                conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
                conn.hold();
                return;
            }
            conn.send(OK);
        }
    });
    let proxy = From::new().of(Setup::http([origin.address()])).upstream(&from_the_first()).start();
    let mut tunnel = Client::connect(proxy.address());
    tunnel.send("GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(tunnel.response().status(), 101);
    assert_eq!(asking(&proxy, GET).response().text(), "ok");
    assert_eq!(proxy.opened(), 2, "without a wait of 3 s");
}

fn a_tcp_session_does_not_wait() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let setup = From::new().of(Setup::tcp([origin.address()])).upstream(&from_the_first());
    let proxy = setup.upstream("pool.wait_timeout = \"60s\"").start();
    let _sessions = sessions(&proxy, 0, super::MOST);
}

fn a_returned_connection_goes_to_the_worker_that_waits() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let setup = From::new().of(Setup::http([origin.address()])).workers(2);
    let proxy = setup.upstream(&from_the_first()).start();
    let (mut first, mut second) = (proxy.client_of(0), proxy.client_of(1));
    first.send(GET_HELD);
    origin.wait_for_requests(1);
    second.send(GET);
    eventually("the second waits", || proxy.waiting() == 1);
    gate.open();
    assert_eq!((first.response().text(), second.response().text()), ("ok".to_owned(), "ok".to_owned()));
    assert_eq!((proxy.opened(), proxy.reused()), (1, 1));
}

fn connections_are_kept_warm_only_while_there_are_ports() {
    let origin = Origin::saying("ok");
    let setup = From::new().of(Setup::http([origin.address()]));
    let limits = "source.warn_percent = 5\nsource.reuse_only_percent = 10\npool.idle_timeout = \"1m\"";
    let proxy = setup.upstream(limits).upstream("pool.min_idle = 6").start();
    eventually("four of forty ports are taken", || proxy.idle() == 4);
    assert_eq!(level(&proxy), Level::ReuseOnly);
    let mut client = Client::connect(proxy.address());
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(proxy.opened(), 4, "what is warm is used");
}
