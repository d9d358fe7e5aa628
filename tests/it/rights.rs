//! Whom millpond runs as, and what it tells nobody.

use crate::harness::{Client, Origin, Running, Setup, address_of_its_own, eventually, millpond_at};
use libtest_mimic::{Completion, Trial};
use rustix::process::geteuid;
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Trials that only root can run: for others they are listed as ignored.
macro_rules! root_trials {
    ($($name:ident),+ $(,)?) => {
        [$(Trial::ignorable_test(concat!("rights::", stringify!($name)), || match geteuid().is_root() {
            true => {
                $name();
                Ok(Completion::Completed)
            }
            false => Ok(Completion::ignored_with("only root can become another user")),
        })),+]
    };
}
pub(crate) fn tests() -> Vec<Trial> {
    let mut trials = crate::trials![a_process_is_never_more_than_it_is, no_secret_is_logged];
    trials.extend(root_trials![
        root_is_given_up_once_it_listens,
        the_right_to_low_ports_is_kept_over_an_upgrade,
        who_is_not_root_becomes_nobody_else,
        an_account_that_is_not_there,
    ]);
    trials
}

/// A number that no user of this host needs to have.
const USER: u32 = 54_321;

/// The program and a configuration where every user may read them.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let place = Self { directory };
        // Not by this process: what another thread forks meanwhile would have it open for writing, and it could not be
        // run (ETXTBSY).
        let mut copy = Command::new("cp");
        assert!(copy.arg(env!("CARGO_BIN_EXE_millpond")).arg(place.program()).status().unwrap().success());
        fs::set_permissions(place.program(), Permissions::from_mode(0o755)).unwrap();
        fs::write(place.config(), text).unwrap();
        fs::set_permissions(place.config(), Permissions::from_mode(0o644)).unwrap();
        place
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("millpond")
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("millpond.toml")
    }

    fn command(&self) -> Command {
        let mut command = millpond_at(&self.program());
        command.args(["run", "-c"]).arg(self.config());
        command
    }
}

/// The lines of /proc/PID/task/*/status, of every thread alike.
#[track_caller]
fn status(pid: u32) -> HashMap<String, String> {
    let wanted = ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"];
    let of = |path: PathBuf| -> HashMap<String, String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let lines = lines.filter(|(name, _)| wanted.contains(name));
        lines
            .map(|(name, value)| (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
            .collect()
    };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut all: Vec<_> = threads.map(|thread| of(thread.unwrap().path().join("status"))).collect();
    // One that has ended meanwhile.
    all.retain(|one| !one.is_empty());
    assert!(all.len() > 1 && all.iter().all(|one| *one == all[0]), "{all:?}");
    all.swap_remove(0)
}

const NONE: &str = "0000000000000000";
const NET_BIND_SERVICE: &str = "0000000000000400";

#[track_caller]
fn assert_is_user(status: &HashMap<String, String>, capabilities: &str) {
    let of = |name: &str| status[name].as_str();
    let four = |number: u32| vec![number.to_string(); 4].join(" ");
    assert_eq!(
        (of("Uid"), of("Gid"), of("Groups")),
        (&*four(USER), &*four(USER + 1), &*(USER + 1).to_string())
    );
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(of(set), capabilities, "{set}");
    }
    assert_eq!(of("NoNewPrivs"), "1");
}

fn setup(origin: &Origin) -> Setup {
    Setup::http([origin.address()]).runtime(&format!("user = {USER}\ngroup = {}", USER + 1))
}

fn a_process_is_never_more_than_it_is() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    assert_eq!(status(process.pid())["NoNewPrivs"], "1");
}

fn root_is_given_up_once_it_listens() {
    let origin = Origin::saying("ok");
    let setup = setup(&origin);
    let place = Place::new(&setup.text());
    let process = Running::of(place.command());
    assert_is_user(&status(process.pid()), NONE);
    assert_eq!(Client::connect(process.address()).get("/").text(), "ok");
    // It still counts what it has, and sees what the kernel has of it.
    eventually("the census", || process.statistics()["census"].is_object());
    let statistics = process.statistics();
    assert!(statistics["process"]["fds"]["used"].as_u64().unwrap() > 5, "{}", statistics["process"]);
    assert!(!statistics["notes"].to_string().contains("ermission"), "{}", statistics["notes"]);
    // A reload reads the file with the rights that are left.
    fs::write(place.config(), setup.clone().listener("timeout.idle = \"59s\"").text()).unwrap();
    assert!(process.command("reload", &[]).status.success());
    fs::write(place.config(), setup.runtime("watch = false").text().replace("54321", "0")).unwrap();
    let output = process.command("reload", &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("runtime.user"), "{output:?}");
    assert_is_user(&status(process.pid()), NONE);
}

