//! Processes that end: a command within its time, a server with its test.

use crate::harness::{DEADLINE, eventually};
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The longest that a command may take. Long, as the machine may be busy.
const LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at a process.
const STEP: Duration = Duration::from_millis(5);

/// Runs a command without input to its end and returns what it wrote. Panics if it fails.
#[track_caller]
pub(super) fn succeeds(command: &mut Command) -> String {
    succeeds_with(Stdio::null(), command)
}

/// The same with an input.
#[track_caller]
pub(super) fn succeeds_with(input: impl Into<Stdio>, command: &mut Command) -> String {
    let output = finish(input, command);
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {command:?}\n{out}\n{errors}", output.status);
    out.into_owned()
}

/// Runs a command to its end. One that takes too long is ended, and the test fails.
#[track_caller]
pub(super) fn finish(input: impl Into<Stdio>, command: &mut Command) -> Output {
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = read_all(child.stdout.take().expect("piped"));
    let stderr = read_all(child.stderr.take().expect("piped"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of this process") {
            break Some(status);
        }
        if start.elapsed() > LIMIT {
            end(&mut child);
            break None;
        }
        thread::sleep(STEP);
    };
    let (stdout, stderr) = (stdout.join().expect("reads"), stderr.join().expect("reads"));
    let Some(status) = status else {
        let (out, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        panic!("not over within {LIMIT:?}: {command:?}\n{out}\n{errors}");
    };
    Output { status, stdout, stderr }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is shown all the same.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A process that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    signal: &'static str,
}

impl Server {
    /// Starts it; what it writes goes to a file in `directory`.
    #[track_caller]
    pub(super) fn spawn(directory: &Path, command: &mut Command) -> Self {
        let log = directory.join("log");
        let file = File::create(&log).expect("a directory of this test");
        command.stdin(Stdio::null()).stderr(file.try_clone().expect("an open file")).stdout(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log, signal: "TERM" }
    }

    /// It ends at another signal than SIGTERM.
    pub(super) fn ended_by(mut self, signal: &'static str) -> Self {
        self.signal = signal;
        self
    }

    /// Waits until it accepts on this address.
    #[track_caller]
    pub(super) fn wait_until_it_accepts(&mut self, at: SocketAddr) {
        self.wait_until("it accepts", || TcpStream::connect_timeout(&at, DEADLINE).is_ok());
    }

    /// Waits until it has written this.
    #[track_caller]
    pub(super) fn wait_until_it_says(&mut self, words: &str) {
        let log = self.log.clone();
        self.wait_until(words, || std::fs::read_to_string(&log).is_ok_and(|text| text.contains(words)));
    }

    /// What it has written so far.
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        eventually(what, || {
            let ended = self.child.try_wait().expect("a child of this process");
            holds() || ended.is_some_and(|status| panic!("ended with {status}: {}", self.said()))
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // The standard library has no signal but SIGKILL, after which some servers leave things behind.
        let _ = Command::new("/bin/sh").args(["-c", &format!("kill -{} {pid}", self.signal)]).status();
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(STEP);
        }
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Either may fail because it has just ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// A port of 127.0.0.1 that nobody listens on, for a server that cannot say which one it got. It is
/// below those that the kernel gives to others meanwhile (ip_local_port_range).
pub(super) fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs of the tests at once begin at different ports.
    let offset = std::process::id() % u32::from(COUNT);
    for _ in 0..COUNT {
        let place = (offset + u32::from(NEXT.fetch_add(1, Relaxed))) % u32::from(COUNT);
        let port = FIRST + u16::try_from(place).expect("below COUNT");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free from {FIRST} on");
}
