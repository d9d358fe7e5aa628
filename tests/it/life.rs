//! The end of a process, and its life with few descriptors: seen from outside.

use crate::harness::{
    Client, DEADLINE, Ended, Origin, Running, Setup, Unaccepting, always, comes_true, eventually,
    nobody_listens,
};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_drain_lets_what_runs_finish,
        a_drain_ends_what_is_idle_at_once,
        a_drain_serves_the_accept_queue,
        a_drain_waits_a_moment_for_a_first_request,
        a_connect_that_is_under_way_when_a_drain_begins,
        who_waits_for_a_connection_when_a_drain_begins,
        a_drain_says_so_in_the_responses,
        a_drain_has_a_deadline,
        a_drain_ends_tunnels_at_its_deadline,
        a_second_signal_ends_at_once,
        an_interrupt_drains_too,
        a_drain_needs_nobody_who_reads_the_log,
        few_descriptors_mean_refusals_and_no_end,
        clients_that_were_admitted_are_served,
        few_descriptors_suffice_for_many_clients_one_after_the_other,
    ]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Never answers.
fn silent() -> Origin {
    Origin::start(|conn| while conn.request().is_some() {})
}

fn a_drain_lets_what_runs_finish() {
    let (origin, gate) = Origin::gated();
    let mut process = Running::start(&Setup::http([origin.address()]).workers(2));
    let mut client = Client::connect(process.address());
    client.send(GET);
    origin.wait_for_requests(1);
    process.signal(Signal::TERM);
    eventually("the listener is closed", || nobody_listens(process.address()));
    assert!(process.is_running());
    gate.open();
    assert_eq!(client.response().text(), "ok");
    client.expect_eof();
    drop(client);
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.wait_for_entry("ended")["sessions_cut"], 0);
    assert_eq!(origin.wait_for_end(0), Ended::Reset, "without a TIME_WAIT");
}

fn a_drain_waits_a_moment_for_a_first_request() {
    let origin = Origin::saying("ok");
    let mut process = Running::start(&Setup::http([origin.address()]));
    let mut client = Client::connect(process.address());
    eventually("it is admitted", || process.statistics()["listeners"][0]["sessions"]["current"] == 1);
    process.signal(Signal::TERM);
    eventually("the listener is closed", || nobody_listens(process.address()));
    assert_eq!(client.get("/").text(), "ok");
    client.expect_eof();
    drop(client);
    assert_eq!(process.wait().code(), Some(0));
}

fn a_drain_ends_what_is_idle_at_once() {
    let origin = Origin::saying("ok");
    let mut process = Running::start(&Setup::http([origin.address()]).workers(2));
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(process.address())).collect();
    clients[..5].iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    let start = Instant::now();
    process.signal(Signal::TERM);
    clients.iter_mut().for_each(Client::expect_eof);
    drop(clients);
    assert_eq!(process.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    assert!((0..origin.connections()).all(|number| origin.wait_for_end(number) == Ended::Reset));
}

fn a_drain_serves_the_accept_queue() {
    let origin = Origin::saying("ok");
    let mut process = Running::start(&Setup::http([origin.address()]).workers(2));
    // While it is stopped, the kernel accepts for it.
    process.signal(Signal::STOP);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(process.address())).collect();
    clients.iter().for_each(|client| client.send(GET));
    process.signal(Signal::TERM);
    process.signal(Signal::CONT);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    clients.iter_mut().for_each(Client::expect_eof);
    drop(clients);
    assert_eq!(process.wait().code(), Some(0));
}

fn a_connect_that_is_under_way_when_a_drain_begins() {
    let endpoint = Unaccepting::new();
    let proxy = Setup::http([endpoint.address()]).upstream("timeout.connect = \"30s\"").start();
    let mut client = Client::connect(proxy.address());
    client.send(GET);
    eventually("a connect is under way", || proxy.endpoint(0).gauge(|w| &w.connecting) == 1);
    proxy.supervisor().drain();
    eventually("the listener is closed", || nobody_listens(proxy.address()));
    let _origin = Origin::on(endpoint.listen(), always(OK));
    assert_eq!(client.response().text(), "ok");
    client.expect_eof();
}

fn who_waits_for_a_connection_when_a_drain_begins() {
    let (origin, gate) = Origin::gated();
    let proxy = Setup::http([origin.address()]).upstream("pool.max_connections = 1").start();
    let mut clients = [(); 3].map(|()| Client::connect(proxy.address()));
    clients.iter().for_each(|client| client.send(GET));
    eventually("two wait", || proxy.waiting() == 2);
    proxy.supervisor().drain();
    eventually("the listener is closed", || nobody_listens(proxy.address()));
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    clients.iter_mut().for_each(Client::expect_eof);
    assert!(proxy.opened() <= 3, "{} connections for three requests", proxy.opened());
}

fn a_drain_says_so_in_the_responses() {
    let (origin, gate) = Origin::gated();
    let process = Running::start(&Setup::http([origin.address()]));
    let [mut client, mut idle] = [(); 2].map(|()| Client::connect(process.address()));
    client.send(GET);
    origin.wait_for_requests(1);
    process.signal(Signal::TERM);
    // Those who run are told a moment after the listener is closed, and before those who are idle are let go.
    idle.expect_eof();
    gate.open();
    assert!(client.response().says_close(), "or the client sends another request, which nobody answers");
}

