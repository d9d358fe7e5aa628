//! Upgrades: after 101 both connections are one tunnel.

use crate::harness::{Client, Ended, Gate, Origin, Proxy, Setup, pattern};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, DiscardReason};
use std::io::Write;
use std::thread;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        bytes_behind_the_upgrade_are_carried_both_ways,
        a_tunnel_carries_large_data_both_ways_at_once,
        the_clients_fin_is_passed_on_alone,
        the_origins_fin_is_passed_on_alone,
        the_clients_reset_is_passed_on,
        the_origins_reset_is_passed_on,
        an_upgrade_that_is_declined_is_a_response,
        a_101_that_nobody_asked_for_is_a_bad_response,
    ]
}

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: x\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A client in a tunnel.
fn tunnel(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.address());
    client.send(ASK);
    let response = client.response();
    assert_eq!((response.status(), response.field("upgrade")), (101, Some("websocket")));
    assert!(response.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    client
}

fn bytes_behind_the_upgrade_are_carried_both_ways() {
    let origin = Origin::start(|conn| {
        let request = conn.request().unwrap();
        assert_eq!(request.field("upgrade"), Some("websocket"));
        assert!(request.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
        conn.send(format!("{AGREED}from the origin"));
        assert_eq!(conn.exactly(15).unwrap(), b"from the client");
        assert_eq!(conn.exactly(4).unwrap(), b"ping");
        conn.send("pong");
        assert_eq!(conn.hold(), Ended::Fin);
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(format!("{ASK}from the client"));
    assert_eq!(client.response().status(), 101);
    assert_eq!(client.exactly(15), b"from the origin");
    client.send("ping");
    assert_eq!(client.exactly(4), b"pong");
    client.half_close();
    client.expect_eof();
    proxy.settle();
    assert_eq!((proxy.rested().idle(), proxy.discards(DiscardReason::Tunnel)), (0, 1));
    assert_eq!(proxy.closes(CloseReason::TunnelDone), 1);
}

fn a_tunnel_carries_large_data_both_ways_at_once() {
    const LARGE: usize = 4 << 20;
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(AGREED);
        let writer = conn.sender();
        thread::scope(|scope| {
            scope.spawn(move || (&*writer).write_all(&pattern(LARGE)).unwrap());
            assert!(conn.exactly(LARGE).unwrap() == pattern(LARGE));
        });
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = tunnel(&proxy);
    let mut sender = client.sender();
    let sending = thread::spawn(move || sender.write_all(&pattern(LARGE)));
    assert!(client.exactly(LARGE) == pattern(LARGE));
    sending.join().unwrap().unwrap();
    client.half_close();
    client.expect_eof();
}

fn the_clients_fin_is_passed_on_alone() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(AGREED);
        assert_eq!(conn.hold(), Ended::Fin);
        conn.send("after your end");
    });
    let proxy = Proxy::http(origin.address());
    let mut client = tunnel(&proxy);
    client.send("my end");
    client.half_close();
    assert_eq!(client.rest(), b"after your end");
    assert!(origin.received(0).ends_with(b"my end"));
}

fn the_origins_fin_is_passed_on_alone() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(format!("{AGREED}my end"));
        conn.half_close();
        assert_eq!(conn.hold(), Ended::Fin);
    });
    let proxy = Proxy::http(origin.address());
    let mut client = tunnel(&proxy);
    assert_eq!(client.rest(), b"my end");
    client.send("after your end");
    client.half_close();
    assert_eq!(origin.wait_for_end(0), Ended::Fin);
    assert!(origin.received(0).ends_with(b"after your end"));
}

fn the_clients_reset_is_passed_on() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(AGREED);
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    tunnel(&proxy).reset();
    assert_eq!(origin.wait_for_end(0), Ended::Reset);
}

fn the_origins_reset_is_passed_on() {
    let gate = Gate::new();
    let reset = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        conn.send(AGREED);
        reset.wait();
        conn.reset_on_close();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = tunnel(&proxy);
    gate.open();
    client.expect_reset();
}

fn an_upgrade_that_is_declined_is_a_response() {
    let origin = Origin::saying("no");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send(ASK);
        assert_eq!(client.response().text(), "no");
    }
    assert_eq!(proxy.opened(), 1);
}

fn a_101_that_nobody_asked_for_is_a_bad_response() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(AGREED);
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).start();
    let mut client = Client::connect(proxy.address());
    let response = client.get("/");
    assert_eq!((response.status(), response.reason()), (502, Some("bad_response")));
}
