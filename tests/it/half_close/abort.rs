//! `client_fin = "abort"`: a FIN before the answer is taken for leaving, where that is safe.

use super::{GET, is_clean};
use crate::harness::{Client, Gate, Origin, Proxy, Setup, eventually, kernel};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, DiscardReason};
use millpond::sys::sock_diag::TcpState;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_safe_request_whose_response_is_awaited_is_given_up,
        a_request_that_may_change_something_is_finished,
        a_request_that_waits_for_a_connection_is_given_up,
        requests_before_the_fin_are_finished,
        requests_that_wait_before_the_fin_are_finished,
        a_response_that_has_begun_is_finished,
        by_default_every_request_is_finished,
    ]
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody")
}

/// An origin that answers when the gate is open, behind a listener that aborts.
fn gated(line: &str) -> (Origin, Proxy, Gate) {
    let (origin, gate) = Origin::gated();
    let proxy = Setup::http([origin.address()]).listener(line).upstream("pool.max_connections = 1").start();
    (origin, proxy, gate)
}

const ABORT: &str = "client_fin = \"abort\"";

fn a_safe_request_whose_response_is_awaited_is_given_up() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        let (origin, proxy, gate) = gated(ABORT);
        let mut client = Client::connect(proxy.address());
        client.send(GET.replace("GET", method));
        origin.wait_for_requests(1);
        client.half_close();
        client.expect_eof();
        proxy.settle();
        assert_eq!(proxy.closes(CloseReason::ClientAborted), 1, "{method}");
        assert_eq!(proxy.rested().discards(DiscardReason::Aborted), 1);
        assert_eq!(kernel::towards(origin.address(), &TcpState::ALL), []);
        gate.open();
    }
}

/// The client gets its answer although it has closed its half.
fn is_finished(line: &str, requests: &str, responses: usize) {
    let (origin, proxy, gate) = gated(line);
    let mut client = Client::connect(proxy.address());
    client.send(requests);
    origin.wait_for_requests(1);
    client.half_close();
    eventually("the FIN has come", || super::client_is_half_closed(proxy.address(), &client));
    gate.open();
    for _ in 0..responses {
        assert_eq!(client.response().text(), "ok");
    }
    client.expect_eof();
    is_clean(&proxy, origin.address());
    assert_eq!(proxy.closes(CloseReason::ClientFin), 1);
}

fn a_request_that_may_change_something_is_finished() {
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        is_finished(ABORT, &post("/").replace("POST", method), 1);
    }
}

fn requests_before_the_fin_are_finished() {
    is_finished(ABORT, &GET.repeat(3), 3);
}

fn by_default_every_request_is_finished() {
    is_finished("client_fin = \"finish\"", GET, 1);
    is_finished("", GET, 1);
}

fn a_request_that_waits_for_a_connection_is_given_up() {
    let (origin, proxy, gate) = gated(ABORT);
    let mut first = Client::connect(proxy.address());
    first.send(post("/first"));
    origin.wait_for_requests(1);
    for (number, request) in [GET.to_owned(), post("/second")].into_iter().enumerate() {
        let mut client = Client::connect(proxy.address());
        client.send(request);
        eventually("it waits", || proxy.waiting() == 1);
        client.half_close();
        client.expect_eof();
        eventually("it leaves the queue", || proxy.waiting() == 0);
        drop(client);
        eventually("it is counted", || proxy.closes(CloseReason::ClientAborted) == number as u64 + 1);
    }
    gate.open();
    assert_eq!(first.response().text(), "ok");
    assert_eq!(origin.requests().len(), 1);
}

fn requests_that_wait_before_the_fin_are_finished() {
    let (origin, proxy, gate) = gated(ABORT);
    let mut first = Client::connect(proxy.address());
    first.send(post("/first"));
    origin.wait_for_requests(1);
    let mut client = Client::connect(proxy.address());
    client.send(GET.repeat(3));
    client.half_close();
    eventually("it waits", || proxy.waiting() == 1);
    eventually("the FIN has come", || super::client_is_half_closed(proxy.address(), &client));
    gate.open();
    assert_eq!(first.response().text(), "ok");
    for _ in 0..3 {
        assert_eq!(client.response().text(), "ok");
    }
    client.expect_eof();
}

fn a_response_that_has_begun_is_finished() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
        wait.wait();
        conn.send("56789");
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).listener(ABORT).start();
    let mut client = Client::connect(proxy.address());
    client.send(GET);
    client.gather("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234".len());
    client.half_close();
    eventually("the FIN has come", || super::client_is_half_closed(proxy.address(), &client));
    gate.open();
    assert_eq!(client.response().text(), "0123456789");
    client.expect_eof();
}
