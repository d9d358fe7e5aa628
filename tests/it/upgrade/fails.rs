//! A new process that fails: the old one goes on as if nothing had happened, with its connections.

use super::Instance;
use super::successor::{Step, has_arrived, write_script};
use crate::harness::{Client, Origin, Setup, eventually};
use crate::reload::Load;
use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        a_new_process_that_is_killed_at_any_step,
        a_new_process_that_ends_at_any_step,
        a_new_process_that_hangs_is_given_up,
        a_new_process_that_speaks_nonsense,
        a_program_that_is_another_one,
        a_program_that_is_gone,
        a_configuration_that_cannot_be_used,
        an_address_that_cannot_be_bound,
        a_second_upgrade_is_refused_and_a_drain_ends_the_first,
        a_drain_is_not_handed_over,
        what_somebody_else_has_set_is_said,
        no_other_program_can_be_asked_for,
    ]
}

/// Connections that are idle when the upgrade begins.
const IDLE: usize = 12;

/// An instance with idle connections, of which none may be lost.
struct Warm {
    instance: Instance,
    origin: Origin,
}

impl Warm {
    fn start() -> Self {
        let origin = Origin::saying("ok");
        let setup = Setup::http([origin.address()]).workers(2).upstream("pool.idle_timeout = \"60s\"");
        let instance = Instance::start(&setup);
        let mut clients: Vec<Client> =
            (0..IDLE).map(|_| Client::connect(instance.process.address())).collect();
        // All at once, so that each needs a connection of its own; not all do, where one is early.
        while instance.endpoint()["connections"]["idle"].as_u64().unwrap() < IDLE as u64 / 2 {
            clients.iter().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
            clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
        }
        drop(clients);
        eventually("all are idle", || instance.endpoint()["connections"]["leased"] == 0);
        // Only what has been idle for a moment is given away before the new process serves.
        thread::sleep(Duration::from_millis(60));
        Self { instance, origin }
    }

    fn play(&self, before: Step, ending: &str) {
        write_script(&self.instance.program(), before, ending);
        self.instance.replace(&std::env::current_exe().unwrap());
    }

    /// Nothing that was idle before the upgrade was closed, and it is idle again.
    #[track_caller]
    fn is_as_warm_as(&self, connections: usize, idle: u64) {
        eventually("all come back", || {
            self.instance.endpoint()["connections"]["idle"].as_u64() >= Some(idle)
        });
        assert_eq!(self.origin.connections(), connections, "nothing more was dialled");
        assert!((0..connections).all(|number| self.origin.ended(number).is_none()), "and nothing closed");
        let mut client = Client::connect(self.instance.process.address());
        assert_eq!(client.get("/").text(), "ok");
    }
}

/// What becomes of each step when the new process ends there, by itself or by force.
#[track_caller]
fn at_each_step(ending: &str, during: impl Fn(&Warm)) {
    for step in Step::ALL {
        let warm = Warm::start();
        let (connections, idle) =
            (warm.origin.connections(), warm.instance.endpoint()["connections"]["idle"].as_u64());
        warm.play(step, ending);
        let why = thread::scope(|scope| {
            let upgrade = scope.spawn(|| warm.instance.upgrade_in_vain());
            during(&warm);
            upgrade.join().unwrap()
        });
        assert!(why.contains("the other process has ended ("), "{step:?}: {why}");
        warm.is_as_warm_as(connections, idle.unwrap());
    }
}

fn a_new_process_that_is_killed_at_any_step() {
    at_each_step("hang", |warm| {
        let program = warm.instance.program();
        eventually("it has come so far", || has_arrived(&program).is_some());
        let pid = super::pid_from(has_arrived(&program).unwrap());
        kill_process(pid, Signal::KILL).unwrap();
    });
}

fn a_new_process_that_ends_at_any_step() {
    at_each_step("die", |_| {});
}

fn a_new_process_that_hangs_is_given_up() {
    let warm = Warm::start();
    let load = Load::keeping(warm.instance.process.address(), 3);
    warm.play(Step::Ready, "hang");
    let start = Instant::now();
    let why = warm.instance.upgrade_in_vain();
    assert!(why.contains("waiting until it is ready: the other process said nothing for 10s"), "{why}");
    assert!(start.elapsed() >= Duration::from_secs(10));
    let pid = has_arrived(&warm.instance.program()).unwrap();
    assert!(!super::is_running(pid), "it is killed");
    load.more(100);
    load.end();
}

