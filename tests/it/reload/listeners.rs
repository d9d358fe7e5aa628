//! Listeners that come and go, and what their sockets are told.

use super::{addresses, listens, origins, with_listener};
use crate::harness::{Client, Gate, Origin, Proxy, Setup, eventually, nobody_listens, pattern};
use libtest_mimic::Trial;
use millpond::metrics::host::Host;
use millpond::observe::snapshot::Snapshot;
use millpond::sys::sock_diag::listen_queue;
use std::net::SocketAddr;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        a_listener_is_added_and_removed_again,
        a_removed_listener_drains_a_running_stream_to_its_end,
        a_removed_listener_ends_what_is_idle_and_says_so_to_what_is_not,
        what_a_removed_listener_still_serves_has_a_deadline,
        the_backlog_of_a_live_socket_is_changed,
        the_accept_queue_of_a_removed_listener_is_served,
        another_protocol_on_the_same_address,
        an_address_is_widened_while_it_is_in_use,
    ]
}

fn a_listener_is_added_and_removed_again() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]).workers(2);
    let proxy = setup.start();
    let mut kept = Client::connect(proxy.address());
    for _ in 0..3 {
        let done = proxy.try_reload(&with_listener(&setup, "bind = \"127.0.0.1:0\"")).unwrap();
        assert_eq!(done.difference.listeners.added.len(), 1);
        let other = listens(&proxy, "other");
        assert_eq!(listen_queue(other).unwrap().len(), 2, "a socket a worker");
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(other)).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
        drop(clients);
        proxy.reload(&setup);
        eventually("it is closed", || nobody_listens(other));
        assert_eq!(kept.get("/").text(), "ok");
    }
    eventually("nothing is leaving", || proxy.registry().running().leaving.listeners.is_empty());
}

const LONG: usize = 8 << 20;

fn a_removed_listener_drains_a_running_stream_to_its_end() {
    let (half, gate) = (LONG / 2, Gate::new());
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n"));
        conn.send(&pattern(LONG)[..half]);
        wait.wait();
        conn.send(&pattern(LONG)[half..]);
    });
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    proxy.try_reload(&with_listener(&setup, "bind = \"127.0.0.1:0\"")).unwrap();
    let other = listens(&proxy, "other");
    let mut client = Client::connect(other);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    client.gather(half);
    let done = proxy.reload(&setup);
    assert_eq!(addresses(&done.difference.listeners.removed), ["127.0.0.1:0"]);
    eventually("nobody comes in any more", || nobody_listens(other));
    let leaving = Snapshot::take(proxy.registry(), Host::default()).listeners;
    let seen: Vec<_> = leaving.iter().map(|l| (l.name.as_str(), l.draining, l.sessions.current)).collect();
    assert_eq!(seen, [("web", false, 0), ("other", true, 1)]);
    gate.open();
    assert!(client.response().body == pattern(LONG), "every byte");
    client.expect_eof();
    eventually("it is over", || Snapshot::take(proxy.registry(), Host::default()).listeners.len() == 1);
}

fn a_removed_listener_ends_what_is_idle_and_says_so_to_what_is_not() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        while let Some(request) = conn.request() {
            if request.start.contains("/slow") {
                wait.wait();
            }
            conn.send(super::OK);
        }
    });
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    proxy.try_reload(&with_listener(&setup, "bind = \"127.0.0.1:0\"")).unwrap();
    let other = listens(&proxy, "other");
    let [mut idle, mut busy] = [(); 2].map(|()| Client::connect(other));
    let mut kept = Client::connect(proxy.address());
    [&mut idle, &mut kept].into_iter().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    busy.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(3);
    proxy.reload(&setup);
    idle.expect_eof();
    gate.open();
    let last = busy.response();
    assert!(last.says_close() && last.text() == "ok");
    busy.expect_eof();
    assert!(!kept.get("/").says_close());
}

fn what_a_removed_listener_still_serves_has_a_deadline() {
    let origin = Origin::start(|conn| {
        conn.hold();
    });
    let setup = Setup::tcp([origin.address()]).runtime("shutdown_timeout = \"200ms\"");
    let proxy = setup.start();
    proxy.try_reload(&with_listener(&setup, "bind = \"127.0.0.1:0\"\nprotocol = \"tcp\"")).unwrap();
    let mut client = Client::connect(listens(&proxy, "other"));
    let _kept = Client::connect(proxy.address());
    origin.wait_for_connections(2);
    proxy.reload(&setup);
    client.rest();
    eventually("it is over", || proxy.registry().running().leaving.listeners.is_empty());
    assert_eq!(proxy.listener().gauge(|w| &w.sessions), 1);
}

fn the_backlog_of_a_live_socket_is_changed() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]).workers(2);
    let proxy = setup.clone().listener("socket.backlog = 9").start();
    let limits =
        || listen_queue(proxy.address()).unwrap().iter().map(|queue| queue.limit).collect::<Vec<_>>();
    assert_eq!(limits(), [9, 9]);
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    for backlog in [5, 70] {
        let changed = format!(
            "socket.backlog = {backlog}\nsocket.tcp_keepalive = {{ idle = \"{backlog}s\" }}\nsocket.defer_accept = \"1s\""
        );
        let done = proxy.reload(&setup.clone().listener(&changed));
        assert_eq!(done.difference.listeners.changed.len(), 1);
        assert_eq!(limits(), [backlog, backlog]);
        assert_eq!(client.get("/").text(), "ok", "on its old connection");
        assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    }
}

fn the_accept_queue_of_a_removed_listener_is_served() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    for _ in 0..5 {
        proxy.try_reload(&with_listener(&setup, "bind = \"127.0.0.1:0\"")).unwrap();
        let other = listens(&proxy, "other");
        let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(other)).collect();
        clients.iter().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
        proxy.reload(&setup);
        clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    }
}

fn another_protocol_on_the_same_address() {
    let [origin] = origins();
    let (http, tcp) = (Setup::http([origin.address()]).workers(2), Setup::tcp([origin.address()]).workers(2));
    let proxy = http.start();
    let address = proxy.address();
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").text(), "ok");
    let done = proxy.reload(&tcp);
    assert_eq!((done.difference.listeners.added.len(), done.difference.listeners.removed.len()), (1, 1));
    assert_eq!(proxy.address(), address);
    client.expect_eof();
    let mut raw = Client::connect(address);
    assert_eq!(raw.get("/").text(), "ok");
    assert_eq!(proxy.listener().total(|w| &w.requests_total), 0, "it is a tunnel");
    drop(raw);
    proxy.reload(&http);
    assert_eq!(Client::connect(address).get("/").text(), "ok");
}

fn an_address_is_widened_while_it_is_in_use() {
    let [origin] = origins();
    let text = |bind: SocketAddr| {
        let text = Setup::http([origin.address()]).text();
        text.replace("bind = \"127.0.0.1:0\"", &format!("bind = \"{bind}\""))
    };
    let widened = (0..20).find_map(|_| {
        let proxy = Proxy::start(&text(([127, 0, 0, 1], 0).into()));
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.get("/").text(), "ok");
        let everywhere = SocketAddr::from(([0, 0, 0, 0], proxy.address().port()));
        if proxy.try_reload(&text(everywhere)).is_ok() {
            return Some((proxy, client, everywhere.port()));
        }
        // The socket of another test, on another loopback address, has the port: the client goes
        // first, as the proxy makes sure at its end that nobody is left.
        drop(client);
        None
    });
    let (_proxy, mut client, port) = widened.expect("a port that nobody else has");
    client.expect_eof();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(Client::connect(address).get("/").text(), "ok");
}
