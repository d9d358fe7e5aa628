//! Names that are asked for before anything is served.

use super::{becomes, is_now, named};
use crate::harness::{Client, Mood, NameServer, Origin, Setup, millpond};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, RejectReason};
use std::time::{Duration, Instant};

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        the_first_request_finds_the_endpoints,
        a_start_without_an_answer_serves_what_it_can,
        a_start_waits_for_an_answer_but_not_for_long,
        a_tcp_client_without_an_endpoint_is_closed,
        a_name_that_is_not_there_yet_is_found_when_it_is,
        names_stand_beside_addresses,
        a_check_asks_nobody,
    ]
}

fn the_first_request_finds_the_endpoints() {
    let (server, origins) = (NameServer::start(), Origin::at_one_port::<2>());
    is_now(&server, &[&origins[0], &origins[1]]);
    let proxy = named(&server, &origins).start();
    assert_eq!(proxy.upstream(0).endpoints.len(), 2);
    let mut client = Client::connect(proxy.address());
    let mut seen = [client.get("/").text(), client.get("/").text()];
    seen.sort();
    assert_eq!(seen, ["0", "1"]);
}

fn a_start_without_an_answer_serves_what_it_can() {
    let (server, origins) = (NameServer::start(), Origin::at_one_port::<1>());
    server.is(Mood::Silent);
    let proxy = named(&server, &origins).start();
    let mut client = Client::connect(proxy.address());
    let response = client.get("/");
    assert_eq!((response.status(), response.reason()), (503, Some("no_endpoint")));
    assert_eq!(proxy.rejects(RejectReason::NoEndpoint), 1);
    server.is(Mood::Well);
    becomes(&server, &proxy, &[&origins[0]]);
    assert_eq!(client.get("/").text(), "0", "on the same connection");
}

fn a_start_waits_for_an_answer_but_not_for_long() {
    let (server, origins) = (NameServer::start(), Origin::at_one_port::<1>());
    server.is(Mood::Silent);
    let text = named(&server, &origins).text().replace("timeout = \"300ms\"", "timeout = \"30s\"");
    let start = Instant::now();
    let proxy = crate::harness::Proxy::start(&text);
    let waited = start.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(9)).contains(&waited), "{waited:?}");
    assert_eq!(proxy.upstream(0).endpoints.len(), 0);
}

fn a_tcp_client_without_an_endpoint_is_closed() {
    let server = NameServer::start();
    let proxy = Setup::tcp([]).endpoint("{ dns = \"app.test:1\" }").asking(&server).start();
    let mut client = Client::connect(proxy.address());
    client.rest();
    crate::harness::eventually("it is counted", || proxy.closes(CloseReason::UpstreamFailed) == 1);
    assert_eq!(proxy.rejects(RejectReason::NoEndpoint), 1);
}

fn a_name_that_is_not_there_yet_is_found_when_it_is() {
    let (server, origins) = (NameServer::start(), Origin::at_one_port::<1>());
    let proxy = named(&server, &origins).start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").reason(), Some("no_endpoint"));
    becomes(&server, &proxy, &[&origins[0]]);
    assert_eq!(client.get("/").text(), "0");
}

fn names_stand_beside_addresses() {
    let (server, origins) = (NameServer::start(), Origin::at_one_port::<2>());
    is_now(&server, &[&origins[1]]);
    let port = origins[1].address().port();
    let proxy = Setup::http([origins[0].address()])
        .endpoint(&format!("{{ dns = \"app.test:{port}\", weight = 3 }}"))
        .upstream("balance = \"round_robin\"")
        .asking(&server)
        .start();
    let mut client = Client::connect(proxy.address());
    let answers: Vec<String> = (0..40).map(|_| client.get("/").text()).collect();
    assert_eq!(answers.iter().filter(|answer| *answer == "1").count(), 30);
    assert_eq!(proxy.upstream(0).endpoints[0].address.0, origins[0].address(), "what is listed comes first");
}

fn a_check_asks_nobody() {
    let (server, directory) = (NameServer::start(), tempfile::tempdir().unwrap());
    let file = directory.path().join("millpond.toml");
    let setup = Setup::http([]).endpoint("{ dns = \"app.test:1\" }").asking(&server);
    std::fs::write(&file, setup.text()).unwrap();
    let output = millpond().args(["check", "-c"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.asked(), [""; 0]);
}