fn a_drain_has_a_deadline() {
    let origin = silent();
    let setup = Setup::http([origin.address()]).runtime("shutdown_timeout = \"300ms\"");
    let mut process = Running::start(&setup);
    let client = Client::connect(process.address());
    client.send(GET);
    origin.wait_for_requests(1);
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.wait_for_entry("ended")["sessions_cut"], 1);
    let cut = process.wait_for_entry("cut, as they have not ended in time; the client is that of the oldest");
    assert_eq!(
        (&cut["listener"], &cut["phase"], &cut["sessions"]),
        (&"web".into(), &"exchange".into(), &1.into())
    );
    assert_eq!(cut["endpoint"], origin.address().to_string());
    assert_eq!(cut["client"], client.address().to_string());
}

fn a_drain_ends_tunnels_at_its_deadline() {
    let origin = Origin::start(|conn| {
        conn.hold();
    });
    let setup = Setup::tcp([origin.address()]).runtime("shutdown_timeout = \"500ms\"");
    let mut process = Running::start(&setup);
    let client = Client::connect(process.address());
    origin.wait_for_connections(1);
    process.signal(Signal::TERM);
    eventually("the listener is closed", || nobody_listens(process.address()));
    client.send("still open");
    eventually("it is carried", || origin.received(0) == b"still open");
    assert_eq!(process.wait().code(), Some(0));
    let cut = process.wait_for_entry("ended")["sessions_cut"].as_u64();
    assert_eq!(cut, Some(1));
}

fn a_second_signal_ends_at_once() {
    let origin = silent();
    let mut process = Running::start(&Setup::http([origin.address()]));
    let client = Client::connect(process.address());
    client.send(GET);
    origin.wait_for_requests(1);
    process.signal(Signal::TERM);
    eventually("the drain has begun", || nobody_listens(process.address()));
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.wait_for_entry("ended")["sessions_cut"], 1);
    origin.wait_for_end(0);
}

fn an_interrupt_drains_too() {
    let origin = Origin::saying("ok");
    let mut process = Running::start(&Setup::http([origin.address()]));
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(0));
}

/// Few enough that clients run into it.
const DESCRIPTORS: usize = 200;

/// How many of these clients, all there at once, get an answer, and how many a refusal.
fn served_and_refused(mut clients: Vec<Client>) -> (usize, usize) {
    let (mut served, mut refused) = (0, 0);
    for client in &mut clients {
        match client.try_response() {
            Ok(response) if response.status() == 200 => served += 1,
            Ok(response) => {
                let reasons = [Some("connection_limit"), Some("descriptors")];
                assert!(response.status() == 503 && reasons.contains(&response.reason()), "{response:?}");
                refused += 1;
            }
            // Closed without an answer: there are too many of these, too.
            Err(_) => refused += 1,
        }
    }
    (served, refused)
}

fn few_descriptors_mean_refusals_and_no_end() {
    let (origin, gate) = Origin::gated();
    let mut process = Running::with_descriptors(&Setup::http([origin.address()]).workers(2), DESCRIPTORS);
    for _ in 0..2 {
        let clients: Vec<Client> = (0..300).map(|_| Client::connect(process.address())).collect();
        for client in &clients {
            // Who was refused may be closed already.
            let _ = client.sender().write_all(GET.as_bytes());
        }
        gate.open();
        let (served, refused) = served_and_refused(clients);
        assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
        assert!(process.is_running());
        eventually("it recovers", || process.statistics()["listeners"][0]["sessions"]["current"] == 0);
        assert_eq!(Client::connect(process.address()).get("/").text(), "ok");
    }
}

fn clients_that_were_admitted_are_served() {
    let origin = Origin::saying("ok");
    let process = Running::with_descriptors(&Setup::http([origin.address()]), DESCRIPTORS);
    // Fewer than there is room for; their requests can share connections.
    let clients: Vec<Client> = (0..110).map(|_| Client::connect(process.address())).collect();
    eventually("they are admitted", || process.statistics()["listeners"][0]["sessions"]["current"] == 110);
    clients.iter().for_each(|client| client.send(GET));
    assert_eq!(served_and_refused(clients), (110, 0));
}

fn few_descriptors_suffice_for_many_clients_one_after_the_other() {
    let origin = Origin::saying("ok");
    let process = Running::with_descriptors(&Setup::http([origin.address()]), DESCRIPTORS);
    for _ in 0..(DESCRIPTORS * 3) {
        assert_eq!(Client::connect(process.address()).get("/").text(), "ok");
    }
}

fn a_drain_needs_nobody_who_reads_the_log() {
    let mut command = crate::harness::millpond();
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let log = std::io::BufReader::new(child.stderr.take().unwrap());
    let serves = log.lines().map_while(Result::ok).any(|line| line.contains("the admin server listens"));
    assert!(serves);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let mut status = None;
    comes_true(DEADLINE, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    // It may have ended, and then cannot be killed.
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}
