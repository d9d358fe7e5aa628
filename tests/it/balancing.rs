//! Which endpoint a request goes to, and what happens when it cannot be reached.

use crate::harness::{Client, Origin, Proxy, Refusing, Setup, Unaccepting, always, eventually};
use libtest_mimic::Trial;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        round_robin_reaches_all_by_weight,
        random_reaches_all_by_weight,
        least_conn_reaches_all_by_weight,
        p2c_reaches_all,
        least_conn_avoids_an_endpoint_that_is_busy,
        a_hash_by_client_stays_with_one_endpoint,
        a_hash_by_header_is_the_same_in_every_process,
        a_client_never_sees_an_endpoint_that_refuses,
        a_client_never_sees_an_endpoint_that_does_not_accept,
        an_endpoint_that_fails_is_left_out_until_it_is_back,
        when_all_are_down_requests_fail_at_once_and_recover,
        a_broken_exchange_is_no_mark_against_the_endpoint,
    ]
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Origins that say their number.
fn numbered(count: usize) -> Vec<Origin> {
    (0..count).map(|number| Origin::saying(&number.to_string())).collect()
}

fn addresses(origins: &[Origin]) -> impl Iterator<Item = SocketAddr> {
    origins.iter().map(Origin::address)
}

/// How many of these requests each of two endpoints gets, of which the second weighs three times as
/// much.
fn shares(policy: &str, requests: usize) -> [usize; 2] {
    let origins = numbered(2);
    let setup = Setup::http([origins[0].address()]).weighted(origins[1].address(), 3);
    let proxy = setup.upstream(&format!("balance = \"{policy}\"")).start();
    let mut client = Client::connect(proxy.address());
    (0..requests).for_each(|_| assert_eq!(client.get("/").status(), 200));
    [origins[0].requests().len(), origins[1].requests().len()]
}

fn round_robin_reaches_all_by_weight() {
    assert_eq!(shares("round_robin", 40), [10, 30]);
}

fn random_reaches_all_by_weight() {
    // 400 draws with p = 1/4: 100 on average, with a standard deviation of 8.7.
    let [light, heavy] = shares("random", 400);
    assert!((40..=160).contains(&light) && light + heavy == 400, "{light} and {heavy}");
}

/// Requests that are all under way at once, by endpoint.
fn held(policy: &str) -> [usize; 2] {
    let origins: Vec<Origin> =
        (0..2).map(|_| Origin::start(|conn| while conn.request().is_some() {})).collect();
    let setup = Setup::http([origins[0].address()]).weighted(origins[1].address(), 3);
    let proxy = setup.upstream(&format!("balance = \"{policy}\"")).start();
    let clients: Vec<Client> = (1..=40)
        .map(|number| {
            let client = Client::connect(proxy.address());
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            let received = || origins.iter().map(|origin| origin.requests().len()).sum::<usize>();
            eventually("the request arrives", || received() == number);
            client
        })
        .collect();
    let held = [origins[0].requests().len(), origins[1].requests().len()];
    clients.into_iter().for_each(Client::reset);
    held
}

fn least_conn_reaches_all_by_weight() {
    assert_eq!(held("least_conn"), [10, 30]);
}

fn p2c_reaches_all() {
    let [light, heavy] = held("p2c");
    assert!(light >= 5 && heavy > light, "{light} and {heavy}");
}

fn least_conn_avoids_an_endpoint_that_is_busy() {
    let busy = Origin::start(|conn| while conn.request().is_some() {});
    let free = Origin::saying("free");
    let proxy = Setup::http([busy.address(), free.address()]).start();
    // Until one of them is held by the busy one.
    let mut held = None;
    while held.is_none() {
        let client = Client::connect(proxy.address());
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let before = free.requests().len();
        eventually("somebody has it", || busy.requests().len() + free.requests().len() > before);
        held = (busy.requests().len() == 1).then_some(client);
    }
    let mut client = Client::connect(proxy.address());
    (0..20).for_each(|_| assert_eq!(client.get("/").text(), "free"));
    held.unwrap().reset();
}

fn a_hash_by_client_stays_with_one_endpoint() {
    let origins = numbered(4);
    let proxy = Setup::http(addresses(&origins)).workers(2).upstream("balance = \"hash\"").start();
    let first = Client::connect(proxy.address()).get("/").text();
    (0..20).for_each(|_| assert_eq!(Client::connect(proxy.address()).get("/").text(), first));
}

