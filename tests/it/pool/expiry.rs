//! Idle connections end before the endpoint ends them, and leave nothing behind.

use super::{OK, asking};
use crate::harness::{Client, Ended, Gate, Origin, Setup, always, eventually, kernel, within};
use libtest_mimic::Trial;
use millpond::reason::DiscardReason;
use millpond::registry::IdleTimeoutFrom;
use millpond::sys::sock_diag::TcpState;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        an_idle_connection_is_reset_in_time_and_leaves_no_time_wait,
        a_graceful_close_leaves_its_time_wait_and_says_so,
        a_connection_in_use_does_not_expire,
        the_origins_keep_alive_hint_is_heeded,
        a_hint_holds_for_connections_that_are_newer_than_others,
        what_is_too_old_is_replaced,
        what_is_too_old_is_not_used_again,
    ]
}

fn an_idle_connection_is_reset_in_time_and_leaves_no_time_wait() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).upstream("pool.idle_timeout = \"200ms\"").start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    let start = Instant::now();
    assert_eq!(origin.wait_for_end(0), Ended::Reset);
    assert!(start.elapsed() > Duration::from_millis(150), "after {:?}", start.elapsed());
    eventually("it is counted", || proxy.discards(DiscardReason::IdleTimeout) == 1);
    assert_eq!(kernel::towards(origin.address(), &TcpState::ALL), []);
    let endpoint = proxy.endpoint(0);
    let time_wait =
        (&endpoint.workers[0].time_wait_avoided_total, &endpoint.workers[0].time_wait_caused_total);
    assert_eq!((time_wait.0.get(), time_wait.1.get(), proxy.rested().idle()), (1, 0, 0));
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(proxy.opened(), 2);
}

fn a_graceful_close_leaves_its_time_wait_and_says_so() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]).upstream("pool.idle_timeout = \"200ms\"");
    let proxy = setup.upstream("socket.close = \"graceful\"").start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(origin.wait_for_end(0), Ended::Fin);
    eventually("TIME_WAIT", || kernel::towards(origin.address(), &[TcpState::TimeWait]).len() == 1);
    assert_eq!(proxy.endpoint(0).total(|w| &w.time_wait_caused_total), 1);
}

fn a_connection_in_use_does_not_expire() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        conn.send(OK);
        conn.request();
        wait.wait();
        conn.send(OK);
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).upstream("pool.idle_timeout = \"100ms\"").start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    client.send(super::GET);
    origin.wait_for_requests(2);
    client.expect_silence(Duration::from_millis(300));
    gate.open();
    assert_eq!(client.response().text(), "ok");
    assert_eq!((proxy.opened(), proxy.reused()), (1, 1));
}

/// The default is four seconds: what ends sooner does so for the hint.
const SOONER: Duration = Duration::from_millis(2500);

fn the_origins_keep_alive_hint_is_heeded() {
    let hinting = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=100\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::start(always(hinting));
    let proxy = Setup::http([origin.address()]).start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    let upstream = &proxy.upstream(0);
    let half = (Duration::from_millis(500), IdleTimeoutFrom::Hint);
    assert_eq!(proxy.rested().endpoint(0).idle_timeout(&upstream.config), half);
    within(SOONER, "the idle connection ends", || proxy.discards(DiscardReason::IdleTimeout) == 1);
    assert_eq!(origin.wait_for_end(0), Ended::Reset);
}

fn a_hint_holds_for_connections_that_are_newer_than_others() {
    let gates: Arc<[Gate; 2]> = Arc::default();
    let waits = Arc::clone(&gates);
    let origin = Origin::start(move |conn| {
        conn.request();
        waits[conn.number].wait();
        conn.send(match conn.number {
            0 => OK,
            _ => "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok",
        });
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).start();
    let clients = asking(&proxy, 2);
    origin.wait_for_requests(2);
    gates[0].open();
    eventually("one is idle", || proxy.idle() == 1);
    gates[1].open();
    eventually("both are idle", || proxy.idle() == 2);
    within(SOONER, "the second ends before its origin ends it", || origin.ended(1) == Some(Ended::Reset));
    drop(clients);
}

fn what_is_too_old_is_replaced() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).upstream("pool.max_age = \"300ms\"").start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(origin.wait_for_end(0), Ended::Reset);
    eventually("it is counted", || proxy.discards(DiscardReason::MaxAge) == 1);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(proxy.opened(), 2);
}

fn what_is_too_old_is_not_used_again() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).upstream("pool.max_age = \"300ms\"").start();
    let mut client = Client::connect(proxy.address());
    // In use all the time, so that it never waits to be closed.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert_eq!(client.get("/").text(), "ok");
    }
    let opened = proxy.opened();
    assert!((3..=5).contains(&opened), "{opened} in a second at 270 to 330 ms each");
    assert_eq!(proxy.retries(), 0);
}
