//! `millpond doctor` on hosts with something wrong and with nothing wrong, as a namespace makes them.

mod host;
mod network;
mod process;
mod scene;

use super::namespace::{CONNTRACK, SETPRIV, STRACE, trials};
use libtest_mimic::Trial;
use scene::{Row, judge};
use std::collections::BTreeSet;

pub(crate) fn tests() -> Vec<Trial> {
    let plain = trials![&[];
        listen_queues,
        source_ports,
        tcp,
        limits_of_the_host,
        descriptors,
        files_and_addresses,
        what_a_namespace_does_not_show_is_unknown,
    ];
    let tracking = trials![&[CONNTRACK]; connection_tracking];
    let traced = trials![&[STRACE]; what_a_kernel_lacks];
    let privileged = trials![&[SETPRIV]; ports_that_take_a_capability];
    let all = crate::trials![no_check_is_left_out];
    [plain, tracking, traced, privileged, all].into_iter().flatten().collect()
}

fn listen_queues() {
    judge(network::LISTEN_QUEUES);
}

fn source_ports() {
    judge(network::SOURCE_PORTS);
}

fn tcp() {
    judge(network::TCP);
}

fn connection_tracking() {
    judge(network::TRACKING);
}

fn limits_of_the_host() {
    judge(host::ROWS);
}

fn descriptors() {
    judge(process::DESCRIPTORS);
}

fn files_and_addresses() {
    judge(process::PLACES);
}

fn what_a_kernel_lacks() {
    judge(process::FEATURES);
}

fn ports_that_take_a_capability() {
    judge(process::CAPABILITIES);
}

/// fs.* and the like are everywhere, but some settings of the network belong to the first namespace alone.
fn what_a_namespace_does_not_show_is_unknown() {
    let report = scene::doctor(&scene::Scene::default());
    for (check, path) in [
        ("net.core.netdev_max_backlog", "/proc/sys/net/core/netdev_max_backlog"),
        ("net.ipv4.tcp_mem", "/proc/sys/net/ipv4/tcp_mem"),
    ] {
        let expected = if std::fs::exists(path).unwrap() { "ok" } else { "unknown" };
        assert_eq!(report.check(check)["verdict"], expected, "{check}");
    }
}

/// Every check has a row, whether or not the rows can be judged here.
fn no_check_is_left_out() {
    let tables = [
        network::LISTEN_QUEUES,
        network::SOURCE_PORTS,
        network::TCP,
        network::TRACKING,
        host::ROWS,
        process::DESCRIPTORS,
        process::PLACES,
        process::FEATURES,
        process::CAPABILITIES,
    ];
    let judged: BTreeSet<&str> = tables.into_iter().flatten().map(|row: &Row| row.check).collect();
    let checks = millpond::cli::doctor::checks::THEMES.iter().flat_map(|theme| theme.checks);
    let checks: BTreeSet<&str> = checks.map(|check| check.name).collect();
    assert_eq!(judged, checks);
}
