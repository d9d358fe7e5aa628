//! What a running instance is asked by the command line: `millpond drain` and `millpond health`.

use crate::harness::{Client, Gate, Origin, Refusing, Running, Setup, millpond};
use libtest_mimic::Trial;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::NamedTempFile;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        drain_begins_a_drain_and_health_tells_of_it,
        drain_waits_for_the_end,
        drain_carries_the_token,
        health_needs_no_token,
        the_variable_of_the_instance_stands_for_the_option,
        nobody_is_there_to_ask,
    ]
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// `millpond` with these words, then `--admin` and this address.
fn ask(words: &[&str], admin: &str) -> Output {
    command(words, admin).output().unwrap()
}

fn command(words: &[&str], admin: &str) -> Command {
    let mut command = millpond();
    command.args(words).args(["--admin", admin]);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An instance with a request that its origin answers when the gate is open, and its client.
fn busy() -> (Origin, Running, Gate, Client) {
    let (origin, gate) = Origin::gated();
    let process = Running::start(&Setup::http([origin.address()]));
    let client = Client::connect(process.address());
    client.send(GET);
    origin.wait_for_requests(1);
    (origin, process, gate, client)
}

fn drain_begins_a_drain_and_health_tells_of_it() {
    let (_origin, mut process, gate, mut client) = busy();
    let admin = process.admin().to_string();
    for (words, says) in [(&["health"][..], "ready\n"), (&["health", "--live"], "ok\n")] {
        let output = ask(words, &admin);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), says), "{output:?}");
    }
    let output = ask(&["drain"], &admin);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), format!("{admin} drains\n"));

    let output = ask(&["health"], &admin);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{output:?}");
    assert!(text(&output.stderr).contains("503 Service Unavailable to GET /readyz: draining"), "{output:?}");
    assert_eq!(ask(&["health", "--live"], &admin).status.code(), Some(0));
    gate.open();
    assert_eq!(client.response().text(), "ok");
    drop(client);
    assert_eq!(process.wait().code(), Some(0));
}

fn drain_waits_for_the_end() {
    let (_origin, mut process, gate, mut client) = busy();
    let admin = process.admin().to_string();
    let mut drain = command(&["drain", "--wait"], &admin).stdout(Stdio::piped()).spawn().unwrap();
    process.wait_for_entry("the admin server was asked to drain");
    // It looks ten times a second.
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(100));
        assert!(process.is_running() && drain.try_wait().unwrap().is_none(), "both wait for the request");
    }
    gate.open();
    assert_eq!(client.response().text(), "ok");
    drop(client);
    let output = drain.wait_with_output().unwrap();
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains(&format!("{admin} has ended after ")), "{output:?}");
}

fn drain_carries_the_token() {
    let mut token = NamedTempFile::new().unwrap();
    token.write_all(b"a-token-of-these-tests\n").unwrap();
    let path = token.path().to_str().unwrap();
    let mut process = Running::of(with_token(path));
    let admin = process.admin().to_string();
    let refused = ask(&["drain"], &admin);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--token-file"), "{refused:?}");
    assert_eq!(ask(&["health"], &admin).status.code(), Some(0), "nothing has changed");
    let output = ask(&["drain", "--wait", "--token-file", path], &admin);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(process.wait().code(), Some(0));
}

fn with_token(path: &str) -> Command {
    let mut run = millpond();
    run.env("MILLPOND_ADMIN_TOKEN_FILE", path);
    run.args(["run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    run
}

/// Not even a variable that names one, which cannot be read.
fn health_needs_no_token() {
    let mut token = NamedTempFile::new().unwrap();
    token.write_all(b"a-token-of-these-tests\n").unwrap();
    let process = Running::of(with_token(token.path().to_str().unwrap()));
    let mut health = command(&["health"], &process.admin().to_string());
    let output = health.env("MILLPOND_ADMIN_TOKEN_FILE", "/nowhere/token").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn the_variable_of_the_instance_stands_for_the_option() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("admin.sock").display());
    let mut run = millpond();
    run.env("MILLPOND_ADMIN_LISTEN", &socket);
    run.args(["run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    let mut process = Running::of(run);
    for words in [&["health"][..], &["stats"], &["drain", "--wait"]] {
        let output = millpond().args(words).env("MILLPOND_ADMIN_LISTEN", &socket).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    }
    assert_eq!(process.wait().code(), Some(0));
}

fn nobody_is_there_to_ask() {
    let unused = Refusing::new();
    let admin = unused.address().to_string();
    for words in [&["health"][..], &["drain"], &["drain", "--wait"]] {
        let output = ask(words, &admin);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{output:?}");
        let message = text(&output.stderr);
        assert!(message.contains(&format!("no millpond answers at {admin}")), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
