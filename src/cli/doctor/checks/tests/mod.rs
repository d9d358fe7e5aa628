//! Every check with bad and with good values.

mod account;
mod network;
mod process;
mod shipped;

use super::{Check, THEMES};
use crate::cli::doctor::facts::{HostFacts, Sysctls, Unreadable};
use crate::cli::doctor::finding::{Finding, Verdict};
use crate::cli::doctor::fixture;
use std::collections::BTreeSet;

/// One check on one host.
struct Case {
    check: &'static str,
    /// Lines for the configuration's top, its listener and its upstream.
    config: [&'static str; 3],
    /// What is different from the host on which nothing is wrong.
    alter: fn(&mut HostFacts),
    verdict: Verdict,
    /// Part of the value or of the meaning.
    says: &'static str,
    /// A line of each fix, in their order.
    fixes: &'static [&'static str],
}

const DEFAULTS: [&str; 3] = [""; 3];

/// As it should be.
const fn good(
    check: &'static str,
    config: [&'static str; 3],
    alter: fn(&mut HostFacts),
    says: &'static str,
) -> Case {
    Case { check, config, alter, verdict: Verdict::Ok, says, fixes: &[] }
}

/// Worth a warning.
const fn warn(
    check: &'static str,
    config: [&'static str; 3],
    alter: fn(&mut HostFacts),
    says: &'static str,
    fixes: &'static [&'static str],
) -> Case {
    Case { check, config, alter, verdict: Verdict::Warn, says, fixes }
}

/// Worse.
const fn critical(
    check: &'static str,
    config: [&'static str; 3],
    alter: fn(&mut HostFacts),
    says: &'static str,
    fixes: &'static [&'static str],
) -> Case {
    Case { check, config, alter, verdict: Verdict::Critical, says, fixes }
}

fn all_checks() -> impl Iterator<Item = &'static Check> {
    THEMES.iter().flat_map(|theme| theme.checks)
}

fn found(case: &Case) -> Finding {
    let mut host = fixture::host();
    (case.alter)(&mut host);
    let [top, listener, upstream] = case.config;
    let check = all_checks().find(|check| check.name == case.check);
    check
        .unwrap_or_else(|| panic!("no check {}", case.check))
        .run(&host, &fixture::config(top, listener, upstream))
}

fn cases() -> impl Iterator<Item = &'static Case> {
    network::CASES.iter().chain(process::CASES).chain(account::CASES)
}

#[test]
fn every_check_tells_bad_from_good() {
    for case in cases() {
        let finding = found(case);
        let what = format!("{} with {:?}: {finding:#?}", case.check, case.config);
        assert_eq!(finding.verdict, case.verdict, "{what}");
        let text = format!("{} {}", finding.value.as_deref().unwrap_or_default(), finding.meaning);
        assert!(text.contains(case.says), "{:?} is not in {what}", case.says);
        assert_eq!(finding.fixes.len(), case.fixes.len(), "{what}");
        for (fix, line) in finding.fixes.iter().zip(case.fixes) {
            let kept = fix.kept.as_ref().map(|kept| kept.line.as_str());
            assert!([fix.now.as_deref(), kept].contains(&Some(*line)), "{line:?} is not in {what}");
        }
    }
}

#[test]
fn no_check_is_left_without_a_bad_and_a_good_case() {
    // These two are for information, and the last one cannot be as bad as it gets on a kernel that runs this.
    let never_bad = ["net.core.netdev_max_backlog", "net.netfilter.nf_conntrack_tcp_be_liberal"];
    for check in all_checks() {
        let verdicts: Vec<_> =
            cases().filter(|case| case.check == check.name).map(|case| case.verdict).collect();
        assert!(verdicts.contains(&Verdict::Ok), "{} has no good case", check.name);
        let is_bad = verdicts.iter().any(|verdict| *verdict > Verdict::Unknown);
        assert_eq!(is_bad, !never_bad.contains(&check.name), "{}", check.name);
    }
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = all_checks().map(|check| check.name).collect();
    assert_eq!(names.len(), all_checks().count());
}

#[test]
fn nothing_is_wrong_with_the_good_host() {
    let (host, config) = (fixture::host(), fixture::config("", "", ""));
    for check in all_checks() {
        let finding = check.run(&host, &config);
        assert_eq!((finding.verdict, finding.fixes.len()), (Verdict::Ok, 0), "{}: {finding:?}", check.name);
        assert!(finding.value.is_some() && finding.meaning.ends_with('.'), "{}: {finding:?}", check.name);
    }
}

