//! The settings of `deploy/sysctl.d` and the limit of `deploy/systemd` are what the checks want.

use super::{DEFAULTS, all_checks};
use crate::cli::doctor::facts::{HostFacts, Sysctls};
use crate::cli::doctor::finding::Verdict;
use crate::cli::doctor::fixture;
use std::collections::BTreeMap;

const SYSCTLS: &str = include_str!("../../../../../deploy/sysctl.d/90-millpond.conf");
const UNIT: &str = include_str!("../../../../../deploy/systemd/millpond.service");

/// A host of an older distribution, on which much is wrong that a line of ours can mend.
const AILING: &[(&str, &str)] = &[
    ("fs.pipe-max-size", "65536"),
    ("fs.pipe-user-pages-soft", "1024"),
    ("net.core.somaxconn", "128"),
    ("net.ipv4.ip_local_port_range", "40000\t40256"),
    ("net.ipv4.tcp_abort_on_overflow", "1"),
    ("net.ipv4.tcp_fin_timeout", "120"),
    ("net.ipv4.tcp_max_tw_buckets", "100"),
    ("net.ipv4.tcp_migrate_req", "0"),
    ("net.ipv4.tcp_slow_start_after_idle", "1"),
    ("net.ipv4.tcp_syncookies", "0"),
    ("net.ipv4.tcp_timestamps", "0"),
    ("net.ipv4.tcp_tw_reuse", "0"),
    ("net.netfilter.nf_conntrack_buckets", "1024"),
    ("net.netfilter.nf_conntrack_max", "20000"),
];

/// Name and value of each line, `-` before the name left out.
fn settings() -> BTreeMap<&'static str, &'static str> {
    let lines = SYSCTLS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(" = ").unwrap_or_else(|| panic!("{line:?} is no setting")))
        .map(|(name, value)| (name.trim_start_matches('-'), value))
        .collect()
}

fn limit_nofile() -> u64 {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("LimitNOFILE="));
    line.and_then(|number| number.parse().ok()).expect("the unit has a limit")
}

/// The host with what is wrong, and with our settings if `is_set`.
fn host(is_set: bool) -> HostFacts {
    let mut host = fixture::host();
    AILING.iter().for_each(|(name, value)| host.set(name, value));
    host.nofile = Ok((1024, limit_nofile()));
    if is_set {
        for (name, value) in settings() {
            let known = Sysctls::NAMES.iter().find(|known| **known == name);
            // The kernel separates by tabs what is written with blanks.
            host.set(known.unwrap_or_else(|| panic!("no check looks at {name}")), &value.replace(' ', "\t"));
        }
    }
    host
}

/// The checks that are not content, by name.
fn complaints(host: &HostFacts, config: [&str; 3]) -> Vec<&'static str> {
    let config = fixture::config(config[0], config[1], config[2]);
    let content = |name: &&super::Check| name.run(host, &config).verdict == Verdict::Ok;
    all_checks().filter(|check| !content(check)).map(|check| check.name).collect()
}

#[test]
fn the_shipped_settings_leave_nothing_to_complain_of() {
    let before = complaints(&host(false), DEFAULTS);
    for (name, _) in settings() {
        assert!(before.contains(&name), "{name} mends nothing: {before:?}");
    }
    let tunnels =
        ["runtime.workers = 64\n", "protocol = \"tcp\"", "endpoints = [\"192.0.2.1:1\", \"192.0.2.2:1\"]"];
    let graceful = ["", "", "socket.close = \"graceful\"\npool.max_connections = 40000"];
    for config in [DEFAULTS, tunnels, graceful] {
        assert_eq!(complaints(&host(true), config), Vec::<&str>::new(), "{config:?}");
    }
}

#[test]
fn every_shipped_setting_says_why() {
    let lines: Vec<&str> = SYSCTLS.lines().collect();
    for (number, line) in
        lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#'))
    {
        let above = lines[..number].iter().rev().find(|above| above.starts_with('#') || above.is_empty());
        assert!(above.is_some_and(|above| above.starts_with('#')), "{line}");
    }
    assert_eq!(settings().len(), AILING.len());
}
