//! A port range of one's own without `tcp_tw_reuse`: what it takes to run out of ports, and what it
//! does not.

use super::namespace::{local_ports, trials};
use crate::harness::{Client, Origin, Proxy, Setup, eventually, kernel};
use libtest_mimic::Trial;
use millpond::reason::RejectReason;
use millpond::sys::sock_diag::TcpState;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[];
        thousands_of_requests_need_a_few_ports,
        requests_beyond_the_ports_are_refused_and_the_rest_served,
        requests_that_leave_time_waits_never_take_the_last_port,
        sessions_that_leave_time_waits_are_refused_before_the_last_port,
    ]
}

const RANGE: RangeInclusive<u16> = 20_000..=20_127;
const PORTS: usize = 128;
/// By default, this many may be taken: `source.refuse_percent` is 85.
const MOST: usize = 109;

/// A proxy that sees the range from its start, and listens on every address.
fn started(setup: &Setup) -> Proxy {
    local_ports(RANGE);
    Proxy::start(&setup.text().replace("bind = \"127.0.0.1:0\"", "bind = \"0.0.0.0:0\""))
}

/// The `number`-th client. They have the same few ports to come from, but there are as many for each
/// address to go to.
fn client(proxy: &Proxy, number: usize) -> Client {
    let last = u8::try_from(number / 64 + 1).unwrap();
    Client::connect(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), proxy.address().port())))
}

/// Ports that the kernel holds in TIME_WAIT on the proxy's side.
fn waiting(origin: SocketAddr) -> usize {
    kernel::towards(origin, &[TcpState::TimeWait]).len()
}

/// How often the kernel had no port (EADDRNOTAVAIL).
fn unavailable(proxy: &Proxy) -> u64 {
    proxy.endpoint(0).sources().iter().map(|source| source.unavailable_total()).sum()
}

fn thousands_of_requests_need_a_few_ports() {
    const REQUESTS: usize = 3000;
    const CLIENTS: usize = 8;
    let origin = Origin::saying("ok");
    let proxy = started(&Setup::http([origin.address()]).workers(2));
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| client(&proxy, number)).collect();
    for request in 0..REQUESTS {
        assert_eq!(clients[request % CLIENTS].get("/").text(), "ok");
    }
    assert!(proxy.opened() <= CLIENTS as u64, "{} opened", proxy.opened());
    assert_eq!((waiting(origin.address()), unavailable(&proxy)), (0, 0));
}

fn requests_beyond_the_ports_are_refused_and_the_rest_served() {
    let (origin, gate) = Origin::gated();
    let setup = Setup::http([origin.address()]).upstream("pool.wait_timeout = \"200ms\"");
    let proxy = started(&setup.upstream("source.reuse_only_percent = 85"));
    let mut clients: Vec<_> = (0..PORTS).map(|number| client(&proxy, number)).collect();
    clients.iter().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    let beyond = (PORTS - MOST) as u64;
    eventually("some are refused", || proxy.rejects(RejectReason::SourcePorts) >= beyond);
    gate.open();
    let answers: Vec<_> = clients.iter_mut().map(Client::response).collect();
    let served = answers.iter().filter(|answer| answer.status() == 200).count();
    let refused = answers.iter().filter(|answer| answer.reason() == Some("source_ports")).count();
    assert_eq!((served, refused), (MOST, PORTS - MOST));
    // Those who were refused are served by the connections of the others.
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    assert_eq!((proxy.opened(), unavailable(&proxy)), (MOST as u64, 0));
}

fn requests_that_leave_time_waits_never_take_the_last_port() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]).upstream("pool.max_idle = 0");
    let setup = setup.upstream("pool.wait_timeout = \"50ms\"").upstream("socket.close = \"graceful\"");
    let proxy = started(&setup);
    let mut client = client(&proxy, 0);
    let (mut served, mut refused) = (0, 0);
    for _ in 0..2 * PORTS {
        let answer = client.get("/");
        match answer.status() {
            200 => served += 1,
            _ => {
                assert_eq!((answer.status(), answer.reason()), (503, Some("source_ports")));
                refused += 1;
            }
        }
    }
    assert!(served >= MOST, "{served} served, {refused} refused");
    let left = waiting(origin.address());
    // The level at which requests wait for a pooled connection is at 75 %.
    assert!(left > PORTS / 2 && left <= MOST, "{left} in TIME_WAIT");
    assert_eq!(unavailable(&proxy), 0);
}

/// The client closes first, so each session leaves a TIME_WAIT towards the endpoint, whatever the
/// configuration says: millpond's FIN was the first there.
fn sessions_that_leave_time_waits_are_refused_before_the_last_port() {
    let origin = Origin::start(|conn| {
        while conn.exactly(4).is_some() {
            conn.send("pong");
        }
    });
    let proxy = started(&Setup::tcp([origin.address()]));
    for served in 0..MOST {
        let mut client = client(&proxy, served);
        client.send("ping");
        assert_eq!(client.exactly(4), b"pong", "session {served}");
        client.half_close();
        client.expect_eof();
    }
    eventually("all are closed", || waiting(origin.address()) == MOST);
    for refused in 1..=PORTS {
        client(&proxy, MOST + refused).expect_eof();
        eventually("it is counted", || proxy.rejects(RejectReason::SourcePorts) == refused as u64);
    }
    assert_eq!((proxy.opened(), unavailable(&proxy)), (MOST as u64, 0));
}