/// What the configuration alone decides needs no look at the host.
#[test]
fn what_cannot_be_read_is_unknown_and_says_why() {
    let not_read = [
        "runtime.user",
        "upstream.source.addresses",
        "admin.token_file",
        "log.access",
        "listener.bind",
        "sock_diag",
        "splice",
    ];
    let (host, config) = (fixture::hidden(), fixture::config("", "", ""));
    for check in all_checks().filter(|check| !not_read.contains(&check.name)) {
        let finding = check.run(&host, &config);
        let expected = (Verdict::Unknown, None, "hidden");
        assert_eq!(
            (finding.verdict, finding.value.as_deref(), finding.meaning.as_str()),
            expected,
            "{}",
            check.name
        );
    }
    let config = fixture::config("", "bind = \"198.51.100.1:80\"", "source.addresses = [\"198.51.100.1\"]");
    for check in
        all_checks().filter(|check| ["upstream.source.addresses", "listener.bind"].contains(&check.name))
    {
        assert_eq!(check.run(&host, &config).verdict, Verdict::Unknown, "{}", check.name);
    }
}

/// Where /proc/sys is not shown (ProcSubset=pid of systemd), even "not loaded" would be a guess.
#[test]
fn what_is_not_shown_is_unknown() {
    let mut host = fixture::host();
    host.sysctls = Sysctls::from(|_| Ok(None));
    let config = fixture::config("", "", "");
    for check in all_checks() {
        let finding = check.run(&host, &config);
        let is_setting = check.name.starts_with("net.") || check.name.starts_with("fs.");
        assert!(!is_setting || finding.verdict == Verdict::Unknown, "{}: {finding:?}", check.name);
        assert!(!is_setting || finding.meaning.contains("is not shown"), "{}: {finding:?}", check.name);
    }
}

/// A setting that one check asks for and that is not to be had never makes another verdict than unknown.
#[test]
fn every_setting_that_is_read_is_asked_for() {
    let config = fixture::config("", "bind = \"192.0.2.2:8080\"", "");
    let config6 = {
        let mut config = config.clone();
        let mut listener = (*config.listeners[0]).clone();
        listener.bind = vec!["[2001:db8::1]:8080".parse().unwrap()];
        config.listeners[0] = listener.into();
        config
    };
    for name in Sysctls::NAMES {
        let mut host = fixture::host();
        host.local.insert("2001:db8::1".parse().unwrap(), Ok(false));
        host.sysctls.set(name, Err(Unreadable(format!("{name} is hidden"))));
        let finding = |check: &Check| [check.run(&host, &config), check.run(&host, &config6)];
        let unknown = all_checks().flat_map(finding).filter(|finding| finding.verdict == Verdict::Unknown);
        assert!(
            unknown.map(|finding| finding.meaning).any(|why| why == format!("{name} is hidden")),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_understood_is_unknown() {
    let config = fixture::config("", "", "");
    for (check, name, text) in [
        ("net.core.somaxconn", "net.core.somaxconn", "many"),
        ("net.ipv4.ip_local_port_range", "net.ipv4.ip_local_port_range", "32768"),
        ("net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_local_reserved_ports", "8080-x"),
        ("net.ipv4.tcp_mem", "net.ipv4.tcp_mem", "1 2"),
        ("fs.file-max", "fs.file-nr", "1 2 3 4"),
        ("kernel", "kernel.osrelease", "unnumbered"),
    ] {
        let mut host = fixture::host();
        host.set(name, text);
        let finding = all_checks().find(|known| known.name == check).unwrap().run(&host, &config);
        let expected = format!("{name}: not understood: {text:?}");
        assert_eq!((finding.verdict, finding.meaning), (Verdict::Unknown, expected));
    }
}

/// Limits may be anything that fits in a number.
#[test]
fn the_largest_numbers_overflow_nothing() {
    let listener = "limit.connections = 9223372036854775807";
    let upstream = "pool.max_connections = 9223372036854775807\npool.max_idle = 9223372036854775807";
    for (listener, upstream) in [(listener, upstream), ("", upstream), (listener, "")] {
        let mut config = fixture::config("", listener, upstream);
        let again = config.listeners[0].clone();
        config.listeners.extend([again.clone(), again]);
        for check in all_checks() {
            let mut host = fixture::host();
            check.run(&host, &config);
            for name in Sysctls::NAMES {
                host.set(name, "9223372036854775807");
            }
            host.nofile = Ok((u64::MAX, u64::MAX));
            check.run(&host, &config);
        }
    }
}
