//! A worker that is busy with something else, and has not heard of what has come.

use crate::harness::{Gate, Origin, Setup, eventually};
use libtest_mimic::Trial;
use millpond::reason::DiscardReason;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![bytes_that_nobody_has_heard_of_condemn_what_is_handed_over]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";

/// An idle connection on which its endpoint has said something, while its worker could not listen; the other
/// worker asks for it, and gets its answer before the first one's runtime has looked at its sockets.
fn bytes_that_nobody_has_heard_of_condemn_what_is_handed_over() {
    let (says, said, busy) = (Gate::new(), Gate::new(), Gate::new());
    let (speak, spoken) = (says.clone(), said.clone());
    let origin = Origin::start(move |conn| {
        while conn.request().is_some() {
            conn.send(OK);
            if conn.number == 0 {
                speak.wait();
                conn.send(FORGED);
                spoken.open();
            }
        }
    });
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let (mut asking, mut asked) = (proxy.client_of(0), proxy.client_of(1));
    assert_eq!(asked.get("/").text(), "ok");
    assert_eq!(proxy.rested().endpoint(0).workers[1].idle.get(), 1);
    let (stands, standing) = std::sync::mpsc::channel();
    let gate = busy.clone();
    assert!(proxy.supervisor().inject(1, move || {
        stands.send(()).unwrap();
        gate.wait();
    }));
    standing.recv().unwrap();
    says.open();
    said.wait();
    asking.send(GET);
    eventually("it waits for the answer", || proxy.waiting() == 1);
    busy.open();
    assert_eq!(asking.response().text(), "ok");
    assert_eq!(proxy.discards(DiscardReason::UnexpectedBytes), 1);
    assert_eq!(proxy.opened(), 2);
}
