//! Requests that break a rule: refused before a byte of them reaches an origin.

use super::{is_refused, is_refused_for_good};
use crate::harness::{Client, Origin, Proxy};
use libtest_mimic::Trial;
use millpond::reason::CloseReason;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        malformed_request_lines,
        a_refusal_is_counted_with_its_status,
        malformed_fields,
        hosts_that_are_missing_or_ambiguous,
        ambiguous_framing,
        versions_that_are_not_spoken,
        methods_that_are_not_served,
        a_bad_chunk_that_comes_with_the_head,
        a_bad_chunk_that_comes_later,
        a_refused_head_request_gets_no_body,
        what_comes_before_a_bad_request_is_still_answered,
    ]
}

/// Each request is refused, and none of them reaches the origin.
#[track_caller]
fn all_refused(status: u16, reason: &str, requests: &[&str]) {
    let origin = Origin::saying("must not be reached");
    let proxy = Proxy::http(origin.address());
    for request in requests {
        let mut client = Client::connect(proxy.address());
        client.send(request);
        let response = client.response();
        assert_eq!((response.status(), response.reason()), (status, Some(reason)), "to {request:?}");
        is_refused(&response, status, reason);
        assert!(response.says_close());
        client.expect_eof();
    }
    assert_eq!(origin.connections(), 0);
    proxy.settle();
    assert_eq!(proxy.closes(CloseReason::BadRequest), requests.len() as u64);
    let total = proxy.listener().total(|w| &w.requests_total);
    assert_eq!(total, requests.len() as u64, "a request that is refused is a request");
}

/// Responses with a status of this class.
fn responses(proxy: &Proxy, class: usize) -> u64 {
    proxy.listener().workers.iter().map(|w| w.responses.get(class - 1)).sum()
}

fn a_refusal_is_counted_with_its_status() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").status(), 200);
    client.send("GET / HTTP/1.1\r\n\r\n");
    is_refused_for_good(&mut client, 400, "bad_host");
    proxy.settle();
    assert_eq!((responses(&proxy, 2), responses(&proxy, 4)), (1, 1));
    assert!(proxy.listener().total(|w| &w.sent_bytes) > 200, "its bytes, too");
}

fn malformed_request_lines() {
    all_refused(
        400,
        "bad_request_line",
        &[
            "GET  / HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: test\r\n\r\n",
            "GET nowhere HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET /#fragment HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET / HTTP/1.1\nHost: test\n\n",
            "G(T / HTTP/1.1\r\nHost: test\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}",
        ],
    );
}

fn malformed_fields() {
    all_refused(
        400,
        "bad_header",
        &[
            "GET / HTTP/1.1\r\nHost: test\r\nA B: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nA : c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nA: b\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nA: b\n\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nExpect: the unexpected\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: test\r\nContent_Length: 5\r\n\r\n01234",
        ],
    );
}

fn hosts_that_are_missing_or_ambiguous() {
    all_refused(
        400,
        "bad_host",
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        ],
    );
}

fn ambiguous_framing() {
    all_refused(
        400,
        "bad_framing",
        &[
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n01234",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5, 5\r\n\r\n01234",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +5\r\n\r\n01234",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999999\r\n\r\n01234",
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    );
}

fn versions_that_are_not_spoken() {
    all_refused(
        505,
        "bad_version",
        &[
            "GET / HTTP/2.0\r\nHost: test\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: test\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    );
}

fn methods_that_are_not_served() {
    all_refused(
        405,
        "method_refused",
        &[
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
            "TRACE / HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n",
        ],
    );
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";

fn a_bad_chunk_that_comes_with_the_head() {
    let requests = ["x\r\n", "5\r\n01234x\r\n", "-1\r\n", "5\n01234\r\n", "0\r\nA b\r\n\r\n"];
    let requests = requests.map(|body| format!("{CHUNKED}{body}"));
    all_refused(400, "bad_chunk", &requests.each_ref().map(String::as_str));
}

fn a_bad_chunk_that_comes_later() {
    let origin = Origin::start(|conn| {
        conn.head();
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(format!("{CHUNKED}5\r\n01234\r\n"));
    crate::harness::eventually("the first chunk is forwarded", || {
        origin.connections() == 1 && origin.received(0).ends_with(b"01234\r\n")
    });
    client.send("5\r\n01234567\r\n");
    is_refused_for_good(&mut client, 400, "bad_chunk");
    origin.wait_for_end(0);
    assert!(!origin.received(0).ends_with(b"567\r\n"), "nothing of what is malformed is forwarded");
    assert_eq!(proxy.rested().idle(), 0);
}

fn a_refused_head_request_gets_no_body() {
    let proxy = Proxy::http(crate::harness::Refusing::new().address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = client.response_to("HEAD");
        assert_eq!((response.status(), response.reason()), (502, Some("connect_failed")));
    }
}

fn what_comes_before_a_bad_request_is_still_answered() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET  / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
    is_refused_for_good(&mut client, 400, "bad_request_line");
    assert_eq!(origin.requests().len(), 1, "nothing behind a bad request is believed");
}
