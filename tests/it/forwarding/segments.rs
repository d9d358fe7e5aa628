//! A small exchange costs one segment each way on each side: nothing is written in parts that wait for
//! one another's acknowledgement (Nagle's algorithm, RFC 9293 section 3.7.4).

use crate::harness::{Client, DEADLINE, Origin, Proxy, Setup};
use libtest_mimic::Trial;
use millpond::sys::tcp_info::TcpInfo;
use std::net::TcpStream;
use std::sync::{Arc, mpsc};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        requests_without_a_body,
        bodies_with_a_length,
        bodies_in_chunks,
        bodies_until_close_for_http_1_0,
        interim_responses_with_their_final_one,
        answers_of_millponds_own,
        tunnelled_messages,
    ]
}

/// Exchanges on a connection.
const MANY: u32 = 5;

/// An origin that answers every request with these bytes; the test has its sockets too.
fn answering(response: &'static str) -> (Origin, mpsc::Receiver<Arc<TcpStream>>) {
    let (give, streams) = mpsc::channel();
    let origin = Origin::start(move |conn| {
        // The test may be over.
        let _ = give.send(conn.sender());
        while conn.request().is_some() {
            conn.send(response);
        }
    });
    (origin, streams)
}

/// Segments with data that have come on this connection.
fn segments(stream: &TcpStream) -> u32 {
    TcpInfo::of(stream).unwrap().data_segs_in.expect("a kernel of this decade")
}

/// Both sides get one segment for each exchange; the client ends up with `body`.
#[track_caller]
fn costs_one_segment(request: &str, response: &'static str, body: &str) {
    let (origin, streams) = answering(response);
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..MANY {
        client.send(request);
        let interim = response.matches("HTTP/1.1 1").count();
        (0..interim).for_each(|_| assert_eq!(client.response().status(), 103));
        assert_eq!(client.response().text(), body);
    }
    let upstream = streams.recv_timeout(DEADLINE).unwrap();
    assert_eq!((segments(client.stream()), segments(&upstream)), (MANY, MANY), "{response:?}");
    assert_eq!(proxy.opened(), 1);
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn requests_without_a_body() {
    costs_one_segment("GET / HTTP/1.1\r\nHost: test\r\n\r\n", OK, "ok");
}

fn bodies_with_a_length() {
    costs_one_segment("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody", OK, "ok");
}

fn bodies_in_chunks() {
    let request =
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n";
    let response =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n";
    costs_one_segment(request, response, "ok");
}

fn interim_responses_with_their_final_one() {
    let response = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    costs_one_segment("GET / HTTP/1.1\r\nHost: test\r\n\r\n", response, "ok");
}

fn bodies_until_close_for_http_1_0() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\n\r\nok");
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
    assert_eq!(segments(client.stream()), 1);
}

fn answers_of_millponds_own() {
    let origin = Origin::start(|conn| drop(conn.request()));
    let proxy = Setup::http([origin.address()]).start();
    let mut client = Client::connect(proxy.address());
    for _ in 0..MANY {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().status(), 502);
    }
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    assert_eq!(segments(client.stream()), MANY + 1);
}

fn tunnelled_messages() {
    let (give, streams) = mpsc::channel();
    let origin = Origin::start(move |conn| {
        let _ = give.send(conn.sender());
        loop {
            let bytes = conn.some();
            if bytes.is_empty() {
                return;
            }
            conn.send(bytes);
        }
    });
    let proxy = Setup::tcp([origin.address()]).start();
    let mut client = Client::connect(proxy.address());
    for _ in 0..MANY {
        client.send("hello");
        assert_eq!(client.exactly(5), b"hello");
    }
    let upstream = streams.recv_timeout(DEADLINE).unwrap();
    assert_eq!((segments(client.stream()), segments(&upstream)), (MANY, MANY));
}
