//! Workers that come and go.

use super::{Load, origins};
use crate::harness::{Client, Origin, Setup, eventually};
use libtest_mimic::Trial;
use millpond::sys::sock_diag::listen_queue;
use std::fs;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        no_client_is_lost_when_workers_come_and_go,
        a_worker_that_leaves_serves_its_tunnels,
        a_worker_that_leaves_has_a_deadline,
        without_reuse_port_too,
        a_drain_ends_workers_that_came_later,
    ]
}

/// Threads of workers of this process that belong to nobody else: the tests share the process.
fn threads() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("worker-")).count()
}

fn no_client_is_lost_when_workers_come_and_go() {
    let all: [Origin; 2] = origins();
    let setup = |workers| Setup::http(all.iter().map(Origin::address)).workers(workers);
    let proxy = setup(2).start();
    let (keeping, reconnecting) = (Load::keeping(proxy.address(), 4), Load::reconnecting(proxy.address(), 4));
    let mut most = 2;
    for workers in [1, 3, 1, 2, 1, 4, 1] {
        keeping.more(40);
        reconnecting.more(40);
        let done = proxy.reload(&setup(workers));
        assert_eq!(done.difference.process, ["runtime.workers"]);
        most = most.max(workers);
        assert_eq!(listen_queue(proxy.address()).unwrap().len(), most, "no listening socket is closed");
    }
    reconnecting.more(40);
    keeping.end();
    reconnecting.end();
    assert_eq!(listen_queue(proxy.address()).unwrap().iter().map(|queue| queue.depth).sum::<u32>(), 0);
    let served = |worker: usize| proxy.listener().workers[worker].sessions_total.get();
    assert!(served(0) > 0 && served(1) > 0 && served(2) > 0);
    eventually("every session has ended", || proxy.listener().gauge(|w| &w.sessions) == 0);
}

fn a_worker_that_leaves_serves_its_tunnels() {
    let origin = Origin::start(|conn| {
        loop {
            let bytes = conn.some();
            if bytes.is_empty() {
                return;
            }
            conn.send(bytes);
        }
    });
    let setup = |workers| Setup::tcp([origin.address()]).workers(workers);
    let proxy = setup(2).start();
    let mut of_second = proxy.client_of(1);
    proxy.reload(&setup(1));
    for _ in 0..3 {
        of_second.send("still here");
        assert_eq!(of_second.exactly(10), b"still here");
    }
    let mut others: Vec<Client> = (0..20).map(|_| Client::connect(proxy.address())).collect();
    others.iter_mut().for_each(|client| client.send("x"));
    others.iter_mut().for_each(|client| assert_eq!(client.exactly(1), b"x"));
    assert_eq!(proxy.listener().workers[1].sessions.get(), 1, "nobody new comes to it");
    drop(of_second);
    eventually("it has gone", || proxy.listener().workers[1].sessions.get() == 0);
    // Its place is free for another.
    eventually("another takes its place", || {
        proxy.reload(&setup(2));
        Client::connect(proxy.address()).send("x");
        let came = proxy.listener().workers.len() == 2;
        proxy.reload(&setup(1));
        came
    });
}

fn a_worker_that_leaves_has_a_deadline() {
    let [origin] = origins();
    let setup =
        |workers| Setup::http([origin.address()]).workers(workers).runtime("shutdown_timeout = \"300ms\"");
    let proxy = setup(2).start();
    let mut idle = proxy.client_of(1);
    assert_eq!(idle.get("/").text(), "ok");
    proxy.reload(&setup(1));
    // It may have another request, with which it is told.
    idle.expect_eof();
    eventually("it has gone", || proxy.listener().workers[1].sessions.get() == 0);
    eventually("its pool, too", || proxy.endpoint(0).workers[1].idle.get() == 0);
}

fn without_reuse_port_too() {
    let [origin] = origins();
    let setup = |workers, reuse_port| {
        let line = format!("socket.reuse_port = {reuse_port}");
        Setup::http([origin.address()]).workers(workers).listener(&line)
    };
    let proxy = setup(2, false).start();
    let load = Load::reconnecting(proxy.address(), 4);
    for (workers, reuse_port, sockets) in
        [(1, false, 1), (3, false, 1), (3, true, 3), (2, true, 3), (2, false, 3), (1, false, 3), (2, true, 3)]
    {
        load.more(30);
        proxy.reload(&setup(workers, reuse_port));
        assert_eq!(listen_queue(proxy.address()).unwrap().len(), sockets);
    }
    load.more(30);
    load.end();
}

fn a_drain_ends_workers_that_came_later() {
    let [origin] = origins();
    let setup = |workers| Setup::http([origin.address()]).workers(workers);
    let proxy = setup(1).start();
    proxy.reload(&setup(3));
    assert!(threads() >= 3);
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(proxy.address())).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    proxy.supervisor().drain();
    clients.iter_mut().for_each(Client::expect_eof);
    assert_eq!(proxy.supervisor().wait().cut, 0);
    assert!(matches!(proxy.try_reload(&setup(2).text()), Err(millpond::admin::ReloadError::Draining)));
}
