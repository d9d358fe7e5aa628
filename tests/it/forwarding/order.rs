//! Several messages on one connection: pipelines, interim responses, and when a connection goes on.

use crate::harness::{Client, Conn, Gate, Origin, Proxy, eventually};
use libtest_mimic::Trial;
use millpond::reason::CloseReason;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        pipelined_requests_are_answered_in_order,
        requests_pipelined_behind_a_slow_one_wait,
        a_pipeline_with_bodies_is_taken_apart_rightly,
        early_hints_are_passed_on,
        the_wait_for_100_continue_is_end_to_end,
        a_final_response_in_the_place_of_100_continue,
        an_http_1_0_client_sees_no_interim_response,
        connection_close_ends_the_connection_after_the_response,
        an_http_1_0_client_is_closed_after_one_response,
        an_http_1_0_client_may_ask_to_go_on,
        a_connection_goes_on_after_a_body_that_came_in_parts,
        a_client_may_half_close_after_its_request,
        a_client_may_half_close_after_its_pipeline,
    ]
}

/// Answers each request with its own target.
fn echo_target(conn: &mut Conn) {
    while let Some(request) = conn.request() {
        let target = request.start.split(' ').nth(1).unwrap();
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()));
    }
}

fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(echo_target);
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    let requests = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client.send(requests.collect::<String>());
    for n in 0..50 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
    assert_eq!(proxy.opened(), 1);
}

fn requests_pipelined_behind_a_slow_one_wait() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        let first = conn.request().unwrap();
        assert!(first.start.starts_with("GET /slow "));
        wait.wait();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        echo_target(conn);
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    client.send("GET /quick HTTP/1.1\r\nHost: test\r\n\r\nGET /again HTTP/1.1\r\nHost: test\r\n\r\n");
    gate.open();
    for expected in ["slow", "/quick", "/again"] {
        assert_eq!(client.response().text(), expected);
    }
    assert_eq!(origin.connections(), 1);
}

fn a_pipeline_with_bodies_is_taken_apart_rightly() {
    let origin = Origin::start(echo_target);
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(
        "POST /1 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\none\
         POST /2 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: test\r\n\r\n\
         POST /4 HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nfour",
    );
    for n in 1..=4 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
    let bodies: Vec<_> = origin.requests().iter().map(|request| request.message.text()).collect();
    assert_eq!(bodies, ["one", "two", "", "four"]);
}

fn early_hints_are_passed_on() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n");
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </more.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    let hint = client.get("/");
    assert_eq!((hint.status(), hint.field("link")), (103, Some("</style.css>")));
    assert_eq!(client.response().status(), 103);
    assert_eq!(client.response().text(), "ok");
    assert_eq!(proxy.rested().idle(), 1);
}

const EXPECTING: &str = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

fn the_wait_for_100_continue_is_end_to_end() {
    let origin = Origin::start(|conn| {
        let head = conn.head().unwrap();
        assert_eq!(head.field("expect"), Some("100-continue"));
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(conn.exactly(4).unwrap(), b"body");
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(EXPECTING);
    assert_eq!(client.response().status(), 100, "nobody but the origin can say it");
    client.send("body");
    assert_eq!(client.response().text(), "ok");
    assert_eq!(proxy.rested().idle(), 1);
}

fn a_final_response_in_the_place_of_100_continue() {
    let origin = Origin::start(|conn| {
        conn.head();
        conn.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(EXPECTING);
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (417, "no"));
    assert!(response.says_close(), "where the next request would begin, nobody can tell");
    client.expect_eof();
    origin.wait_for_end(0);
    assert_eq!(proxy.rested().idle(), 0);
}

fn an_http_1_0_client_sees_no_interim_response() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n");
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    client.expect_eof();
}

fn connection_close_ends_the_connection_after_the_response() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(client.response().says_close());
    client.expect_eof();
    assert_eq!(origin.only_request().field("connection"), None, "it is said to us, not to the origin");
    proxy.settle();
    assert_eq!((proxy.rested().idle(), proxy.closes(CloseReason::Graceful)), (1, 1));
}

fn an_http_1_0_client_is_closed_after_one_response() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let response = client.response();
    assert!(response.start.starts_with("HTTP/1.1 200") && response.says_close());
    client.expect_eof();
}

fn an_http_1_0_client_may_ask_to_go_on() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: test\r\nConnection: Keep-Alive\r\n\r\n");
        let response = client.response();
        assert_eq!((response.text().as_str(), response.field("connection")), ("ok", Some("keep-alive")));
    }
    assert_eq!(proxy.opened(), 1);
}

fn a_connection_goes_on_after_a_body_that_came_in_parts() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for number in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
        eventually("the first part is forwarded", || {
            origin.connections() > 0 && origin.received(0).ends_with(b"\r\n\r\n01234")
        });
        client.send("56789");
        let response = client.response();
        assert_eq!((response.text().as_str(), response.says_close()), ("ok", false), "after {number} others");
    }
    assert_eq!(proxy.opened(), 1);
}

fn a_client_may_half_close_after_its_request() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        wait.wait();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
    client.half_close();
    origin.wait_for_requests(1);
    gate.open();
    assert_eq!(client.response().text(), "ok");
    client.expect_eof();
    proxy.settle();
    assert_eq!((proxy.rested().idle(), proxy.closes(CloseReason::ClientFin)), (1, 1));
}

fn a_client_may_half_close_after_its_pipeline() {
    let origin = Origin::start(echo_target);
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    let requests = (0..5).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client.send(requests.collect::<String>());
    client.half_close();
    for n in 0..5 {
        assert_eq!(client.response().text(), format!("/{n}"), "every request of a half-closed client counts");
    }
    client.expect_eof();
    eventually("the session's end", || proxy.closes(CloseReason::ClientFin) == 1);
}
