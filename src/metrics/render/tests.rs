use super::*;
use crate::metrics::names::Kind;
use crate::observe::fixture;
use crate::sys::netstat::{TcpCounters, TcpSockets};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

fn host() -> Host {
    let tcp = TcpCounters {
        listen_overflows: Some(5),
        listen_drops: Some(6),
        syn_queue_drops: Some(7),
        syn_queue_cookies: Some(8),
        syncookies_sent: Some(9),
        time_wait_overflow: Some(10),
        migrated_requests: Some(11),
    };
    let tcp_sockets = TcpSockets { orphans: Some(12), time_wait: Some(13), memory_bytes: Some(4096) };
    Host {
        descriptors: Some(41),
        resident_bytes: Some(1 << 20),
        tcp,
        tcp_sockets,
        tcp_memory_limit: Some(1 << 30),
        ..Host::default()
    }
}

/// One parsed sample.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Reads the exposition format back, and panics on a line that breaks its grammar.
fn parse(text: &str) -> (HashMap<String, String>, Vec<Sample>) {
    let (mut types, mut helps, mut samples) = (HashMap::new(), HashSet::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty() && helps.insert(name.to_owned()), "second HELP: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(helps.contains(name), "TYPE before HELP: {line}");
            assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "second TYPE: {line}");
        } else {
            samples.push(parse_sample(line));
        }
    }
    assert!(text.ends_with('\n'));
    (types, samples)
}

fn parse_sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            let (value, after) = unescape(after);
            labels.push((label.to_owned(), value));
            rest = &after[1..];
            match after.as_bytes()[0] {
                b',' => {}
                b'}' => break,
                other => panic!("{} after a label in {line}", other as char),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line).parse().expect(line);
    Sample { name: name.to_owned(), labels, value }
}

/// A quoted value and what follows its closing quote.
fn unescape(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some(c @ ('\\' | '"')) => value.push(c),
                other => panic!("escape {other:?}"),
            },
            other => value.push(other),
        }
    }
    panic!("no closing quote: {text}")
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let same = |s: &&Sample| {
        s.name == name && s.labels.iter().map(|(l, v)| (l.as_str(), v.as_str())).eq(labels.iter().copied())
    };
    samples.iter().find(same).unwrap_or_else(|| panic!("no {name}{labels:?}")).value
}

#[test]
fn every_metric_is_there_once_and_belongs_to_its_family() {
    let (types, samples) = parse(&render(&fixture::registry(), &host(), Some(0)));
    let listed: HashMap<_, _> =
        names::ALL.iter().map(|m| (m.name.to_owned(), m.kind.word().to_owned())).collect();
    assert_eq!(types, listed);
    let mut series = HashSet::new();
    for sample in &samples {
        let belongs = |metric: &&Metric| match metric.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| sample.name.strip_suffix(suffix) == Some(metric.name)),
            _ => sample.name == metric.name,
        };
        let metric = names::ALL.iter().find(belongs).unwrap_or_else(|| panic!("{sample:?}"));
        let labels: Vec<_> = sample.labels.iter().map(|(l, _)| l.as_str()).filter(|l| *l != "le").collect();
        // The sockets of a client have no endpoint, and the other way round.
        let is_one_of_two = sample.name == names::TCP_SOCKETS.name;
        let expected: Vec<_> =
            metric.labels.iter().copied().filter(|label| !is_one_of_two || labels.contains(label)).collect();
        assert_eq!(labels, expected, "{sample:?}");
        assert!(!is_one_of_two || labels.len() >= 3, "{sample:?}");
        assert!(series.insert(format!("{}{:?}", sample.name, sample.labels)), "twice: {sample:?}");
    }
}

