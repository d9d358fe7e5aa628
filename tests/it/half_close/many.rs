//! Thousands of half-closed connections at once, by the kernel's own count: none is in CLOSE_WAIT for
//! longer than its deadline, and every descriptor comes back.

use super::GET;
use crate::harness::{DEADLINE, Running, Setup, connect_from, eventually, kernel, within};
use libtest_mimic::Trial;
use millpond::sys::sock_diag::{Socket, TcpState};
use socket2::{Domain, Type};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    let mut trials = crate::trials![half_closed_clients, half_closed_endpoints];
    let large = crate::trials![ten_thousand_half_closed_clients, a_thousand_half_closed_endpoints];
    trials.extend(large.into_iter().map(|trial| trial.with_ignored_flag(true)));
    trials
}

fn half_closed_clients() {
    clients(1_000);
}

fn ten_thousand_half_closed_clients() {
    clients(10_000);
}

fn half_closed_endpoints() {
    endpoints(100);
}

fn a_thousand_half_closed_endpoints() {
    endpoints(1_000);
}

/// What the proxies have for the other side to finish.
const HALF_CLOSE: Duration = Duration::from_secs(1);
/// A busy machine sees to ten thousand sockets a little late.
const LATE: Duration = Duration::from_secs(1);

fn limited(setup: Setup) -> Running {
    let line = format!("timeout.half_close = \"{}s\"", HALF_CLOSE.as_secs());
    Running::start(&setup.listener(&line).listener("timeout.linger = \"500ms\"").upstream(&line))
}

/// An address that takes connections, as many as the kernel queues, and does nothing with them.
fn silent() -> (TcpListener, SocketAddr) {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(4096).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A client of one of many addresses, as one has no more than its ports.
fn connect(number: usize, proxy: SocketAddr) -> TcpStream {
    let from = Ipv4Addr::new(127, 0, 7, 1 + (number % 8) as u8);
    let stream = connect_from((from, 0).into(), proxy);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What clients have said when they close their half: nothing, half a head, or a request to an endpoint
/// that does not answer.
const SAID: [&str; 3] = ["", "GET / HTTP/1.1\r\nHost: te", GET];

/// A third of an HTTP listener's clients for each of `SAID`, and as many of a TCP listener's again.
fn clients(count: usize) {
    let (behind_http, behind_tcp) = (silent(), silent());
    let (http, tcp) = (limited(Setup::http([behind_http.1])), limited(Setup::tcp([behind_tcp.1])));
    let before = [http.descriptors(), tcp.descriptors()];
    let to_tcp = count / 4;
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        let is_tcp = number < to_tcp;
        let mut stream = connect(number, if is_tcp { tcp.address() } else { http.address() });
        let said = if is_tcp { "" } else { SAID[number % SAID.len()] };
        stream.write_all(said.as_bytes()).unwrap();
        streams.push(stream);
    }
    let sessions = |proxy: &Running| proxy.statistics()["listeners"][0]["sessions"]["current"].clone();
    eventually("all are served", || sessions(&http) == count - to_tcp && sessions(&tcp) == to_tcp);

    let addresses = [http.address(), tcp.address()];
    let watch = thread::spawn(move || {
        longest_close_wait(count, || addresses.iter().flat_map(|proxy| half_closed(*proxy)).collect())
    });
    // FIN, and nothing is read.
    streams.iter().for_each(|stream| stream.shutdown(Shutdown::Write).unwrap());
    let longest = watch.join().unwrap();
    assert!(longest <= HALF_CLOSE + LATE, "in CLOSE_WAIT for {longest:?}");
    is_back(&http, before[0]);
    is_back(&tcp, before[1]);
    for stream in &mut streams {
        let end = stream.read(&mut [0; 1024]);
        let is_open = end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(!is_open, "neither FIN nor RST");
    }
}

fn half_closed(proxy: SocketAddr) -> Vec<Socket> {
    kernel::of_listener(proxy, &[TcpState::CloseWait])
}

/// Endpoints that close their half of a tunnel, whose clients do not.
fn endpoints(count: usize) {
    let (listener, endpoint) = silent();
    let proxy = limited(Setup::tcp([endpoint]));
    let before = proxy.descriptors();
    let clients: Vec<TcpStream> = (0..count).map(|number| connect(number, proxy.address())).collect();
    let accepted: Vec<TcpStream> = (0..count).map(|_| listener.accept().unwrap().0).collect();
    let watch = thread::spawn(move || {
        longest_close_wait(count, || kernel::towards(endpoint, &[TcpState::CloseWait]))
    });
    accepted.iter().for_each(|stream| stream.shutdown(Shutdown::Write).unwrap());
    let longest = watch.join().unwrap();
    assert!(longest <= HALF_CLOSE + LATE, "in CLOSE_WAIT for {longest:?}");
    is_back(&proxy, before);
    drop((clients, accepted));
}

/// The longest that a socket was seen in CLOSE_WAIT, once there were some and are none any more.
fn longest_close_wait(count: usize, close_wait: impl Fn() -> Vec<Socket>) -> Duration {
    let start = Instant::now();
    let mut first_seen = HashMap::with_capacity(count);
    let mut longest = Duration::ZERO;
    loop {
        let sockets = close_wait();
        let now = Instant::now();
        for socket in &sockets {
            let since = *first_seen.entry((socket.local, socket.remote)).or_insert(now);
            longest = longest.max(now - since);
        }
        // A third at least has to wait for its deadline; the others may be too quick to be seen.
        if sockets.is_empty() && first_seen.len() >= count / 3 {
            return longest;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{} of {}", sockets.len(), first_seen.len());
        thread::sleep(Duration::from_millis(5));
    }
}

/// The proxy has the descriptors again that it had at first, also by its own count.
#[track_caller]
fn is_back(proxy: &Running, descriptors: usize) {
    within(DEADLINE, "every descriptor is back", || proxy.descriptors() <= descriptors);
    eventually("every session has ended", || proxy.statistics()["listeners"][0]["sessions"]["current"] == 0);
}
