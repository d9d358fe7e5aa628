//! How clients are closed: they get what they were sent, whatever they are still sending themselves.

use super::SOON;
use crate::harness::{Client, Origin, Proxy, Setup, pattern, within};
use libtest_mimic::Trial;
use millpond::reason::CloseReason;
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_client_that_is_still_sending_gets_the_whole_refusal,
        a_reset_by_configuration_destroys_nothing,
        a_client_that_reads_nothing_holds_up_a_reset_for_a_while_only,
        a_close_for_which_more_was_pipelined_destroys_nothing,
    ]
}

/// In a thousand of a thousand tries, a client that uploads something that is refused has the answer
/// whole when it has sent everything.
fn a_client_that_is_still_sending_gets_the_whole_refusal() {
    const THREADS: usize = 8;
    const TRIES: usize = 125;
    const UPLOAD: usize = 512 * 1024;
    let origin = Origin::start(|conn| {
        conn.hold();
    });
    let proxy = Setup::http([origin.address()]).listener("limit.body_bytes = 1000").start();
    let too_large = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {UPLOAD}\r\n\r\n");
    let malformed = "POST / HTTP/1.1\r\nHost : test\r\n\r\n".to_owned();
    let refused = |head: &str, status: u16| {
        let mut client = Client::connect(proxy.address());
        client.send(head);
        client.send(vec![b'x'; UPLOAD]);
        let response = client.response();
        assert_eq!((response.status(), response.says_close()), (status, true));
        client.half_close();
        client.expect_eof();
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..TRIES {
                    match number % 2 {
                        0 => refused(&too_large, 413),
                        _ => refused(&malformed, 400),
                    }
                }
            });
        }
    });
    proxy.settle();
    assert_eq!(proxy.closes(CloseReason::BadRequest), (THREADS * TRIES) as u64);
}

/// More than the client's kernel takes without its reading.
const LARGE: usize = 1 << 20;

/// A proxy that resets its clients, whose origin sends a large response.
fn resetting(linger: &str) -> (Origin, Proxy) {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
        conn.send(pattern(LARGE));
        conn.hold();
    });
    let setup = Setup::http([origin.address()]).listener("socket.linger = \"reset\"");
    let proxy = setup.listener(&format!("timeout.linger = {linger}")).start();
    (origin, proxy)
}

/// The whole response is with the kernel, which has not got rid of it.
fn asks(proxy: &Proxy) -> Client {
    let client = Client::with_receive_buffer(proxy.address(), 32 * 1024);
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    within(SOON, "the response", || proxy.endpoint(0).total(|w| &w.received_bytes) > LARGE as u64);
    client
}

fn a_reset_by_configuration_destroys_nothing() {
    let (_origin, proxy) = resetting("\"10s\"");
    let mut client = asks(&proxy);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(proxy.closes(CloseReason::Reset), 0, "it waits until all is acknowledged");
    assert!(client.response().body == pattern(LARGE));
    client.expect_reset();
    within(SOON, "the session's end", || proxy.closes(CloseReason::Reset) == 1);
}

/// Then it is the kernel's to deliver, behind a FIN.
fn a_client_that_reads_nothing_holds_up_a_reset_for_a_while_only() {
    let (_origin, proxy) = resetting("\"200ms\"");
    let mut client = asks(&proxy);
    within(SOON, "the session's end", || proxy.closes(CloseReason::Graceful) == 1);
    assert!(client.response().body == pattern(LARGE));
    client.expect_eof();
}

/// close(2) would answer what nobody read with RST.
fn a_close_for_which_more_was_pipelined_destroys_nothing() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let last = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    for _ in 0..100 {
        let client = Client::connect(proxy.address());
        let mut sender = client.sender();
        sender.write_all(last.as_bytes()).unwrap();
        // Behind the last request, and perhaps in another segment.
        sender.write_all(&[b'x'; 64 * 1024]).unwrap();
        let mut client = client;
        assert_eq!(client.response().text(), "ok");
        match client.try_response() {
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
            Ok(other) => panic!("{other:?}"),
        }
    }
}
