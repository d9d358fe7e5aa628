//! Real clients and real backends, with the proxy between them.
//!
//! They need programs that not every machine has, so all of them are listed as ignored. With
//! `--include-ignored` (or `--ignored`, for them alone) they run, and one that lacks a program fails
//! with the line that installs it. Every backend has a port and a directory of its own.

mod browser;
mod dashboard;
mod download;
mod files;
mod load;
mod netcat;
mod nginx;
mod overflow;
mod postgres;
mod process;
mod program;
mod prometheus;
mod redis;
mod tmux;
mod top;
mod upload;
mod websocket;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    let trials = [
        dashboard::tests(),
        download::tests(),
        load::tests(),
        netcat::tests(),
        overflow::tests(),
        postgres::tests(),
        prometheus::tests(),
        redis::tests(),
        top::tests(),
        upload::tests(),
        websocket::tests(),
    ];
    trials.into_iter().flatten().map(|trial| trial.with_ignored_flag(true)).collect()
}
