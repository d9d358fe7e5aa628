//! The configuration file is watched, however it is written.

use super::origins;
use crate::harness::{Client, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use millpond::metrics::host::Host;
use millpond::observe::snapshot::{ConfigInfo, Snapshot};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        a_file_that_is_renamed_over_it_is_noticed,
        a_file_of_conf_d_is_noticed,
        the_symlinks_of_a_config_map_are_followed,
        a_burst_of_writes_is_one_or_two_reloads,
        without_watch_it_is_told_and_not_reloaded,
        an_invalid_file_is_noticed_and_left_until_it_is_right,
    ]
}

/// Before a look comes without inotify's telling.
const BY_INOTIFY: Duration = Duration::from_secs(4);

fn config(proxy: &Proxy) -> ConfigInfo {
    Snapshot::take(proxy.registry(), Host::default()).config
}

#[track_caller]
fn generation_becomes(proxy: &Proxy, generation: u64) {
    let start = Instant::now();
    eventually("it is reloaded", || config(proxy).generation == generation);
    assert!(start.elapsed() < BY_INOTIFY, "only after {:?}", start.elapsed());
}

fn replace(file: &Path, text: &str) {
    let draft = file.with_extension("toml.new");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, file).unwrap();
}

fn a_file_that_is_renamed_over_it_is_noticed() {
    let [one, other] = origins();
    let setup = |port: &crate::harness::Origin| Setup::http([port.address()]).runtime("watch = true");
    let proxy = setup(&one).start();
    for (round, origin) in [&other, &one, &other].into_iter().enumerate() {
        replace(&proxy.file(), &setup(origin).text());
        generation_becomes(&proxy, round as u64 + 2);
        assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    }
    assert_eq!((one.connections(), other.connections()), (1, 2));
}

fn a_file_of_conf_d_is_noticed() {
    let [origin] = origins();
    let proxy = Setup::http([origin.address()]).runtime("watch = true").start();
    let directory = proxy.file().with_file_name("conf.d");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("a.toml"), "[runtime]\nshutdown_timeout = \"7s\"\n").unwrap();
    generation_becomes(&proxy, 2);
    fs::write(directory.join("a.toml"), "[runtime]\nshutdown_timeout = \"8s\"\n").unwrap();
    generation_becomes(&proxy, 3);
    fs::remove_file(directory.join("a.toml")).unwrap();
    generation_becomes(&proxy, 4);
    assert_eq!(proxy.registry().running().config.runtime.shutdown_timeout, Duration::from_secs(30));
}

/// As the kubelet does it: the file is a link through `..data`, which is led to another directory.
fn the_symlinks_of_a_config_map_are_followed() {
    let [one, other] = origins();
    let text =
        |origin: &crate::harness::Origin| Setup::http([origin.address()]).runtime("watch = true").text();
    let proxy = Proxy::start_with(&text(&one), |directory| {
        fs::create_dir(directory.join("..1")).unwrap();
        fs::write(directory.join("..1/test.toml"), text(&one)).unwrap();
        symlink("..1", directory.join("..data")).unwrap();
        fs::remove_file(directory.join("test.toml")).unwrap();
        symlink("..data/test.toml", directory.join("test.toml")).unwrap();
    });
    let directory = proxy.file().parent().unwrap().to_owned();
    let swap = |from: &str, to: &str, origin: &crate::harness::Origin| {
        fs::create_dir(directory.join(to)).unwrap();
        fs::write(directory.join(to).join("test.toml"), text(origin)).unwrap();
        symlink(to, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
        fs::remove_dir_all(directory.join(from)).unwrap();
    };
    swap("..1", "..2", &other);
    generation_becomes(&proxy, 2);
    swap("..2", "..3", &one);
    generation_becomes(&proxy, 3);
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    assert_eq!((one.connections(), other.connections()), (1, 0));
}

fn a_burst_of_writes_is_one_or_two_reloads() {
    let [origin] = origins();
    let text = |seconds: usize| {
        let setup = Setup::http([origin.address()]).runtime("watch = true");
        setup.runtime(&format!("shutdown_timeout = \"{}s\"", 100 + seconds)).text()
    };
    let proxy = Proxy::start(&text(0));
    // Each whole: half a file may be read, and refused, when the machine is slow.
    let beside = proxy.file().with_extension("new");
    (1..=50).for_each(|round| {
        fs::write(&beside, text(round)).unwrap();
        fs::rename(&beside, proxy.file()).unwrap();
    });
    eventually("the last is loaded", || {
        proxy.registry().running().config.runtime.shutdown_timeout == Duration::from_secs(150)
    });
    eventually("that is told", || !config(&proxy).file_differs);
    let told = config(&proxy);
    assert!(told.reloads_total <= 2 && told.reload_failures_total == 0, "{told:?}");
}

fn without_watch_it_is_told_and_not_reloaded() {
    let [one, other] = origins();
    let setup = Setup::http([one.address()]);
    let proxy = setup.start();
    fs::write(proxy.file(), setup.clone().listener("timeout.idel = \"1s\"").text()).unwrap();
    eventually("the mistake is told", || config(&proxy).diagnostics.len() == 1);
    fs::write(proxy.file(), Setup::http([other.address()]).text()).unwrap();
    eventually("it differs, and is right", || config(&proxy).diagnostics.is_empty());
    assert!(config(&proxy).file_differs && config(&proxy).generation == 1);
    assert_eq!(config(&proxy).reload_failures_total, 0, "nobody asked for it");
    fs::write(proxy.file(), setup.text()).unwrap();
    eventually("it is put back", || !config(&proxy).file_differs);
}

fn an_invalid_file_is_noticed_and_left_until_it_is_right() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]).runtime("watch = true");
    let proxy = setup.start();
    replace(&proxy.file(), "nonsense");
    eventually("it is tried", || config(&proxy).reload_failures_total == 1);
    assert!(config(&proxy).file_differs && config(&proxy).diagnostics.len() == 1);
    replace(&proxy.file(), &setup.runtime("shutdown_timeout = \"9s\"").text());
    generation_becomes(&proxy, 2);
    assert_eq!(config(&proxy).reload_failures_total, 1);
}
