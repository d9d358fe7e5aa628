//! What happens when the local ports run out.

use super::namespace::{local_ports, trials};
use crate::harness::{Client, Gate, Origin, Setup, eventually};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[];
        requests_that_find_no_port_are_refused_and_the_rest_served,
    ]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn requests_that_find_no_port_are_refused_and_the_rest_served() {
    const PORTS: usize = 16;
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        while conn.request().is_some() {
            wait.wait();
            conn.send(OK);
        }
    });
    let proxy = Setup::http([origin.address()]).start();
    // Those who are connected already need no port.
    let mut clients: Vec<_> = (0..PORTS + 8).map(|_| Client::connect(proxy.address())).collect();
    local_ports(20_000..=20_015);
    clients.iter().for_each(|client| client.send(GET));
    eventually("some are refused", || proxy.rejects(millpond::reason::RejectReason::SourcePorts) >= 8);
    gate.open();
    let answers: Vec<_> = clients.iter_mut().map(Client::response).collect();
    let served = answers.iter().filter(|answer| answer.status() == 200).count();
    let refused = answers.iter().filter(|answer| answer.reason() == Some("source_ports")).count();
    assert_eq!((served, refused), (PORTS, 8));
}
