//! Ports, and what a NAT means for other keys.

use super::{SOUND, errors, loaded, one};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::model::{Nat, Source, Upstream, UpstreamSocket};
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn upstream(lines: &str) -> Upstream {
    let loaded = loaded(&format!("{SOUND}{lines}"));
    assert_eq!(loaded.warnings, [], "{lines}");
    (*loaded.config.upstreams[0]).clone()
}

fn source(key: &str) -> Source {
    upstream(&format!("source.{key}")).source
}

#[test]
fn ports_are_a_range_or_the_kernels() {
    assert_eq!(source("ports = \"auto\"").ports, None);
    assert_eq!(source("ports = \"20000-40000\"").ports, Some(20_000..=40_000));
    assert_eq!(source("ports = \" 1 - 2 \"").ports, Some(1..=2));
    for (written, message, fix) in [
        ("40000-20000", "begins after its end", "write \"20000-40000\""),
        ("2-2", "is a single port", "two at least"),
        ("0-2", "is out of range", "from 1 to 65535"),
        ("1-65536", "is out of range", "from 1 to 65535"),
        ("99999-0", "is out of range", "from 1 to 65535"),
        ("1-99999999999999999999", "is not a range of ports", "such as"),
        ("20000", "is not a range of ports", "\"auto\""),
        ("+1-2", "is not a range of ports", "\"auto\""),
        ("1-2-3", "is not a range of ports", "\"auto\""),
        ("-2", "is not a range of ports", "\"auto\""),
        ("", "is not a range of ports", "\"auto\""),
    ] {
        let start = format!(":9: upstream.app.source.ports: {written:?} {message}");
        one(Severity::Error, &format!("{SOUND}source.ports = {written:?}"), &start, fix);
    }
}

#[test]
fn percents_that_are_not_written_follow_lower_ones() {
    let percents = |key: &str| {
        let Source { warn_percent, reuse_only_percent, refuse_percent, .. } = source(key);
        (warn_percent, reuse_only_percent, refuse_percent)
    };
    assert_eq!(percents("refuse_percent = 100"), (60, 75, 100));
    assert_eq!(percents("refuse_percent = 70"), (60, 70, 70));
    assert_eq!(percents("reuse_only_percent = 1"), (1, 1, 85));
    assert_eq!(percents("warn_percent = 75"), (75, 75, 85));
    let text = format!("{SOUND}[upstream.source]\nwarn_percent = 65\nrefuse_percent = 62\n");
    one(Severity::Error, &text, ":10: upstream.app.source.warn_percent: 65 %", "write 62 or less");
}

#[test]
fn a_nat_has_a_name_or_numbers() {
    let nat = |ports, idle, closed| {
        Some(Nat { ports, idle_timeout: secs(idle), time_wait: Duration::from_millis(closed) })
    };
    assert_eq!(source("nat = \"none\"").nat, None);
    assert_eq!(source("nat = \"aws-nat-gateway\"").nat, nat(55_000, 350, 60_000));
    assert_eq!(source("nat = \"azure-nat-gateway\"").nat, nat(50_000, 240, 65_000));
    assert_eq!(source("nat = \"gcp-cloud-nat\"").nat, nat(64, 1200, 120_000));
    let numbers = "nat = { ports = 1, idle_timeout = \"5s\", time_wait = \"1500ms\" }";
    assert_eq!(source(numbers).nat, nat(1, 5, 1500));
    for (key, written, message, fix) in [
        ("", "\"aws-nat\"", "\"aws-nat\" is not known here", "write \"aws-nat-gateway\", or { ports"),
        ("", "\"gcp-cloudnat\"", "\"gcp-cloudnat\" is not known here", "write \"gcp-cloud-nat\""),
        ("", "\"off\"", "\"off\" is not known here", "write \"none\", \"aws-nat-gateway\", \"azure"),
        ("", "true", "true is not known here", "or a table such as { ports = 64512"),
        (".ports", "{ ports = 0, idle_timeout = \"5s\", time_wait = \"0s\" }", "0 is out of range", "from 1"),
        (
            ".idle_timeout",
            "{ ports = 1, idle_timeout = \"1s\", time_wait = \"0s\" }",
            "\"1s\" is out of range",
            "from \"2s\"",
        ),
        (
            ".time_wait",
            "{ ports = 1, idle_timeout = \"5s\" }",
            "a NAT in numbers needs time_wait",
            "time_wait = \"60s\"",
        ),
    ] {
        let start = format!(":9: upstream.app.source.nat{key}: {message}");
        one(Severity::Error, &format!("{SOUND}source.nat = {written}"), &start, fix);
    }
    let found = errors(&format!("{SOUND}source.nat = {{}}\n"));
    assert_eq!(found.len(), 3, "{found:#?}");
}