/// Which endpoint each of 50 users has.
fn users(proxy: &Proxy) -> Vec<String> {
    let mut client = Client::connect(proxy.address());
    let ask = |user: usize| {
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-User: {user}\r\n\r\n"));
        client.response().text()
    };
    (0..50).map(ask).collect()
}

fn a_hash_by_header_is_the_same_in_every_process() {
    let origins = numbered(4);
    let setup = Setup::http(addresses(&origins)).upstream("balance = \"hash\"\nhash_key = \"header:x-user\"");
    let (one, other) = (setup.start(), setup.start());
    let first = users(&one);
    assert_eq!(users(&one), first);
    assert_eq!(users(&other), first);
    assert!((0..4).all(|number| first.contains(&number.to_string())), "{first:?}");
}

fn a_client_never_sees_an_endpoint_that_refuses() {
    for policy in ["round_robin", "random", "least_conn", "p2c", "hash"] {
        let (refusing, origin) = (Refusing::new(), Origin::saying("ok"));
        let setup = Setup::http([refusing.address(), origin.address()]);
        let proxy = setup.upstream(&format!("balance = \"{policy}\"")).start();
        for _ in 0..20 {
            assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok", "{policy}");
        }
    }
}

fn a_client_never_sees_an_endpoint_that_does_not_accept() {
    let (silent, origin) = (Unaccepting::new(), Origin::saying("ok"));
    let setup = Setup::http([silent.address(), origin.address()]).upstream("timeout.connect = \"100ms\"");
    let proxy = setup.upstream("balance = \"round_robin\"").start();
    let mut client = Client::connect(proxy.address());
    (0..10).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert_eq!(proxy.endpoint(0).total(|w| &w.connect_errors_total), 3, "then it is left out");
}

const SHORT_TRIAL: &str =
    "passive.failures = 2\npassive.retry_after = \"200ms\"\npassive.retry_after_max = \"200ms\"";

fn an_endpoint_that_fails_is_left_out_until_it_is_back() {
    let (refusing, origin) = (Refusing::new(), Origin::saying("other"));
    let setup = Setup::http([refusing.address(), origin.address()]).upstream("balance = \"round_robin\"");
    let proxy = setup.upstream(SHORT_TRIAL).start();
    let upstream = &proxy.upstream(0);
    let health = &upstream.health;
    let mut client = Client::connect(proxy.address());
    let start = Instant::now();
    (0..20).for_each(|_| assert_eq!(client.get("/").text(), "other"));
    let errors = proxy.endpoint(0).total(|w| &w.connect_errors_total);
    let trials = start.elapsed().as_millis() as u64 / 200;
    assert!(
        !health.is_up(0) && errors >= 2 && errors <= 2 + trials,
        "{errors} connects after {trials} trials"
    );

    let back = Origin::on(refusing.listen(), always(OK));
    eventually("a trial finds it", || {
        assert!(["ok", "other"].contains(&client.get("/").text().as_str()));
        health.is_up(0)
    });
    let before = back.requests().len();
    (0..20).for_each(|_| assert_eq!(client.get("/").status(), 200));
    let share = back.requests().len() - before;
    assert!((8..=12).contains(&share), "{share} of 20");
}

fn when_all_are_down_requests_fail_at_once_and_recover() {
    let (one, other) = (Refusing::new(), Refusing::new());
    let proxy = Setup::http([one.address(), other.address()]).upstream(SHORT_TRIAL).start();
    let mut client = Client::connect(proxy.address());
    let start = Instant::now();
    for _ in 0..20 {
        let response = client.get("/");
        assert_eq!((response.status(), response.reason()), (502, Some("connect_failed")));
    }
    assert!(start.elapsed() < Duration::from_secs(3), "20 failures took {:?}", start.elapsed());
    let back = Origin::on(one.listen(), always(OK));
    eventually("it recovers", || client.get("/").status() == 200);
    // While all were down, all were tried: trying beats refusing. The other one is still down.
    (0..10).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    assert!(back.requests().len() > 10);
}

fn a_broken_exchange_is_no_mark_against_the_endpoint() {
    let origin = Origin::start(|conn| drop(conn.request()));
    let proxy = Setup::http([origin.address()]).upstream("passive.failures = 1").start();
    let mut client = Client::connect(proxy.address());
    (0..5).for_each(|_| assert_eq!(client.get("/").status(), 502));
    assert!(proxy.upstream(0).health.is_up(0));
}
