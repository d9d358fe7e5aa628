//! Requests and clients that are too much.

use super::{is_refused, is_refused_for_good};
use crate::harness::{Client, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, RejectReason};
use std::io::Write;
use std::thread;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_head_that_is_too_large,
        a_head_with_too_many_fields,
        a_target_that_is_too_long,
        a_length_that_is_too_large,
        chunks_that_are_too_much_at_once,
        chunks_that_become_too_much,
        a_body_of_just_the_limit_passes,
        a_client_that_is_still_sending_gets_the_refusal_whole,
        a_client_beyond_the_listeners_limit,
        a_client_beyond_the_limit_for_its_address,
        many_refused_clients_get_an_answer,
    ]
}

/// The request is refused by a proxy with this line in its listener.
#[track_caller]
fn refused(line: &str, request: &str, status: u16, reason: &str) {
    let origin = Origin::saying("must not be reached");
    let proxy = Setup::http([origin.address()]).listener(line).start();
    let mut client = Client::connect(proxy.address());
    client.send(request);
    is_refused_for_good(&mut client, status, reason);
    assert_eq!(origin.connections(), 0);
}

fn a_head_that_is_too_large() {
    let large = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(2000));
    refused("limit.header_bytes = \"1KiB\"\nlimit.target_bytes = \"512B\"", &large, 431, "header_too_large");
    let endless = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}", "x".repeat(33 * 1024));
    refused("", &endless, 431, "header_too_large");
}

fn a_head_with_too_many_fields() {
    let fields = "X: y\r\n".repeat(10);
    let request = format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
    refused("limit.headers = 10", &request, 431, "header_too_large");
}

fn a_target_that_is_too_long() {
    let request = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(8 * 1024));
    refused("", &request, 414, "target_too_long");
}

fn a_length_that_is_too_large() {
    let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n";
    refused("limit.body_bytes = \"10B\"", request, 413, "body_too_large");
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunks_that_are_too_much_at_once() {
    let request = format!("{CHUNKED}6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n");
    refused("limit.body_bytes = \"10B\"", &request, 413, "body_too_large");
}

fn chunks_that_become_too_much() {
    let origin = Origin::start(|conn| {
        conn.head();
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).listener("limit.body_bytes = \"10B\"").start();
    let mut client = Client::connect(proxy.address());
    client.send(format!("{CHUNKED}6\r\n012345\r\n"));
    eventually("the first chunk is forwarded", || {
        origin.connections() == 1 && origin.received(0).ends_with(b"012345\r\n")
    });
    client.send("6\r\n012345\r\n0\r\n\r\n");
    is_refused_for_good(&mut client, 413, "body_too_large");
    origin.wait_for_end(0);
}

fn a_body_of_just_the_limit_passes() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener("limit.body_bytes = \"10B\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.response().text(), "ok");
    client.send(format!("{CHUNKED}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"));
    assert_eq!(client.response().text(), "ok");
}

fn a_client_that_is_still_sending_gets_the_refusal_whole() {
    let origin = Origin::saying("must not be reached");
    let proxy = Setup::http([origin.address()]).listener("limit.body_bytes = \"1MiB\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 104857600\r\n\r\n");
    let mut sender = client.sender();
    // What the proxy does not take any more is the end of it.
    let sending = thread::spawn(move || {
        let block = [b'x'; 64 * 1024];
        (0..160).all(|_| sender.write_all(&block).is_ok())
    });
    // Only when all of it is sent does the client look for an answer, as many do.
    assert!(sending.join().unwrap(), "10 MiB were taken from the client within timeout.linger");
    is_refused_for_good(&mut client, 413, "body_too_large");
    assert_eq!(origin.connections(), 0);
}

fn a_client_beyond_the_listeners_limit() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener("limit.connections = 2").start();
    let mut first = Client::connect(proxy.address());
    let mut second = Client::connect(proxy.address());
    assert_eq!((first.get("/").text(), second.get("/").text()), ("ok".to_owned(), "ok".to_owned()));

    let mut third = Client::connect(proxy.address());
    third.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    is_refused_for_good(&mut third, 503, "connection_limit");
    assert_eq!((proxy.closes(CloseReason::Refused), proxy.rejects(RejectReason::ConnectionLimit)), (1, 1));

    drop(first);
    eventually("room", || proxy.listener().gauge(|w| &w.sessions) == 1);
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    assert_eq!(second.get("/").text(), "ok");
}

fn a_client_beyond_the_limit_for_its_address() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]).workers(2);
    let proxy = setup.listener("limit.connections_per_client = 2").start();
    let clients: Vec<Client> = (0..2).map(|_| Client::connect(proxy.address())).collect();
    eventually("both sessions", || proxy.listener().gauge(|w| &w.sessions) == 2);
    let mut third = Client::connect(proxy.address());
    is_refused(&third.response(), 503, "connection_limit");
    drop(clients);
    eventually("room", || proxy.listener().gauge(|w| &w.sessions) == 0);
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
}

fn many_refused_clients_get_an_answer() {
    let origin = Origin::saying("ok");
    let proxy: Proxy = Setup::http([origin.address()]).listener("limit.connections = 1").start();
    let mut first = Client::connect(proxy.address());
    assert_eq!(first.get("/").text(), "ok");
    let mut refused: Vec<Client> = (0..50).map(|_| Client::connect(proxy.address())).collect();
    // None of them has sent a byte: an answer is not overtaken by a reset.
    refused.iter_mut().for_each(|client| is_refused(&client.response(), 503, "connection_limit"));
    refused.iter_mut().for_each(Client::expect_eof);
    assert_eq!(first.get("/").text(), "ok");
}
