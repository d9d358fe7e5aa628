//! A FIN behind bytes that the proxy does not read, because whoever they are for does not take them.

use super::{GET, SHORT, SOON, Strings, client_is_half_closed, is_clean, puppet};
use crate::harness::{Client, Ended, Origin, Proxy, Setup, eventually, kernel, pattern, within};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, DiscardReason};
use millpond::sys::sock_diag::{Socket, TcpState};
use millpond::sys::sockopt;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        an_upload_that_its_endpoint_does_not_take_ends_when_its_client_has_closed,
        a_response_that_its_client_does_not_take_ends_when_its_endpoint_has_closed,
        a_client_that_closes_behind_more_requests_than_there_is_room_for_has_a_deadline,
        a_client_that_resets_behind_more_requests_than_there_is_room_for_is_let_go_of,
        a_tunnel_that_its_endpoint_blocks_ends_when_its_client_has_closed,
        a_tunnel_that_its_client_blocks_ends_when_its_endpoint_has_closed,
        a_slow_download_goes_on_after_its_endpoint_has_closed,
        a_slow_download_goes_on_after_both_have_closed,
        a_slow_tunnel_goes_on_after_its_endpoint_has_closed,
        a_slow_tunnel_goes_on_after_both_have_closed,
    ]
}

/// Fits into what the kernel receives for a socket that is not read.
const STEP: usize = 32 * 1024;
/// More than the buffers of a connection hold.
const MOST: usize = 16 << 20;

/// Starts a proxy with another listener, for [`turn`].
pub(super) fn start(setup: Setup) -> Proxy {
    setup.upstream("[[listener]]\nname = \"turn\"\nbind = \"127.0.0.1:0\"\nupstream = \"app\"").start()
}

/// The proxy's worker has dealt with everything that it was told of before.
fn turn(proxy: &Proxy) {
    let mut client = Client::connect(proxy.registry().running().listeners[1].address.0);
    client.send("CONNECT\r\n\r\n");
    assert_eq!(client.response().status(), 400);
}

/// Sends until the proxy has stopped reading, and no further, so that a FIN behind it arrives. Returns
/// what was sent. `unread`: what the proxy's socket holds of it.
#[track_caller]
fn send_until_blocked(mut stream: &TcpStream, proxy: &Proxy, unread: impl Fn() -> u32) -> Vec<u8> {
    let bytes = pattern(MOST);
    for sent in (0..MOST).step_by(STEP) {
        stream.write_all(&bytes[sent..sent + STEP]).unwrap();
        eventually("all of it arrives", || sockopt::unacknowledged(&stream).unwrap() == 0);
        if unread() > 0 {
            (0..2).for_each(|_| turn(proxy));
            if unread() > 0 {
                return bytes[..sent + STEP].to_vec();
            }
        }
    }
    panic!("the proxy reads and reads");
}

const OPEN: [TcpState; 2] = [TcpState::Established, TcpState::CloseWait];

/// The proxy's socket to this client.
fn towards_client(proxy: &Proxy, client: &Client) -> Socket {
    kernel::session(proxy.address(), client.address(), &OPEN).expect("an open connection")
}

/// The proxy's socket to this origin.
fn towards_origin(origin: &Origin) -> Socket {
    *kernel::towards(origin.address(), &OPEN).first().expect("an open connection")
}

/// The client closes behind bytes that the proxy cannot pass on; returns when that was seen to arrive.
#[track_caller]
fn client_closes_unread(proxy: &Proxy, client: &Client) {
    send_until_blocked(client.stream(), proxy, || towards_client(proxy, client).rqueue);
    client.half_close();
    eventually("the client's FIN has come", || client_is_half_closed(proxy.address(), client));
}

/// The endpoint closes behind bytes that the proxy cannot pass on; returns those.
#[track_caller]
pub(super) fn endpoint_closes_unread(proxy: &Proxy, origin: &Origin, stream: &TcpStream) -> Vec<u8> {
    let sent = send_until_blocked(stream, proxy, || towards_origin(origin).rqueue);
    stream.shutdown(Shutdown::Write).unwrap();
    eventually("the endpoint's FIN has come", || {
        kernel::towards(origin.address(), &[TcpState::CloseWait]).len() == 1
    });
    sent
}