fn the_right_to_low_ports_is_kept_over_an_upgrade() {
    let origin = Origin::saying("ok");
    let low = |port: u16| format!("{}:{port}", address_of_its_own());
    let text =
        |bind: &str| setup(&origin).text().replace("bind = \"127.0.0.1:0\"", &format!("bind = [{bind}]"));
    let first = low(81);
    let place = Place::new(&text(&format!("\"{first}\"")));
    let process = Running::of(place.command());
    assert_is_user(&status(process.pid()), NET_BIND_SERVICE);
    let output = process.command("upgrade", &[]);
    assert!(output.status.success(), "{output:?}");
    let statistics = process.statistics();
    let pid = u32::try_from(statistics["process"]["pid"].as_u64().unwrap()).unwrap();
    assert_ne!(pid, process.pid());
    assert_is_user(&status(pid), NET_BIND_SERVICE);
    // Another low port, of a process that was never root.
    let second = low(82);
    fs::write(place.config(), text(&format!("\"{first}\", \"{second}\""))).unwrap();
    let output = process.command("reload", &[]);
    assert!(output.status.success(), "{output:?}");
    for address in [first, second] {
        assert_eq!(Client::connect(address.parse().unwrap()).get("/").text(), "ok");
    }
    assert!(process.command("drain", &[]).status.success());
    // One that has ended and was not waited for has no command line any more.
    let command = || fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    eventually("the new process ends", || command().is_empty());
}

/// What `run` says when it does not begin.
#[track_caller]
fn refused(place: &Place, user: u32) -> String {
    let output = place.command().uid(user).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn who_is_not_root_becomes_nobody_else() {
    let origin = Origin::saying("ok");
    let place = Place::new(&setup(&origin).text());
    let said = refused(&place, USER + 7);
    assert!(said.contains("only root can become") && said.contains("54328"), "{said}");
    // Whoever is that user already has nothing to become.
    let mut command = place.command();
    command.uid(USER).gid(USER + 1);
    let process = Running::of(command);
    assert_eq!(Client::connect(process.address()).get("/").text(), "ok");
}

fn an_account_that_is_not_there() {
    let origin = Origin::saying("ok");
    let setup = Setup::http([origin.address()]).runtime("user = \"no-such-user-here\"");
    let said = refused(&Place::new(&setup.text()), 0);
    assert!(
        said.contains("runtime.user: this host has no user") && said.contains("no-such-user-here"),
        "{said}"
    );
}

/// Fields, targets and tokens are in no log, whatever its level; a target is in the access log, as it came.
fn no_secret_is_logged() {
    const SECRETS: [&str; 5] =
        ["s3cret-bearer", "s3cret-cookie", "s3cret-query", "s3cret-admin", "s3cret-wrong"];
    let origin = Origin::saying("ok");
    let directory = tempfile::tempdir().unwrap();
    let (token, access) = (directory.path().join("token"), directory.path().join("access.log"));
    fs::write(&token, "s3cret-admin-0123456789\n").unwrap();
    let setup = Setup::http([origin.address()]);
    let text = setup.text().replace(
        "[admin]",
        &format!("[log]\nlevel = \"trace\"\naccess = {access:?}\n[admin]\ntoken_file = {token:?}"),
    );
    let config = directory.path().join("millpond.toml");
    fs::write(&config, text).unwrap();
    let mut command = crate::harness::millpond();
    command.args(["run", "-c"]).arg(&config);
    let process = Running::of(command);
    let fields = "Authorization: Bearer s3cret-bearer\r\nCookie: session=s3cret-cookie\r\n";
    let mut client = Client::connect(process.address());
    client.send(format!("GET /path?key=s3cret-query HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    assert_eq!(client.response().text(), "ok");
    // One that is refused, with the same in it.
    client.send(format!(
        "GET /path?key=s3cret-query HTTP/1.1\r\nHost: test\r\n{fields}Bad Name: s3cret-cookie\r\n\r\n"
    ));
    assert_eq!(client.response().status(), 400);
    for token in ["s3cret-admin-0123456789", "s3cret-wrong-0123456789"] {
        let mut client = Client::connect(process.admin());
        client.send(format!(
            "GET /config HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        let response = client.response();
        assert!([200, 401].contains(&response.status()), "{}", response.status());
        assert!(!response.text().contains("s3cret"), "{}", response.text());
    }
    eventually("both requests are in the access log", || {
        fs::read_to_string(&access).unwrap_or_default().lines().count() >= 2
    });
    let (log, access) = (process.log(), fs::read_to_string(&access).unwrap());
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
    assert!(access.contains("/path?key=s3cret-query"), "{access}");
    assert!(!access.contains("s3cret-bearer") && !access.contains("s3cret-cookie"), "{access}");
}