fn a_new_process_that_speaks_nonsense() {
    let warm = Warm::start();
    let (connections, idle) =
        (warm.origin.connections(), warm.instance.endpoint()["connections"]["idle"].as_u64());
    warm.play(Step::Greets, "nonsense");
    let why = warm.instance.upgrade_in_vain();
    assert!(
        why.contains("waiting for its greeting: the other process said") && why.contains("HTTP/1.1"),
        "{why}"
    );
    warm.is_as_warm_as(connections, idle.unwrap());
}

fn a_program_that_is_another_one() {
    let warm = Warm::start();
    warm.instance.replace(Path::new("/bin/false"));
    let why = warm.instance.upgrade_in_vain();
    assert!(why.contains("waiting for its greeting: the other process has ended (exit status: 1"), "{why}");
    // And in its place again a good one.
    let Warm { mut instance, origin } = warm;
    instance.replace(Path::new(env!("CARGO_BIN_EXE_millpond")));
    instance.upgrade();
    assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    instance.alone();
    drop(origin);
}

fn a_program_that_is_gone() {
    let warm = Warm::start();
    std::fs::remove_file(warm.instance.program()).unwrap();
    let why = warm.instance.upgrade_in_vain();
    assert!(why.contains("cannot start ") && why.contains("millpond: No such file"), "{why}");
}

fn a_configuration_that_cannot_be_used() {
    let warm = Warm::start();
    warm.instance.process.write("[runtime]\nworker = 1\n");
    let why = warm.instance.upgrade_in_vain();
    assert!(why.contains("the new process cannot serve: ") && why.contains("unknown key worker"), "{why}");
    warm.instance.process.signal(Signal::USR2);
    eventually("the log says so, too", || {
        warm.instance.process.log_holds("not upgraded, and serving on: the new process cannot serve: ")
    });
    assert_eq!(Client::connect(warm.instance.process.address()).get("/").text(), "ok");
}

fn an_address_that_cannot_be_bound() {
    let warm = Warm::start();
    let theirs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = theirs.local_addr().unwrap();
    let setup = Setup::http([warm.origin.address()]).text();
    warm.instance.process.write(&setup.replacen("bind = \"127.0.0.1:0\"", &format!("bind = \"{taken}\""), 1));
    let why = warm.instance.upgrade_in_vain();
    assert!(why.contains(&format!("cannot bind {taken}: ")), "{why}");
    assert_eq!(Client::connect(warm.instance.process.address()).get("/").text(), "ok");
}

fn a_second_upgrade_is_refused_and_a_drain_ends_the_first() {
    let mut warm = Warm::start();
    warm.play(Step::Ready, "hang");
    let program = warm.instance.program();
    let is_first = AtomicBool::new(true);
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            let output = warm.instance.try_upgrade();
            assert!(!is_first.load(Relaxed), "it goes on until the drain");
            output
        });
        eventually("it has come so far", || has_arrived(&program).is_some());
        let why = warm.instance.upgrade_in_vain();
        assert!(why.contains("an upgrade is under way already"), "{why}");
        is_first.store(false, Relaxed);
        warm.instance.process.signal(Signal::TERM);
        assert_eq!(first.join().unwrap().status.code(), Some(1));
    });
    assert_eq!(warm.instance.process.wait().code(), Some(0));
    assert!(!super::is_running(has_arrived(&program).unwrap()), "the new process was ended");
}

fn a_drain_is_not_handed_over() {
    let (origin, gate) = crate::harness::Origin::gated();
    let instance = Instance::start(&Setup::http([origin.address()]));
    let mut client = Client::connect(instance.process.address());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    origin.wait_for_requests(1);
    instance.process.signal(Signal::TERM);
    eventually("it drains", || instance.process.statistics()["draining"] == true);
    let output = instance.try_upgrade();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("draining"), "{output:?}");
    gate.open();
    assert_eq!(client.response().text(), "ok");
}

fn what_somebody_else_has_set_is_said() {
    let mut command = crate::harness::millpond();
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    let output = command.env(millpond::upgrade::VARIABLE, "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("MILLPOND_UPGRADE is set") && text.contains("unset it"), "{text}");
}

fn no_other_program_can_be_asked_for() {
    let mut command = crate::harness::millpond();
    let output = command.args(["upgrade", "--binary", "/bin/sh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("put the new version there"), "{text}");
}
