//! `/stats` tells the truth: for every listener, endpoint and source, and for every TCP state, it has as
//! many sockets as ss(8), which asks the kernel by itself.
//!
//! Clients and endpoints drive their connections into a state, and rules that drop packets hold them
//! there. What is driven where is drawn from a seed, which a failure names and `MILLPOND_TEST_SEED` sets.

mod host;
mod session;
mod view;

use super::namespace::{NFT, nft, trials};
use crate::harness::{Client, DEADLINE, Proxy, comes_true, eventually};
use host::{SILENT, WAYS, Way};
use libtest_mimic::Trial;
use serde_json::Value;
use session::{SCRIPTS, Script, Session};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use view::{Kernel, told};

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[NFT]; the_first_mixes, the_second_mixes, the_third_mixes, the_fourth_mixes, the_last_mixes]
}

/// Of each test: they run side by side, and wait for the census most of the time.
const MIXES: usize = 20;
/// Connections of a mix.
const SESSIONS: std::ops::RangeInclusive<u64> = 4..=16;
const SEED: &str = "MILLPOND_TEST_SEED";

fn the_first_mixes() {
    every_mix_is_counted_as_ss_counts_it(1);
}

fn the_second_mixes() {
    every_mix_is_counted_as_ss_counts_it(2);
}

fn the_third_mixes() {
    every_mix_is_counted_as_ss_counts_it(3);
}

fn the_fourth_mixes() {
    every_mix_is_counted_as_ss_counts_it(4);
}

fn the_last_mixes() {
    every_mix_is_counted_as_ss_counts_it(5);
}

fn every_mix_is_counted_as_ss_counts_it(part: u64) {
    host::prepare();
    let mut scene = Scene::new();
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one(part) >> 16);
    let mut random = Random(seed);
    let mut seen = BTreeSet::new();
    for number in 0..MIXES {
        let what = format!("mix {number} of {SEED}={seed}");
        let mix: Vec<_> = (0..random.among(SESSIONS)).map(|_| random.session()).collect();
        seen.extend(scene.counted_in(&what, &mix));
    }
    let all: BTreeSet<_> = view::EVERYWHERE.map(|(side, state)| (side, state.to_owned())).into();
    assert_eq!(seen, all, "states that a listener and an endpoint were in, of {SEED}={seed}");
}

struct Scene {
    proxy: Proxy,
    admin: Client,
    endpoints: Vec<(SocketAddr, TcpListener)>,
    /// Ports of clients that are never answered, each used once.
    port: u16,
}

impl Scene {
    fn new() -> Self {
        let all = WAYS.iter().flat_map(|way| way.endpoints);
        let endpoints = all.map(|address| {
            let listener = TcpListener::bind(address).unwrap();
            listener.set_nonblocking(true).unwrap();
            (address.parse().unwrap(), listener)
        });
        let endpoints = endpoints.collect();
        let proxy = Proxy::start(&host::configuration());
        let admin = Client::connect(proxy.supervisor().admin_address().unwrap());
        Self { proxy, admin, endpoints, port: 1024 }
    }

    /// Drives connections where the mix wants them, and compares. Returns the states that were there.
    fn counted_in(&mut self, what: &str, mix: &[(Way, &'static Script)]) -> BTreeSet<(&'static str, String)> {
        let mut sessions: Vec<_> = mix.iter().map(|(way, script)| self.opened(*way, script)).collect();
        for step in 0..session::STEPS {
            let rules: String = sessions.iter().filter_map(|session| session.rule(step)).collect();
            nft(&rules);
            sessions.iter_mut().for_each(|session| session.act(step));
            let there = elsewhere(&sessions, step);
            assert!(there.is_empty(), "{what}, step {step}: {there}");
        }
        let states = self.compared(what);
        host::release();
        sessions.into_iter().for_each(Session::reset);
        eventually("the sessions end", || self.proxy.busy()[0] == 0);
        states
    }

    /// Compares what is told with what ss(8) sees. What changes meanwhile is nobody's fault. The ledgers of
    /// the ports follow a census later, as they take into account what ours have been in the meantime.
    fn compared(&mut self, what: &str) -> BTreeSet<(&'static str, String)> {
        let start = Instant::now();
        loop {
            let before = Kernel::look().counts(&WAYS, &SILENT);
            let told = told(&self.next_census());
            let after = Kernel::look().counts(&WAYS, &SILENT);
            let is_late = start.elapsed() > DEADLINE;
            if before.states == after.states {
                assert_eq!(told.differences(&after), [""; 0], "what is told, and what ss(8) has, in {what}");
                if told.sources == after.sources {
                    return after.states.into_keys().map(|(kind, _, state)| (kind, state)).collect();
                }
                assert!(!is_late, "{what}: ports are {:?}, and ss(8) has {:?}", told.sources, after.sources);
            }
            assert!(!is_late, "{what} does not come to rest");
        }
    }

    /// What is told as soon as a census is in it that has begun after now. Half a second later nothing would be told
    /// of it, as it is stale if the next is not there by then, which a busy host may hold up.
    fn next_census(&mut self) -> Value {
        let now = Instant::now();
        // Ages are told in whole milliseconds.
        let margin = Duration::from_millis(2);
        let mut stats = Value::Null;
        eventually("a census", || {
            // Older than said by the time that the answer takes.
            let asked = now.elapsed();
            stats = self.stats();
            let age = stats["census"]["age_s"].as_f64();
            age.is_some_and(|age| Duration::from_secs_f64(age) + margin < asked)
        });
        stats
    }

    fn stats(&mut self) -> Value {
        self.admin.send("GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = self.admin.response();
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    fn opened(&mut self, way: Way, script: &'static Script) -> Session {
        if script.is_unanswered() {
            self.port += 1;
            return Session::unanswered(way, script, self.port);
        }
        let client = session::connect(way);
        if script.is_undialled() {
            return Session::new(way, script, client, None);
        }
        let mut accepted = None;
        eventually("the endpoint is dialled", || {
            accepted = self.endpoints.iter().find_map(|(_, listener)| listener.accept().ok());
            accepted.is_some()
        });
        Session::new(way, script, client, accepted.map(|(stream, _)| stream))
    }
}

/// Which sessions have not come to where they are to be after this step; "" if all have, which may take a
/// while.
fn elsewhere(sessions: &[Session], step: usize) -> String {
    let mut there = String::new();
    comes_true(DEADLINE, || {
        let kernel = Kernel::look();
        there = sessions.iter().filter_map(|session| session.elsewhere(step, &kernel)).collect();
        there.is_empty()
    });
    there
}

/// splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn among(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let last = all.len() as u64 - 1;
        &all[self.among(0..=last) as usize]
    }

    fn session(&mut self) -> (Way, &'static Script) {
        let script = self.one_of(&SCRIPTS);
        (*self.one_of(if script.is_undialled() { &SILENT } else { &WAYS }), script)
    }
}
