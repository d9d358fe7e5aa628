//! Two workers with a pool each that are one pool to the endpoint.

use super::{GET, OK};
use crate::harness::{Client, Gate, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        what_one_worker_has_idle_the_other_takes_over,
        clients_spread_over_workers_need_few_connections,
        a_returned_connection_goes_to_the_worker_that_may_not_dial,
        a_slot_given_back_goes_to_the_worker_that_may_not_dial,
        max_connections_holds_for_all_workers_together,
        max_idle_holds_for_all_workers_together,
    ]
}

fn what_one_worker_has_idle_the_other_takes_over() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let mut clients = [proxy.client_of(0), proxy.client_of(1)];
    for turn in 0..20 {
        assert_eq!(clients[turn % 2].get("/").text(), "ok");
        eventually("the connection is idle again", || proxy.idle() == 1);
    }
    assert_eq!((proxy.opened(), proxy.reused()), (1, 19));
    assert_eq!(proxy.endpoint(0).total(|w| &w.taken_over_total), 19);
}

fn clients_spread_over_workers_need_few_connections() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).start();
    for _ in 0..100 {
        assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    }
    let sessions: Vec<_> = proxy.listener().workers.iter().map(|w| w.sessions_total.get()).collect();
    assert!(sessions.iter().all(|sessions| *sessions > 0), "the kernel spreads clients: {sessions:?}");
    assert!(proxy.opened() <= 2, "{} opened", proxy.opened());
}

/// Two workers, one connection: worker 0 has it, worker 1 waits for it.
fn one_for_two(origin: &Origin) -> (Proxy, Client, Client) {
    let proxy = Setup::http([origin.address()]).workers(2).upstream("pool.max_connections = 1").start();
    let (first, second) = (proxy.client_of(0), proxy.client_of(1));
    first.send(GET);
    origin.wait_for_requests(1);
    second.send(GET);
    eventually("the second waits", || proxy.waiting() == 1);
    (proxy, first, second)
}

fn a_returned_connection_goes_to_the_worker_that_may_not_dial() {
    let (origin, gate) = Origin::gated();
    let (proxy, mut first, mut second) = one_for_two(&origin);
    gate.open();
    assert_eq!((first.response().text(), second.response().text()), ("ok".to_owned(), "ok".to_owned()));
    assert_eq!((proxy.opened(), proxy.reused()), (1, 1));
}

fn a_slot_given_back_goes_to_the_worker_that_may_not_dial() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        wait.wait();
        if conn.number > 0 {
            conn.send(OK);
        }
    });
    let (proxy, mut first, mut second) = one_for_two(&origin);
    gate.open();
    assert_eq!(first.response().reason(), Some("upstream_closed"));
    assert_eq!(second.response().text(), "ok");
    assert_eq!(proxy.opened(), 2);
}

fn max_connections_holds_for_all_workers_together() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).upstream("pool.max_connections = 3").start();
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(proxy.address())).collect();
    for _ in 0..10 {
        clients.iter().for_each(|client| client.send(GET));
        clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    }
    assert!(proxy.opened() <= 3, "{} opened", proxy.opened());
}

fn max_idle_holds_for_all_workers_together() {
    let gates = [Gate::new(), Gate::new()];
    let waits = gates.clone();
    let origin = Origin::start(move |conn| {
        while let Some(request) = conn.request() {
            waits[usize::from(request.start.contains("late"))].wait();
            conn.send(OK);
        }
    });
    let proxy = Setup::http([origin.address()]).workers(2).upstream("pool.max_idle = 2").start();
    let mut late = proxy.client_of(1);
    late.send("GET /late HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut early = [proxy.client_of(0), proxy.client_of(0)];
    early.iter().for_each(|client| client.send(GET));
    origin.wait_for_requests(3);
    gates[0].open();
    early.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    eventually("worker 0 has both", || proxy.idle() == 2);
    gates[1].open();
    assert_eq!(late.response().text(), "ok");
    assert!(proxy.rested().idle() <= 2, "{} are idle", proxy.idle());
}
