//! Prometheus with the configuration and the rules that are shipped: it scrapes millpond, and what the
//! rules and the dashboard ask is answered.

use super::process::{Server, free_address, succeeds, succeeds_with};
use super::program::{CURL, PROMETHEUS, PROMTOOL};
use crate::harness::{Client, NameServer, Origin, Running, Setup, within};
use libtest_mimic::Trial;
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![promtool_finds_nothing_to_complain_of, rules_and_dashboard_are_answered]
}

/// For a rate Prometheus needs two scrapes, and the rules above it more rounds; there is one a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the dashboard asks for only if there is trouble: a filter, a forecast, an alert, an access log.
const MAYBE_NOTHING: [&str; 4] = [" > 0", "_exhaustion_seconds", "ALERTS", "_access_log_lines_lost_total"];

fn promtool_finds_nothing_to_complain_of() {
    let millpond = served();
    let directory = TempDir::new().unwrap();
    let metrics = directory.path().join("metrics");
    let address = format!("http://{}/metrics", millpond.admin());
    succeeds(CURL.command().args(["--silent", "--fail", "--output"]).arg(&metrics).arg(address));
    succeeds_with(File::open(metrics).unwrap(), PROMTOOL.command().args(["check", "metrics"]));
}

fn rules_and_dashboard_are_answered() {
    let millpond = served();
    let prometheus = Prometheus::scraping(millpond.admin());
    prometheus.wait_for("up{job=\"millpond\"} == 1");
    prometheus.wait_for("listener:millpond_traffic:rate5m");
    prometheus.wait_for("listener_reason:millpond_rejects_server:ratio_rate5m");

    let rules = prometheus.get("rules", &[]);
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules: Vec<_> = groups.flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 30, "{} rules", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{}: {}", rule["name"], rule["lastError"]);
    }
    for (panel, expression) in dashboard() {
        let answer = prometheus.ask(&expression);
        let is_empty = answer["result"].as_array().unwrap().is_empty();
        let may_be = MAYBE_NOTHING.iter().any(|word| expression.contains(word));
        assert!(!is_empty || may_be, "{panel:?} shows nothing: {expression}");
    }
}

/// millpond, which has answered a few requests from an endpoint behind a name.
#[track_caller]
fn served() -> Running {
    let (origin, names) = (Origin::saying("ok"), NameServer::start());
    let address = origin.address();
    names.has("app.test", 0, &[address.ip()]);
    let endpoint = format!("{{ dns = \"app.test:{}\" }}", address.port());
    let millpond = Running::start(&Setup::http([]).endpoint(&endpoint).asking(&names));
    let mut client = Client::connect(millpond.address());
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "ok");
    }
    millpond
}

/// Every expression of the dashboard's panels as Grafana would ask it, with the panel's title.
fn dashboard() -> Vec<(String, String)> {
    let text = fs::read_to_string(deployed("grafana/millpond.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| Some((panel["title"].as_str()?, panel["targets"].as_array()?)));
    let expressions = targets.flat_map(|(title, targets)| {
        let texts = targets.iter().filter_map(|target| target["expr"].as_str());
        texts.map(move |text| (title.to_owned(), chosen(text)))
    });
    expressions.collect()
}

/// With everything chosen, over the last minute.
fn chosen(expression: &str) -> String {
    let variables = ["$instance", "$listener", "$upstream", "$endpoint"];
    let expression = expression.replace("$__rate_interval", "1m");
    variables.iter().fold(expression, |text, variable| text.replace(variable, ".+"))
}

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// A running Prometheus with a directory of its own.
#[derive(Debug)]
struct Prometheus {
    address: SocketAddr,
    // Dropped before its directory.
    _server: Server,
    _directory: TempDir,
}

impl Prometheus {
    /// With the shipped configuration, but the target's address and shorter intervals.
    #[track_caller]
    fn scraping(target: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        let root = directory.path();
        let shipped = fs::read_to_string(deployed("prometheus/prometheus.yml")).unwrap();
        let rules = deployed("prometheus/rules").display().to_string();
        let replacements =
            [("127.0.0.1:9900", &*target.to_string()), ("15s", "1s"), ("rules/", &*(rules + "/"))];
        let text = replacements.iter().fold(shipped, |text, (from, to)| {
            assert!(text.contains(from), "{from} in {text}");
            text.replace(from, to)
        });
        let configuration = root.join("prometheus.yml");
        fs::write(&configuration, text).unwrap();
        let address = free_address();
        let mut command = PROMETHEUS.command();
        command.arg(format!("--config.file={}", configuration.display()));
        command.arg(format!("--storage.tsdb.path={}", root.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let mut server = Server::spawn(root, &mut command);
        server.wait_until_it_says("Server is ready");
        Self { address, _server: server, _directory: directory }
    }

    /// What its HTTP API answers.
    #[track_caller]
    fn get(&self, path: &str, parameters: &[&str]) -> Value {
        let mut command = CURL.command();
        command.args(["--silent", "--get"]);
        parameters.iter().for_each(|parameter| {
            command.args(["--data-urlencode", parameter]);
        });
        let answer = succeeds(command.arg(format!("http://{}/api/v1/{path}", self.address)));
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].take()
    }

    /// What an expression gives now.
    #[track_caller]
    fn ask(&self, expression: &str) -> Value {
        self.get("query", &[&format!("query={expression}")])
    }

    /// Waits until an expression gives something.
    #[track_caller]
    fn wait_for(&self, expression: &str) {
        within(PATIENCE, expression, || !self.ask(expression)["result"].as_array().unwrap().is_empty());
    }
}
