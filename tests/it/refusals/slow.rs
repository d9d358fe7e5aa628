//! Peers that keep the other side waiting. Every wait has an end.

use super::{is_refused, is_refused_for_good, is_refused_once};
use crate::harness::{Client, Origin, Setup, eventually, within};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, RejectReason};
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_client_that_says_nothing_is_closed,
        a_client_between_two_requests_is_closed,
        a_head_that_does_not_end,
        a_head_that_drips,
        a_body_that_does_not_come,
        a_client_that_takes_no_response,
        an_origin_that_does_not_answer,
        an_origin_that_sends_half_a_head,
        an_origin_whose_head_drips,
        an_origin_that_stops_in_its_body,
        an_origin_that_takes_no_request,
    ]
}

/// Long enough that a busy machine does nothing in time that is to be late.
const SHORT: &str = "\"200ms\"";
/// What is to happen after that must be well before the defaults.
const SOON: Duration = Duration::from_secs(5);

fn a_client_that_says_nothing_is_closed() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener(&format!("timeout.header = {SHORT}")).start();
    Client::connect(proxy.address()).expect_eof();
    within(SOON, "the session's end", || proxy.closes(CloseReason::IdleTimeout) == 1);
}

fn a_client_between_two_requests_is_closed() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener(&format!("timeout.idle = {SHORT}")).start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    client.expect_eof();
    drop(client);
    within(SOON, "the session's end", || proxy.closes(CloseReason::IdleTimeout) == 1);
}

fn a_head_that_does_not_end() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener(&format!("timeout.header = {SHORT}")).start();
    for first in ["", "GET / HTTP/1.1\r\nHost: test\r\n\r\n"] {
        let mut client = Client::connect(proxy.address());
        if !first.is_empty() {
            client.send(first);
            assert_eq!(client.response().text(), "ok");
        }
        client.send("GET / HTTP/1.1\r\nHost: te");
        is_refused_for_good(&mut client, 408, "header_timeout");
    }
    within(SOON, "the sessions' end", || proxy.closes(CloseReason::HeaderTimeout) == 2);
}

/// Sends bytes, one in a while, until the other side has had enough.
fn drip(mut stream: impl Write) {
    for _ in 0..150 {
        if stream.write_all(b"x").is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn a_head_that_drips() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]).listener(&format!("timeout.header = {SHORT}"));
    let proxy = setup.listener("timeout.linger = \"100ms\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\nX: ");
    let sender = client.sender();
    let dripping = thread::spawn(move || drip(sender));
    is_refused(&client.response(), 408, "header_timeout");
    drop(client);
    dripping.join().unwrap();
}

fn a_body_that_does_not_come() {
    let origin = Origin::start(|conn| {
        conn.head();
        conn.hold();
    });
    let setup = Setup::http([origin.address()]).listener(&format!("timeout.body = {SHORT}"));
    let proxy = setup.listener("timeout.linger = \"100ms\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
    is_refused_for_good(&mut client, 408, "body_timeout");
    origin.wait_for_end(0);
    within(SOON, "the session's end", || proxy.closes(CloseReason::BodyTimeout) == 1);
}

fn a_client_that_takes_no_response() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\n\r\n");
        let block = vec![0; 1 << 20];
        while (&*conn.sender()).write_all(&block).is_ok() {}
        conn.hold();
    });
    let setup = Setup::http([origin.address()]).listener(&format!("timeout.body = {SHORT}"));
    let proxy = setup.listener("timeout.linger = \"100ms\"").start();
    let client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    within(SOON, "the session's end", || proxy.closes(CloseReason::BodyTimeout) == 1);
    origin.wait_for_end(0);
    drop(client);
}

fn an_origin_that_does_not_answer() {
    let origin = Origin::start(|conn| {
        conn.hold();
    });
    let proxy =
        Setup::http([origin.address()]).upstream(&format!("timeout.response_header = {SHORT}")).start();
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
        is_refused_once(&mut client, 504, "response_timeout");
    }
    origin.wait_for_end(0);
    assert_eq!(
        (proxy.opened(), proxy.rested().idle(), proxy.rejects(RejectReason::ResponseTimeout)),
        (2, 0, 2)
    );
}

fn an_origin_that_sends_half_a_head() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-");
        conn.hold();
    });
    let proxy =
        Setup::http([origin.address()]).upstream(&format!("timeout.response_header = {SHORT}")).start();
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    is_refused_once(&mut client, 504, "response_timeout");
}

fn an_origin_whose_head_drips() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nX: ");
        drip(&*conn.sender());
    });
    let proxy =
        Setup::http([origin.address()]).upstream(&format!("timeout.response_header = {SHORT}")).start();
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    is_refused_once(&mut client, 504, "response_timeout");
}

fn an_origin_that_stops_in_its_body() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).upstream(&format!("timeout.body = {SHORT}")).start();
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.try_response().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    origin.wait_for_end(0);
}

fn an_origin_that_takes_no_request() {
    let gate = crate::harness::Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_| wait.wait());
    let setup = Setup::http([origin.address()]).upstream(&format!("timeout.body = {SHORT}"));
    let proxy = setup.listener("timeout.linger = \"100ms\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 104857600\r\n\r\n");
    let mut sender = client.sender();
    let sending = thread::spawn(move || while sender.write_all(&[0; 64 * 1024]).is_ok() {});
    is_refused(&client.response(), 504, "response_timeout");
    eventually("the connection to the origin is closed", || proxy.endpoint(0).gauge(|w| &w.leased) == 0);
    gate.open();
    drop(client);
    sending.join().unwrap();
}
