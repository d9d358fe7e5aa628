//! Hardly a port is left: nothing is dialled, and what cannot be served is refused.

use super::{
    From, GET, GET_HELD, MOST, all_come_back, asking, figures, level, origin, sessions, unavailable,
};
use crate::harness::{Client, Gate, Origin, Setup, eventually};
use libtest_mimic::Trial;
use millpond::reason::RejectReason;
use millpond::source::level::Level;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_tcp_session_is_closed_and_the_next_served_when_ports_are_back,
        sessions_that_their_clients_end_leave_ports_that_come_back,
        a_request_is_refused_at_once_where_nothing_can_come_back,
        a_request_waits_for_a_connection_that_can_come_back,
        a_request_that_waited_in_vain_is_refused,
        a_request_is_dialled_for_when_time_waits_end,
        a_port_that_comes_back_is_used_at_once,
        two_sources_have_twice_the_ports,
        another_endpoint_is_tried,
        a_refused_request_costs_no_dial,
        a_tcp_session_waits_for_no_request,
    ]
}

/// Requests do not wait before all is taken.
const NO_REUSE_ONLY: &str = "source.reuse_only_percent = 85";

fn a_tcp_session_is_closed_and_the_next_served_when_ports_are_back() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_| wait.wait());
    let proxy = From::new().of(Setup::tcp([origin.address()])).start();
    let mut open = sessions(&proxy, 0, MOST);
    let mut refused = Client::connect(proxy.address());
    refused.expect_eof();
    eventually("it is counted", || proxy.rejects(RejectReason::SourcePorts) == 1);
    assert_eq!((level(&proxy), proxy.opened()), (Level::Refuse, MOST as u64));
    // The endpoint closes first, and has the TIME_WAITs.
    gate.open();
    open.iter_mut().for_each(Client::expect_eof);
    drop(open);
    all_come_back(&proxy);
    let mut again: Vec<_> = (0..MOST).map(|_| Client::connect(proxy.address())).collect();
    again.iter_mut().for_each(Client::expect_eof);
    assert_eq!((proxy.opened(), unavailable(&proxy)), (2 * MOST as u64, 0));
    assert_eq!(proxy.rejects(RejectReason::SourcePorts), 1);
}

fn sessions_that_their_clients_end_leave_ports_that_come_back() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let proxy = From::new().of(Setup::tcp([origin.address()])).start();
    drop(sessions(&proxy, 0, MOST));
    // On loopback, each holds its port for a second.
    eventually("the TIME_WAITs are here", || {
        figures(&proxy, 0).used == 0 && figures(&proxy, 0).time_wait > 0
    });
    all_come_back(&proxy);
    let _again = sessions(&proxy, 0, MOST);
    assert_eq!(unavailable(&proxy), 0);
}

fn a_request_is_refused_at_once_where_nothing_can_come_back() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let setup = From::new().shared(Setup::http([origin.address()]), origin.address());
    let proxy = setup.start();
    let _sessions = sessions(&proxy, 1, MOST);
    let start = Instant::now();
    let mut client = Client::connect(proxy.address());
    for _ in 0..10 {
        let answer = client.get("/");
        assert_eq!((answer.status(), answer.reason()), (503, Some("source_ports")));
        assert!(!answer.says_close());
    }
    assert!(start.elapsed() < Duration::from_secs(3), "not after pool.wait_timeout");
    assert_eq!((proxy.opened(), proxy.rejects(RejectReason::SourcePorts), unavailable(&proxy)), (0, 10, 0));
    assert_eq!(proxy.endpoint(0).total(|w| &w.local_errors_total), 10);
    assert_eq!(proxy.endpoint(0).total(|w| &w.connect_errors_total), 0);
}

fn a_request_waits_for_a_connection_that_can_come_back() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let proxy = From::new().of(Setup::http([origin.address()])).upstream(NO_REUSE_ONLY).start();
    let mut held: Vec<_> = (0..MOST).map(|_| asking(&proxy, GET_HELD)).collect();
    origin.wait_for_requests(MOST);
    let mut waiting: Vec<_> = (0..10).map(|_| asking(&proxy, GET)).collect();
    eventually("they wait", || proxy.waiting() == 10);
    assert_eq!(level(&proxy), Level::Refuse);
    gate.open();
    held.iter_mut().chain(&mut waiting).for_each(|client| assert_eq!(client.response().text(), "ok"));
    assert_eq!((proxy.opened(), unavailable(&proxy)), (MOST as u64, 0));
}

fn a_request_that_waited_in_vain_is_refused() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let setup = From::new().of(Setup::http([origin.address()])).upstream(NO_REUSE_ONLY);
    let proxy = setup.upstream("pool.wait_timeout = \"200ms\"").start();
    let mut held: Vec<_> = (0..MOST).map(|_| asking(&proxy, GET_HELD)).collect();
    origin.wait_for_requests(MOST);
    let start = Instant::now();
    let answer = asking(&proxy, GET).response();
    assert_eq!((answer.status(), answer.reason()), (503, Some("source_ports")));
    assert!(start.elapsed() >= Duration::from_millis(200));
    gate.open();
    held.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    assert_eq!(proxy.opened(), MOST as u64);
}

