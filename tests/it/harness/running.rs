//! millpond as a process of its own.

use super::{AT_ONCE, DEADLINE, STEP, Setup, eventually, kernel, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

const FILE: &str = "millpond.toml";

/// The program, in an environment that says nothing to it but where its admin server may listen.
pub(crate) fn millpond() -> Command {
    quiet(Command::new(env!("CARGO_BIN_EXE_millpond")))
}

/// The same program, started by this path.
pub(crate) fn millpond_at(path: &Path) -> Command {
    quiet(Command::new(path))
}

/// The same under this RLIMIT_NOFILE, hard and soft.
pub(crate) fn millpond_with(descriptors: usize) -> Command {
    millpond_through(&format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""))
}

/// The same by a shell that is told this, with the program and its arguments as `"$0" "$@"`.
pub(crate) fn millpond_through(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_millpond")]);
    quiet(shell)
}

/// The same below strace(1), which makes system calls fail as `inject` says. The process started is
/// millpond all the same.
fn millpond_failing(inject: &str) -> Command {
    let call = inject.split(':').next().expect("the name of a system call");
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={inject}"), env!("CARGO_BIN_EXE_millpond")]);
    quiet(strace)
}

fn quiet(mut command: Command) -> Command {
    for (variable, _) in millpond::config::load::VARIABLES {
        command.env_remove(variable);
    }
    command.env_remove("NOTIFY_SOCKET");
    command.env("MILLPOND_LOG_FORMAT", "json").env("MILLPOND_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

/// A running process. Dropped, it is killed, and the test fails if it had sockets stuck in CLOSE_WAIT.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    /// With its configuration file, where it has one.
    directory: TempDir,
}

impl Running {
    /// `millpond run -c` with this configuration.
    #[track_caller]
    pub(crate) fn start(setup: &Setup) -> Self {
        Self::with_config(millpond(), setup)
    }

    /// The same with no more descriptors than these.
    #[track_caller]
    pub(crate) fn with_descriptors(setup: &Setup, descriptors: usize) -> Self {
        Self::with_config(millpond_with(descriptors), setup)
    }

    /// The same with system calls that fail, `connect:error=ENOBUFS:when=1..4` for example.
    #[track_caller]
    pub(crate) fn with_failing(setup: &Setup, inject: &str) -> Self {
        Self::with_config(millpond_failing(inject), setup)
    }

    /// A command that begins to serve.
    #[track_caller]
    pub(crate) fn of(command: Command) -> Self {
        Self::within(command, tempfile::tempdir().unwrap())
    }

    #[track_caller]
    fn within(mut command: Command, directory: TempDir) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let entry = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap().push(entry);
            }
        });
        let mut running = Self { child, log, directory };
        eventually("it serves", || running.serves() || !running.is_running());
        assert!(running.serves(), "{:?}", running.log);
        running
    }

    /// The same of a command of its own.
    #[track_caller]
    pub(crate) fn with_config(command: Command, setup: &Setup) -> Self {
        Self::with_text(command, &setup.text())
    }

    /// The same with this configuration.
    #[track_caller]
    pub(crate) fn with_text(mut command: Command, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        fs::write(&file, text).unwrap();
        command.args(["run", "-c"]).arg(file);
        Self::within(command, directory)
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().iter().map(|entry| format!("{entry}\n")).collect()
    }

    /// Its configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    /// Writes another configuration.
    pub(crate) fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// Writes another configuration and has it reloaded.
    #[track_caller]
    pub(crate) fn reload(&self, text: &str) {
        self.write(text);
        let output = self.command("reload", &[]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Whether a message of the log begins so.
    pub(crate) fn log_holds(&self, begin: &str) -> bool {
        let log = self.log.lock().unwrap();
        let mut messages = log.iter().filter_map(|entry| entry["fields"]["message"].as_str());
        messages.any(|message| message.starts_with(begin))
    }

    /// The fields of the first log entry with this message.
    pub(crate) fn entry(&self, message: &str) -> Option<Value> {
        let log = self.log.lock().unwrap();
        log.iter().map(|entry| &entry["fields"]).find(|fields| fields["message"] == message).cloned()
    }

    /// The fields of all of them.
    pub(crate) fn entries(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        log.iter()
            .map(|entry| &entry["fields"])
            .filter(|fields| fields["message"] == message)
            .cloned()
            .collect()
    }

    /// The same as [`Self::entry`], which may be on its way.
    #[track_caller]
    pub(crate) fn wait_for_entry(&self, message: &str) -> Value {
        eventually(message, || self.entry(message).is_some());
        self.entry(message).unwrap()
    }

    /// Where its listener listens.
    pub(crate) fn address(&self) -> SocketAddr {
        address(&self.wait_for_entry("listening"))
    }

    /// Where its admin server listens.
    pub(crate) fn admin(&self) -> SocketAddr {
        address(&self.wait_for_entry("the admin server listens"))
    }

    /// What `millpond stats` says of it with these arguments.
    pub(crate) fn stats(&self, arguments: &[&str]) -> Output {
        self.command("stats", arguments)
    }

    /// What this command of `millpond` says to it.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command = millpond();
        command.args([name, "--admin", &self.admin().to_string()]).args(arguments);
        command.output().unwrap()
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn statistics(&self) -> Value {
        let output = self.stats(&["--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Its process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// Of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        within(DEADLINE, "the end of the process", || !self.is_running());
        self.child.wait().unwrap()
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn serves(&self) -> bool {
        self.entry("the admin server listens").is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id();
        let start = Instant::now();
        let mut stuck = kernel::in_close_wait_of(pid);
        while !stuck.is_empty() && start.elapsed() < AT_ONCE {
            thread::sleep(STEP);
            stuck = kernel::in_close_wait_of(pid);
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            assert_eq!(stuck, [], "left in CLOSE_WAIT");
            let log = self.log.lock().unwrap();
            let reaped = |entry: &&Value| entry["fields"]["message"].to_string().contains("reaped");
            assert_eq!(log.iter().find(reaped), None);
        }
    }
}

fn address(fields: &Value) -> SocketAddr {
    fields["address"].as_str().expect("an address").parse().unwrap()
}
