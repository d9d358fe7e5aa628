//! The most memory that can be taken from outside, at small limits: what docs/RELIABILITY.md states.

use super::scene::{Scene, bystander, closed_windows, crowd};
use crate::harness::eventually;
use libtest_mimic::Trial;
use millpond::buffer::SMALL;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        header_bombs_and_slow_readers_stay_within_the_formula,
        short_heads_are_served_without_memory
    ]
}

const BUFFERS: usize = 2 << 20;
/// A client in the midst of a request, its connection to an endpoint, and the smallest buffers of both.
const CLIENT: usize = 16 << 10;
/// What two workers keep free for heads, and what the allocator takes in advance.
const WORKERS: usize = 2 * (4 << 20);

const ATTACKERS: usize = 300;
/// Long, but not too long, and it does not end.
pub(super) fn bomb() -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}", "x".repeat(31 << 10))
}

fn header_bombs_and_slow_readers_stay_within_the_formula() {
    let scene = Scene::with_deadlines("6s", "", &format!("buffer_memory = \"{}MiB\"", BUFFERS >> 20));
    // What is there for everybody, once.
    scene.withstand(|_| ());
    scene.forget_peak();
    let before = scene.peak();
    let attackers = scene.withstand(|address| {
        let readers = closed_windows(address, ATTACKERS, "GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
        [readers, crowd(address, ATTACKERS, bomb())]
    });
    eventually("heads are refused", || scene.rejects("memory") > 0);
    assert_eq!(buffers(&scene).1, BUFFERS as u64);
    let grown = scene.peak() - before;
    let most = BUFFERS + 2 * ATTACKERS * CLIENT + WORKERS;
    assert!(grown <= most, "{grown} bytes were taken, no more than {most} should be");
    // Without the limit it would have been more than twice that for heads and bodies alone.
    assert!(most < ATTACKERS * (64 << 10) + ATTACKERS * (32 << 10));
    drop(attackers);
    // It recovers by itself.
    eventually("buffers are given back", || buffers(&scene).0 <= BUFFERS as u64 / 4 * 3);
}

/// The bytes of buffers, and their limit.
pub(super) fn buffers(scene: &Scene) -> (u64, u64) {
    let statistics = scene.process.statistics();
    let budgets = statistics["budgets"].as_array().unwrap();
    let buffers = budgets.iter().find(|budget| budget["name"] == "buffers").expect("a budget of buffers");
    (buffers["used"].as_u64().unwrap(), buffers["limit"].as_u64().unwrap())
}

/// Memory is short, and who asks for little is served all the same.
fn short_heads_are_served_without_memory() {
    let scene = Scene::with_deadlines("6s", "", "buffer_memory = \"1MiB\"");
    let attackers =
        scene.withstand(|address| closed_windows(address, 100, "GET /big HTTP/1.1\r\nHost: test\r\n\r\n"));
    // Who began with less than the others, because there was no more.
    eventually("memory is short", || buffers(&scene).0 + 2 * SMALL as u64 > 1 << 20);
    let mut client = bystander(scene.address());
    assert_eq!(client.get("/").text(), "ok");
    // A long body goes through in small pieces.
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\n\r\n{}",
        "b".repeat(300_000)
    ));
    assert_eq!(client.response().text(), "ok");
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(20 << 10)));
    let response = client.response();
    assert_eq!((response.status(), response.reason()), (503, Some("memory")));
    drop(attackers);
}
