//! One request, one response, whatever frames their bodies.

use crate::harness::{Client, Framing, Origin, Proxy, always};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_get_is_forwarded,
        a_head_has_the_fields_of_a_get_and_no_body,
        a_post_with_a_length_is_forwarded,
        a_chunked_request_is_forwarded_with_its_trailers,
        a_chunked_response_is_forwarded_with_its_trailers,
        a_response_until_close_becomes_chunks_for_http_1_1,
        a_response_until_close_stays_so_for_http_1_0,
        chunks_become_bare_data_for_http_1_0,
        responses_without_content_leave_both_connections_usable,
        an_empty_body_is_no_body,
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
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nthe bo");
    client.send("dy");
    assert_eq!(client.response().text(), "done");
    let request = origin.only_request();
    assert_eq!((request.text().as_str(), request.framing), ("the body", Framing::Length));
}

fn a_chunked_request_is_forwarded_with_its_trailers() {
    let origin = Origin::saying("done");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        client.send("3\r\nthe\r\n005;ext=1\r\n body\r\n");
        client.send("0\r\nX-Sum: 42\r\n\r\n");
        assert_eq!(client.response().text(), "done");
    }
    for request in origin.requests() {
        let request = request.message;
        assert_eq!((request.text().as_str(), request.field("trailer")), ("the body", Some("X-Sum")));
        assert!(matches!(request.framing, Framing::Chunked(_)));
        assert_eq!(request.trailers, [("X-Sum".to_owned(), "42".to_owned())]);
    }
    assert_eq!((proxy.opened(), origin.requests().len()), (1, 2));
}

fn a_chunked_response_is_forwarded_with_its_trailers() {
    let origin = Origin::start(always(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3\r\nthe\r\n005;ext=1\r\n body\r\n0\r\nX-Sum: 42\r\n\r\n",
    ));
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.field("trailer")), ("the body", Some("X-Sum")));
        assert!(matches!(response.framing, Framing::Chunked(_)));
        assert_eq!(response.trailers, [("X-Sum".to_owned(), "42".to_owned())]);
    }
    assert_eq!(proxy.opened(), 1);
}

fn until_close() -> Origin {
    Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil ");
        conn.send("close");
    })
}

fn a_response_until_close_becomes_chunks_for_http_1_1() {
    let origin = until_close();
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.says_close()), ("until close", false));
        assert!(matches!(response.framing, Framing::Chunked(_)));
    }
    assert_eq!((proxy.opened(), proxy.rested().idle()), (2, 0));
}

fn a_response_until_close_stays_so_for_http_1_0() {
    let origin = until_close();
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text().as_str(), response.framing.clone()), ("until close", Framing::UntilClose));
    assert!(response.says_close());
}

fn chunks_become_bare_data_for_http_1_0() {
    let origin = Origin::start(always(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3\r\nthe\r\n5\r\n body\r\n0\r\nX-Sum: 42\r\n\r\n",
    ));
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text().as_str(), response.framing.clone()), ("the body", Framing::UntilClose));
    assert_eq!((response.says_close(), response.field("trailer")), (true, None));
    assert_eq!(proxy.rested().idle(), 1, "the origin's connection ended cleanly");
}

fn responses_without_content_leave_both_connections_usable() {
    let origin = Origin::start(|conn| {
        while let Some(request) = conn.request() {
            conn.send(match request.start.as_str() {
                "GET /204 HTTP/1.1" => "HTTP/1.1 204 No Content\r\n\r\n",
                // The length of what a GET without the condition would have had.
                "GET /304 HTTP/1.1" => {
                    "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n"
                }
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            });
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    let nothing = client.get("/204");
    assert_eq!((nothing.status(), nothing.fields.len()), (204, 0));
    let unmodified = client.get("/304");
    assert_eq!((unmodified.status(), unmodified.field("etag")), (304, Some("\"x\"")));
    assert_eq!(unmodified.length(), Some(500));
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(proxy.opened(), 1);
}

fn an_empty_body_is_no_body() {
    let origin = Origin::start(|conn| {
        while conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().length(), Some(0));
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.response().length(), Some(0));
    let requests = origin.wait_for_requests(2);
    assert_eq!(requests[0].message.length(), Some(0));
    assert_eq!(requests[1].message.framing, Framing::Chunked(vec![]));
    assert_eq!((proxy.opened(), proxy.rested().idle()), (1, 1));
}
