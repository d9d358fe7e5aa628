//! What happens to the fields of a head.

use crate::harness::{Client, Message, Origin, Proxy, always};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        order_and_case_are_kept_both_ways,
        what_is_for_one_hop_stays_there_in_requests,
        what_is_for_one_hop_stays_there_in_responses,
        the_forwarding_fields_say_who_asked,
        host_is_kept,
        absolute_form_becomes_origin_form,
        an_old_client_without_a_host_gets_the_upstreams_name,
    ]
}

/// The request that the origin gets for this one.
fn forwarded(request: &str) -> Message {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(request);
    assert_eq!(client.response().status(), 200);
    origin.only_request()
}

fn order_and_case_are_kept_both_ways() {
    let origin = Origin::start(always(
        "HTTP/1.1 200 Fine, thanks\r\nx-lower: 1\r\nX-UPPER: 2\r\nSet-Cookie: a=1\r\nX-Between: 3\r\n\
         Set-Cookie: b=2\r\ncontent-LENGTH: 0\r\nX-Empty:\r\n\r\n",
    ));
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nx-b: 1\r\nHOST: test\r\nX-a: 2\r\nX-b: 3\r\naccept: x, y\r\n\r\n");
    let response = client.response();
    assert_eq!(response.start, "HTTP/1.1 200 Fine, thanks");
    let names = ["x-lower", "X-UPPER", "Set-Cookie", "X-Between", "Set-Cookie", "content-LENGTH", "X-Empty"];
    assert_eq!(response.names(), names);
    let request = origin.only_request();
    assert_eq!(request.names()[..5], ["x-b", "HOST", "X-a", "X-b", "accept"]);
    assert_eq!(request.field("accept"), Some("x, y"));
}

fn what_is_for_one_hop_stays_there_in_requests() {
    let request = forwarded(
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: X-Mine, keep-alive, TE\r\nX-Mine: secret\r\n\
         Keep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic eA==\r\nUpgrade: h2c\r\nX-Kept: 1\r\n\r\n",
    );
    assert_eq!(
        request.names(),
        ["Host", "X-Kept", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"]
    );
}

fn what_is_for_one_hop_stays_there_in_responses() {
    let origin = Origin::start(always(
        "HTTP/1.1 200 OK\r\nConnection: X-Mine, keep-alive\r\nX-Mine: secret\r\nKeep-Alive: timeout=60\r\n\
         Proxy-Authenticate: Basic\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n",
    ));
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").names(), ["X-Kept", "Content-Length"]);
}

fn the_forwarding_fields_say_who_asked() {
    let request = forwarded(
        "GET / HTTP/1.1\r\nHost: example.com:81\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: forged\r\n\r\n",
    );
    assert_eq!(request.field("x-forwarded-for"), Some("192.0.2.1, 192.0.2.2, 127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("example.com:81"));
}

fn host_is_kept() {
    let request = forwarded("GET / HTTP/1.1\r\nHost: Example.COM:8080\r\n\r\n");
    assert_eq!(request.field("host"), Some("Example.COM:8080"));
}

fn absolute_form_becomes_origin_form() {
    let request = forwarded("GET http://one.example:81/a?b HTTP/1.1\r\nHost: another.example\r\n\r\n");
    assert_eq!(
        (request.start.as_str(), request.field("host")),
        ("GET /a?b HTTP/1.1", Some("one.example:81"))
    );
    let request = forwarded("OPTIONS http://one.example HTTP/1.1\r\nHost: one.example\r\n\r\n");
    assert_eq!(request.start, "OPTIONS * HTTP/1.1");
}

fn an_old_client_without_a_host_gets_the_upstreams_name() {
    let request = forwarded("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((request.start.as_str(), request.field("host")), ("GET / HTTP/1.1", Some("app")));
}
