//! Upgrades under load: no request fails, and hardly a connection is dialled because of them.

use super::Instance;
use crate::harness::{Client, Origin, Setup};
use crate::reload::Load;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![twenty_upgrades_under_load]
}

/// Clients that keep their connections, and those that connect for each request.
const KEEPING: usize = 12;
const RECONNECTING: usize = 4;

#[allow(clippy::print_stdout, reason = "the figures are what it is about")]
fn twenty_upgrades_under_load() {
    let origin = Origin::start(|conn| {
        while let Some(request) = conn.request() {
            if request.start.contains("/stream") {
                stream(conn);
            } else {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    let setup = Setup::http([origin.address()]).workers(2).upstream("pool.idle_timeout = \"60s\"");
    let mut instance = Instance::start(&setup);
    let address = instance.process.address();
    let keeping = Load::keeping(address, KEEPING);
    let reconnecting = Load::reconnecting(address, RECONNECTING);
    let streams = Streams::start(address, 2);
    keeping.more(500);
    let mut opened = Vec::new();
    for _ in 0..20 {
        let pool = instance.endpoint()["connections"].clone();
        let size = pool["idle"].as_u64().unwrap() + pool["leased"].as_u64().unwrap();
        instance.upgrade();
        keeping.more(500);
        reconnecting.more(50);
        let endpoint = instance.endpoint();
        opened.push((endpoint["opened_total"].as_u64().unwrap(), size));
    }
    let requests = keeping.end() + reconnecting.end();
    let streamed = streams.end();
    println!("20 upgrades, {requests} requests, {streamed} streams, none failed; opened of pool: {opened:?}");
    assert!(streamed > 0);
    let sum = |pick: fn(&(u64, u64)) -> u64| opened.iter().map(pick).sum::<u64>();
    // A few per cent, where the machine has nothing else to do: benches/upgrade.py.
    assert!(
        sum(|(opened, _)| *opened) * 4 < sum(|(_, size)| *size),
        "the pools are not handed over: {opened:?}"
    );
    instance.alone();
}

/// About a second of it.
fn stream(conn: &crate::harness::Conn) {
    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..20 {
        conn.send("5\r\nhello\r\n");
        thread::sleep(Duration::from_millis(50));
    }
    conn.send("0\r\n\r\n");
}

/// Clients that read one long response after the other.
struct Streams {
    stop: Arc<AtomicBool>,
    read: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Streams {
    fn start(address: std::net::SocketAddr, clients: usize) -> Self {
        let (stop, read) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = || {
            let (stop, read) = (Arc::clone(&stop), Arc::clone(&read));
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let mut client = Client::connect(address);
                    assert_eq!(client.get("/stream").text(), "hello".repeat(20));
                    read.fetch_add(1, Relaxed);
                }
            })
        };
        let clients = (0..clients).map(|_| client()).collect();
        Self { stop, read, clients }
    }

    fn end(self) -> usize {
        self.stop.store(true, Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("every stream is whole"));
        self.read.load(Relaxed)
    }
}
