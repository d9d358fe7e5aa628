//! The admin server of a process: who may ask it, and what it streams.

use crate::harness::{Client, DEADLINE, Origin, Running, Setup, millpond, within};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::NamedTempFile;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        the_token_opens_it_to_the_command_line,
        with_a_token_it_listens_on_any_address,
        without_its_token_nothing_starts,
        a_token_that_everybody_may_read_is_warned_of,
        events_follow_a_load_and_tell_of_the_end,
        the_history_grows,
    ]
}

const TOKEN: &str = "a-token-of-these-tests";

fn file_with(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// `millpond run` with this token file and admin address, in front of an origin.
fn run(origin: SocketAddr, token_file: &Path, admin: &str) -> Command {
    let mut command = millpond();
    command.env("MILLPOND_ADMIN_TOKEN_FILE", token_file).env("MILLPOND_ADMIN_LISTEN", admin);
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &origin.to_string()]);
    command
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn the_token_opens_it_to_the_command_line() {
    let (file, other) = (file_with(&format!("{TOKEN}\n")), file_with("another-token-than-that"));
    let origin = Origin::saying("ok");
    let process = Running::of(run(origin.address(), file.path(), "127.0.0.1:0"));
    let with =
        |file: &NamedTempFile| process.stats(&["--json", "--token-file", file.path().to_str().unwrap()]);
    let output = with(&file);
    assert!(output.status.success(), "{output:?}");
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok());

    let refused = process.stats(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("401") && err(&refused).contains("--token-file"), "{}", err(&refused));
    let refused = with(&other);
    assert!(!refused.status.success() && err(&refused).contains("not the token"), "{}", err(&refused));
    assert_eq!(process.wait_for_entry("the admin server was asked with a wrong token")["count"], 1);

    let mut command = millpond();
    command.env("MILLPOND_ADMIN_TOKEN_FILE", file.path());
    let output = command.args(["stats", "--admin", &process.admin().to_string()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let missing = process.stats(&["--token-file", "/nowhere/token"]);
    assert!(err(&missing).contains("/nowhere/token cannot be read"), "{}", err(&missing));
}

fn with_a_token_it_listens_on_any_address() {
    let file = file_with(TOKEN);
    let origin = Origin::saying("ok");
    let process = Running::of(run(origin.address(), file.path(), "0.0.0.0:0"));
    let admin = SocketAddr::from(([127, 0, 0, 1], process.admin().port()));
    assert!(process.admin().ip().is_unspecified());
    let ask = |path: &str, more: &str| {
        let mut client = Client::connect(admin);
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: proxy.example.com\r\nConnection: close\r\n{more}\r\n"
        ));
        client.response().status()
    };
    assert_eq!(ask("/stats", ""), 401);
    assert_eq!(ask("/stats", &format!("Authorization: Bearer {TOKEN}\r\n")), 200);
    assert_eq!(ask("/readyz", ""), 200);
}

fn without_its_token_nothing_starts() {
    let origin = Origin::saying("ok");
    let short = file_with("short\n");
    for (file, admin, why) in [
        (Path::new("/nowhere/token"), "127.0.0.1:0", "/nowhere/token cannot be read"),
        (short.path(), "127.0.0.1:0", "has 5 characters, and needs 16"),
        (Path::new("none"), "0.0.0.0:0", "can be reached from other hosts, and there is no admin.token_file"),
        (Path::new("token"), "127.0.0.1:0", "\"token\" is not the path of a file"),
    ] {
        let output = run(origin.address(), file, admin).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(err(&output).contains(why), "{why}: {}", err(&output));
        assert!(!err(&output).contains("short\n"), "{}", err(&output));
    }
    assert_eq!(origin.connections(), 0);
}

fn a_token_that_everybody_may_read_is_warned_of() {
    let file = file_with(TOKEN);
    let origin = Origin::saying("ok");
    for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true)] {
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let process = Running::of(run(origin.address(), file.path(), "127.0.0.1:0"));
        let entry = process.entry("every user of this host may use the admin token; chmod 600");
        assert_eq!(
            entry.map(|entry| entry["mode"].as_str() == Some("0644")),
            warned.then_some(true),
            "{mode:o}"
        );
    }
}

/// The events of a stream: kind and data of each.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(admin: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nHost: {admin}\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event; `None`: the connection has ended.
    fn next(&mut self) -> Option<(String, Value)> {
        let mut kind = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(found) = line.strip_prefix("event: ") {
                kind = Some(found.trim_end().to_owned());
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((kind.expect("an event has a kind"), serde_json::from_str(data).unwrap()));
            }
        }
    }
}

fn events_follow_a_load_and_tell_of_the_end() {
    let origin = Origin::saying("ok");
    let mut process = Running::start(&Setup::http([origin.address()]));
    let mut events = Events::open(process.admin());
    assert_eq!(events.next().unwrap().1["listeners"][0]["requests_total"], 0);
    let mut client = Client::connect(process.address());
    (0..7).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    let seen = loop {
        let (kind, snapshot) = events.next().expect("it goes on");
        assert_eq!(kind, "snapshot");
        if snapshot["listeners"][0]["requests_total"] == 7 {
            break snapshot;
        }
    };
    assert_eq!(seen["listeners"][0]["sessions"]["current"], 1);
    drop(client);
    process.signal(Signal::TERM);
    let mut last = events.next().expect("an end is told");
    while last.0 == "snapshot" {
        last = events.next().expect("an end is told");
    }
    assert_eq!(last.0, "end");
    assert_eq!(events.next(), None);
    assert_eq!(process.wait().code(), Some(0));
}

fn the_history_grows() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let get = |path: &str| -> Value {
        let mut client = Client::connect(process.admin());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let answer = client.response();
        serde_json::from_slice(&answer.body).unwrap()
    };
    let mut client = Client::connect(process.address());
    let samples = |columns: &Value| columns["times_ms"].as_array().unwrap().len();
    let mut columns = Value::Null;
    within(2 * DEADLINE, "a second sample, five seconds after the first", || {
        (0..10).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
        columns = get("/history");
        samples(&columns) >= 2
    });
    let first = &columns["times_ms"][0];
    let rates = &columns["listeners"]["each"][0]["requests_per_s"];
    assert!(rates[0].is_null() && rates[1].as_f64().is_some_and(|rate| rate > 0.0), "{columns}");
    assert_eq!(columns["endpoints"]["each"][0]["address"], origin.address().to_string());
    let newer = get(&format!("/history?after={first}"));
    assert!(
        samples(&newer) >= samples(&columns) - 1 && newer["times_ms"][0] == columns["times_ms"][1],
        "{newer}"
    );
}
