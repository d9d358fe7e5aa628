//! Bodies that are large or slow, and responses that do not wait for the request.

use crate::harness::{Client, Ended, Framing, Gate, Origin, Proxy, Setup, always, pattern};
use libtest_mimic::Trial;
use millpond::buffer::SMALL;
use millpond::reason::DiscardReason;
use std::io::Write;
use std::thread;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        ten_mebibytes_each_way_at_once,
        ten_mebibytes_in_chunks_each_way_at_once,
        long_bodies_leave_their_connections_as_they_were,
        a_request_byte_by_byte,
        a_response_byte_by_byte,
        a_large_head_passes,
        who_waits_for_an_answer_holds_no_buffer,
        an_early_response_reaches_a_client_that_is_still_sending,
        an_early_response_before_a_reset_reaches_the_client,
    ]
}

const LARGE: usize = 10 << 20;

/// Sends a request from one thread while its response is read by another.
fn at_once(request: Vec<u8>, origin: &Origin) {
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    let mut sender = client.sender();
    let sending = thread::spawn(move || sender.write_all(&request));
    let response = client.response();
    sending.join().unwrap().unwrap();
    assert!(response.body == pattern(LARGE), "{} bytes came back", response.body.len());
    let request = origin.only_request();
    assert!(request.body == pattern(LARGE), "{} bytes were forwarded", request.body.len());
    // When the response began, nobody could know that the request would be read whole.
    assert!(response.says_close());
    client.expect_eof();
}

/// Sends the response while it reads the request: its head first of all, its end last of all.
fn duplex(response: Vec<u8>) -> Origin {
    Origin::start(move |conn| {
        let (head, rest) = response.split_at(100);
        let (body, end) = rest.split_at(rest.len() - 10);
        conn.send(head);
        let writer = conn.sender();
        thread::scope(|scope| {
            let sending = scope.spawn(move || (&*writer).write_all(body));
            conn.request();
            sending.join().unwrap().unwrap();
        });
        conn.send(end);
        conn.hold();
    })
}

fn ten_mebibytes_each_way_at_once() {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes();
    response.extend(pattern(LARGE));
    let mut request = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes();
    request.extend(pattern(LARGE));
    at_once(request, &duplex(response));
}

/// In chunks of many sizes, some of them tiny.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() * 2);
    let (mut rest, mut size) = (body, 1);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        out.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        (rest, size) = (after, size * 3 % 70_001 + 1);
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn ten_mebibytes_in_chunks_each_way_at_once() {
    let body = chunked(&pattern(LARGE));
    let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    response.extend_from_slice(&body);
    let mut request = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    request.extend_from_slice(&body);
    at_once(request, &duplex(response));
}

/// They go past the buffers, and not one byte of what is behind them does.
fn long_bodies_leave_their_connections_as_they_were() {
    const LONG: usize = 1 << 20;
    let origin = Origin::start(|conn| {
        for _ in 0..4 {
            conn.request();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n"));
            conn.send(pattern(LONG));
        }
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    let mut requests = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {LONG}\r\n\r\n").into_bytes();
    requests.extend(pattern(LONG));
    requests.extend(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    for _ in 0..2 {
        client.send(&requests);
        for _ in 0..2 {
            assert!(client.response().body == pattern(LONG));
        }
    }
    for (number, request) in origin.wait_for_requests(4).iter().enumerate() {
        assert!(request.message.body == if number % 2 == 0 { pattern(LONG) } else { Vec::new() });
    }
    assert_eq!(proxy.opened(), 1);
}

fn a_request_byte_by_byte() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.drip("POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.response().text(), "ok");
    client.drip(
        "POST /b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\n0123\r\n6\r\n456789\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(client.response().text(), "ok");
    let requests = origin.wait_for_requests(2);
    assert!(requests.iter().all(|request| request.message.text() == "0123456789"));
    assert_eq!(requests[1].message.trailers.len(), 1);
}

fn a_response_byte_by_byte() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.drip("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
        conn.request();
        conn.drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\nX: 1\r\n\r\n");
        conn.request();
        conn.drip("HTTP/1.1 200 OK\r\n\r\n0123456789");
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for framing in ["length", "chunked", "close"] {
        assert_eq!(client.get("/").text(), "0123456789", "{framing}");
    }
    assert_eq!(proxy.opened(), 1);
}

fn a_large_head_passes() {
    let value = "v".repeat(12 * 1024);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nX-A: {value}\r\nX-B: {value}\r\nX-C: {value}\r\nContent-Length: 2\r\n\r\nok"
    );
    let origin = Origin::start(always(answer));
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-A: {value}\r\nX-B: {value}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.text().as_str(), response.field("x-c")), ("ok", Some(value.as_str())));
    }
    assert_eq!(origin.requests()[1].message.field("x-b"), Some(value.as_str()));
}

/// Sends a body until the other side takes no more; returns how much it took.
fn send_until_refused(mut sender: std::net::TcpStream) -> usize {
    let block = [b'x'; 16 * 1024];
    let mut sent = 0;
    while sent < 64 * LARGE {
        match sender.write(&block) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}

fn an_early_response_reaches_a_client_that_is_still_sending() {
    let origin = Origin::start(|conn| {
        conn.head();
        conn.send(format!(
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 100000\r\n\r\n{}",
            "n".repeat(100_000)
        ));
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).listener("timeout.linger = \"1s\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n");
    let sender = client.sender();
    let sending = thread::spawn(move || send_until_refused(sender));
    let response = client.response();
    assert_eq!((response.status(), response.body.len()), (413, 100_000));
    assert_eq!((response.says_close(), response.framing.clone()), (true, Framing::Length));
    client.half_close();
    sending.join().unwrap();
    proxy.settle();
    assert_eq!((proxy.rested().idle(), proxy.discards(DiscardReason::EarlyResponse)), (0, 1));
}

fn an_early_response_before_a_reset_reaches_the_client() {
    let answered = Gate::new();
    let has_answered = answered.clone();
    let origin = Origin::start(move |conn| {
        conn.head();
        conn.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
        has_answered.open();
        // With the request's bytes unread, the kernel sends RST behind the answer.
    });
    let proxy = Setup::http([origin.address()]).listener("timeout.linger = \"1s\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n");
    answered.wait();
    let sender = client.sender();
    let sending = thread::spawn(move || send_until_refused(sender));
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (413, "no"));
    drop(client);
    sending.join().unwrap();
    assert_ne!(origin.ended(0), Some(Ended::Fin));
}

fn who_waits_for_an_answer_holds_no_buffer() {
    const CLIENTS: usize = 50;
    /// As many as one worker uses at a time; each is counted twice.
    const BUFFERS: usize = 4 * 2 * SMALL;
    // The first requests wait for their connections, too; the second ones find them idle.
    let gates = [Gate::new(), Gate::new()];
    let wait = gates.clone();
    let origin = Origin::start(move |conn| {
        for gate in &wait {
            conn.request();
            gate.wait();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(proxy.address())).collect();
    for (wave, gate) in (1..).zip(gates) {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        }
        origin.wait_for_requests(wave * CLIENTS);
        let used = proxy.registry().buffers.used();
        assert!(0 < used && used <= BUFFERS, "{used} bytes while all wait for answer {wave}");
        gate.open();
        clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    }
    assert_eq!(origin.connections(), CLIENTS);
}
