//! A clock that is set, by a year on and by a year back, under a program that runs.

use crate::harness::{Client, Origin, Running, Setup, millpond};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![a_step_of_the_clock_changes_nothing_but_what_is_written_with_it]
}

/// Takes the place of clock_gettime(2) for the time of day alone, which is another while one of two files is there.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_there(const char *variable) {
    const char *path = getenv(variable);
    return path && access(path, F_OK) == 0;
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, id, time);
    if (id == CLOCK_REALTIME && is_there("CLOCK_ON")) time->tv_sec += 366L * 86400;
    if (id == CLOCK_REALTIME && is_there("CLOCK_BACK")) time->tv_sec -= 366L * 86400;
    return result;
}
"#;

fn compile(directory: &Path) -> std::path::PathBuf {
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    let output = compiler.output().expect("a C compiler: apt-get install gcc");
    assert!(output.status.success(), "{output:?}");
    library
}

/// The year that millpond writes in an answer of its own.
fn year(process: &Running) -> i32 {
    let mut client = Client::connect(process.address());
    client.send("nothing that is HTTP\r\n\r\n");
    let response = client.response();
    let date = response.field("date").expect("a Date").to_owned();
    client.expect_eof();
    date.split(' ').nth(3).and_then(|year| year.parse().ok()).unwrap_or_else(|| panic!("{date}"))
}

fn a_step_of_the_clock_changes_nothing_but_what_is_written_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (on, back) = (directory.path().join("on"), directory.path().join("back"));
    let origin = Origin::saying("ok");
    let mut command = millpond();
    command.env("LD_PRELOAD", compile(directory.path())).env("CLOCK_ON", &on).env("CLOCK_BACK", &back);
    let setup = Setup::http([origin.address()]).upstream("pool.idle_timeout = \"60s\"");
    let process = Running::with_config(command, &setup);
    let mut client = Client::connect(process.address());
    assert_eq!(client.get("/").text(), "ok");
    let now = year(&process);
    for (file, direction) in [(&on, 1), (&back, -1)] {
        fs::write(file, "").unwrap();
        assert_eq!((year(&process) - now).signum(), direction, "the clock is another");
        (0..100).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
        fs::remove_file(file).unwrap();
    }
    assert_eq!(client.get("/").text(), "ok", "on the connection of before");
    let statistics = process.statistics();
    assert_eq!(statistics["upstreams"][0]["endpoints"][0]["connections"]["idle"], 1);
    assert_eq!(statistics["upstreams"][0]["endpoints"][0]["opened_total"], 1, "nothing has expired");
    assert!(statistics["uptime_s"].as_f64().unwrap() < 600.0);
}
