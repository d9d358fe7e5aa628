//! Name servers that fail, and names that are gone.

use super::{becomes, has, is_now, named};
use crate::harness::{Client, Mood, NameServer, Origin, Running, eventually};
use crate::reload::Load;
use hickory_resolver::proto::op::ResponseCode;
use libtest_mimic::Trial;
use millpond::metrics::host::Host;
use millpond::metrics::render::render;
use millpond::observe::snapshot::{Discovered, Snapshot};
use std::sync::Arc;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        servers_that_fail_take_nothing_away,
        a_server_that_is_gone_and_comes_back_is_found_again,
        a_name_that_is_gone_keeps_its_endpoints_for_a_while,
        a_reload_while_servers_fail_keeps_the_endpoints,
        what_is_known_of_names_is_told,
        each_change_is_logged_once,
    ]
}

fn known(proxy: &crate::harness::Proxy) -> Discovered {
    Snapshot::take(proxy.registry(), Host::default()).upstreams.remove(0).discovery.remove(0)
}

fn servers_that_fail_take_nothing_away() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<2>());
    is_now(&server, &[&all[0]]);
    let proxy = named(&server, &all).start();
    let load = Load::keeping(proxy.address(), 2);
    let before = proxy.upstream(0);
    for mood in
        [Mood::Code(ResponseCode::ServFail), Mood::Silent, Mood::Garbage, Mood::Code(ResponseCode::Refused)]
    {
        server.is(mood);
        let failures = known(&proxy).lookups.failed;
        eventually("it fails", || known(&proxy).lookups.failed > failures);
        assert!(known(&proxy).error.is_some());
        load.more(20);
        assert!(Arc::ptr_eq(&before, &proxy.upstream(0)), "{mood:?}");
    }
    server.is(Mood::Well);
    becomes(&server, &proxy, &[&all[1]]);
    load.more(20);
    load.end();
    let known = known(&proxy);
    assert_eq!((known.failures, known.error), (0, None));
}

fn a_server_that_is_gone_and_comes_back_is_found_again() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<2>());
    is_now(&server, &[&all[0]]);
    let proxy = named(&server, &all).start();
    let address = server.address();
    drop(server);
    eventually("it fails", || known(&proxy).failures > 0);
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "0");
    let server = NameServer::at(address);
    is_now(&server, &[&all[1]]);
    has(&proxy, &[&all[1]]);
}

fn a_name_that_is_gone_keeps_its_endpoints_for_a_while() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<1>());
    is_now(&server, &[&all[0]]);
    let proxy = named(&server, &all).start();
    let mut client = Client::connect(proxy.address());
    server.forget("app.test");
    eventually("it is said to be gone", || known(&proxy).lookups.empty > 0);
    eventually("it is gone", || proxy.upstream(0).endpoints.is_empty());
    assert_eq!(client.get("/").reason(), Some("no_endpoint"));
    assert_eq!(known(&proxy).error.as_deref(), Some("there is no name app.test"));
    becomes(&server, &proxy, &[&all[0]]);
    assert_eq!(client.get("/").text(), "0");
}

fn a_reload_while_servers_fail_keeps_the_endpoints() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<1>());
    is_now(&server, &[&all[0]]);
    let setup = named(&server, &all);
    let proxy = setup.start();
    server.is(Mood::Silent);
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "0");
    let kept = proxy.rested().endpoint(0);
    proxy.reload(&setup.clone().upstream("timeout.connect = \"1s\"").endpoint("{ dns = \"other.test:1\" }"));
    assert!(Arc::ptr_eq(&kept, &proxy.endpoint(0)));
    // With another share it is another name, which nobody answers yet.
    let text = setup.text().replace("}]", ", weight = 5 }]");
    proxy.try_reload(&text).unwrap();
    assert!(Arc::ptr_eq(&kept, &proxy.endpoint(0)));
    assert_eq!(proxy.upstream(0).config.endpoints[0].weight, 5);
    assert_eq!(client.get("/").text(), "0");
    assert_eq!(proxy.opened(), 1);
}

fn what_is_known_of_names_is_told() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<1>());
    server.has("app.test", 30, &[all[0].address().ip()]);
    let proxy = named(&server, &all).endpoint("{ srv = \"_x._tcp.nobody.test\" }").start();
    let upstream = Snapshot::take(proxy.registry(), Host::default()).upstreams.remove(0);
    let [app, nobody] = &upstream.discovery[..] else { panic!("{upstream:?}") };
    assert_eq!((app.kind.as_str(), app.endpoints, app.failures), ("dns", 1, 0));
    assert!(
        app.resolved_ago_s.is_some_and(|ago| ago < 10.0) && (10.0..34.0).contains(&app.next_in_s),
        "{app:?}"
    );
    assert_eq!((nobody.kind.as_str(), nobody.endpoints), ("srv", 0));
    assert_eq!(nobody.error.as_deref(), Some("there is no name _x._tcp.nobody.test"));
    let metrics = render(proxy.registry(), &Host::default(), None);
    let name = &app.name;
    for line in [
        format!("millpond_dns_lookups_total{{upstream=\"app\",name=\"{name}\",result=\"found\"}} 1"),
        format!("millpond_dns_endpoints{{upstream=\"app\",name=\"{name}\"}} 1"),
        "millpond_dns_endpoints{upstream=\"app\",name=\"_x._tcp.nobody.test\"} 0".to_owned(),
        format!("millpond_dns_failures{{upstream=\"app\",name=\"{name}\"}} 0"),
        format!("millpond_dns_age_seconds{{upstream=\"app\",name=\"{name}\"}} "),
    ] {
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

fn each_change_is_logged_once() {
    let (server, all) = (NameServer::start(), Origin::at_one_port::<2>());
    is_now(&server, &[&all[0]]);
    let running = Running::start(&named(&server, &all));
    let entry = running.wait_for_entry("a name stands for other endpoints");
    assert_eq!(entry["added"], all[0].address().to_string());
    server.is(Mood::Code(ResponseCode::ServFail));
    server.wait_for_questions(3);
    running.wait_for_entry("a name is not answered for, and keeps its endpoints");
    server.is(Mood::Well);
    running.wait_for_entry("a name is answered for again");
    is_now(&server, &[&all[1]]);
    eventually("both changes", || running.entries("a name stands for other endpoints").len() == 2);
    let change = running.entries("a name stands for other endpoints").remove(1);
    assert_eq!(change["added"], all[1].address().to_string());
    assert_eq!(change["removed"], all[0].address().to_string());
    server.wait_for_questions(3);
    let lines = ["a name stands for other endpoints", "a name is not answered for, and keeps its endpoints"];
    assert_eq!(lines.map(|line| running.entries(line).len()), [2, 1]);
    server.forget("app.test");
    running.wait_for_entry("a name keeps its endpoints for discovery.grace");
    let entry = running.wait_for_entry("a name stands for no endpoint");
    assert_eq!(entry["error"], "there is no name app.test");
    // The workers go on with it a moment later.
    let endpoints = || running.statistics()["upstreams"][0]["endpoints"].as_array().map(Vec::len);
    eventually("it runs", || endpoints() == Some(0));
    assert_eq!(Client::connect(running.address()).get("/").reason(), Some("no_endpoint"));
}
