//! WebSocket through an Upgrade, with the `websockets` library of Python at both ends.

use super::process::{Server, succeeds};
use super::program::python;
use crate::harness::Setup;
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, RejectReason};
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        messages_of_every_kind_are_echoed,
        messages_that_compress_are_echoed,
        both_sides_may_close,
        an_idle_connection_outlives_the_timeouts_of_requests,
        a_refused_handshake_is_an_ordinary_response,
    ]
}

fn messages_of_every_kind_are_echoed() {
    assert_eq!(client_says("echo", ""), "20 clients, 160 messages, closed with 1000\n");
}

fn messages_that_compress_are_echoed() {
    assert_eq!(client_says("deflate", ""), "permessage-deflate, 3000000 characters\n");
}

fn both_sides_may_close() {
    assert_eq!(client_says("close", ""), "server closed with 4001 enough, client closed with 1001\n");
}

/// No byte for longer than `timeout.idle` and the pool's idle timeout; then it goes on.
fn an_idle_connection_outlives_the_timeouts_of_requests() {
    let said = client_says("idle", "[listener.timeout]\nidle = \"1s\"\nheader = \"1s\"\nbody = \"1s\"");
    assert_eq!(said, "awake after 3 s\n");
}

fn a_refused_handshake_is_an_ordinary_response() {
    assert_eq!(client_says("refused", ""), "refused with 403, then 200\n");
}

/// Runs the client in one of its modes against the server, through the proxy.
#[track_caller]
fn client_says(mode: &str, listener: &str) -> String {
    let directory = TempDir::new().expect("a temporary directory");
    let mut server = Server::spawn(directory.path(), &mut python("websocket_server.py"));
    server.wait_until_it_says("listening\n");
    let said = server.said();
    let port = said.split_whitespace().next().and_then(|port| port.parse().ok());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_else(|| panic!("{said}"))));
    let proxy = Setup::http([address]).workers(2).listener(listener).start();
    let mut client = python("websocket_client.py");
    let answer = succeeds(client.arg(proxy.address().port().to_string()).arg(mode));
    proxy.settle();
    for reason in RejectReason::ALL {
        assert_eq!(proxy.rejects(*reason), 0, "{reason}");
    }
    assert_eq!(proxy.closes(CloseReason::IdleTimeout), 0);
    answer
}
