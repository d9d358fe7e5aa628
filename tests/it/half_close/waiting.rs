//! Clients that go while a connection to an endpoint is dialled for them.

use super::{GET, SHORT, SOON, is_clean};
use crate::harness::{Client, Origin, Proxy, Setup, Unaccepting, eventually, pattern, within};
use libtest_mimic::Trial;
use millpond::reason::CloseReason;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_client_that_closes_is_given_up_in_time,
        a_client_that_closes_behind_some_bytes_is_given_up_in_time,
        a_client_that_closes_behind_more_than_a_buffer_is_given_up_in_time,
        a_client_that_resets_is_given_up_at_once,
        a_client_that_resets_behind_some_bytes_is_given_up_at_once,
        a_client_that_resets_behind_more_than_a_buffer_is_given_up_soon,
        what_a_client_has_sent_and_its_fin_are_delivered_first,
        a_request_whose_client_has_closed_is_given_up_in_time,
    ]
}

/// A client whose endpoint does not accept, and which sends this much.
fn dialling(setup: impl Fn(&Unaccepting) -> Setup, bytes: &[u8]) -> (Unaccepting, Proxy, Client) {
    let endpoint = Unaccepting::new();
    let setup = setup(&endpoint).listener(&format!("timeout.half_close = {SHORT}"));
    let proxy = setup.upstream("timeout.connect = \"9s\"").start();
    let client = Client::connect(proxy.address());
    client.send(bytes);
    eventually("the endpoint is dialled", || proxy.endpoint(0).gauge(|w| &w.connecting) == 1);
    (endpoint, proxy, client)
}

fn tcp(endpoint: &Unaccepting) -> Setup {
    Setup::tcp([endpoint.address()])
}

/// The session ends for this reason, while the endpoint is still being dialled.
fn ends_for(reason: CloseReason, endpoint: Unaccepting, proxy: &Proxy) {
    within(SOON, "the session's end", || {
        assert_eq!(proxy.closes(CloseReason::UpstreamFailed), 0, "the dial had time to fail");
        proxy.closes(reason) == 1
    });
    // The next SYN is answered by RST, or the dial would go on.
    let address = endpoint.address();
    drop(endpoint);
    is_clean(proxy, address);
}

fn closing(setup: impl Fn(&Unaccepting) -> Setup, bytes: &[u8]) {
    let (endpoint, proxy, client) = dialling(setup, bytes);
    client.half_close();
    ends_for(CloseReason::HalfCloseDeadline, endpoint, &proxy);
}

fn resetting(bytes: &[u8]) {
    let (endpoint, proxy, client) = dialling(tcp, bytes);
    client.reset();
    ends_for(CloseReason::ClientReset, endpoint, &proxy);
}

/// What one buffer of the proxy's does not hold, and the kernel does.
const MUCH: usize = 40 * 1024;

fn a_client_that_closes_is_given_up_in_time() {
    closing(tcp, b"");
}

fn a_client_that_closes_behind_some_bytes_is_given_up_in_time() {
    closing(tcp, b"hello");
}

fn a_client_that_closes_behind_more_than_a_buffer_is_given_up_in_time() {
    closing(tcp, &pattern(MUCH));
}

fn a_client_that_resets_is_given_up_at_once() {
    resetting(b"");
}

fn a_client_that_resets_behind_some_bytes_is_given_up_at_once() {
    resetting(b"hello");
}

fn a_client_that_resets_behind_more_than_a_buffer_is_given_up_soon() {
    resetting(&pattern(MUCH));
}

fn a_request_whose_client_has_closed_is_given_up_in_time() {
    closing(|endpoint| Setup::http([endpoint.address()]), GET.as_bytes());
}

fn what_a_client_has_sent_and_its_fin_are_delivered_first() {
    for bytes in [&b""[..], b"hello", &pattern(MUCH)] {
        let endpoint = Unaccepting::new();
        let proxy = Setup::tcp([endpoint.address()]).start();
        let mut client = Client::connect(proxy.address());
        client.send(bytes);
        client.half_close();
        eventually("the endpoint is dialled", || proxy.endpoint(0).gauge(|w| &w.connecting) == 1);
        let origin = Origin::on(endpoint.listen(), |conn| {
            conn.hold();
            conn.send("goodbye");
        });
        assert_eq!(client.rest(), b"goodbye");
        assert!(origin.received(0) == bytes);
        proxy.settle();
        assert_eq!(proxy.closes(CloseReason::TunnelDone), 1);
    }
}
