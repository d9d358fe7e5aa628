//! The programs against each other: what they count is right, and what is wrong they notice.

// What fails outside the test functions fails the test just as well.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ORIGIN: &str = env!("CARGO_BIN_EXE_origin");
const FLOOR: &str = env!("CARGO_BIN_EXE_floor");
const LOAD: &str = env!("CARGO_BIN_EXE_load");
const IDLE: &str = env!("CARGO_BIN_EXE_idle");
const STREAM: &str = env!("CARGO_BIN_EXE_stream");

/// A server of this crate, ended with the test.
struct Server {
    child: Option<Child>,
    address: String,
}

impl Server {
    /// Starts `program`; the connection that finds it ready counts as one that it accepted.
    fn start(program: &str, flag: &str, options: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(program)
            .args([flag, &address, "--life", "60"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self { child: Some(child), address };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&server.address).is_err() {
            assert!(Instant::now() < deadline, "{program} does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Ends it and returns what it printed.
    fn stop(mut self) -> String {
        let child = self.child.take().unwrap();
        let status = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(status.success());
        text(&child.wait_with_output().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn run(program: &str, words: &[&str]) -> Output {
    Command::new(program).args(words).stdin(Stdio::piped()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The number after `"key": ` in a line of JSON.
fn number(json: &str, key: &str) -> u64 {
    let (_, rest) = json.split_once(&format!("\"{key}\": ")).unwrap_or_else(|| panic!("no {key} in {json}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn load_and_origin_count_the_same() {
    let origin = Server::start(ORIGIN, "--listen", &[]);
    let output = run(LOAD, &["--target", &origin.address, "--clients", "8", "--requests", "500"]);
    assert!(output.status.success());
    assert_eq!(number(&text(&output), "requests"), 500);
    assert_eq!(number(&text(&output), "connections_opened"), 8);
    let words = ["--target", &origin.address, "--requests", "40", "--reconnect", "--close", "reset"];
    let output = run(LOAD, &words);
    assert_eq!(number(&text(&output), "connections_opened"), 40);

    let counters = origin.stop();
    assert_eq!(number(&counters, "requests"), 540);
    assert_eq!(number(&counters, "accepted"), 8 + 40 + 1);
    assert_eq!(number(&counters, "refused"), 0);
}

#[test]
fn an_open_loop_waits_for_no_answer_and_forgives_none() {
    // Each answer takes 50 ms, and two clients can have 40 a second; 200 are due in the first second.
    let origin = Server::start(ORIGIN, "--listen", &["--delay-ms", "50"]);
    let words = ["--target", &origin.address, "--rate", "200", "--seconds", "1", "--clients"];
    let slow = run(LOAD, &[&words[..], &["2", "--timeout-ms", "60000"]].concat());
    // Those never sent are an error, and the last that were had waited for two seconds.
    assert_eq!(number(&text(&slow), "never_sent"), 1);
    assert!(number(&text(&slow), "max_us") > 1_800_000, "{}", text(&slow));
    assert!(number(&text(&slow), "late_p99_us") > 1_700_000, "{}", text(&slow));

    let settled = ["40", "--settle-ms", "500"];
    let enough = run(LOAD, &[&words[..], &settled].concat());
    assert!(enough.status.success(), "{}", text(&enough));
    assert_eq!(number(&text(&enough), "requests"), 100);
    assert!(number(&text(&enough), "p50_us") >= 50_000);
}

#[test]
fn an_echo_comes_back_from_any_loopback_address() {
    let origin = Server::start(ORIGIN, "--listen", &["--echo", "--all-loopback"]);
    let elsewhere = origin.address.replace("127.0.0.1", "127.43.7.9");
    let output = run(LOAD, &["--target", &elsewhere, "--clients", "3", "--requests", "90", "--echo", "64"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(number(&text(&output), "requests"), 90);
    let words = ["--target", &origin.address, "--requests", "20", "--echo", "1000000", "--clients", "2"];
    let output = run(LOAD, &[&words[..], &["--reconnect"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(number(&text(&output), "connections_opened"), 20);
}

#[test]
fn uploads_and_browsers_are_answered() {
    let origin = Server::start(ORIGIN, "--listen", &[]);
    let words = ["--target", &origin.address, "--clients", "2", "--requests", "10", "--browser"];
    for more in [&["--upload", "0"][..], &["--upload", "3000000"]] {
        let output = run(LOAD, &[&words[..], more].concat());
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(number(&origin.stop(), "requests"), 20);
}

#[test]
fn large_bodies_delays_and_closes_pass_the_floor_whole() {
    // More than the sockets between a client and the origin take at once.
    let bytes = "20000000";
    let options = ["--body", bytes, "--delay-ms", "5", "--close-every", "3", "--threads", "2"];
    let origin = Server::start(ORIGIN, "--listen", &options);
    let words = ["--target", &origin.address, "--clients", "1", "--requests", "6", "--body", bytes];
    let output = run(LOAD, &words);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(number(&text(&output), "connections_opened"), 2);
    assert!(number(&text(&output), "p50_us") >= 5000);

    let floor = Server::start(FLOOR, "--listen", &["--upstream", &origin.address]);
    let words = ["--target", &floor.address, "--clients", "3", "--requests", "6", "--body", bytes];
    let output = run(LOAD, &[&words[..], &["--headers", "1000"]].concat());
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn only_the_first_answer_of_a_connection_may_be_late() {
    let origin = Server::start(ORIGIN, "--listen", &["--delay-first-ms", "300"]);
    let words = ["--target", &origin.address, "--clients", "4", "--requests", "400"];
    let output = run(LOAD, &words);
    assert!(output.status.success(), "{}", text(&output));
    assert!(number(&text(&output), "max_us") >= 300_000, "{}", text(&output));
    assert!(number(&text(&output), "p90_us") < 300_000, "{}", text(&output));
}

#[test]
fn load_fails_on_a_wrong_answer_and_on_none() {
    let origin = Server::start(ORIGIN, "--listen", &["--body", "127"]);
    let output = run(LOAD, &["--target", &origin.address, "--requests", "5"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(number(&text(&output), "length"), 5);

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = run(LOAD, &["--target", &closed, "--requests", "5"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(number(&text(&output), "connect"), 5);
}

#[test]
fn idle_notices_which_connections_were_closed() {
    let origin = Server::start(ORIGIN, "--listen", &[]);
    let output = run(IDLE, &["--target", &origin.address, "--clients", "20"]);
    assert!(output.status.success());
    assert_eq!(number(&text(&output), "still_open"), 20);

    let origin = Server::start(ORIGIN, "--listen", &["--keepalive-timeout", "1"]);
    let mut idle = Command::new(IDLE)
        .args(["--target", &origin.address, "--clients", "20", "--hold", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let open = idle.stdin.take();
    let output = idle.wait_with_output().unwrap();
    drop(open);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(number(&text(&output), "still_open"), 0);
}

#[test]
fn streams_arrive_whole_both_ways() {
    for (protocol, pause, more) in [("tcp", "1", None), ("http", "1", None), ("tcp", "0", Some("--wide"))] {
        let mut options = vec!["--protocol", protocol, "--pause-ms", pause];
        options.extend(more);
        let backend = Server::start(STREAM, "--serve", &options);
        let words = ["--target", &backend.address, "--sessions", "3", "--up", "900000", "--down", "600000"];
        options.extend(more.and(Some("--fin-last")));
        let output = run(STREAM, &[&options[..], &words].concat());
        assert!(output.status.success(), "{options:?}: {}", text(&output));
        assert_eq!(number(&text(&output), "bytes_up"), 900_000);
        assert_eq!(number(&text(&output), "bytes_down"), 600_000);
    }
}

#[test]
fn nothing_but_loopback_is_spoken_to() {
    for program in [ORIGIN, FLOOR, LOAD, IDLE, STREAM] {
        let words = ["--listen", "--upstream", "--target", "--serve"].map(|flag| [flag, "192.0.2.1:80"]);
        let output = run(program, &[&words.concat()[..], &["--protocol", "tcp"]].concat());
        assert_eq!(output.status.code(), Some(2), "{program}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not a loopback address"), "{program}");
    }
}
