//! A new process that takes over from an old one, while everything runs.

mod fails;
mod load;
mod succeeds;
mod successor;

pub(crate) use successor::play;

use crate::harness::{DEADLINE, Running, Setup, eventually, millpond_at, within};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Trial> {
    [succeeds::tests(), load::tests(), fails::tests()].into_iter().flatten().collect()
}

/// A process that was started through a symlink, in whose place another program can be put. The last of those
/// that take over from each other is killed when this is dropped.
struct Instance {
    process: Running,
    directory: TempDir,
    pids: Vec<u32>,
}

impl Instance {
    #[track_caller]
    fn start(setup: &Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("millpond");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_millpond"), &program).unwrap();
        let process = Running::with_config(millpond_at(&program), setup);
        let pids = vec![process.pid()];
        Self { process, directory, pids }
    }

    /// Puts another program in the place of the one that was started.
    fn replace(&self, program: &Path) {
        let (link, new) = (self.program(), self.directory.path().join("new"));
        std::os::unix::fs::symlink(program, &new).unwrap();
        fs::rename(new, link).unwrap();
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("millpond")
    }

    /// Has it upgraded; what the command answered.
    fn try_upgrade(&self) -> Output {
        self.process.command("upgrade", &["--json"])
    }

    /// The same, which must succeed.
    #[track_caller]
    fn upgrade(&mut self) -> Value {
        let output = self.try_upgrade();
        assert!(output.status.success(), "{output:?}\n{}", self.process.log());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (old, new) = (pid_of(&answer["old"]), pid_of(&answer["new"]));
        assert_eq!(Some(&old), self.pids.last());
        assert_eq!(self.pid(), new);
        self.pids.push(new);
        answer
    }

    /// The same, which must fail and change nothing; why it failed.
    #[track_caller]
    fn upgrade_in_vain(&self) -> String {
        let output = self.try_upgrade();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(self.pid(), self.process.pid(), "the same process serves");
        assert_eq!(self.process.statistics()["draining"], false);
        answer["error"].as_str().unwrap().to_owned()
    }

    /// The process that answers.
    #[track_caller]
    fn pid(&self) -> u32 {
        pid_of(&self.process.statistics()["process"])
    }

    /// The connections to the first endpoint, as the process that answers has them.
    #[track_caller]
    fn endpoint(&self) -> Value {
        self.process.statistics()["upstreams"][0]["endpoints"][0].clone()
    }

    /// Waits until all processes but the last have ended.
    #[track_caller]
    fn alone(&mut self) {
        let before = &self.pids[..self.pids.len() - 1];
        if !before.is_empty() {
            assert_eq!(self.process.wait().code(), Some(0), "the first ends as after a drain");
        }
        within(DEADLINE, "the others end, too", || before.iter().all(|pid| !is_running(*pid)));
        eventually("the last one hears of it", || {
            self.process.statistics()["process"]["predecessor"]["draining"] != true
        });
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let program = self.program();
        self.pids.drain(..).skip(1).for_each(|pid| drop(Ends::new(pid, &program)));
    }
}

/// A process that nobody waits for, as its parent is another; it is killed when this is dropped.
pub(crate) struct Ends {
    pid: u32,
    program: PathBuf,
}

impl Ends {
    /// The process with this id, started as this program.
    pub(crate) fn new(pid: u32, program: &Path) -> Self {
        Self { pid, program: program.to_owned() }
    }

    pub(crate) fn terminate(&self) {
        kill_process(pid_from(self.pid), Signal::TERM).unwrap();
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended, and its number may be another's by now.
        let command = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        if command.starts_with(self.program.as_os_str().as_encoded_bytes()) {
            // It may end at this moment.
            let _ = kill_process(pid_from(self.pid), Signal::KILL);
        }
    }
}

fn pid_of(process: &Value) -> u32 {
    process["pid"].as_u64().unwrap().try_into().unwrap()
}

fn pid_from(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

fn is_running(pid: u32) -> bool {
    // One that has ended and was not waited for is no process any more.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    test_kill_process(pid_from(pid)).is_ok() && !is_zombie
}
