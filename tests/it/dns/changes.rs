//! Endpoints that come and go with the answers of a name server.

use super::{becomes, has, is_now, named};
use crate::harness::{Client, Ended, Gate, NameServer, Origin, Proxy, Setup, eventually};
use crate::reload::Load;
use libtest_mimic::Trial;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        no_request_fails_when_endpoints_come_and_go,
        an_endpoint_that_stays_keeps_its_connections,
        an_endpoint_that_goes_serves_what_runs,
        the_same_in_another_order_is_no_change,
        services_come_and_go_with_ports_and_shares,
        a_reload_changes_names_and_what_is_made_of_them,
        an_answer_is_not_asked_for_before_its_time,
    ]
}

fn no_request_fails_when_endpoints_come_and_go() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<3>());
    is_now(&server, &[&all[0]]);
    let proxy = named(&server, &all).workers(2).start();
    let (keeping, reconnecting) = (Load::keeping(proxy.address(), 4), Load::reconnecting(proxy.address(), 2));
    for which in [&[0, 1][..], &[1], &[1, 2], &[0, 1, 2], &[2], &[0]].repeat(2) {
        keeping.more(20);
        reconnecting.more(5);
        becomes(&server, &proxy, &which.iter().map(|number| &all[*number]).collect::<Vec<_>>());
    }
    assert!(keeping.end() >= 12 * 20 && reconnecting.end() >= 12 * 5);
    let failed: u64 = proxy.listener().workers.iter().map(|w| w.responses.get(4)).sum();
    assert_eq!(failed, 0, "responses with 5xx");
    assert_eq!(proxy.registry().running().generation, 1, "the configuration is the same");
    eventually("nothing is leaving", || proxy.registry().running().leaving.upstreams.is_empty());
}

fn an_endpoint_that_stays_keeps_its_connections() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<3>());
    is_now(&server, &[&all[0]]);
    let proxy = named(&server, &all).upstream("pool.idle_timeout = \"1h\"").start();
    let mut clients = [(); 3].map(|()| Client::connect(proxy.address()));
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "0"));
    let kept = proxy.rested().endpoint(0);
    let opened = kept.total(|w| &w.opened_total);
    for which in [&[0, 1][..], &[0, 2], &[0], &[0, 1, 2], &[0]] {
        becomes(&server, &proxy, &which.iter().map(|number| &all[*number]).collect::<Vec<_>>());
        let same = proxy.upstream(0).endpoints.iter().any(|endpoint| Arc::ptr_eq(endpoint, &kept));
        assert!(same, "with all that is known of it");
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "0"));
    assert_eq!((kept.total(|w| &w.opened_total), all[0].connections() as u64), (opened, opened));
}

fn an_endpoint_that_goes_serves_what_runs() {
    let (server, [other]) = (NameServer::start(), Origin::at_one_port::<1>());
    let gate = Gate::new();
    let wait = gate.clone();
    let listener = crate::harness::Refusing::at_port(other.address().port()).listen();
    let origin = Origin::on(listener, move |conn| {
        while conn.request().is_some() {
            wait.wait();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    is_now(&server, &[&origin]);
    let port = origin.address().port();
    let setup = Setup::http([]).endpoint(&format!("{{ dns = \"app.test:{port}\" }}")).asking(&server);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    becomes(&server, &proxy, &[&other]);
    let leaving = || proxy.registry().running().leaving.upstreams.len();
    assert_eq!(leaving(), 1);
    gate.open();
    assert_eq!(client.response().text(), "ok");
    assert_eq!(origin.wait_for_end(0), Ended::Reset, "it has nothing outstanding: no TIME_WAIT");
    assert_eq!(client.get("/").text(), "0");
    eventually("it is gone", || leaving() == 0);
}

fn the_same_in_another_order_is_no_change() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<2>());
    is_now(&server, &[&all[0], &all[1]]);
    let proxy = named(&server, &all).start();
    let before = proxy.upstream(0);
    is_now(&server, &[&all[1], &all[0], &all[1]]);
    server.wait_for_questions(3);
    assert!(Arc::ptr_eq(&before, &proxy.upstream(0)));
}

fn services_come_and_go_with_ports_and_shares() {
    let server = NameServer::start();
    let [one, other] = [(); 2].map(|()| Origin::saying("ok"));
    let [a, b] = [&one, &other].map(|origin| origin.address());
    server.has("a.test", 0, &[a.ip()]);
    server.has("b.test", 0, &[b.ip()]);
    let name = "_http._tcp.app.test";
    server.services(name, 0, &[(0, 30, a.port(), "a.test"), (0, 10, b.port(), "b.test")]);
    let proxy = Setup::http([])
        .endpoint(&format!("{{ srv = \"{name}\" }}"))
        .upstream("balance = \"round_robin\"")
        .asking(&server)
        .start();
    let mut client = Client::connect(proxy.address());
    (0..40).for_each(|_| assert_eq!(client.get("/").status(), 200));
    assert_eq!((one.requests().len(), other.requests().len()), (30, 10));
    server.services(name, 0, &[(5, 1, b.port(), "b.test"), (9, 1, a.port(), "a.test")]);
    has(&proxy, &[&other]);
    (0..10).for_each(|_| assert_eq!(client.get("/").status(), 200));
    assert_eq!((one.requests().len(), other.requests().len()), (30, 20), "the lowest priority alone");
    server.forget("b.test");
    has(&proxy, &[&one]);
}

fn a_reload_changes_names_and_what_is_made_of_them() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<2>());
    is_now(&server, &[&all[0]]);
    server.has("six.test", 0, &["::1".parse::<IpAddr>().unwrap()]);
    let setup = named(&server, &all);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "0");
    let done = proxy.reload(&setup.clone().endpoint("{ dns = \"six.test:9\" }"));
    let added: Vec<_> = done.difference.endpoints.added.iter().map(|thing| thing.address.clone()).collect();
    assert_eq!(added, [Some("six.test:9".to_owned())]);
    assert_eq!(done.generation, 2);
    assert_eq!(proxy.upstream(0).endpoints.len(), 2, "it is asked for before it is served");
    let kept = proxy.endpoint(0);
    proxy.reload(&setup.clone().upstream("discovery.family = \"ipv4\""));
    assert!(Arc::ptr_eq(&kept, &proxy.endpoint(0)) && proxy.upstream(0).endpoints.len() == 1);
    becomes(&server, &proxy, &[&all[1]]);
    assert_eq!(client.get("/").text(), "1", "it is asked for as before");
    proxy.reload(&Setup::http([all[0].address()]));
    assert_eq!(proxy.registry().discovery.of("app"), [], "nobody asks for it any more");
    assert_eq!(client.get("/").text(), "0");
}

fn an_answer_is_not_asked_for_before_its_time() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<1>());
    server.has("app.test", 3600, &[all[0].address().ip()]);
    let proxy: Proxy = named(&server, &all).start();
    let mut client = Client::connect(proxy.address());
    (0..200).for_each(|_| assert_eq!(client.get("/").text(), "0"));
    assert_eq!(server.asked(), ["udp A app.test"]);
}