fn an_upload_that_its_endpoint_does_not_take_ends_when_its_client_has_closed() {
    let (origin, strings) = puppet(true);
    let proxy = start(Setup::http([origin.address()]).listener(&format!("timeout.half_close = {SHORT}")));
    let client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n");
    let _stream = strings.stream();
    client_closes_unread(&proxy, &client);
    within(SOON, "the deadline", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
    assert_eq!(proxy.rested().discards(DiscardReason::Aborted), 1);
    strings.go_on();
    assert_eq!(origin.wait_for_end(0), Ended::Reset, "it would take what is left for the end");
    is_clean(&proxy, origin.address());
}

fn a_response_that_its_client_does_not_take_ends_when_its_endpoint_has_closed() {
    let (origin, strings) = puppet(true);
    let proxy = start(Setup::http([origin.address()]).upstream(&format!("timeout.half_close = {SHORT}")));
    let client = Client::connect(proxy.address());
    client.send(GET);
    let stream = strings.stream();
    (&*stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    endpoint_closes_unread(&proxy, &origin, &stream);
    within(SOON, "the deadline", || kernel::towards(origin.address(), &[TcpState::CloseWait]).is_empty());
    drop(client);
    within(SOON, "the session's end", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
    strings.go_on();
    is_clean(&proxy, origin.address());
}

/// More than a buffer of requests behind one that is not answered.
fn pipelining(proxy: &Proxy, strings: &Strings) -> Client {
    let client = Client::connect(proxy.address());
    client.send(GET);
    strings.stream();
    // Twice what the proxy has room for.
    let most = STEP as u32;
    client.send(GET.repeat(STEP / GET.len()));
    eventually("there is no room for all of them", || {
        (1..most / 4 * 3).contains(&towards_client(proxy, &client).rqueue)
    });
    client
}

fn a_client_that_closes_behind_more_requests_than_there_is_room_for_has_a_deadline() {
    let (origin, strings) = puppet(true);
    let proxy = start(Setup::http([origin.address()]).listener(&format!("timeout.half_close = {SHORT}")));
    let client = pipelining(&proxy, &strings);
    client.half_close();
    within(SOON, "the deadline", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
    strings.go_on();
    origin.wait_for_end(0);
    is_clean(&proxy, origin.address());
}

fn a_client_that_resets_behind_more_requests_than_there_is_room_for_is_let_go_of() {
    let (origin, strings) = puppet(true);
    let proxy = Proxy::http(origin.address());
    let client = pipelining(&proxy, &strings);
    client.reset();
    within(SOON, "it is noticed", || proxy.closes(CloseReason::ClientReset) == 1);
    strings.go_on();
    origin.wait_for_end(0);
    is_clean(&proxy, origin.address());
}

fn a_tunnel_that_its_endpoint_blocks_ends_when_its_client_has_closed() {
    let (origin, strings) = puppet(false);
    let proxy = start(Setup::tcp([origin.address()]).listener(&format!("timeout.half_close = {SHORT}")));
    let client = Client::connect(proxy.address());
    let _stream = strings.stream();
    client_closes_unread(&proxy, &client);
    within(SOON, "the deadline", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
    strings.go_on();
    origin.wait_for_end(0);
    is_clean(&proxy, origin.address());
}

fn a_tunnel_that_its_client_blocks_ends_when_its_endpoint_has_closed() {
    let (origin, strings) = puppet(false);
    let proxy = start(Setup::tcp([origin.address()]).upstream(&format!("timeout.half_close = {SHORT}")));
    let client = Client::connect(proxy.address());
    endpoint_closes_unread(&proxy, &origin, &strings.stream());
    within(SOON, "the deadline", || kernel::towards(origin.address(), &[TcpState::CloseWait]).is_empty());
    drop(client);
    within(SOON, "the session's end", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
    strings.go_on();
    is_clean(&proxy, origin.address());
}

/// How long the slow client is slow for: more than twice the deadline.
const SLOW: Duration = Duration::from_secs(7);

/// A client that takes its time reads what its endpoint has sent before it closed: so little at a time
/// that the kernel takes nothing more from the proxy meanwhile.
fn slow_download(http: bool, client_closes: bool) {
    let (origin, strings) = puppet(http);
    let setup = if http { Setup::http([origin.address()]) } else { Setup::tcp([origin.address()]) };
    let half_close = "timeout.half_close = \"3s\"";
    let proxy = start(setup.listener(half_close).upstream(half_close));
    let mut client = Client::with_receive_buffer(proxy.address(), 8 * 1024);
    if http {
        client.send(GET);
    }
    let stream = strings.stream();
    if http {
        (&*stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    }
    let expected = endpoint_closes_unread(&proxy, &origin, &stream);
    if client_closes {
        client.half_close();
    }
    let start = Instant::now();
    for read in 1.. {
        client.gather(read * 4 * 1024);
        thread::sleep(Duration::from_millis(50));
        if start.elapsed() > SLOW {
            break;
        }
    }
    let leased = proxy.endpoint(0).gauge(|w| &w.leased);
    assert_eq!(leased, 1, "it was cut, or the proxy has read it all, so that this test shows nothing");
    let received = if http {
        client.response().body
    } else {
        client.half_close();
        client.rest()
    };
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    drop(client);
    strings.go_on();
    is_clean(&proxy, origin.address());
    assert_eq!(proxy.closes(CloseReason::HalfCloseDeadline), 0);
}

fn a_slow_download_goes_on_after_its_endpoint_has_closed() {
    slow_download(true, false);
}

fn a_slow_download_goes_on_after_both_have_closed() {
    slow_download(true, true);
}

fn a_slow_tunnel_goes_on_after_its_endpoint_has_closed() {
    slow_download(false, false);
}

fn a_slow_tunnel_goes_on_after_both_have_closed() {
    slow_download(false, true);
}
