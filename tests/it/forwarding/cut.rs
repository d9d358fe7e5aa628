//! One side goes away in the middle: the other must be able to tell, and nothing is used again.

use crate::harness::{Client, Conn, Gate, Origin, Proxy, Setup, eventually, pattern};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, DiscardReason};
use std::io::ErrorKind;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_body_with_a_length_cut_by_fin_ends_early,
        a_body_with_a_length_cut_by_reset_ends_early,
        a_chunked_body_cut_by_fin_lacks_its_last_chunk,
        a_chunked_body_cut_by_reset_lacks_its_last_chunk,
        a_body_until_close_cut_by_reset_is_reset_for_http_1_0,
        a_body_until_close_cut_by_reset_lacks_its_last_chunk_for_http_1_1,
        chunks_cut_short_are_reset_for_http_1_0,
        a_client_that_resets_in_its_request_ends_the_connection_to_the_origin,
        a_client_that_closes_in_its_request_ends_the_connection_to_the_origin,
        a_client_that_resets_while_it_waits_ends_the_connection_to_the_origin,
        a_client_that_resets_in_its_response_ends_the_connection_to_the_origin,
        a_client_that_closed_for_good_is_given_up_after_its_half_close_deadline,
        a_client_that_resets_while_waiting_for_a_connection_leaves_the_queue,
    ]
}

/// Answers one request with these bytes and ends with FIN or RST, once the test has seen them.
fn cutting(answer: &'static str, reset: bool) -> (Origin, Gate) {
    let seen = Gate::new();
    let was_seen = seen.clone();
    let origin = Origin::start(move |conn: &mut Conn| {
        conn.request();
        conn.send(answer);
        was_seen.wait();
        if reset {
            conn.reset_on_close();
        }
    });
    (origin, seen)
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\n01234";

/// The client's view of an answer that is cut: `Ok` with what came whole, or how it broke off.
fn cut(answer: &'static str, reset: bool, version: &str) -> Result<String, ErrorKind> {
    let (origin, seen) = cutting(answer, reset);
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(format!("GET / HTTP/{version}\r\nHost: test\r\n\r\n"));
    let reading = std::thread::spawn(move || client.try_response());
    eventually("the first part to be forwarded", || proxy.endpoint(0).gauge(|w| &w.leased) == 1);
    seen.open();
    let response = reading.join().unwrap();
    eventually("the session's end", || {
        proxy.closes(CloseReason::UpstreamFailed) + proxy.closes(CloseReason::Graceful) == 1
    });
    assert_eq!(proxy.rested().idle(), 0);
    response.map(|message| message.text()).map_err(|error| error.kind())
}

fn a_body_with_a_length_cut_by_fin_ends_early() {
    assert_eq!(cut(LENGTH, false, "1.1"), Err(ErrorKind::UnexpectedEof));
}

fn a_body_with_a_length_cut_by_reset_ends_early() {
    let ended = cut(LENGTH, true, "1.1").unwrap_err();
    assert!(matches!(ended, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{ended}");
}

fn a_chunked_body_cut_by_fin_lacks_its_last_chunk() {
    assert_eq!(cut(CHUNKED, false, "1.1"), Err(ErrorKind::UnexpectedEof));
}

fn a_chunked_body_cut_by_reset_lacks_its_last_chunk() {
    let ended = cut(CHUNKED, true, "1.1").unwrap_err();
    assert!(matches!(ended, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{ended}");
}

fn a_body_until_close_cut_by_reset_is_reset_for_http_1_0() {
    assert_eq!(cut(UNTIL_CLOSE, true, "1.0"), Err(ErrorKind::ConnectionReset));
    assert_eq!(cut(UNTIL_CLOSE, false, "1.0"), Ok("01234".to_owned()));
}

fn a_body_until_close_cut_by_reset_lacks_its_last_chunk_for_http_1_1() {
    assert!(cut(UNTIL_CLOSE, true, "1.1").is_err());
}

fn chunks_cut_short_are_reset_for_http_1_0() {
    assert_eq!(cut(CHUNKED, false, "1.0"), Err(ErrorKind::ConnectionReset));
}

/// Serves the second connection; on the first it only listens, after sending `first`.
fn used_once(first: &'static str) -> Origin {
    Origin::start(move |conn| {
        if conn.number == 0 {
            conn.head();
            conn.send(first);
            conn.hold();
        }
        while conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

/// The origin's first connection ends at once and no other client ever gets it.
fn is_not_used_again(origin: &Origin, proxy: &Proxy) {
    origin.wait_for_end(0);
    proxy.settle();
    assert_eq!((proxy.rested().idle(), proxy.discards(DiscardReason::Aborted)), (0, 1));
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    assert_eq!(origin.connections(), 2);
}

fn a_client_that_resets_in_its_request_ends_the_connection_to_the_origin() {
    let origin = used_once("");
    let proxy = Proxy::http(origin.address());
    let client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
    eventually("the origin has the first part", || {
        origin.connections() == 1 && origin.received(0).ends_with(b"\r\n\r\n01234")
    });
    client.reset();
    is_not_used_again(&origin, &proxy);
    assert_eq!(proxy.closes(CloseReason::ClientReset), 1);
}

fn a_client_that_closes_in_its_request_ends_the_connection_to_the_origin() {
    let origin = used_once("");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
    eventually("the origin has the first part", || {
        origin.connections() == 1 && origin.received(0).ends_with(b"\r\n\r\n01234")
    });
    client.half_close();
    let response = client.response();
    assert_eq!((response.status(), response.reason()), (400, Some("client_aborted")));
    client.expect_eof();
    is_not_used_again(&origin, &proxy);
    assert_eq!(proxy.closes(CloseReason::ClientAborted), 1);
}

fn a_client_that_resets_while_it_waits_ends_the_connection_to_the_origin() {
    let origin = used_once("");
    let proxy = Proxy::http(origin.address());
    let client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("the origin has the request", || origin.connections() == 1 && !origin.received(0).is_empty());
    client.reset();
    is_not_used_again(&origin, &proxy);
    assert_eq!(proxy.closes(CloseReason::ClientReset), 1);
}

fn a_client_that_resets_in_its_response_ends_the_connection_to_the_origin() {
    let origin = used_once("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234".len();
    client.exactly(whole);
    client.reset();
    is_not_used_again(&origin, &proxy);
    assert_eq!(proxy.closes(CloseReason::ClientReset), 1);
}

fn a_client_that_closed_for_good_is_given_up_after_its_half_close_deadline() {
    let origin = used_once("");
    let proxy = Setup::http([origin.address()]).listener("timeout.half_close = \"100ms\"").start();
    let client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("the origin has the request", || origin.connections() == 1 && !origin.received(0).is_empty());
    drop(client);
    is_not_used_again(&origin, &proxy);
    assert_eq!(proxy.closes(CloseReason::HalfCloseDeadline), 1);
}

fn a_client_that_resets_while_waiting_for_a_connection_leaves_the_queue() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).upstream("pool.max_connections = 1").start();
    let first = Client::connect(proxy.address());
    first.send("GET /first HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    let second = Client::connect(proxy.address());
    second.send("GET /second HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("the second waits", || proxy.waiting() == 1);
    second.send(pattern(4));
    second.reset();
    eventually("it leaves the queue", || proxy.waiting() == 0);
    first.reset();
    proxy.settle();
    assert_eq!(origin.requests().len(), 1);
}