const AWS: &str = "source.nat = \"aws-nat-gateway\"\n";

#[test]
fn a_pooled_connection_does_not_outlive_its_nat() {
    let text = |idle: &str, more: &str| format!("{SOUND}{AWS}{more}pool.idle_timeout = \"{idle}\"\n");
    let start = "upstream.app.pool.idle_timeout: the NAT forgets a connection that is silent for \"5m 50s\"";
    let fix = "write \"4m 40s\" or less, or \"auto\"";
    one(Severity::Warning, &text("350s", ""), &format!(":10: {start}: only probes keep it"), fix);
    let off = "socket.tcp_keepalive = \"off\"\n";
    one(Severity::Error, &text("350s", off), &format!(":11: {start}, and so before this"), fix);
    let start = ":11: upstream.app.pool.idle_timeout: most servers close";
    one(Severity::Warning, &text("349s", off), start, "\"auto\"");
}

#[test]
fn probes_are_early_enough_for_a_nat() {
    let idle = |lines: &str| upstream(lines).socket.tcp_keepalive.map(|probes| probes.idle.as_secs());
    assert_eq!(idle(AWS), Some(60));
    assert_eq!(idle("source.nat = { ports = 1, idle_timeout = \"61s\", time_wait = \"0s\" }"), Some(30));
    let written = |idle: u64| format!("{AWS}socket.tcp_keepalive = {{ idle = \"{idle}s\" }}\n");
    assert_eq!(idle(&written(175)), Some(175));
    let text = format!("{SOUND}{}", written(176));
    let start = ":10: upstream.app.socket.tcp_keepalive.idle: the NAT forgets a connection that is silent";
    one(Severity::Warning, &text, start, "write \"2m 55s\" or less");
    let UpstreamSocket { tcp_keepalive, .. } = &loaded(&text).config.upstreams[0].socket;
    assert_eq!(tcp_keepalive.map(|probes| probes.idle), Some(secs(175)), "brought to what the NAT takes");
}

#[test]
fn without_probes_a_deadline_ends_every_silence_before_the_nat() {
    let off = format!("{SOUND}{AWS}socket.tcp_keepalive = \"off\"\n");
    assert_eq!(loaded(&off).warnings, []);
    let start = ":10: upstream.app.socket.tcp_keepalive: without probes, the NAT forgets a connection that is \
                 silent for \"5m 50s\", and ";
    for key in ["timeout.response_header", "timeout.body"] {
        let text = format!("{off}{key} = \"350s\"\n");
        let start = format!("{start}upstream.app.{key} allows \"5m 50s\"");
        one(
            Severity::Warning,
            &text,
            &start,
            &format!("{{ idle = \"2m 55s\" }}, or less for upstream.app.{key}"),
        );
    }
    let tcp = off.replace("upstream = \"app\"\n", "upstream = \"app\"\nprotocol = \"tcp\"\n");
    let start = format!("{}listener.web.timeout.idle allows \"1h\"", start.replace(":10:", ":11:"));
    one(Severity::Warning, &tcp, &start, "listener.web.timeout.idle");
    assert_eq!(loaded(&tcp.replace("\"tcp\"\n", "\"tcp\"\ntimeout.idle = \"349s\"\n")).warnings, []);
    assert_eq!(loaded(&tcp.replace(AWS, "")).warnings, [], "without a NAT, silence is harmless");
}

#[test]
fn with_a_nat_unanswered_bytes_have_an_end() {
    let text = format!("{SOUND}{AWS}socket.user_timeout = \"0s\"\n");
    one(Severity::Error, &text, ":10: upstream.app.socket.user_timeout: the NAT forgets", "write \"30s\"");
    assert_eq!(upstream("socket.user_timeout = \"0s\"").socket.user_timeout, Duration::ZERO);
}

#[test]
fn problems_of_a_nat_come_with_the_others() {
    let text = format!("{SOUND}{AWS}socket.user_timeout = \"0s\"\npool.idle_timeout = \"6m\"\nbalance = 1\n");
    let shown: Vec<String> =
        errors(&text).iter().map(|p: &Diagnostic| format!("{} {}", p.severity, p.key)).collect();
    assert_eq!(
        shown,
        [
            "error upstream.app.socket.user_timeout",
            "warning upstream.app.pool.idle_timeout",
            "error upstream.app.balance"
        ]
    );
}
