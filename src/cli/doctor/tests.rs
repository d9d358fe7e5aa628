//! What is shown, for people and for machines.

use super::facts::{HostFacts, Unreadable};
use super::finding::{Finding, Fix};
use super::fixture::{config, host};
use super::human::{Style, render};
use super::json;
use super::report::{Report, Row, Section};
use serde_json::{Value, to_value};
use std::path::Path;

const GOLDEN: &str = include_str!("golden.txt");

/// A host with something of everything.
fn ailing() -> HostFacts {
    let mut host = host();
    host.set("net.core.somaxconn", "128");
    host.set("net.ipv4.ip_local_port_range", "40000\t40255");
    host.set("net.ipv4.tcp_slow_start_after_idle", "1");
    host.nofile = Ok((256, 256));
    let why = "net.core.netdev_max_backlog is not shown by this kernel or in this network namespace";
    host.sysctls.set("net.core.netdev_max_backlog", Err(Unreadable(why.to_owned())));
    host
}

fn report(file: Option<&str>) -> Report {
    let config = config("", "bind = [\"0.0.0.0:8080\", \"0.0.0.0:80\"]", "pool.max_connections = 300");
    Report::of(&ailing(), &config, file.map(Path::new))
}

#[test]
fn the_report_at_80_columns() {
    let text = render(&report(Some("/etc/millpond.toml")), Style::plain(80));
    for (number, (found, expected)) in text.lines().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(found, expected, "line {} of\n{text}", number + 1);
    }
    assert_eq!(text, GOLDEN);
}

#[test]
fn only_what_is_to_be_copied_may_be_wider_than_the_terminal() {
    for (width, most) in [(76, 76), (80, 80), (300, 112)] {
        let text = render(&report(None), Style::plain(width));
        let is_text = |line: &&str| {
            !["now: ", "keep: ", "or: "].iter().any(|label| line.trim_start().starts_with(label))
        };
        let widest = text.lines().filter(is_text).map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= most, "{widest} of {width}: {text}");
        assert!(
            text.contains("\n            or:   sysctl -w 'net.ipv4.ip_local_port_range=10240 65535'\n"),
            "{text}"
        );
    }
    // However narrow it is, words stay whole.
    assert!(render(&report(None), Style::plain(1)).contains("net.core.somaxconn"));
}

#[test]
fn colours_change_nothing_but_the_colour_of_verdicts() {
    let report = report(None);
    let plain = render(&report, Style::plain(80));
    assert!(!plain.contains('\x1b'));
    let coloured = render(&report, Style::coloured(80));
    for (escape, verdict) in [(31, "critical"), (33, "warn    "), (35, "unknown "), (32, "ok      ")] {
        assert!(coloured.contains(&format!("  \x1b[{escape}m{verdict}\x1b[0m  ")), "{verdict}");
    }
    let without =
        [31, 32, 33, 35, 0].iter().fold(coloured, |text, code| text.replace(&format!("\x1b[{code}m"), ""));
    assert_eq!(without, plain);
}

#[test]
fn the_defaults_are_called_so() {
    let text = render(&report(None), Style::plain(80));
    assert!(
        text.starts_with("Configuration: none given, so the defaults (1 listener, 1 upstream, 1 endpoint,\n")
    );
}

#[test]
fn nothing_of_a_configuration_drives_the_terminal() {
    let section =
        Section { title: "T", rows: vec![Row { name: "n", finding: Finding::ok("\x1b[2J", "a\nb\x07") }] };
    let report = Report { sections: vec![section], ..report(Some("\x1b]0;x\x07")) };
    let text = render(&report, Style::plain(80));
    assert!(
        !text.contains(['\x1b', '\x07'])
            && text.contains("  ok        n                                   ?[2J\n            a?b?\n"),
        "{text}"
    );
}

#[test]
fn the_json_has_its_shape() {
    let fixed = Finding::warn("128", "Short.").fix(Fix::sysctl("a.b", "1 2"));
    let rows = vec![
        Row { name: "a.b", finding: fixed },
        Row { name: "c", finding: Finding::unknown(Unreadable("c: hidden".to_owned())) },
    ];
    let report = Report {
        file: Some("x.toml".to_owned()),
        contents: String::new(),
        user: 999,
        sections: vec![Section { title: "Theme", rows }],
    };
    let expected: Value = serde_json::from_str(&format!(
        r#"{{
            "version": "{}", "config": "x.toml", "user": 999,
            "summary": {{"ok": 0, "unknown": 1, "warn": 1, "critical": 0}},
            "checks": [
                {{"name": "a.b", "theme": "Theme", "verdict": "warn", "value": "128", "meaning": "Short.", "fixes": [
                    {{"now": "sysctl -w 'a.b=1 2'",
                      "kept": {{"line": "a.b = 1 2", "place": "/etc/sysctl.d/90-millpond.conf"}}}}]}},
                {{"name": "c", "theme": "Theme", "verdict": "unknown", "value": null, "meaning": "c: hidden",
                  "fixes": []}}
            ]
        }}"#,
        env!("CARGO_PKG_VERSION"),
    ))
    .unwrap();
    assert_eq!(to_value(json::Report::of(&report)).unwrap(), expected);
}
