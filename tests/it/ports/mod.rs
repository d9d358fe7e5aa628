//! Few ports: each test has a source address, and a range of forty ports, of its own.

mod kernel;
mod refuse;
mod reuse_only;

use crate::harness::{Client, Gate, Origin, Proxy, Refusing, Setup, address_of_its_own, eventually};
use libtest_mimic::Trial;
use millpond::source::level::Level;
use millpond::source::ports::Figures;
use millpond::sys::limits;
use millpond::sys::local_ports::set_port_range;
use millpond::sys::sockopt::{reset_on_close, tcp_socket};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Instant;

pub(crate) fn tests() -> Vec<Trial> {
    [reuse_only::tests(), refuse::tests(), kernel::tests()].into_iter().flatten().collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
/// Answered when the gate is open.
const GET_HELD: &str = "GET /held HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Ports in the range of a test.
const CAPACITY: u16 = 40;
/// By default, this many may be taken.
const MOST: usize = 34;

/// Where a test dials from.
#[derive(Clone, Debug)]
struct From {
    addresses: Vec<String>,
    ports: RangeInclusive<u16>,
}

impl From {
    fn new() -> Self {
        Self::several(1)
    }

    fn several(addresses: usize) -> Self {
        let addresses = (0..addresses).map(|_| address_of_its_own().to_string()).collect();
        Self { addresses, ports: free_ports() }
    }

    /// The lines of an `[[upstream]]`.
    fn lines(&self) -> String {
        let Self { addresses, ports } = self;
        format!("source.addresses = {addresses:?}\nsource.ports = \"{}-{}\"", ports.start(), ports.end())
    }

    fn of(&self, setup: Setup) -> Setup {
        setup.upstream(&self.lines())
    }

    /// The same with a second listener, whose TCP sessions go from the same source to this endpoint.
    fn shared(&self, setup: Setup, endpoint: SocketAddr) -> Setup {
        let lines = self.lines();
        self.of(setup).upstream(&format!(
            "[[listener]]\nname = \"raw\"\nbind = \"127.0.0.1:0\"\nprotocol = \"tcp\"\nupstream = \"raw\"\n\
             [[upstream]]\nname = \"raw\"\nendpoints = [\"{endpoint}\"]\n{lines}"
        ))
    }
}

/// Ports that can be had, but for two at most. Those of listeners, and what is left of their connections,
/// are given to nobody who connects, from whatever address.
fn free_ports() -> RangeInclusive<u16> {
    let host = limits::local_port_range().expect("the kernel tells its range");
    let places = (host.end() - host.start() + 1) / CAPACITY;
    let ranges = std::iter::repeat_with(|| {
        let place = RandomState::new().hash_one(()) % u64::from(places);
        let first = host.start() + CAPACITY * u16::try_from(place).unwrap();
        first..=first + (CAPACITY - 1)
    });
    let found = ranges.take(200).find(|range| connectable(range) >= usize::from(CAPACITY) - 2);
    found.expect("forty ports in a row that can be had")
}

/// How many connections to one address can be open at once from these ports.
fn connectable(range: &RangeInclusive<u16>) -> usize {
    let listener = Refusing::new().listen();
    let to = listener.local_addr().unwrap();
    let open = std::iter::repeat_with(|| {
        let socket = tcp_socket(to).unwrap();
        set_port_range(&socket, Some(range)).unwrap();
        // Not a trace is left.
        reset_on_close(&socket).unwrap();
        let connected = socket.connect(&to.into());
        connected
            .or_else(|error| if error.kind() == ErrorKind::AddrNotAvailable { Err(error) } else { Ok(()) })?;
        Ok::<_, std::io::Error>(socket)
    });
    open.map_while(Result::ok).collect::<Vec<_>>().len()
}

/// Answers at once, but for what is held until the gate opens. A TCP session that sends nothing stays.
fn origin(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |conn| {
        while let Some(request) = conn.request() {
            if request.start.contains("held") {
                gate.wait();
            }
            conn.send(OK);
        }
    })
}

/// What is known of the ports of one source to the first endpoint.
fn figures(proxy: &Proxy, source: usize) -> Figures {
    proxy.endpoint(0).sources()[source].figures(Instant::now())
}

fn level(proxy: &Proxy) -> Level {
    figures(proxy, 0).level
}

/// How often the kernel had no port for the first endpoint.
fn unavailable(proxy: &Proxy) -> u64 {
    proxy.endpoint(0).sources().iter().map(|source| source.unavailable_total()).sum()
}

/// TCP sessions of a listener, each with its connection to the endpoint.
fn sessions(proxy: &Proxy, listener: usize, count: usize) -> Vec<Client> {
    let address = proxy.registry().running().listeners[listener].address.0;
    let endpoint = &proxy.upstream(listener).endpoints[0];
    let before = endpoint.gauge(|w| &w.leased);
    let clients = (0..count).map(|_| Client::connect(address)).collect();
    eventually("all sessions are connected", || endpoint.gauge(|w| &w.leased) == before + count as u64);
    clients
}

/// A client whose request is under way.
fn asking(proxy: &Proxy, request: &str) -> Client {
    let client = Client::connect(proxy.address());
    client.send(request);
    client
}

/// Nothing is taken any more.
fn all_come_back(proxy: &Proxy) {
    let is_free = |source: usize| {
        let figures = figures(proxy, source);
        figures.used + figures.time_wait == 0
    };
    eventually("all ports are free", || (0..proxy.endpoint(0).sources().len()).all(is_free));
}
