//! One connection serves many requests.

use super::{GET, OK, asking};
use crate::harness::{Client, Gate, Origin, Proxy, Setup, Unaccepting, eventually};
use libtest_mimic::Trial;
use millpond::reason::DiscardReason;
use std::sync::Arc;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        requests_of_one_client_share_a_connection,
        clients_one_after_the_other_share_a_connection,
        as_many_connections_as_requests_at_once,
        the_connection_used_last_is_used_next,
        a_response_that_says_close_ends_its_connection,
        an_old_origins_connection_is_not_used_again,
        an_old_origins_connection_is_used_again_if_it_says_so,
        a_miss_is_served_by_what_comes_back_before_its_connect_ends,
    ]
}

fn requests_of_one_client_share_a_connection() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    (0..100).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert_eq!((proxy.opened(), proxy.reused(), origin.connections()), (1, 99, 1));
}

fn clients_one_after_the_other_share_a_connection() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    for _ in 0..50 {
        assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    }
    assert_eq!((proxy.opened(), proxy.reused(), origin.connections()), (1, 49, 1));
}

fn as_many_connections_as_requests_at_once() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let mut clients: Vec<Client> = (0..64).map(|_| Client::connect(proxy.address())).collect();
    for _ in 0..10 {
        clients.iter().for_each(|client| client.send(GET));
        clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    }
    assert!(proxy.opened() <= 64, "{} for 64 requests at once", proxy.opened());
    assert_eq!(proxy.opened() as usize, origin.connections());
}

fn the_connection_used_last_is_used_next() {
    let gates: Arc<[Gate; 3]> = Arc::default();
    let waits = Arc::clone(&gates);
    let origin = Origin::start(move |conn| {
        conn.request();
        waits[conn.number].wait();
        conn.send(OK);
        while conn.request().is_some() {
            conn.send(OK);
        }
    });
    let proxy = Proxy::http(origin.address());
    let clients = asking(&proxy, 3);
    origin.wait_for_requests(3);
    for (idle, number) in [(1, 1), (2, 0), (3, 2)] {
        gates[number].open();
        eventually("one more is idle", || proxy.idle() == idle);
    }
    let mut client = Client::connect(proxy.address());
    (0..5).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert!(origin.requests()[3..].iter().all(|request| request.connection == 2));
    drop(clients);
}

fn a_response_that_says_close_ends_its_connection() {
    let origin = Origin::start(|conn| {
        while conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.says_close()), ("ok", false));
    }
    origin.wait_for_end(2);
    assert_eq!(
        (proxy.opened(), proxy.rested().idle(), proxy.discards(DiscardReason::NotReusable)),
        (3, 0, 3)
    );
}

/// Connections that an HTTP/1.0 origin needs for three requests.
fn connections_of_an_old_origin(response: &'static str) -> usize {
    let origin = Origin::start(move |conn| {
        while conn.request().is_some() {
            conn.send(response);
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    (0..3).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    origin.connections()
}

fn an_old_origins_connection_is_not_used_again() {
    assert_eq!(connections_of_an_old_origin("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), 3);
}

fn an_old_origins_connection_is_used_again_if_it_says_so() {
    let response = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
    assert_eq!(connections_of_an_old_origin(response), 1);
}

fn a_miss_is_served_by_what_comes_back_before_its_connect_ends() {
    let mut endpoint = Unaccepting::with_room();
    let proxy = Setup::http([endpoint.address()]).upstream("timeout.connect = \"30s\"").start();
    let mut first = Client::connect(proxy.address());
    first.send(GET);
    let mut connection = endpoint.accept();
    assert!(connection.request().unwrap().is_some());
    endpoint.fill();
    let mut second = Client::connect(proxy.address());
    second.send("GET /second HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("a connect is under way", || proxy.endpoint(0).gauge(|w| &w.connecting) == 1);

    connection.write(OK.as_bytes()).unwrap();
    assert_eq!(first.response().text(), "ok");
    let request = connection.request().unwrap().unwrap();
    assert_eq!(request.start, "GET /second HTTP/1.1");
    connection.write(OK.as_bytes()).unwrap();
    assert_eq!(second.response().text(), "ok");
    // The connect ends when the kernel has sent the SYN again.
    drop(endpoint.listen());
}
