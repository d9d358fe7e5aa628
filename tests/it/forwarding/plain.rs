//! One request, one response, whatever frames their bodies.

use crate::harness::{Client, Framing, Origin, Proxy, always};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_get_is_forwarded,
        a_head_has_the_fields_of_a_get_and_no_body,
        a_post_with_a_length_is_forwarded,
    ]
}

fn a_get_is_forwarded() {
    let origin = Origin::saying("hello");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET /path?query HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n");
    let response = client.response();
    assert_eq!((response.start.as_str(), response.text().as_str()), ("HTTP/1.1 200 OK", "hello"));
    assert_eq!((response.framing, response.fields.len()), (Framing::Length, 1));

    let request = origin.only_request();
    assert_eq!(request.start, "GET /path?query HTTP/1.1");
    assert_eq!(
        String::from_utf8(origin.received(0)).unwrap(),
        "GET /path?query HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nX-Forwarded-For: 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: example.com\r\n\r\n"
    );
}

fn a_head_has_the_fields_of_a_get_and_no_body() {
    let origin = Origin::start(always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = client.response_to("HEAD");
        assert_eq!((response.status(), response.length()), (200, Some(5)));
    }
    assert_eq!(proxy.opened(), 1);
}

fn a_post_with_a_length_is_forwarded() {
    let origin = Origin::saying("done");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 7\r\n\r\nthe bo");
    client.send("d");
    assert_eq!(client.response().text(), "done");
    let request = origin.only_request();
    assert_eq!((request.text().as_str(), request.framing), ("the bod", Framing::Length));
}
