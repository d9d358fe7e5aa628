//! A network namespace for a test, and what is set in it.

use libtest_mimic::{Completion, Failed, Trial};
use std::fs;
use std::io::Write;
use std::ops::RangeInclusive;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Set in the process that a test runs in.
const INSIDE: &str = "MILLPOND_TEST_NAMESPACE";
/// Beyond this, a test hangs. timeout(1)
const SECONDS: &str = "100";

/// A program that a test needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    name: &'static str,
    /// With these arguments it succeeds where it works.
    works: &'static [&'static str],
    /// What makes it work.
    remedy: &'static str,
}

const IP: Program = Program { name: "ip", works: &["-V"], remedy: "apt-get install iproute2" };
pub(super) const NFT: Program = Program { name: "nft", works: &["-v"], remedy: "apt-get install nftables" };
/// In a container it may be installed, but not allowed to trace.
pub(super) const STRACE: Program =
    Program { name: "strace", works: &["-o", "/dev/null", "true"], remedy: "apt-get install strace" };
/// Part of util-linux, as unshare(1) is.
pub(super) const SETPRIV: Program =
    Program { name: "setpriv", works: &["--dump"], remedy: "apt-get install util-linux" };
/// The module is the whole host's, so a test cannot load it.
pub(super) const CONNTRACK: Program = Program {
    name: "test",
    works: &["-e", "/proc/sys/net/netfilter/nf_conntrack_max"],
    remedy: "modprobe nf_conntrack",
};

/// One trial for each function, each in a namespace of its own, for tests that need these programs.
macro_rules! trials {
    ($needs:expr; $($name:ident),+ $(,)?) => {
        vec![$(crate::netns::namespace::trial(module_path!(), stringify!($name), $needs, $name)),+]
    };
}
pub(super) use trials;

/// A user namespace cannot be entered by a process with threads (unshare(2)), so the trial runs this
/// program once more, for this test alone, as a child of unshare(1).
pub(super) fn trial(module: &str, name: &str, needs: &'static [Program], test: fn()) -> Trial {
    let module = module.strip_prefix("it::").unwrap_or(module);
    let name = format!("{module}::{name}");
    let again = name.clone();
    Trial::ignorable_test(name, move || {
        if std::env::var_os(INSIDE).is_some() {
            run(Command::new(IP.name).args(["link", "set", "lo", "up"]));
            test();
            return Ok(Completion::Completed);
        }
        match unshare() {
            Err(reason) => Ok(Completion::ignored_with(reason)),
            Ok(flags) => match needs.iter().chain([&IP]).find(|program| !program.works()) {
                Some(Program { name, works, remedy }) => {
                    let command = format!("{name} {}", works.join(" "));
                    Ok(Completion::ignored_with(format!("`{command}` fails: {remedy}")))
                }
                None => inside(flags, &again).map(|()| Completion::Completed),
            },
        }
    })
}

/// The flags of unshare(1) with which a network namespace can be made here, or why none can. Root may
/// do without a user namespace where there are none.
fn unshare() -> Result<&'static [&'static str], &'static str> {
    static FOUND: OnceLock<Result<&[&str], String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let mut reason = String::new();
        let ways: [&[&str]; 2] = [&["--user", "--map-root-user", "--net"], &["--net"]];
        for flags in ways {
            match Command::new("unshare").args(flags).arg("true").output() {
                Ok(output) if output.status.success() => return Ok(flags),
                Ok(output) => reason = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                Err(error) => reason = format!("unshare: {error}"),
            }
        }
        Err(format!("no network namespace may be made here: {reason}"))
    });
    found.as_ref().copied().map_err(String::as_str)
}

/// Runs one test of this program in a namespace.
fn inside(flags: &[&str], test: &str) -> Result<(), Failed> {
    let mut command = Command::new("timeout");
    command.args([SECONDS, "unshare"]).args(flags).arg(std::env::current_exe()?);
    command.args(["--exact", test, "--test-threads", "1", "--color", "never"]).env(INSIDE, "1");
    let output = command.stdin(Stdio::null()).output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    // That it ran shows only in what it says: a name that it does not know would be no failure.
    if output.status.success() && text.contains("1 passed") {
        return Ok(());
    }
    Err(format!("in its namespace: {}\n{text}", output.status).into())
}

impl Program {
    fn works(self) -> bool {
        Command::new(self.name).args(self.works).output().is_ok_and(|output| output.status.success())
    }
}

/// Sets a value below `/proc/sys/net` of this namespace.
#[track_caller]
pub(super) fn sysctl(name: &str, value: impl std::fmt::Display) {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value.to_string()).unwrap_or_else(|error| panic!("{path} = {value}: {error}"));
}

/// Lets sockets that ask for no port have one of these, and none that is in TIME_WAIT.
#[track_caller]
pub(super) fn local_ports(ports: RangeInclusive<u16>) {
    sysctl("ipv4/ip_local_port_range", format!("{} {}", ports.start(), ports.end()));
    sysctl("ipv4/tcp_tw_reuse", 0);
}

/// Hands rules to nft(8).
#[track_caller]
pub(super) fn nft(rules: &str) {
    let mut command = Command::new(NFT.name);
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    succeeded(&child.wait_with_output().unwrap());
}

#[track_caller]
pub(super) fn run(command: &mut Command) {
    succeeded(&command.output().unwrap());
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}
