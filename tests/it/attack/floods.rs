//! Too much at once.

use super::scene::{Scene, bystander, crowd};
use libtest_mimic::Trial;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        one_client_against_many,
        a_flood_of_connections,
        a_flood_of_requests,
        a_flood_of_pipelined_requests,
        huge_pipelines,
        pipelines_whose_answers_nobody_takes,
    ]
}

/// `connections_per_client` leaves the rest to others.
fn one_client_against_many() {
    let scene = Scene::with_deadlines("5s", "limit.connections_per_client = 20", "");
    let _attackers = scene.withstand(|address| crowd(address, 200, ""));
    assert_eq!(scene.rejects("connection_limit"), 180);
    scene.ends("refused", 180);
    scene.ends("idle_timeout", 20);
}

/// The most that a flood does: the kernel keeps a port for each connection of it.
const FLOOD_MAX: usize = 5000;

/// Somebody who does this again and again, until it is ended, and how often it succeeded.
struct Flood {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    fn of(address: SocketAddr, mut once: impl FnMut(SocketAddr) -> bool + Send + 'static) -> Self {
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (over, count) = (Arc::clone(&is_over), Arc::clone(&done));
        let thread = thread::spawn(move || {
            while !over.load(Relaxed) && count.load(Relaxed) < FLOOD_MAX {
                if once(address) {
                    count.fetch_add(1, Relaxed);
                }
            }
        });
        Self { is_over, done, thread: Some(thread) }
    }

    fn end(mut self) -> usize {
        self.is_over.store(true, Relaxed);
        self.thread.take().expect("once").join().unwrap();
        self.done.load(Relaxed)
    }
}

/// No more than the rate and its burst are served; the rest is answered 429 and closed.
fn a_flood_of_connections() {
    let limit = "limit.connection_rate_per_client = \"20/s\"\nlimit.exempt_clients = [\"127.0.0.2\"]";
    let scene = Scene::new(limit);
    let began = Instant::now();
    let flood = scene.withstand(|address| Flood::of(address, |address| TcpStream::connect(address).is_ok()));
    let connections = flood.end();
    let served = 20 + 20 * (began.elapsed().as_secs() as usize + 1);
    assert!(connections > 2 * served, "{connections} connections are no flood");
    let all = connections as u64;
    crate::harness::eventually("all are accepted", || {
        let sessions = scene.process.statistics()["listeners"][0]["closes"].clone();
        let of = |reason: &str| sessions[reason].as_u64().unwrap_or_default();
        // Those of the bystander are among the first.
        of("client_fin") + of("client_reset") + of("refused") >= all
    });
    let refused = scene.rejects("connection_rate");
    assert!(
        refused + served as u64 >= all,
        "{refused} of {all} were refused, at most {served} are to be served"
    );
}

/// The same on one connection, which goes on, but ever more slowly: it would send thousands.
fn a_flood_of_requests() {
    let limit = "limit.request_rate_per_client = \"20/s\"\nlimit.exempt_clients = [\"127.0.0.2\"]";
    let scene = Scene::new(limit);
    let began = Instant::now();
    let flood = scene.withstand(|address| {
        let mut client = crate::harness::Client::connect(address);
        Flood::of(address, move |_| client.get("/").status() > 0)
    });
    let requests = flood.end();
    let served = 20 + 20 * (began.elapsed().as_secs() as usize + 1);
    let refused = scene.rejects("request_rate") as usize;
    assert!(refused + served >= requests, "{refused} of {requests} were refused, {served} may be served");
    // Within the 50 ms until the next is served, those behind pauses of 16 and of 32 ms.
    let paced = 3 * served;
    assert!((1..=paced).contains(&refused), "{refused} were refused, no more than {paced} should have been");
}

/// The same with thousands of them at once on many connections.
fn a_flood_of_pipelined_requests() {
    let limit = "limit.request_rate_per_client = \"20/s\"\nlimit.exempt_clients = [\"127.0.0.2\"]";
    let scene = Scene::with_deadlines("5s", limit, "");
    let began = Instant::now();
    let flood = scene.withstand(|address| {
        let mut clients: Vec<_> = crowd(address, 50, "").into_iter().map(|client| (client, 0)).collect();
        Flood::of(address, move |_| {
            clients.iter_mut().for_each(|(client, sent)| push(client, sent, GET));
            true
        })
    });
    flood.end();
    let (refused, elapsed) = (scene.rejects("request_rate"), began.elapsed());
    // Four that come sooner, then one in 256 ms, and all of it again behind each that is served.
    let each = 4 + elapsed.as_millis() as u64 / 256 + 1;
    let paced = 50 * each + 4 * (20 + 20 * (elapsed.as_secs() + 1));
    assert!((50..=paced).contains(&refused), "{refused} were refused, no more than {paced} should have been");
}

/// Takes what there is of answers, and sends this again and again, as much as is taken; `sent` bytes of it were.
fn push(client: &mut TcpStream, sent: &mut usize, text: &str) {
    let text = text.repeat(1000);
    let mut taken = vec![0; 64 << 10];
    while client.read(&mut taken).is_ok_and(|count| count > 0) {}
    *sent = (*sent + client.write(&text.as_bytes()[*sent..]).unwrap_or_default()) % text.len();
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// Thousands of requests in one go are served one after the other, and others in between.
fn huge_pipelines() {
    const EACH: usize = 2000;
    let scene = Scene::new("");
    let clients = scene.withstand(|address| {
        let many = |_| {
            thread::spawn(move || {
                let mut client = bystander(address);
                client.send(GET.repeat(EACH));
                (0..EACH).filter(|_| client.response().text() == "ok").count()
            })
        };
        (0..4).map(many).collect::<Vec<_>>()
    });
    for client in clients {
        assert_eq!(client.join().unwrap(), EACH);
    }
}

/// Who does not take the answers is read from no more, and is ended after `timeout.body`.
fn pipelines_whose_answers_nobody_takes() {
    let scene = Scene::new("");
    // More than all buffers on the way take of answers that are longer than what asks for them.
    let requests = "GET /big HTTP/1.1\r\nHost: test\r\n\r\n".repeat(5000);
    let _attackers = scene.withstand(|address| crowd(address, 20, &requests));
    scene.ends("body_timeout", 20);
}
