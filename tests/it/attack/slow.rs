//! Peers that take their time, so that they hold what others need.

use super::scene::{Scene, closed_windows, crowd, drip};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        slow_heads,
        slow_request_bodies,
        slow_response_bodies,
        slow_readers_with_closed_windows,
        connections_that_say_nothing,
    ]
}

const ATTACKERS: usize = 150;

/// Slowloris: a head that never ends, a byte at a time. It has `timeout.header` from its first byte.
fn slow_heads() {
    let scene = Scene::new("");
    let dripping =
        scene.withstand(|address| drip(crowd(address, ATTACKERS, "GET / HTTP/1.1\r\nHost: test\r\nX-A: ")));
    scene.ends("header_timeout", ATTACKERS);
    dripping.join().unwrap();
}

/// A body that is announced and does not come: each has `timeout.body` for every byte.
fn slow_request_bodies() {
    let scene = Scene::new("");
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nbegin";
    let _attackers = scene.withstand(|address| crowd(address, ATTACKERS, head));
    scene.ends("body_timeout", ATTACKERS);
}

/// An endpoint that stops in the midst of its responses has `upstream.timeout.body`.
fn slow_response_bodies() {
    let scene = Scene::new("");
    let request = "GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n";
    let _attackers = scene.withstand(|address| crowd(address, ATTACKERS, request));
    scene.ends("upstream_failed", ATTACKERS);
}

/// Responses that nobody takes, to windows that close at once.
fn slow_readers_with_closed_windows() {
    let scene = Scene::new("");
    let request = "GET /big HTTP/1.1\r\nHost: test\r\n\r\n";
    let _attackers = scene.withstand(|address| closed_windows(address, ATTACKERS / 3, request));
    scene.ends("body_timeout", ATTACKERS / 3);
}

/// Connections alone: each has `timeout.header` for its first byte.
fn connections_that_say_nothing() {
    let scene = Scene::new("");
    let _attackers = scene.withstand(|address| crowd(address, 2 * ATTACKERS, ""));
    scene.ends("idle_timeout", 2 * ATTACKERS);
}
