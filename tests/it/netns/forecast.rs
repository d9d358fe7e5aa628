//! What is foretold to run out at a constant rate runs out when it was foretold: within a fifth of the time
//! that was left.

use super::namespace::{local_ports, trials};
use crate::harness::{Client, Running, Setup, connect_from, kernel};
use libtest_mimic::Trial;
use millpond::sys::sock_diag::TcpState;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use socket2::SockRef;
use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[];
        the_end_of_ports_whose_connections_stay,
        the_end_of_ports_that_time_wait_holds,
        the_end_of_the_budget_of_connections,
    ]
}

const PORTS: u16 = 600;
const FIRST: u16 = 20_000;
const RANGE: RangeInclusive<u16> = FIRST..=FIRST + PORTS - 1;
/// All of them but what sockets that listen have been given.
const ENOUGH: usize = PORTS as usize * 98 / 100;
/// Of a process that is to run out of them.
const DESCRIPTORS: usize = 1300;
/// Sessions a second. A TCP session takes one port and two descriptors.
const RATE: u32 = 26;

/// From when on a forecast has to be good, and until when there is enough left to compare it with.
const DATA: Duration = Duration::from_secs(10);
const LEFT: Duration = Duration::from_secs(5);
const TOLERATED: f64 = 0.2;

/// Longer than it takes until nothing is left.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

fn the_end_of_ports_whose_connections_stay() {
    local_ports(RANGE);
    let scene = Scene::new(|stream, kept| kept.push(stream));
    let setup = scene.setup().upstream("source.refuse_percent = 100");
    let process = Running::start(&setup);
    let _clients = scene.foretold(&process, stays, ports);
    let taken = kernel::towards(scene.endpoint, &[TcpState::Established]).len();
    assert!(taken > ENOUGH, "{taken} connections");
}

/// The client closes first, and millpond passes its FIN on before the endpoint's: it has the TIME_WAIT.
fn the_end_of_ports_that_time_wait_holds() {
    local_ports(RANGE);
    let scene = Scene::new(|mut stream, _| assert_eq!(stream.read(&mut [0]).unwrap(), 0));
    let setup = scene.setup().upstream("source.refuse_percent = 100");
    let process = Running::start(&setup);
    let _clients = scene.foretold(&process, leaves, ports);
    let held = kernel::towards(scene.endpoint, &[TcpState::TimeWait]).len();
    assert!(held > ENOUGH, "{held} in TIME_WAIT");
}

fn the_end_of_the_budget_of_connections() {
    let scene = Scene::new(|stream, kept| kept.push(stream));
    let process = Running::with_descriptors(&scene.setup(), DESCRIPTORS);
    let _clients = scene.foretold(&process, stays, connections);
    let open = process.descriptors();
    assert!(open > DESCRIPTORS * 9 / 10, "{open} descriptors");
}

/// Seconds to the end, if any are told; and whether something was refused for want of it.
type Outlook = (Option<f64>, bool);

fn ports(stats: &Value) -> Outlook {
    let ports = &stats["upstreams"][0]["endpoints"][0]["ports"][0];
    assert_eq!(ports["capacity"], PORTS);
    (ports["exhausts_in_s"].as_f64(), refused(stats, &["source_ports"]))
}

fn connections(stats: &Value) -> Outlook {
    let budget = stats["budgets"].as_array().unwrap().iter().find(|budget| budget["name"] == "connections");
    (
        budget.and_then(|budget| budget["exhausts_in_s"].as_f64()),
        refused(stats, &["connection_limit", "descriptors"]),
    )
}

fn refused(stats: &Value, reasons: &[&str]) -> bool {
    let rejects = &stats["listeners"][0]["rejects"];
    reasons.iter().any(|reason| rejects[reason].as_u64().unwrap_or_else(|| panic!("{reason}: {rejects}")) > 0)
}

/// An endpoint, and clients with ports of their own.
struct Scene {
    endpoint: SocketAddr,
}

impl Scene {
    /// What the endpoint does with a connection.
    fn new(serve: fn(TcpStream, &mut Vec<TcpStream>)) -> Self {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut kept = Vec::new();
            listener.incoming().for_each(|stream| serve(stream.unwrap(), &mut kept));
        });
        Self { endpoint }
    }

    fn setup(&self) -> Setup {
        Setup::tcp([self.endpoint])
    }

    /// Sessions come at a constant rate until one is refused; what was foretold before is judged then. Returns
    /// the clients.
    fn foretold(
        &self,
        process: &Running,
        after: fn(TcpStream, &mut Vec<TcpStream>),
        outlook: fn(&Value) -> Outlook,
    ) -> Vec<TcpStream> {
        let mut admin = Client::connect(process.admin());
        let (start, mut clients, mut forecasts) = (Instant::now(), Vec::new(), Vec::new());
        let (mut come, mut look_at, mut last) = (0, Duration::ZERO, None);
        let end = loop {
            let now = start.elapsed();
            assert!(now < LONGEST, "it does not run out: {forecasts:?}");
            if Duration::from_secs(1) / RATE * come <= now {
                after(client(process.address(), come), &mut clients);
                come += 1;
            }
            if look_at <= now {
                look_at = now + LOOK;
                let (seconds, is_over) = outlook(&statistics(&mut admin));
                if is_over {
                    break now;
                }
                // Some are made once a second.
                if seconds != last {
                    forecasts.push((now, seconds));
                    last = seconds;
                }
            }
            let next = (Duration::from_secs(1) / RATE * come).min(look_at);
            thread::sleep(next.saturating_sub(start.elapsed()));
        };
        judge(&forecasts, end);
        clients
    }
}

#[track_caller]
fn judge(forecasts: &[(Duration, Option<f64>)], end: Duration) {
    let comparable = forecasts.iter().filter(|(at, _)| *at >= DATA && *at + LEFT <= end);
    let compared: Vec<_> =
        comparable.map(|(at, seconds)| (at.as_secs_f64(), *seconds, (end - *at).as_secs_f64())).collect();
    assert!(compared.len() >= 4, "{} forecasts until {end:?}: {forecasts:?}", compared.len());
    let is_good = |seconds: Option<f64>, left: f64| {
        seconds.is_some_and(|seconds| (seconds - left).abs() <= left * TOLERATED)
    };
    let bad = compared.iter().filter(|(_, seconds, left)| !is_good(*seconds, *left)).count();
    assert_eq!(bad, 0, "when, what was foretold, and what was left: {compared:?}");
}

/// The `number`-th client. connect(2) gives no port that somebody has bound, so theirs are not of the range.
fn client(to: SocketAddr, number: u32) -> TcpStream {
    let port = FIRST + PORTS + u16::try_from(number).unwrap();
    let stream = connect_from((Ipv4Addr::LOCALHOST, port).into(), to);
    // So that nothing is left when they are dropped.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    stream
}

fn stays(stream: TcpStream, clients: &mut Vec<TcpStream>) {
    clients.push(stream);
}

fn leaves(stream: TcpStream, clients: &mut Vec<TcpStream>) {
    stream.shutdown(Shutdown::Write).unwrap();
    clients.push(stream);
}

fn statistics(admin: &mut Client) -> Value {
    admin.send("GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
    serde_json::from_slice(&admin.response().body).unwrap()
}
