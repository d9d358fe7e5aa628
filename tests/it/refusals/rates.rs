//! Clients that come, or ask, too often.

use super::{is_refused, is_refused_for_good, is_refused_once};
use crate::attack::scene::bystander;
use crate::harness::{Client, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, RejectReason};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        requests_beyond_the_rate_are_told_when_to_come_again,
        a_request_whose_body_is_on_its_way_ends_the_connection,
        all_connections_and_workers_count_together,
        pipelined_requests_beyond_the_rate_are_each_refused,
        connections_beyond_the_rate_are_answered_and_closed,
        a_request_that_was_sent_already_does_not_destroy_the_answer,
        tcp_connections_beyond_the_rate_are_closed,
        an_exempt_client_has_no_limits,
        another_rate_holds_from_the_next_request_on,
    ]
}

/// One an hour: what is over it stays over it for as long as a test takes.
const TWO: &str = "limit.request_rate_per_client = \"1/h\"\nlimit.request_burst = 2";
const TWO_CONNECTIONS: &str = "limit.connection_rate_per_client = \"1/h\"\nlimit.connection_burst = 2";

/// The wait that a response asks for, in seconds.
#[track_caller]
fn wait(response: &crate::harness::Message) -> u64 {
    response.field("retry-after").expect("Retry-After").parse().expect("a number of seconds")
}

fn requests_beyond_the_rate_are_told_when_to_come_again() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener("limit.request_rate_per_client = \"2/s\"").start();
    let mut client = Client::connect(proxy.address());
    let began = Instant::now();
    // However slow this is: two at once and two a second are less than it asks for.
    let refused =
        (0..100).map(|_| client.get("/")).find(|response| response.status() != 200).expect("refused");
    is_refused(&refused, 429, "request_rate");
    assert_eq!(wait(&refused), 1);
    assert!(!refused.says_close(), "the connection goes on");
    assert_eq!(origin.connections(), 1);
    // A client that does as it is told is served.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(client.get("/").text(), "ok");
    let served = proxy.listener().total(|w| &w.requests_total) - proxy.rejects(RejectReason::RequestRate);
    let most = 2.0 + 2.0 * began.elapsed().as_secs_f64();
    assert!(served as f64 <= most, "{served} were served, no more than {most} should be");
}

fn a_request_whose_body_is_on_its_way_ends_the_connection() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener(TWO).start();
    let mut client = Client::connect(proxy.address());
    (0..2).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
    is_refused_for_good(&mut client, 429, "request_rate");
    assert_eq!(origin.connections(), 1, "nothing of it was sent on");
}

fn all_connections_and_workers_count_together() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).listener(TWO).start();
    let mut clients = [proxy.client_of(0), proxy.client_of(1), Client::connect(proxy.address())];
    let statuses = clients.each_mut().map(|client| client.get("/").status());
    assert_eq!(statuses, [200, 200, 429]);
}

fn pipelined_requests_beyond_the_rate_are_each_refused() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).listener(TWO).start();
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(12));
    (0..2).for_each(|_| assert_eq!(client.response().text(), "ok"));
    let began = Instant::now();
    (2..12).for_each(|_| is_refused_once(&mut client, 429, "request_rate"));
    // Behind the first 16 ms, twice that behind the next, and so on up to 256.
    let pauses = Duration::from_millis(16 + 32 + 64 + 128 + 5 * 256);
    assert!(began.elapsed() >= pauses, "{:?} for ten that were refused", began.elapsed());
    assert_eq!(proxy.rejects(RejectReason::RequestRate), 10);
}

fn connections_beyond_the_rate_are_answered_and_closed() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).listener(TWO_CONNECTIONS).start();
    let mut served = [(); 2].map(|()| bystander(proxy.address()));
    served.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    let mut third = bystander(proxy.address());
    let response = third.response();
    is_refused(&response, 429, "connection_rate");
    assert!(response.says_close() && (3000..=3600).contains(&wait(&response)), "{}", wait(&response));
    third.expect_eof();
    drop(served);
    eventually("they are gone", || proxy.listener().gauge(|w| &w.sessions) == 0);
    let mut fourth = bystander(proxy.address());
    is_refused_for_good(&mut fourth, 429, "connection_rate");
    assert_eq!((proxy.closes(CloseReason::Refused), proxy.rejects(RejectReason::ConnectionRate)), (2, 2));
}

/// They are more than are read to their end at once, and each is accepted with its request in hand.
fn a_request_that_was_sent_already_does_not_destroy_the_answer() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]).listener("limit.connections = 1");
    let proxy = setup.listener("socket.defer_accept = \"5s\"").start();
    let mut first = Client::connect(proxy.address());
    assert_eq!(first.get("/").text(), "ok");
    let mut refused: Vec<Client> = (0..40).map(|_| Client::connect(proxy.address())).collect();
    refused.iter().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    refused.iter_mut().for_each(|client| is_refused_for_good(client, 503, "connection_limit"));
}

fn tcp_connections_beyond_the_rate_are_closed() {
    let origin = Origin::start(|conn| {
        conn.hold();
    });
    let proxy = Setup::tcp([origin.address()]).listener(TWO_CONNECTIONS).start();
    let held = [(); 2].map(|()| Client::connect(proxy.address()));
    eventually("both are served", || proxy.listener().gauge(|w| &w.sessions) == 2);
    let mut third = Client::connect(proxy.address());
    third.expect_eof();
    assert_eq!((proxy.closes(CloseReason::Refused), proxy.rejects(RejectReason::ConnectionRate)), (1, 1));
    drop(held);
}

fn an_exempt_client_has_no_limits() {
    let origin = Origin::saying("ok");
    let limits = format!("{TWO}\n{TWO_CONNECTIONS}\nlimit.connections_per_client = 1");
    let setup = Setup::http([origin.address()]).listener(&limits);
    let proxy = setup.clone().listener("limit.exempt_clients = [\"127.0.0.0/8\"]").start();
    let mut clients = [(); 4].map(|()| Client::connect(proxy.address()));
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    drop(clients);
    eventually("they are gone", || proxy.listener().gauge(|w| &w.sessions) == 0);
    let proxy: Proxy = setup.listener("limit.exempt_clients = [\"192.0.2.0/24\", \"::1\"]").start();
    let _held = Client::connect(proxy.address());
    eventually("it is served", || proxy.listener().gauge(|w| &w.sessions) == 1);
    is_refused(&Client::connect(proxy.address()).response(), 503, "connection_limit");
}

fn another_rate_holds_from_the_next_request_on() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    let address: SocketAddr = proxy.address();
    let mut client = Client::connect(address);
    (0..5).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    let done = proxy.reload(&setup.clone().listener(TWO));
    let keys = ["limit.request_burst", "limit.request_rate_per_client"];
    assert_eq!(done.difference.listeners.changed[0].keys, keys);
    (0..2).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert_eq!(client.get("/").status(), 429, "on the same connection");
    // Another configuration with the same rate forgets nothing.
    proxy.reload(&setup.clone().listener(TWO).listener("timeout.idle = \"59s\""));
    assert_eq!(client.get("/").status(), 429);
    // What was used up under one an hour is paid back at the new rate.
    let quick = "limit.request_rate_per_client = \"1000/s\"\nlimit.request_burst = 1";
    proxy.reload(&setup.clone().listener(quick));
    eventually("it is served again", || client.get("/").status() == 200);
    proxy.reload(&setup);
    (0..50).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert_eq!(proxy.listener().total(|w| &w.sessions_total), 1);
}
