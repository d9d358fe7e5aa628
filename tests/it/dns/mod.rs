//! Endpoints behind names.

mod answers;
mod changes;
mod start;
mod trouble;

use crate::harness::{NameServer, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use std::net::IpAddr;

pub(crate) fn tests() -> Vec<Trial> {
    let all = [answers::tests(), start::tests(), changes::tests(), trouble::tests()];
    all.into_iter().flatten().collect()
}

/// An upstream that is app.test at the port of these origins, and nothing else.
fn named(server: &NameServer, origins: &[Origin]) -> Setup {
    let port = origins[0].address().port();
    Setup::http([]).endpoint(&format!("{{ dns = \"app.test:{port}\" }}")).asking(server)
}

/// app.test is these origins from now on.
fn is_now(server: &NameServer, origins: &[&Origin]) {
    let ips: Vec<IpAddr> = origins.iter().map(|origin| origin.address().ip()).collect();
    server.has("app.test", 0, &ips);
}

/// The same, until the proxy has it.
#[track_caller]
fn becomes(server: &NameServer, proxy: &Proxy, origins: &[&Origin]) {
    is_now(server, origins);
    has(proxy, origins);
}

/// Waits until these are the endpoints.
#[track_caller]
fn has(proxy: &Proxy, origins: &[&Origin]) {
    let mut expected: Vec<_> = origins.iter().map(|origin| origin.address()).collect();
    expected.sort();
    eventually("the endpoints are those that the name stands for", || {
        proxy.upstream(0).endpoints.iter().map(|endpoint| endpoint.address.0).eq(expected.iter().copied())
    });
}
