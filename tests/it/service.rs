//! What a service manager hears: sd_notify(3).

use crate::harness::{Client, Origin, Running, Setup, eventually, millpond, nobody_listens};
use crate::upgrade::Ends;
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        it_is_told_of_the_start_a_reload_and_the_end,
        it_is_told_which_process_is_the_main_one,
        it_hears_that_the_workers_live,
    ]
}

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, directory }
    }

    fn start(&self, setup: &Setup, watchdog: Option<Duration>) -> Running {
        let mut command = millpond();
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        if let Some(time) = watchdog {
            command.env("WATCHDOG_USEC", time.as_micros().to_string());
        }
        Running::with_config(command, setup)
    }

    /// Waits for a message with a line that begins so; the whole message.
    #[track_caller]
    fn hears(&self, begin: &str) -> String {
        loop {
            let mut heard = [0; 1000];
            match self.socket.recv(&mut heard) {
                Ok(length) => {
                    let text = String::from_utf8(heard[..length].to_vec()).unwrap();
                    if text.lines().any(|line| line.starts_with(begin)) {
                        return text;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{begin} is not heard: {error}"),
            }
        }
    }
}

fn it_is_told_of_the_start_a_reload_and_the_end() {
    let (manager, origin) = (Manager::new(), Origin::saying("ok"));
    let mut process = manager.start(&Setup::http([origin.address()]), None);
    manager.hears("READY=1");
    assert!(manager.hears("STATUS=").contains("0 sessions"));
    for text in [Setup::http([origin.address()]).workers(2).text(), "nonsense".to_owned()] {
        process.write(&text);
        process.signal(Signal::HUP);
        let message = manager.hears("RELOADING=1");
        let time = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(time.is_some_and(|time| time.parse::<u64>().unwrap() > 0), "{message}");
        manager.hears("READY=1");
    }
    process.signal(Signal::TERM);
    manager.hears("STOPPING=1");
    assert_eq!(process.wait().code(), Some(0));
}

fn it_is_told_which_process_is_the_main_one() {
    let (manager, origin) = (Manager::new(), Origin::saying("ok"));
    let mut process = manager.start(&Setup::http([origin.address()]), None);
    manager.hears("READY=1");
    assert!(process.command("upgrade", &[]).status.success(), "{}", process.log());
    let message = manager.hears("MAINPID=");
    let pid: u32 = message.strip_prefix("MAINPID=").unwrap().parse().unwrap();
    let new = Ends::new(pid, Path::new(env!("CARGO_BIN_EXE_millpond")));
    assert_ne!(pid, process.pid());
    manager.hears("READY=1");
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.statistics()["process"]["pid"], pid);
    assert_eq!(Client::connect(process.address()).get("/").text(), "ok");
    new.terminate();
    // The old process has not said so: the service went on.
    manager.hears("STOPPING=1");
    eventually("nobody is there any more", || nobody_listens(process.address()));
}

fn it_hears_that_the_workers_live() {
    let (manager, origin) = (Manager::new(), Origin::saying("ok"));
    let setup = Setup::http([origin.address()]).workers(2);
    let _process = manager.start(&setup, Some(Duration::from_millis(400)));
    manager.hears("READY=1");
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
}
