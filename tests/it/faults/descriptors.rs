//! A process without descriptors: new clients are refused first, then what is idle gives way, and what runs goes on.

use crate::harness::{Client, Origin, Running, eventually, millpond_with};
use libtest_mimic::Trial;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use std::net::SocketAddr;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![what_is_idle_gives_way_to_what_runs, a_limit_that_is_lowered_under_it]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// RLIMIT_NOFILE, of which clients and endpoints share rather less.
const DESCRIPTORS: usize = 256;

/// Two listeners, each with an endpoint of its own.
fn configuration(one: &Origin, other: &Origin) -> String {
    let part = |name: &str, origin: &Origin| {
        format!(
            "[[listener]]\nname = \"{name}\"\nbind = \"127.0.0.1:0\"\nupstream = \"{name}\"\n\
             timeout.idle = \"120s\"\ntimeout.header = \"120s\"\n\
             [[upstream]]\nname = \"{name}\"\nendpoints = [\"{}\"]\npool.idle_timeout = \"60s\"\n",
            origin.address()
        )
    };
    format!("[runtime]\nworkers = 1\n{}{}", part("one", one), part("other", other))
}

fn address(process: &Running, listener: &str) -> SocketAddr {
    let listening = process.entries("listening");
    let entry = listening.iter().find(|entry| entry["listener"] == listener).expect("it listens");
    entry["address"].as_str().unwrap().parse().unwrap()
}

fn connections(process: &Running, upstream: usize, state: &str) -> u64 {
    let statistics = process.statistics();
    statistics["upstreams"][upstream]["endpoints"][0]["connections"][state].as_u64().unwrap()
}

fn sum(statistics: &Value, pointer: &str) -> u64 {
    statistics.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} of {statistics}"))
}

fn what_is_idle_gives_way_to_what_runs() {
    let ((idle, open_idle), (busy, open_busy)) = (Origin::gated(), Origin::gated());
    let process = Running::with_text(millpond_with(DESCRIPTORS), &configuration(&idle, &busy));
    let (one, other) = (address(&process, "one"), address(&process, "other"));
    // Connections to the first endpoint, idle, as many as there were requests at once.
    let mut first: Vec<Client> = (0..70).map(|_| Client::connect(one)).collect();
    first.iter().for_each(|client| client.send(GET));
    idle.wait_for_requests(70);
    open_idle.open();
    first.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    eventually("they are idle", || connections(&process, 0, "idle") == 70);
    // More clients of the other endpoint than there is room for, one after the other.
    let mut second: Vec<Client> = (0..60).map(|_| Client::connect(other)).collect();
    let seen = |what: &str| sum(&process.statistics(), &format!("/listeners/1/{what}"));
    eventually("each is admitted or refused", || {
        seen("sessions/current") + seen("rejects/connection_limit") == 60
    });
    let admitted = seen("sessions/current");
    assert!((30..50).contains(&admitted), "{admitted} clients of the other endpoint");
    let mut refused = second.split_off(admitted as usize);
    assert_eq!(refused[0].response().reason(), Some("connection_limit"), "new clients are the first to go");
    // Each that was admitted needs a connection, for which there is no descriptor but those of what is idle.
    second.iter().for_each(|client| client.send(GET));
    busy.wait_for_requests(second.len());
    let statistics = process.statistics();
    let shed = sum(&statistics, "/upstreams/0/endpoints/0/discards/descriptors");
    assert!((admitted - 4..=admitted + 4).contains(&shed), "{shed} closed for {admitted}");
    assert_eq!(sum(&statistics, "/listeners/0/sessions/current"), 70, "whoever is there stays");
    open_busy.open();
    second.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    drop((second, refused));
    first.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok", "it recovers"));
    assert_eq!(Client::connect(other).get("/").text(), "ok");
}

/// RLIMIT_NOFILE that is not reached.
const OPEN: u64 = 1024;

/// The kernel's own EMFILE: RLIMIT_NOFILE is lowered to what the process has open, so that its budget, which was
/// counted at its start, says that there is room.
fn a_limit_that_is_lowered_under_it() {
    let ((idle, open_idle), (busy, open_busy)) = (Origin::gated(), Origin::gated());
    let process = Running::with_text(millpond_with(OPEN as usize), &configuration(&idle, &busy));
    let (one, other) = (address(&process, "one"), address(&process, "other"));
    let mut first: Vec<Client> = (0..40).map(|_| Client::connect(one)).collect();
    first.iter().for_each(|client| client.send(GET));
    idle.wait_for_requests(40);
    open_idle.open();
    first.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    eventually("they are idle", || connections(&process, 0, "idle") == 40);
    let mut second: Vec<Client> = (0..20).map(|_| Client::connect(other)).collect();
    eventually("all are there", || sum(&process.statistics(), "/listeners/1/sessions/current") == 20);
    let (running, waiting) = second.split_at_mut(10);
    running.iter().for_each(|client| client.send(GET));
    busy.wait_for_requests(10);
    // Not a descriptor is left, but for numbers that are free in between.
    let limit = Limit::of(&process).lower(process.descriptors() as u64);
    let mut new: Vec<Client> = (0..5).map(|_| Client::connect(other)).collect();
    new.iter().for_each(|client| client.send(GET));
    // Who is there gets a connection, for which one that is idle is closed.
    waiting.iter().for_each(|client| client.send(GET));
    busy.wait_for_requests(20);
    open_busy.open();
    running.iter_mut().chain(waiting).for_each(|client| assert_eq!(client.response().text(), "ok"));
    // Each connection that was closed makes room for another client; those who come last wait in the queue.
    drop(limit);
    new.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok", "it recovers by itself"));
    first.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok", "nobody lost a session"));
    let statistics = process.statistics();
    assert!(sum(&statistics, "/upstreams/0/endpoints/0/discards/descriptors") >= 1, "{statistics}");
    for upstream in 0..2 {
        let endpoint = &statistics["upstreams"][upstream]["endpoints"][0];
        assert_eq!((&endpoint["health"], &endpoint["connect_errors_total"]), (&"up".into(), &0.into()));
    }
}

/// RLIMIT_NOFILE of a process that runs; put back when dropped.
struct Limit {
    pid: Pid,
    before: Rlimit,
}

impl Limit {
    fn of(process: &Running) -> Self {
        let pid = Pid::from_raw(process.pid().cast_signed()).expect("a process");
        let same = Rlimit { current: Some(OPEN), maximum: Some(OPEN) };
        Self { pid, before: prlimit(Some(pid), Resource::Nofile, same).unwrap() }
    }

    fn lower(self, descriptors: u64) -> Self {
        self.set(Rlimit { current: Some(descriptors), maximum: self.before.maximum });
        self
    }

    fn set(&self, limit: Rlimit) {
        prlimit(Some(self.pid), Resource::Nofile, limit).unwrap();
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.set(self.before);
    }
}
