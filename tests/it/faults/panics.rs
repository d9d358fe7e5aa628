//! A worker that panics: the others serve on, another takes its place, and what it had is given back.

use crate::harness::panics::ON_PURPOSE;
use crate::harness::{Client, Gate, Origin, Proxy, Setup, eventually, within};
use libtest_mimic::Trial;
use millpond::reason::CloseReason;
use millpond::supervisor::RELAPSES;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        the_others_serve_on_and_another_takes_its_place,
        who_waits_in_its_accept_queue_is_served_by_the_next,
        what_it_had_is_given_back,
        a_question_that_it_did_not_answer_is_answered_with_no,
        a_panic_during_a_drain_ends_the_worker_alone,
        a_process_whose_workers_panic_again_and_again_ends,
    ]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// For another worker to serve. Nothing is waited for but threads.
const MENDED: Duration = Duration::from_secs(2);

fn panics(proxy: &Proxy) -> u64 {
    proxy.registry().restarts.by_worker(0).values().sum()
}

fn lost(proxy: &Proxy) -> u64 {
    proxy.closes(CloseReason::Panicked)
}

/// Has a worker panic, and waits until it has.
#[track_caller]
fn break_worker(proxy: &Proxy, worker: usize) {
    let before = panics(proxy);
    let fault = || std::panic::panic_any(ON_PURPOSE);
    eventually("the worker hears", || proxy.supervisor().inject(worker, fault));
    eventually("it has panicked", || panics(proxy) > before);
}

/// Has a worker stand still until the gate opens, and then panic.
#[track_caller]
fn break_worker_at(proxy: &Proxy, worker: usize, gate: &Gate) {
    let (stands, standing) = std::sync::mpsc::channel();
    let gate = gate.clone();
    let fault = move || {
        stands.send(()).unwrap();
        gate.wait();
        std::panic::panic_any(ON_PURPOSE)
    };
    assert!(proxy.supervisor().inject(worker, fault));
    standing.recv().unwrap();
}

#[track_caller]
fn serves_again(proxy: &Proxy, worker: usize) {
    let nothing = || {};
    within(MENDED, "another is there", || proxy.supervisor().inject(worker, nothing));
}

fn the_others_serve_on_and_another_takes_its_place() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let (mut lost_client, mut kept) = (proxy.client_of(0), proxy.client_of(1));
    [&mut lost_client, &mut kept].into_iter().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    break_worker(&proxy, 0);
    assert_eq!(kept.get("/").text(), "ok", "of the other worker");
    lost_client.expect_eof();
    serves_again(&proxy, 0);
    assert_eq!(proxy.client_of(0).get("/").text(), "ok");
    let restarts: Vec<_> = proxy.registry().restarts.by_worker(2).into_iter().collect();
    assert_eq!(restarts, [(0, 1), (1, 0)]);
    assert!(lost(&proxy) >= 1);
}

fn who_waits_in_its_accept_queue_is_served_by_the_next() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::http(origin.address());
    let gate = Gate::new();
    break_worker_at(&proxy, 0, &gate);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(proxy.address())).collect();
    clients.iter().for_each(|client| client.send(GET));
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    assert_eq!((panics(&proxy), lost(&proxy)), (1, 0));
}

fn what_it_had_is_given_back() {
    let (origin, gate) = Origin::gated();
    let setup = Setup::http([origin.address()]).upstream("pool.max_connections = 1").workers(2);
    let proxy = setup.start();
    let mut clients = [(); 3].map(|()| proxy.client_of(0));
    clients.iter().for_each(|client| client.send(GET));
    let endpoint = proxy.endpoint(0);
    let figures = || {
        let w = &endpoint.workers[0];
        [&w.leased, &w.idle, &w.connecting, &w.waiting, &w.starved].map(|gauge| gauge.get())
    };
    eventually("one is served and two wait", || figures() == [1, 0, 0, 2, 2]);
    break_worker(&proxy, 0);
    eventually("nothing is left", || figures() == [0; 5]);
    assert_eq!((lost(&proxy), proxy.registry().budget.used()), (3, 0));
    let open = endpoint.open.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((open, proxy.listener().gauge(|w| &w.sessions)), (0, 0));
    clients.iter_mut().for_each(Client::expect_eof);
    gate.open();
    assert_eq!(proxy.client_of(1).get("/").text(), "ok", "the only connection there may be");
    serves_again(&proxy, 0);
    assert_eq!(proxy.client_of(0).get("/").text(), "ok");
}

fn a_question_that_it_did_not_answer_is_answered_with_no() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let (mut asking, mut asked) = (proxy.client_of(0), proxy.client_of(1));
    assert_eq!(asked.get("/").text(), "ok");
    assert_eq!(proxy.rested().endpoint(0).workers[1].idle.get(), 1);
    let gate = Gate::new();
    break_worker_at(&proxy, 1, &gate);
    asking.send(GET);
    eventually("it waits for the answer", || proxy.waiting() == 1);
    gate.open();
    assert_eq!(asking.response().text(), "ok");
    // Between its panic and its end, the worker may still have answered.
    assert!((1..=2).contains(&proxy.opened()));
    asked.expect_eof();
    serves_again(&proxy, 1);
}

fn a_panic_during_a_drain_ends_the_worker_alone() {
    let (origin, gate) = Origin::gated();
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let (mut lost_client, mut kept) = (proxy.client_of(0), proxy.client_of(1));
    [&lost_client, &kept].into_iter().for_each(|client| client.send(GET));
    origin.wait_for_requests(2);
    proxy.supervisor().drain();
    break_worker(&proxy, 0);
    lost_client.expect_eof();
    gate.open();
    assert_eq!(kept.response().text(), "ok");
    kept.expect_eof();
    assert!(!proxy.supervisor().wait().has_failed);
    assert_eq!(panics(&proxy), 1);
}

fn a_process_whose_workers_panic_again_and_again_ends() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let mut kept = proxy.client_of(1);
    for _ in 1..RELAPSES {
        break_worker(&proxy, 0);
        serves_again(&proxy, 0);
    }
    assert_eq!(kept.get("/").text(), "ok");
    assert!(!proxy.registry().is_draining());
    break_worker(&proxy, 0);
    kept.expect_eof();
    assert!(proxy.supervisor().wait().has_failed, "by which `millpond run` ends with status 1");
}
