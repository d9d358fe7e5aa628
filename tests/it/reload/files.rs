//! What cannot run changes nothing.

use super::{listens, origins, with_listener};
use crate::harness::{Client, Proxy, Refusing, Setup};
use libtest_mimic::Trial;
use millpond::admin::ReloadError;
use millpond::metrics::host::Host;
use millpond::observe::snapshot::{ConfigInfo, Snapshot};
use std::fs;
use std::sync::Arc;
use std::thread;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        an_invalid_file_changes_nothing_and_is_told_of,
        a_bind_that_fails_changes_nothing,
        what_takes_a_restart_is_told_until_it_is_as_it_was,
        reloads_at_once_are_one_after_the_other,
        conf_d_belongs_to_the_file,
        memory_and_descriptors_come_back,
    ]
}

fn config(proxy: &Proxy) -> ConfigInfo {
    Snapshot::take(proxy.registry(), Host::default()).config
}

fn an_invalid_file_changes_nothing_and_is_told_of() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    let running = proxy.registry().running();
    let wrong =
        setup.text().replace("balance", "").replace("endpoints =", "timeout.conect = \"1s\"\nendpoints =");
    let Err(ReloadError::Invalid(problems)) = proxy.try_reload(&wrong) else { panic!("it is wrong") };
    assert!(problems.to_string().contains("write connect"), "{problems}");
    assert!(Arc::ptr_eq(&running, &proxy.registry().running()));
    let told = config(&proxy);
    assert!(told.file_differs && told.generation == 1, "{told:?}");
    assert_eq!((told.reloads_total, told.reload_failures_total), (0, 1));
    let [problem] = &told.diagnostics[..] else { panic!("{told:?}") };
    assert!(problem.position.contains("test.toml:") && problem.fix.contains("connect"), "{problem:?}");
    assert_eq!(client.get("/").text(), "ok");
    proxy.reload(&setup);
    let told = config(&proxy);
    assert!(!told.file_differs && told.diagnostics.is_empty() && told.last_error.is_none(), "{told:?}");
    assert_eq!((told.generation, told.reloads_total), (2, 1));
    fs::remove_file(proxy.file()).unwrap();
    assert!(proxy.supervisor().reloader().reload().is_err());
    assert!(config(&proxy).file_differs);
}

fn a_bind_that_fails_changes_nothing() {
    let ([one, other], taken) = (origins(), Refusing::new());
    let proxy = Proxy::http(one.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    let running = proxy.registry().running();
    // Much else would be changed, too.
    let wanted = Setup::http([other.address()]).workers(3);
    let bind = format!("bind = [\"127.0.0.1:0\", \"{}\"]", taken.address());
    let error = proxy.try_reload(&with_listener(&wanted, &bind)).unwrap_err();
    assert!(matches!(&error, ReloadError::Bind(_)), "{error}");
    assert_eq!(error.diagnostics()[0].key, "listener.other.bind");
    assert!(Arc::ptr_eq(&running, &proxy.registry().running()));
    assert!(config(&proxy).file_differs);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!((one.connections(), other.connections()), (1, 0));
    drop(taken);
    proxy.try_reload(&with_listener(&wanted, &bind)).unwrap();
    assert_eq!(Client::connect(listens(&proxy, "other")).get("/").text(), "ok");
}

fn what_takes_a_restart_is_told_until_it_is_as_it_was() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]);
    let proxy = setup.start();
    let text = format!("{}[log]\naccess = \"stdout\"\nlevel = \"warn\"\n", setup.text());
    let done = proxy.try_reload(&text).unwrap();
    assert_eq!(done.difference.needs_restart, ["log.access"]);
    assert_eq!(done.difference.process, ["log.access", "log.level"]);
    let again = proxy.try_reload(&format!("{text}\n")).unwrap();
    assert_eq!(again.difference.needs_restart, ["log.access"], "still");
    assert_eq!(config(&proxy).needs_restart, ["log.access"]);
    proxy.reload(&setup);
    assert_eq!(config(&proxy).needs_restart, [""; 0]);
}

fn reloads_at_once_are_one_after_the_other() {
    let [origin] = origins();
    let setup = Setup::http([origin.address()]).workers(2);
    let proxy = setup.start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| proxy.supervisor().reloader().reload().unwrap());
        }
    });
    assert_eq!((config(&proxy).generation, config(&proxy).reloads_total), (9, 8));
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
}

fn conf_d_belongs_to_the_file() {
    let [one, other] = origins();
    let proxy = Proxy::http(one.address());
    let directory = proxy.file().with_file_name("conf.d");
    fs::create_dir(&directory).unwrap();
    let more = format!(
        "[[listener]]\nname = \"other\"\nbind = \"127.0.0.1:0\"\nupstream = \"more\"\n\
         [[upstream]]\nname = \"more\"\nendpoints = [\"{}\"]\n",
        other.address()
    );
    fs::write(directory.join("more.toml"), more).unwrap();
    let done = proxy.supervisor().reloader().reload().unwrap();
    assert_eq!((done.difference.listeners.added.len(), done.difference.upstreams.added.len()), (1, 1));
    assert_eq!(Client::connect(listens(&proxy, "other")).get("/").text(), "ok");
    assert_eq!(other.connections(), 1);
}

/// Descriptors of this process that lead to these addresses would be others' too, so it is a process
/// of its own.
fn memory_and_descriptors_come_back() {
    let all: [_; 2] = origins();
    let setup = Setup::http(all.iter().map(|origin| origin.address())).workers(2);
    let process = crate::harness::Running::start(&setup);
    let mut client = Client::connect(process.address());
    assert_eq!(client.get("/").text(), "ok");
    let reload = |text: &str| process.reload(text);
    let once = |round: usize| {
        let endpoints = Setup::http([all[round % 2].address()]).workers(1 + round % 3);
        reload(&with_listener(&endpoints, "bind = \"127.0.0.1:0\""));
        reload(&setup.text());
    };
    (0..5).for_each(once);
    let settled = || {
        crate::harness::eventually("what is leaving is over", || {
            process.statistics()["listeners"].as_array().unwrap().len() == 1
        });
        let statistics = process.statistics();
        let memory = statistics["process"]["memory_bytes"].as_u64().unwrap();
        (process.descriptors(), memory)
    };
    let (descriptors, memory) = settled();
    (0..50).for_each(once);
    assert_eq!(client.get("/").text(), "ok", "on the connection that it has had all the time");
    let (descriptors_later, memory_later) = settled();
    assert!(
        descriptors_later <= descriptors + 8 && memory_later < memory + (8 << 20),
        "{descriptors} descriptors and {memory} bytes, then {descriptors_later} and {memory_later}"
    );
}
