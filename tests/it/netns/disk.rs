//! A full disk below the access log: a small file system in a mount namespace of the program's own.

use super::namespace::trials;
use crate::harness::{Client, Origin, Running, eventually, millpond_with};
use libtest_mimic::Trial;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[]; a_full_disk_costs_lines_of_the_log_and_nothing_else]
}

/// The program on a file system of 16 KiB at /mnt, which nobody else sees.
fn on_a_small_disk() -> Command {
    let inner = millpond_with(1024);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=16k tmpfs /mnt && exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn lost(process: &Running) -> u64 {
    let mut admin = Client::connect(process.admin());
    admin.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let metrics = admin.response().text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("millpond_access_log_lines_lost_total "));
    line.expect("there is an access log").parse().unwrap()
}

fn a_full_disk_costs_lines_of_the_log_and_nothing_else() {
    let origin = Origin::saying("ok");
    let configuration = format!(
        "[log]\naccess = \"/mnt/access.log\"\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nupstream = \"app\"\n\
         [[upstream]]\nname = \"app\"\nendpoints = [\"{}\"]\n",
        origin.address()
    );
    let process = Running::with_text(on_a_small_disk(), &configuration);
    let mut client = Client::connect(process.address());
    assert_eq!((client.get("/").text(), lost(&process)), ("ok".into(), 0));
    eventually("the disk is full", || {
        assert_eq!(client.get("/").text(), "ok");
        lost(&process) > 0
    });
    (0..100).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    let said = process.wait_for_entry("access log lines are lost: a write failed");
    assert!(said["error"].as_str().unwrap().contains("No space left"), "{said}");
    // Whoever looks after the disk makes room.
    let file = PathBuf::from(format!("/proc/{}/root/mnt/access.log", process.pid()));
    OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    let lost_before = lost(&process);
    assert_eq!(client.get("/after").text(), "ok");
    eventually("it is written again", || std::fs::read_to_string(&file).unwrap().contains("/after"));
    assert_eq!(lost(&process), lost_before);
}