fn a_request_is_dialled_for_when_time_waits_end() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let setup = Setup::http([origin.address()]).upstream("pool.wait_timeout = \"60s\"");
    let proxy = From::new().shared(setup, origin.address()).start();
    let mut held = asking(&proxy, GET_HELD);
    origin.wait_for_requests(1);
    let sessions = sessions(&proxy, 1, MOST - 1);
    let mut waiting = asking(&proxy, GET);
    eventually("it waits", || proxy.waiting() == 1);
    drop(sessions);
    // What the sessions leave is another upstream's, and its end is no event.
    assert_eq!(waiting.response().text(), "ok");
    assert_eq!((proxy.opened(), unavailable(&proxy)), (2, 0));
    gate.open();
    assert_eq!(held.response().text(), "ok");
}

fn a_port_that_comes_back_is_used_at_once() {
    let gates = [Gate::new(), Gate::new()];
    let waits = gates.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        waits[usize::from(conn.number >= 3)].wait();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        conn.hold();
    });
    let proxy = From::new().of(Setup::http([origin.address()])).upstream(NO_REUSE_ONLY).start();
    let mut held: Vec<_> = (0..MOST).map(|_| asking(&proxy, GET)).collect();
    origin.wait_for_requests(MOST);
    let mut waiting: Vec<_> = (0..3).map(|_| asking(&proxy, GET)).collect();
    eventually("they wait", || proxy.waiting() == 3);
    gates[0].open();
    origin.wait_for_requests(MOST + 3);
    assert_eq!((proxy.opened(), figures(&proxy, 0).used), (MOST as u64 + 3, MOST as u32));
    gates[1].open();
    held.iter_mut().chain(&mut waiting).for_each(|client| assert_eq!(client.response().text(), "ok"));
    all_come_back(&proxy);
    assert_eq!(unavailable(&proxy), 0);
}

fn two_sources_have_twice_the_ports() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let proxy = From::several(2).of(Setup::tcp([origin.address()])).start();
    let _sessions = sessions(&proxy, 0, 2 * MOST);
    assert_eq!([figures(&proxy, 0).used, figures(&proxy, 1).used], [MOST as u32; 2]);
    Client::connect(proxy.address()).expect_eof();
    eventually("it is counted", || proxy.rejects(RejectReason::SourcePorts) == 1);
    assert_eq!(unavailable(&proxy), 0);
}

fn another_endpoint_is_tried() {
    let gate = Gate::new();
    let (full, other) = (origin(&gate), Origin::saying("other"));
    let setup = Setup::http([full.address(), other.address()]).upstream("balance = \"round_robin\"");
    let setup = setup.upstream("pool.wait_timeout = \"60s\"");
    let proxy = From::new().shared(setup, full.address()).start();
    // What can come back there is not waited for, as long as there is another.
    let mut held = [asking(&proxy, GET_HELD), asking(&proxy, GET_HELD)];
    full.wait_for_requests(1);
    other.wait_for_requests(1);
    let sessions = sessions(&proxy, 1, MOST - 1);
    let mut client = Client::connect(proxy.address());
    (0..10).for_each(|_| assert_eq!(client.get("/").text(), "other"));
    assert_eq!((full.requests().len(), proxy.rejects(RejectReason::SourcePorts)), (1, 0));
    assert!(proxy.upstream(0).health.is_up(0), "it is not the endpoint's fault");
    drop(sessions);
    gate.open();
    held.iter_mut().for_each(|client| assert_eq!(client.response().status(), 200));
    eventually("both serve again", || client.get("/").text() == "ok");
}

fn a_refused_request_costs_no_dial() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let setup = From::new().shared(Setup::http([origin.address()]), origin.address());
    let proxy = setup.start();
    let _sessions = sessions(&proxy, 1, MOST);
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(proxy.address())).collect();
    for _ in 0..20 {
        clients.iter().for_each(|client| client.send(GET));
        clients.iter_mut().for_each(|client| assert_eq!(client.response().reason(), Some("source_ports")));
    }
    let figures = figures(&proxy, 0);
    assert_eq!((figures.used as usize, proxy.opened(), unavailable(&proxy)), (MOST, 0, 0));
}

fn a_tcp_session_waits_for_no_request() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let lines = "source.warn_percent = 1\nsource.reuse_only_percent = 2\npool.wait_timeout = \"60s\"\n\
                 [[listener]]\nname = \"raw\"\nbind = \"127.0.0.1:0\"\nprotocol = \"tcp\"\nupstream = \"app\"";
    let proxy = From::new().of(Setup::http([origin.address()])).upstream(lines).start();
    let raw = || Client::connect(proxy.registry().running().listeners[1].address.0);
    let mut held = asking(&proxy, GET_HELD);
    origin.wait_for_requests(1);
    // Few ports are left: it does not wait for the request's connection to come back.
    let mut open = Vec::new();
    for count in 1..MOST {
        open.push(raw());
        eventually("it is connected", || proxy.opened() == count as u64 + 1);
    }
    // None is left: it does not wait for it either.
    assert_eq!(level(&proxy), Level::Refuse);
    raw().expect_eof();
    gate.open();
    assert_eq!(held.response().text(), "ok");
}
