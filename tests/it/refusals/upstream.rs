//! Requests that the upstream cannot answer.

use super::{is_refused, is_refused_for_good, is_refused_once};
use crate::harness::{Client, Conn, Origin, Proxy, Refusing, Setup, Unaccepting, eventually};
use libtest_mimic::Trial;
use millpond::reason::RejectReason;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        an_endpoint_that_refuses,
        a_request_that_was_not_read_whole_cannot_be_followed_by_another,
        an_endpoint_that_does_not_accept,
        an_origin_that_closes_without_an_answer,
        an_origin_that_resets_without_an_answer,
        an_origin_that_closes_in_its_head,
        responses_that_break_a_rule,
        a_response_head_that_is_too_large,
        interim_responses_without_end,
        a_request_that_waits_too_long_for_a_connection,
        a_request_for_which_the_queue_is_full,
        without_a_queue_connections_are_still_opened,
    ]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody";

/// Each request is refused, on one connection.
#[track_caller]
fn refused_once(proxy: &Proxy, status: u16, reason: &str) {
    let mut client = Client::connect(proxy.address());
    for request in [GET, POST, GET] {
        client.send(request);
        is_refused_once(&mut client, status, reason);
    }
    assert_eq!(proxy.rested().idle(), 0);
}

/// The same for an origin with this script.
#[track_caller]
fn refused_from(script: impl Fn(&mut Conn) + Send + Sync + 'static, status: u16, reason: &str) {
    let origin = Origin::start(script);
    let proxy = Proxy::http(origin.address());
    refused_once(&proxy, status, reason);
}

fn an_endpoint_that_refuses() {
    let endpoint = Refusing::new();
    let proxy = Proxy::http(endpoint.address());
    refused_once(&proxy, 502, "connect_failed");
    assert_eq!(proxy.rejects(RejectReason::ConnectFailed), 3);
    assert_eq!(proxy.endpoint(0).total(|w| &w.connect_errors_total), 3);
}

fn a_request_that_was_not_read_whole_cannot_be_followed_by_another() {
    let endpoint = Refusing::new();
    let proxy = Proxy::http(endpoint.address());
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
    is_refused_for_good(&mut client, 502, "connect_failed");
}

fn an_endpoint_that_does_not_accept() {
    let endpoint = Unaccepting::new();
    let proxy = Setup::http([endpoint.address()]).upstream("timeout.connect = \"100ms\"").start();
    refused_once(&proxy, 504, "connect_timeout");
}

fn an_origin_that_closes_without_an_answer() {
    refused_from(|conn| drop(conn.request()), 502, "upstream_closed");
}

fn an_origin_that_resets_without_an_answer() {
    let script = |conn: &mut Conn| {
        conn.request();
        conn.reset_on_close();
    };
    refused_from(script, 502, "upstream_reset");
}

fn an_origin_that_closes_in_its_head() {
    let script = |conn: &mut Conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-");
    };
    refused_from(script, 502, "upstream_closed");
}

fn responses_that_break_a_rule() {
    for response in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let origin = Origin::start(move |conn| {
            conn.request();
            conn.send(response);
            conn.hold();
        });
        let proxy = Proxy::http(origin.address());
        let mut client = Client::connect(proxy.address());
        client.send(GET);
        let answer = client.response();
        assert_eq!((answer.status(), answer.reason()), (502, Some("bad_response")), "to {response:?}");
        is_refused(&answer, 502, "bad_response");
        assert!(!answer.says_close());
        assert_eq!(proxy.rested().idle(), 0);
    }
}

fn a_response_head_that_is_too_large() {
    let script = |conn: &mut Conn| {
        conn.request();
        conn.send(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(65 * 1024)));
        conn.hold();
    };
    refused_from(script, 502, "response_too_large");
}

fn interim_responses_without_end() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000));
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(GET);
    let refusal = (0..100).map(|_| client.response()).find(|response| response.status() != 103);
    is_refused(&refusal.expect("an end"), 502, "bad_response");
}

/// Holds every request that it is sent.
fn holding() -> Origin {
    Origin::start(|conn| {
        conn.request();
        conn.hold();
    })
}

fn a_request_that_waits_too_long_for_a_connection() {
    let origin = holding();
    let setup = Setup::http([origin.address()]).upstream("pool.max_connections = 1");
    let proxy = setup.upstream("pool.wait_timeout = \"200ms\"").start();
    let first = Client::connect(proxy.address());
    first.send(GET);
    origin.wait_for_requests(1);
    let mut second = Client::connect(proxy.address());
    for _ in 0..2 {
        second.send(POST);
        is_refused_once(&mut second, 503, "pool_timeout");
    }
    assert_eq!((proxy.opened(), proxy.waiting()), (1, 0));
    first.reset();
}

fn a_request_for_which_the_queue_is_full() {
    let origin = holding();
    let setup = Setup::http([origin.address()]).upstream("pool.max_connections = 1");
    let proxy = setup.upstream("pool.wait_queue = 1").start();
    let first = Client::connect(proxy.address());
    first.send(GET);
    origin.wait_for_requests(1);
    let second = Client::connect(proxy.address());
    second.send(GET);
    eventually("the second waits", || proxy.waiting() == 1);
    let mut third = Client::connect(proxy.address());
    for _ in 0..2 {
        third.send(POST);
        is_refused_once(&mut third, 503, "pool_queue_full");
    }
    assert_eq!((proxy.opened(), proxy.waiting()), (1, 1));
    second.reset();
    first.reset();
}

fn without_a_queue_connections_are_still_opened() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).upstream("pool.wait_queue = 0").start();
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
}
