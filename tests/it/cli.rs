//! The program as it is called: exit codes, and what it says.

use crate::harness::{Client, Origin, Refusing, Running, Setup, free_address, millpond};
use libtest_mimic::Trial;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output};
use tempfile::NamedTempFile;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        run_with_addresses_serves_http,
        run_with_addresses_serves_tcp,
        run_says_which_listener_has_no_port_and_starts_nothing,
        run_says_what_is_wrong_with_its_configuration,
        run_says_which_admin_address_is_taken,
        check_tells_by_its_exit_code,
        doctor_tells_by_its_exit_code_what_is_critical,
        doctor_changes_nothing,
        doctor_says_what_is_wrong_with_its_configuration,
        a_wrong_command_line_is_exit_code_2,
        a_plan_tells_by_its_exit_code,
        demo_ends_with_its_table,
        stats_of_a_running_instance,
        stats_of_nobody,
        top_needs_a_terminal,
    ]
}

fn run_with_addresses_serves_http() {
    let (one, other) = (Origin::saying("ok"), Origin::saying("ok"));
    let mut command = millpond();
    let upstreams = format!("{},{}", one.address(), other.address());
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &upstreams]);
    let process = Running::of(command);
    for _ in 0..10 {
        assert_eq!(Client::connect(process.address()).get("/").text(), "ok");
    }
}

fn run_with_addresses_serves_tcp() {
    let origin = Origin::start(|conn| conn.send("220 ready"));
    let mut command = millpond();
    let upstream = origin.address().to_string();
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &upstream, "--tcp"]);
    let process = Running::of(command);
    assert_eq!(Client::connect(process.address()).rest(), b"220 ready");
}

/// Runs the program to its end with a configuration file in the place of `FILE`.
fn with_file(arguments: &[&str], text: &str) -> Output {
    with_file_in(arguments, text).0.output().unwrap()
}

/// The same, to be run as long as the file is kept.
fn with_file_in(arguments: &[&str], text: &str) -> (Command, NamedTempFile) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = arguments.iter().map(|argument| if *argument == "FILE" { path } else { argument });
    let mut command = millpond();
    command.args(arguments);
    (command, file)
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run_says_which_listener_has_no_port_and_starts_nothing() {
    let origin = Origin::saying("ok");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken_at, free) = (taken.local_addr().unwrap(), free_address());
    let text = format!(
        "[[listener]]\nname = \"good\"\nbind = \"{free}\"\nupstream = \"app\"\n\
         [[listener]]\nname = \"bad\"\nbind = \"{taken_at}\"\nupstream = \"app\"\n\
         [[upstream]]\nname = \"app\"\nendpoints = [\"{}\"]\npool.min_idle = 1\n",
        origin.address(),
    );
    let output = with_file(&["run", "-c", "FILE"], &text);
    let message = err(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("\"bad\"") && message.contains(&taken_at.to_string()), "{message}");
    assert_eq!(origin.connections(), 0);
}

fn run_says_what_is_wrong_with_its_configuration() {
    let text = Setup::http([free_address()]).listener("timeout.headr = \"1s\"").text();
    let output = with_file(&["run", "-c", "FILE"], &text);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("headr") && err(&output).contains("header"), "{}", err(&output));
    let output = millpond().args(["run", "-c", "/nowhere/x.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("/nowhere/x.toml"), "{}", err(&output));
}

fn run_says_which_admin_address_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    let mut command = millpond();
    command.env("MILLPOND_ADMIN_LISTEN", &admin);
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&admin), "{}", err(&output));
}

fn check_tells_by_its_exit_code() {
    let good = Setup::http([free_address()]).text();
    let spare = format!("{good}[[upstream]]\nname = \"spare\"\nendpoints = [\"127.0.0.1:1\"]\n");
    let bad = Setup::http([free_address()]).upstream("balance = \"rund_robin\"").text();
    for (text, arguments, code, says) in [
        (&good, &["check", "-c", "FILE"][..], 0, "ok (1 listener, 1 upstream)"),
        (&spare, &["check", "-c", "FILE"], 0, "1 warning"),
        (&spare, &["check", "-c", "FILE", "--strict"], 1, "spare"),
        (&bad, &["check", "-c", "FILE"], 1, "round_robin"),
    ] {
        let output = with_file(arguments, text);
        assert_eq!(output.status.code(), Some(code), "{}", out(&output));
        assert!(out(&output).contains(says), "{}", out(&output));
    }
}