#[test]
fn counts_are_summed_over_workers_and_addresses() {
    let (_, samples) = parse(&render(&fixture::registry(), &host(), None));
    let web = ("listener", "web");
    assert_eq!(value(&samples, "millpond_sessions", &[web]), 3.0);
    assert_eq!(value(&samples, "millpond_requests_total", &[web]), 1010.0);
    assert_eq!(value(&samples, "millpond_requests_total", &[("listener", "db")]), 0.0);
    assert_eq!(value(&samples, "millpond_closes_total", &[web, ("reason", "client_fin")]), 80.0);
    assert_eq!(value(&samples, "millpond_rejects_total", &[web, ("reason", "pool_timeout")]), 2.0);
    assert_eq!(value(&samples, "millpond_responses_total", &[web, ("class", "5xx")]), 1.0);
    let endpoint = [("upstream", "app"), ("endpoint", "127.0.0.1:3000")];
    let idle = [endpoint[0], endpoint[1], ("state", "idle")];
    assert_eq!(value(&samples, "millpond_upstream_connections", &idle), 2.0);
    assert_eq!(value(&samples, "millpond_upstream_connections_reused_total", &endpoint), 997.0);
    let source = [endpoint[0], endpoint[1], ("source", "127.0.0.1")];
    assert_eq!(value(&samples, "millpond_source_ports_used", &source), 3.0);
    assert_eq!(value(&samples, "millpond_source_ports_free", &source), 28_229.0);
    assert_eq!(value(&samples, "millpond_upstream_idle_timeout_seconds", &endpoint), 4.0);
    assert_eq!(value(&samples, "millpond_descriptors", &[("state", "other")]), 35.0);
    assert_eq!(value(&samples, "millpond_descriptors_limit", &[]), 20_000.0);
    let client = [("side", "client"), web];
    let upstream = [("side", "upstream"), endpoint[0], endpoint[1]];
    let sockets = |labels: &[(&str, &str)], state| {
        value(&samples, "millpond_tcp_sockets", &[labels, &[("state", state)]].concat())
    };
    assert_eq!(["established", "time_wait", "listen"].map(|state| sockets(&client, state)), [3.0, 1.0, 2.0]);
    assert_eq!(["established", "close_wait"].map(|state| sockets(&upstream, state)), [3.0, 0.0]);
    let queue = ["depth", "depth_max", "limit"].map(|figure| format!("millpond_accept_queue_{figure}"));
    assert_eq!(queue.map(|name| value(&samples, &name, &[web])), [4.0, 7.0, 512.0]);
    assert_eq!(value(&samples, "millpond_listen_drops_total", &[web]), 9.0);
    let files = [("budget", "files")];
    let budget =
        ["used", "limit", "exhaustion_seconds", "level"].map(|figure| format!("millpond_budget_{figure}"));
    assert_eq!(budget.map(|name| value(&samples, &name, &files)), [900.0, 1000.0, 50.0, 1.0]);
    assert!(!samples.iter().any(|s| s.name.starts_with("millpond_budget") && s.labels[0].1 == "conntrack"));
    assert_eq!(value(&samples, "millpond_census_sockets", &[]), 7.0);
    assert_eq!(value(&samples, "millpond_census_taken_total", &[]), 1.0);
    assert_eq!(value(&samples, "millpond_census_cpu_seconds_total", &[]), 0.25);
    assert_eq!(value(&samples, "millpond_close_wait_sockets", &[]), 2.0);
    assert_eq!(value(&samples, "millpond_close_wait_oldest_seconds", &[]), 1.5);
    assert_eq!(value(&samples, "millpond_close_wait_reaped_total", &[]), 1.0);
}

#[test]
fn histogram_buckets_are_cumulative_and_end_at_the_count() {
    let (_, samples) = parse(&render(&fixture::registry(), &host(), None));
    let web = ("listener", "web");
    let below = |le| value(&samples, "millpond_request_duration_seconds_bucket", &[web, ("le", le)]);
    let found = ["0.0001", "0.00025", "0.01", "0.025", "60", "+Inf"].map(below);
    assert_eq!(found, [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
    assert_eq!(value(&samples, "millpond_request_duration_seconds_count", &[web]), 3.0);
    assert_eq!(value(&samples, "millpond_request_duration_seconds_sum", &[web]), 3600.0202);
}

#[test]
fn what_could_not_be_read_is_absent() {
    let registry = fixture::registry();
    registry.close_wait.stuck.failed("no answer".into());
    registry.census.last.failed("no answer".into());
    registry.census.queues.failed("no answer".into());
    let (_, samples) = parse(&render(&registry, &Host::default(), None));
    for absent in [
        "millpond_memory_resident_bytes",
        "millpond_access_log_lines_lost_total",
        "millpond_source_ports_exhaustion_seconds",
        "millpond_close_wait_sockets",
        "millpond_close_wait_oldest_seconds",
        "millpond_tcp_sockets",
        "millpond_accept_queue_depth",
        "millpond_listen_drops_total",
        "millpond_census_age_seconds",
    ] {
        assert!(!samples.iter().any(|sample| sample.name == absent), "{absent}");
    }
    let other = |s: &&Sample| s.name == "millpond_descriptors" && s.labels[0].1 == "other";
    assert!(samples.iter().find(other).is_none());
}

#[test]
fn an_endpoint_that_is_left_out_is_not_up() {
    let mut config = fixture::config();
    let mut upstream = fixture::upstream("app", &[3000, 3001]);
    upstream.passive.failures = 1;
    config.upstreams = vec![upstream.into()];
    let registry = fixture::registry_of(&config);
    registry.running().upstreams[0].health.failed(1, Instant::now());
    let (_, samples) = parse(&render(&registry, &host(), None));
    let up =
        |endpoint| value(&samples, "millpond_endpoint_up", &[("upstream", "app"), ("endpoint", endpoint)]);
    assert_eq!((up("127.0.0.1:3000"), up("127.0.0.1:3001")), (1.0, 0.0));
}

#[test]
fn label_values_are_escaped() {
    let mut text = Text { out: String::new() };
    text.family(names::SESSIONS).sample(&["a\"b\\c\nd é"], 1);
    let (_, samples) = parse(&text.out);
    assert_eq!(samples[0].labels[0].1, "a\"b\\c\nd é");
    assert_eq!(text.out.lines().count(), 3);
}
