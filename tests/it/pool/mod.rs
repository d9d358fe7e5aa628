//! Connections to an endpoint: used again, limited, and let go of in time.

mod expiry;
mod learning;
mod limits;
mod reuse;
mod stale;
mod workers;

use crate::harness::{Client, Proxy};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    [reuse::tests(), limits::tests(), expiry::tests(), learning::tests(), stale::tests(), workers::tests()]
        .into_iter()
        .flatten()
        .collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// This many clients with a request each under way.
fn asking(proxy: &Proxy, clients: usize) -> Vec<Client> {
    let ask = |_| {
        let client = Client::connect(proxy.address());
        client.send(GET);
        client
    };
    (0..clients).map(ask).collect()
}
