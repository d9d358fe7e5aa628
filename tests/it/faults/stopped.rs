//! Processes that stand still for a while (SIGSTOP, a host that swaps, a virtual machine that is moved), and go on.

use crate::harness::{Client, Origin, Running, Setup, eventually};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::thread;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        clients_that_spoke_meanwhile_are_served,
        an_answer_that_came_meanwhile_is_passed_on,
        a_tunnel_in_which_bytes_came_meanwhile_goes_on,
        an_endpoint_that_stood_still_is_waited_for,
    ]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// For how long: longer than every deadline of these tests.
const STOPPED: Duration = Duration::from_secs(2);

/// Has the process stand still, do this, and go on past its deadlines.
fn stopped(process: &Running, meanwhile: impl FnOnce()) {
    process.signal(Signal::STOP);
    meanwhile();
    thread::sleep(STOPPED);
    process.signal(Signal::CONT);
}

fn clients_that_spoke_meanwhile_are_served() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]).listener("timeout.idle = \"1s\"\ntimeout.header = \"1s\"");
    let process = Running::start(&setup.upstream("pool.idle_timeout = \"1s\""));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(process.address())).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    stopped(&process, || clients.iter().for_each(|client| client.send(GET)));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
}

/// The time in which nobody could look does not count against who has answered in it.
fn an_answer_that_came_meanwhile_is_passed_on() {
    let (origin, gate) = Origin::gated();
    let setup = Setup::http([origin.address()]).upstream("timeout.response_header = \"1s\"");
    let process = Running::start(&setup.upstream("timeout.body = \"1s\""));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(process.address())).collect();
    clients.iter().for_each(|client| client.send(GET));
    origin.wait_for_requests(clients.len());
    stopped(&process, || gate.open());
    clients.iter_mut().for_each(|client| {
        let response = client.response();
        assert_eq!((response.status(), response.reason()), (200, None));
    });
}

/// The same of a tunnel, which would have been idle for too long.
fn a_tunnel_in_which_bytes_came_meanwhile_goes_on() {
    let origin = Origin::start(|conn| {
        let bytes = conn.some();
        conn.send(bytes);
        let bytes = conn.some();
        conn.send(bytes);
    });
    let process = Running::start(&Setup::tcp([origin.address()]).listener("timeout.idle = \"1s\""));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(process.address())).collect();
    clients.iter().for_each(|client| client.send("before"));
    clients.iter_mut().for_each(|client| assert_eq!(client.exactly(6), b"before"));
    stopped(&process, || clients.iter().for_each(|client| client.send("meanwhile")));
    clients.iter_mut().for_each(|client| assert_eq!(client.exactly(9), b"meanwhile"));
}

fn an_endpoint_that_stood_still_is_waited_for() {
    let origin = Origin::saying("ok");
    let endpoint = Running::start(&Setup::http([origin.address()]));
    let process = Running::start(&Setup::http([endpoint.address()]));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(process.address())).collect();
    assert_eq!(clients[0].get("/").text(), "ok");
    stopped(&endpoint, || clients.iter().for_each(|client| client.send(GET)));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    let health = || process.statistics()["upstreams"][0]["endpoints"][0]["health"].clone();
    eventually("nothing is held against it", || health() == "up");
}