fn doctor_tells_by_its_exit_code_what_is_critical() {
    let text = Setup::http([free_address()]).text();
    let nowhere = format!("log.access = \"/nowhere/access.log\"\n{text}");
    let output = with_file(&["doctor", "-c", "FILE"], &nowhere);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("\n  critical  log.access  "), "{}", out(&output));

    // What else is critical depends on the host.
    let output = with_file(&["doctor", "--json", "-c", "FILE"], &text);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_critical = report["summary"]["critical"] != 0;
    assert_eq!(output.status.code(), Some(i32::from(is_critical)), "{report:#}");

    let output = millpond().arg("doctor").output().unwrap();
    assert!(out(&output).starts_with("Configuration: none given, so the defaults"), "{}", out(&output));
    assert!(out(&output).contains("\n  ok        log.access  "), "{}", out(&output));
    assert!(!out(&output).contains('\u{1b}') && err(&output).is_empty(), "{output:?}");
}

fn doctor_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name).display().to_string();
    let paths = format!("admin.listen = \"unix:{}\"\nlog.access = \"{}\"\n", path("a.sock"), path("b.log"));
    let text = Setup::http([free_address()]).text().replace("[admin]\nlisten = \"127.0.0.1:0\"\n", "");
    let (mut command, _file) = with_file_in(&["doctor", "-c", "FILE"], &format!("{paths}{text}"));
    let output = command.env_remove("MILLPOND_ADMIN_LISTEN").output().unwrap();
    for name in ["admin.listen", "log.access"] {
        assert!(out(&output).contains(&format!("\n  ok        {name}  ")), "{}", out(&output));
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

fn doctor_says_what_is_wrong_with_its_configuration() {
    let text = Setup::http([free_address()]).listener("timeout.headr = \"1s\"").text();
    let output = with_file(&["doctor", "--json", "-c", "FILE"], &text);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    assert!(err(&output).contains("headr"), "{}", err(&output));
}

fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [&["run"][..], &["check"], &["nonsense"], &[]] {
        let output = millpond().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains("Usage"), "{arguments:?}: {}", err(&output));
    }
}

fn a_plan_tells_by_its_exit_code() {
    let plan = |rate: &str| millpond().args(["plan", "--rate", rate, "--ports", "28232"]).output().unwrap();
    let (holds, fails, wrong) = (plan("470"), plan("471"), plan("some"));
    assert_eq!(holds.status.code(), Some(0), "{}", out(&holds));
    assert_eq!(fails.status.code(), Some(1), "{}", out(&fails));
    assert!(out(&fails).contains("run out after 59.9s"), "{}", out(&fails));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("write a whole number from 1"), "{}", err(&wrong));
}

fn demo_ends_with_its_table() {
    let output = millpond().args(["demo", "--once"]).output().unwrap();
    let text = out(&output);
    assert!(output.status.success(), "{text}{}", err(&output));
    for words in ["CLIENTS", "keep-alive", "one connection a request", "time_wait", "ports free"] {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
    let row = text.lines().find(|line| line.starts_with("keep-alive")).unwrap();
    assert_eq!(row.split_whitespace().nth(2), Some("0"), "no request failed: {row}");
    assert!(!text.contains('\u{1b}'), "no colour where there is no terminal");
}

fn stats_of_a_running_instance() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]).workers(2));
    let mut client = Client::connect(process.address());
    (0..5).for_each(|_| assert_eq!(client.get("/").text(), "ok"));

    let json = process.statistics();
    let (listener, endpoint) = (&json["listeners"][0], &json["upstreams"][0]["endpoints"][0]);
    assert_eq!((listener["name"].as_str(), listener["requests_total"].as_u64()), (Some("web"), Some(5)));
    assert_eq!(listener["sessions"]["current"], 1);
    assert_eq!(endpoint["address"], origin.address().to_string());
    assert_eq!((endpoint["opened_total"].as_u64(), endpoint["reused_total"].as_u64()), (Some(1), Some(4)));
    assert_eq!(
        (endpoint["connections"]["idle"].as_u64(), endpoint["health"].as_str()),
        (Some(1), Some("up"))
    );
    assert!(json["process"]["fds"]["used"].as_u64().is_some_and(|used| used > 5), "{json}");

    let output = process.stats(&[]);
    let text = out(&output);
    assert!(output.status.success() && err(&output).is_empty(), "{output:?}");
    for words in ["LISTENER", "web", "UPSTREAM", &origin.address().to_string(), "80.0%"] {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
}

fn stats_of_nobody() {
    let unused = Refusing::new();
    let nobody = unused.address().to_string();
    let output = millpond().args(["stats", "--admin", &nobody]).output().unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    let message = err(&output);
    assert!(message.contains(&nobody) && message.contains("refused"), "{message}");
    assert!(message.contains("--admin") && message.lines().count() == 1, "{message}");
}

fn top_needs_a_terminal() {
    let output = millpond().arg("top").output().unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    let message = err(&output);
    assert!(message.contains("needs a terminal") && message.contains("millpond stats"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}
