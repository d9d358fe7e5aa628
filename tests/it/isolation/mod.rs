//! No client ever gets what is another's, whatever backends do: many clients share few connections to backends
//! that close early, say too much, count wrongly and reset at any byte. Each request has a number, which every
//! byte of its response shows.
//!
//! `MILLPOND_EXCHANGES` says how many exchanges there are, `MILLPOND_SEED` which; the seed of a run is printed.

mod backend;
mod client;
mod plan;
mod wire;

use crate::harness::{Refusing, Setup};
use client::{Client, Outcome};
use libtest_mimic::Trial;
use plan::{Plan, Random};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Instant;
use tokio::task::{JoinSet, LocalSet};

/// Exchanges, unless the environment says otherwise.
const EXCHANGES: u64 = 20_000;
const CLIENTS: u64 = 64;
const BACKENDS: usize = 4;
/// Exchanges of one client between two disturbances of idle connections.
const ROUND: u64 = 20;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![no_client_gets_what_is_anothers]
}

/// What clients and backends know together.
#[derive(Debug)]
struct Hall {
    seed: u64,
    connections: RefCell<Vec<Rc<backend::Idle>>>,
    outcomes: RefCell<BTreeMap<Outcome, u64>>,
    /// How often a request has reached a backend.
    requests: RefCell<HashMap<u64, u8>>,
    violations: RefCell<Vec<String>>,
}

impl Hall {
    /// Something that must never be.
    fn violated(&self, what: String) {
        self.violations.borrow_mut().push(what);
    }

    fn note(&self, outcome: Outcome) {
        *self.outcomes.borrow_mut().entry(outcome).or_default() += 1;
    }

    /// A request has reached a backend whole: once, or twice if that does no harm.
    fn note_request(&self, plan: &Plan) {
        let mut requests = self.requests.borrow_mut();
        let times = requests.entry(plan.id).or_default();
        *times += 1;
        if *times > if plan.is_idempotent() { 2 } else { 1 } {
            self.violated(format!("{plan:?} has reached a backend {times} times"));
        }
    }
}

#[allow(clippy::print_stdout, reason = "the seed replays it, and the figures say what was tried")]
fn no_client_gets_what_is_anothers() {
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse().expect("a number"));
    let seed = number("MILLPOND_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    let exchanges = number("MILLPOND_EXCHANGES").unwrap_or(EXCHANGES);
    println!("isolation: MILLPOND_SEED={seed} MILLPOND_EXCHANGES={exchanges}");

    let listeners = [(); BACKENDS].map(|()| Refusing::new().listen());
    // Fewer connections than clients, so that they are handed from one to the next.
    let setup = Setup::http(listeners.iter().map(|listener| listener.local_addr().unwrap()));
    let setup = setup.workers(2).upstream("pool.max_connections = 12");
    let proxy = setup.upstream("pool.wait_timeout = \"20s\"").start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (hall, start) = (Rc::new(Hall::new(seed)), Instant::now());
    LocalSet::new().block_on(&runtime, run(&hall, exchanges, listeners, proxy.address()));
    let seconds = start.elapsed().as_secs_f64();

    let (outcomes, violations) = (hall.outcomes.borrow(), hall.violations.borrow());
    let total: u64 = outcomes.values().sum();
    let (opened, reused) = (0..BACKENDS).fold((0, 0), |(opened, reused), at| {
        let endpoint = proxy.endpoint(at);
        (opened + endpoint.total(|w| &w.opened_total), reused + endpoint.total(|w| &w.reused_total))
    });
    println!(
        "isolation: {total} exchanges in {seconds:.1} s, {} violations; {opened} connections opened, used again \
         {reused} times; {outcomes:?}",
        violations.len()
    );
    assert_eq!(violations.first(), None, "{} violations with MILLPOND_SEED={seed}", violations.len());
    assert_eq!(total, exchanges.next_multiple_of(CLIENTS * ROUND));
    let answered = outcomes.get(&Outcome::Answered).copied().unwrap_or_default();
    assert!(answered * 2 > total, "most have their answers: {outcomes:?}");
    assert!(reused > total / 2, "connections are shared");
}

impl Hall {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            connections: RefCell::default(),
            outcomes: RefCell::default(),
            requests: RefCell::default(),
            violations: RefCell::default(),
        }
    }
}

/// Runs all exchanges. At the end, no client has a connection any more.
async fn run(hall: &Rc<Hall>, exchanges: u64, listeners: [TcpListener; BACKENDS], proxy: SocketAddr) {
    for listener in listeners {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::task::spawn_local(backend::serve(listener, Rc::clone(hall)));
    }
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::new(proxy, Rc::clone(hall))).collect();
    let mut random = Random::new(hall.seed, u64::MAX);
    let mut id = 0;
    while id < exchanges && hall.violations.borrow().is_empty() {
        let mut asking = JoinSet::new();
        for mut client in clients.drain(..) {
            let ids = id..id + ROUND;
            id += ROUND;
            asking.spawn_local(async move {
                client.ask(ids).await;
                client
            });
        }
        clients = asking.join_all().await;
        backend::disturb(hall, &mut random);
    }
}
