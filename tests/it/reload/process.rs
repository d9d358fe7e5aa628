//! A process that is told to reload.

use super::origins;
use crate::harness::{Client, Running, Setup, eventually};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        a_hang_up_reloads,
        the_command_prints_what_is_different,
        the_command_prints_what_is_wrong,
        post_answers_json_and_get_changes_nothing,
        without_a_file_there_is_nothing_to_reload,
        a_drain_is_not_disturbed,
        the_level_of_the_log_is_changed,
    ]
}

fn a_hang_up_reloads() {
    let [one, other] = origins();
    let process = Running::start(&Setup::http([one.address()]));
    let mut client = Client::connect(process.address());
    assert_eq!(client.get("/").text(), "ok");
    process.write(&Setup::http([other.address()]).text());
    process.signal(Signal::HUP);
    let entry = process.wait_for_entry("the configuration is reloaded");
    assert_eq!(entry["generation"], 2);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(other.connections(), 1);
    process.write("nonsense");
    process.signal(Signal::HUP);
    eventually("the log says why not", || process.log_holds("the configuration is not reloaded: error: "));
    assert_eq!(process.statistics()["config"]["file_differs"], true);
    assert_eq!(client.get("/").text(), "ok");
}

fn the_command_prints_what_is_different() {
    let [one, other] = origins();
    let process = Running::start(&Setup::http([one.address()]));
    process.write(&Setup::http([other.address()]).upstream("timeout.connect = \"1s\"").workers(2).text());
    let output = process.command("reload", &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "generation 2".to_owned(),
        format!("+ endpoint app {}", other.address()),
        format!("- endpoint app {}", one.address()),
        "~ upstream app: timeout.connect".to_owned(),
        "~ runtime.workers".to_owned(),
    ] {
        assert!(text.contains(&line), "{line:?} is not in\n{text}");
    }
    let again = process.command("reload", &[]);
    assert!(String::from_utf8(again.stdout).unwrap().contains("nothing is different"));
    let json: Value = serde_json::from_slice(&process.command("reload", &["--json"]).stdout).unwrap();
    assert_eq!(json["generation"], 4);
    assert_eq!(json["endpoints"]["kept"][0]["address"], other.address().to_string());
}

fn the_command_prints_what_is_wrong() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let process = Running::start(&setup);
    process.write(&setup.text().replace("endpoints", "endpoint"));
    for arguments in [&[][..], &["--json"]] {
        let output = process.command("reload", arguments);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("endpoints") && text.contains("unknown key endpoint"), "{text}");
    }
    assert_eq!(process.statistics()["config"]["reload_failures_total"], 2);
    assert_eq!(Client::connect(process.address()).get("/").text(), "ok");
}

fn post_answers_json_and_get_changes_nothing() {
    let [origin] = origins();
    let process = Running::start(&Setup::http([origin.address()]));
    let ask = |head: &str| {
        let mut client = Client::connect(process.admin());
        client.send(format!("{head}\r\nHost: localhost\r\n\r\n"));
        client.response()
    };
    assert_eq!(ask("GET /reload HTTP/1.1").status(), 405);
    assert_eq!(ask("POST /reload HTTP/1.1\r\nOrigin: http://localhost").status(), 403);
    assert_eq!(process.statistics()["config"]["generation"], 1);
    let answer = ask("POST /reload HTTP/1.1");
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status(), &json["generation"]), (200, &Value::from(2)));
    process.write("[runtime]\nworker = 1\n");
    let answer = ask("POST /reload HTTP/1.1");
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status(), 422);
    let all = json["diagnostics"].as_array().unwrap();
    let misspelt = all.iter().find(|found| found["key"] == "runtime.worker").unwrap();
    assert!(misspelt["position"].as_str().unwrap().ends_with(":2"), "{json}");
    assert_eq!((all.len(), &misspelt["fix"]), (3, &Value::from("write workers")));
}

fn without_a_file_there_is_nothing_to_reload() {
    let [origin] = origins();
    let mut command = crate::harness::millpond();
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &origin.address().to_string()]);
    let process = Running::of(command);
    let output = process.command("reload", &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("without a configuration file"), "{text}");
    process.signal(Signal::HUP);
    eventually("the log says so", || {
        process.log_holds("SIGHUP: millpond was started without a configuration file")
    });
    assert_eq!(process.statistics()["config"]["reload_failures_total"], 0);
}

fn a_drain_is_not_disturbed() {
    let (origin, gate) = crate::harness::Origin::gated();
    let mut process = Running::start(&Setup::http([origin.address()]));
    let mut client = Client::connect(process.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    process.signal(Signal::TERM);
    eventually("it drains", || process.statistics()["draining"] == true);
    let output = process.command("reload", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("draining"));
    gate.open();
    assert_eq!(client.response().text(), "ok");
    client.expect_eof();
    drop(client);
    assert_eq!(process.wait().code(), Some(0));
}

fn the_level_of_the_log_is_changed() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let process = Running::start(&setup);
    process.write(&format!("{}[log]\nlevel = \"error\"\n", setup.text()));
    assert_eq!(process.command("reload", &[]).status.code(), Some(0));
    process.write(&format!("{}[log]\nlevel = \"info\"\n", setup.text()));
    assert_eq!(process.command("reload", &[]).status.code(), Some(0));
    // The first was said when the level was set already, and the second too.
    let generation = process.wait_for_entry("the configuration is reloaded")["generation"].clone();
    assert_eq!(generation, 3);
}
