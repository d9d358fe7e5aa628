//! What closing leaves in the kernel, and that it is counted as it is.

use super::{GET, SHORT, hidden, puppet};
use crate::harness::{Client, Conn, Ended, Gate, Origin, Proxy, Setup, eventually, kernel, within};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, DiscardReason};
use millpond::sys::sock_diag::TcpState;
use std::net::SocketAddr;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_tunnel_that_its_client_closed_first_leaves_a_time_wait,
        a_tunnel_that_its_endpoint_closed_first_leaves_none,
        a_tunnel_that_its_endpoint_closed_first_behind_unread_bytes_leaves_none,
        a_tunnel_whose_endpoint_does_not_close_leaves_no_fin_wait,
        a_request_that_is_given_up_leaves_no_time_wait,
        a_connection_that_its_endpoint_closed_leaves_none,
        a_connection_that_its_endpoint_reset_leaves_none,
    ]
}

/// TIME_WAITs that were left here, and that were avoided.
fn time_waits(proxy: &Proxy) -> (u64, u64) {
    let endpoint = proxy.endpoint(0);
    (endpoint.total(|w| &w.time_wait_caused_total), endpoint.total(|w| &w.time_wait_avoided_total))
}

/// Everything but an open connection.
const REMAINS: [TcpState; 6] = [
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::Closing,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
];

/// The proxy's sockets to this origin come to be these.
#[track_caller]
fn remains(origin: SocketAddr, expected: &[TcpState]) {
    let states = || kernel::towards(origin, &REMAINS).iter().map(|socket| socket.state).collect::<Vec<_>>();
    eventually(&format!("{expected:?} is all that is left"), || states() == expected);
}

/// Reads to the end and closes then.
fn following(conn: &mut Conn) {
    conn.hold();
}

fn a_tunnel_that_its_client_closed_first_leaves_a_time_wait() {
    let origin = Origin::start(following);
    let proxy = Setup::tcp([origin.address()]).start();
    let mut client = Client::connect(proxy.address());
    client.send("hello");
    client.half_close();
    client.expect_eof();
    proxy.settle();
    assert_eq!((proxy.closes(CloseReason::TunnelDone), time_waits(&proxy)), (1, (1, 0)));
    remains(origin.address(), &[TcpState::TimeWait]);
}

fn a_tunnel_that_its_endpoint_closed_first_leaves_none() {
    let origin = Origin::start(|conn| {
        conn.send("goodbye");
        conn.half_close();
        following(conn);
    });
    let proxy = Setup::tcp([origin.address()]).start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.rest(), b"goodbye");
    client.half_close();
    assert_eq!(origin.wait_for_end(0), Ended::Fin);
    proxy.settle();
    assert_eq!((proxy.closes(CloseReason::TunnelDone), time_waits(&proxy)), (1, (0, 0)));
    remains(origin.address(), &[]);
}

/// The endpoint's FIN has come when the client's is passed on, but the proxy has not read it yet: only
/// the state of its socket tells who was first.
fn a_tunnel_that_its_endpoint_closed_first_behind_unread_bytes_leaves_none() {
    let (origin, strings) = puppet(false);
    let proxy = hidden::start(Setup::tcp([origin.address()]));
    let mut client = Client::connect(proxy.address());
    let sent = hidden::endpoint_closes_unread(&proxy, &origin, &strings.stream());
    client.half_close();
    assert!(client.rest() == sent);
    strings.go_on();
    proxy.settle();
    assert_eq!((proxy.closes(CloseReason::TunnelDone), time_waits(&proxy)), (1, (0, 0)));
    remains(origin.address(), &[]);
}

/// After close(2), FIN_WAIT2 would hold the port for `tcp_fin_timeout`.
fn a_tunnel_whose_endpoint_does_not_close_leaves_no_fin_wait() {
    let (origin, strings) = puppet(false);
    let proxy = Setup::tcp([origin.address()]).listener(&format!("timeout.half_close = {SHORT}")).start();
    let client = Client::connect(proxy.address());
    let _stream = strings.stream();
    client.half_close();
    remains(origin.address(), &[TcpState::FinWait2]);
    within(super::SOON, "the deadline", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
    remains(origin.address(), &[]);
    proxy.settle();
    assert_eq!(time_waits(&proxy), (0, 1));
}

/// Bytes are on their way that nobody wants any more.
fn a_request_that_is_given_up_leaves_no_time_wait() {
    let (origin, strings) = puppet(true);
    let proxy = Proxy::http(origin.address());
    let client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n");
    let _stream = strings.stream();
    client.send(vec![0; 1 << 20]);
    let outstanding = || kernel::towards(origin.address(), &[TcpState::Established])[0].wqueue;
    eventually("bytes are not acknowledged", || outstanding() > 0);
    client.reset();
    proxy.settle();
    assert_eq!((proxy.discards(DiscardReason::Aborted), time_waits(&proxy)), (1, (0, 1)));
    remains(origin.address(), &[]);
}

/// What becomes of a connection that ends while it is used.
fn used(reset: bool) {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        if reset {
            conn.reset_on_close();
        } else {
            conn.half_close();
            wait.wait();
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(GET);
    assert_eq!(client.response().status(), 502);
    gate.open();
    assert_eq!(time_waits(proxy.rested()), (0, 0));
    remains(origin.address(), &[]);
}

fn a_connection_that_its_endpoint_closed_leaves_none() {
    used(false);
}

fn a_connection_that_its_endpoint_reset_leaves_none() {
    used(true);
}
