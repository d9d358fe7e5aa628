//! What an endpoint's closes teach of its idle timeout.

use super::{GET, OK};
use crate::harness::{Client, Conn, Ended, Gate, Origin, Proxy, Setup, eventually, within};
use libtest_mimic::Trial;
use millpond::reason::DiscardReason;
use millpond::registry::IdleTimeoutFrom;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        after_two_closes_the_pool_closes_first,
        requests_that_met_a_close_teach_as_well,
        a_restart_teaches_nothing,
        all_workers_learn_from_one,
        what_is_configured_is_not_learned,
    ]
}

/// After how long without a request the origins of these tests close.
const PATIENCE: Duration = Duration::from_millis(500);
/// The default is four seconds: what ends sooner does so for what was learned.
const SOONER: Duration = Duration::from_millis(2500);

fn impatient(conn: &mut Conn) {
    while conn.request_within(PATIENCE).is_some() {
        conn.send(OK);
    }
}

fn idle_timeout(proxy: &Proxy) -> (Duration, IdleTimeoutFrom) {
    proxy.endpoint(0).idle_timeout(&proxy.upstream(0).config)
}

#[track_caller]
fn assert_learned(proxy: &Proxy, least: Duration, most: Duration) {
    let (timeout, from) = idle_timeout(proxy);
    assert!(from == IdleTimeoutFrom::Learned && least <= timeout && timeout <= most, "{timeout:?}, {from:?}");
}

/// Learns from two closes on this worker.
#[track_caller]
fn learn(proxy: &Proxy, client: &mut Client) {
    for closes in 1..=2 {
        assert_eq!(idle_timeout(proxy), (Duration::from_secs(4), IdleTimeoutFrom::Default));
        assert_eq!(client.get("/").text(), "ok");
        eventually("the endpoint closes", || proxy.discards(DiscardReason::EndpointClosed) == closes);
    }
}

fn after_two_closes_the_pool_closes_first() {
    let origin = Origin::start(impatient);
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    learn(&proxy, &mut client);
    // Four fifths of it, and of how late the close was heard of; less where the response was.
    assert_learned(&proxy, PATIENCE / 5 * 3, PATIENCE);
    for closes in 1..=3 {
        assert_eq!(client.get("/").text(), "ok");
        within(SOONER, "the pool closes", || proxy.discards(DiscardReason::IdleTimeout) == closes);
    }
    assert_eq!(
        (2..5).map(|connection| origin.wait_for_end(connection)).collect::<Vec<_>>(),
        [Ended::Reset; 3]
    );
    assert_eq!(proxy.rested().discards(DiscardReason::EndpointClosed), 2);
    assert_eq!(proxy.retries(), 0);
}

/// The origin closes when it is asked too late: no FIN tells before. What is lost is sent again until
/// it is learned, for which two closes have to be alike, and a POST, which must not be, is not lost
/// afterwards.
fn requests_that_met_a_close_teach_as_well() {
    const RHYTHM: Duration = Duration::from_millis(550);
    let origin = Origin::start(|conn| {
        let mut last = Instant::now();
        while conn.request().is_some() && last.elapsed() < PATIENCE {
            conn.send(OK);
            last = Instant::now();
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    const ENOUGH: usize = 20;
    let mut asked = 0;
    while idle_timeout(&proxy).1 != IdleTimeoutFrom::Learned {
        asked += 1;
        assert!(asked <= ENOUGH, "nothing is learned of {ENOUGH} requests");
        assert_eq!(client.get("/").text(), "ok");
        thread::sleep(RHYTHM);
    }
    let lost = proxy.rested().retries();
    assert!((2..=asked as u64).contains(&lost), "{lost} of {asked}");
    assert_learned(&proxy, RHYTHM / 5 * 3, PATIENCE);
    for _ in 0..4 {
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(client.response().status(), 200);
        thread::sleep(RHYTHM);
    }
    assert_eq!(proxy.rested().retries(), lost);
}

fn a_restart_teaches_nothing() {
    const CONNECTIONS: usize = 3;
    let gates: Arc<[Gate; CONNECTIONS]> = Arc::default();
    let restart = Gate::new();
    let (waits, restarted) = (Arc::clone(&gates), restart.clone());
    let origin = Origin::start(move |conn| {
        let Some(gate) = waits.get(conn.number) else { return impatient(conn) };
        conn.request();
        gate.wait();
        conn.send(OK);
        restarted.wait();
    });
    let proxy = Proxy::http(origin.address());
    let mut clients = super::asking(&proxy, CONNECTIONS);
    origin.wait_for_requests(CONNECTIONS);
    for gate in gates.iter() {
        gate.open();
        // So that they have been idle for once, twice and three times as long.
        thread::sleep(PATIENCE);
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    restart.open();
    eventually("all are closed", || proxy.discards(DiscardReason::EndpointClosed) == CONNECTIONS as u64);
    assert_eq!(idle_timeout(&proxy).1, IdleTimeoutFrom::Default);
    // One close afterwards is of an age like that of the youngest.
    assert_eq!(clients[0].get("/").text(), "ok");
    eventually("it is closed", || proxy.discards(DiscardReason::EndpointClosed) == CONNECTIONS as u64 + 1);
    assert_eq!(idle_timeout(&proxy).1, IdleTimeoutFrom::Default);
}

/// The other worker has an idle connection when the idle timeout becomes known.
fn all_workers_learn_from_one() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        let first = conn.request();
        if first.is_some_and(|request| request.start.contains("/held")) {
            wait.wait();
            conn.send(OK);
            conn.hold();
        } else {
            conn.send(OK);
            impatient(conn);
        }
    });
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let mut other = proxy.client_of(1);
    let mut client = proxy.client_of(0);
    assert_eq!(client.get("/").text(), "ok");
    eventually("the endpoint closes", || proxy.discards(DiscardReason::EndpointClosed) == 1);
    other.send(GET.replace("/ ", "/held "));
    origin.wait_for_requests(2);
    assert_eq!(client.get("/").text(), "ok");
    gate.open();
    assert_eq!(other.response().text(), "ok");
    eventually("the endpoint closes again", || proxy.discards(DiscardReason::EndpointClosed) == 2);
    within(SOONER, "the other worker closes", || proxy.discards(DiscardReason::IdleTimeout) == 1);
    assert_eq!(origin.wait_for_end(1), Ended::Reset);
}

fn what_is_configured_is_not_learned() {
    let origin = Origin::start(impatient);
    let proxy = Setup::http([origin.address()]).upstream("pool.idle_timeout = \"2s\"").start();
    let mut client = Client::connect(proxy.address());
    for closes in 1..=3 {
        assert_eq!(client.get("/").text(), "ok");
        eventually("the endpoint closes", || proxy.discards(DiscardReason::EndpointClosed) == closes);
    }
    assert_eq!(idle_timeout(&proxy), (Duration::from_secs(2), IdleTimeoutFrom::Configured));
    assert_eq!(proxy.endpoint(0).idle_learning.timeout(), None);
}
