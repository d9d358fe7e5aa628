//! Half-closes as shells make them: the input ends, and the answer comes after that.

use super::process::{succeeds, succeeds_with};
use super::program::NC;
use crate::harness::{Ended, Origin, Setup};
use libtest_mimic::Trial;
use std::fs::File;
use std::process::Command;
use tempfile::TempDir;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        an_answer_after_the_end_arrives,
        a_long_input_is_counted_at_its_end,
        many_half_closes_at_once
    ]
}

/// A backend that reads to the end, and only then says how much that was.
fn counting() -> Origin {
    Origin::start(|conn| {
        let mut count = 0;
        loop {
            match conn.some().len() {
                0 => break,
                more => count += more,
            }
        }
        conn.send(format!("{count} bytes\n"));
    })
}

#[track_caller]
fn nc(port: u16) -> Command {
    let mut command = NC.command();
    // -N: FIN after the input. -w: give up after a silence of so many seconds.
    command.args(["-N", "-w", "20", "127.0.0.1", &port.to_string()]);
    command
}

fn input(bytes: u64) -> (TempDir, File) {
    let directory = TempDir::new().expect("a temporary directory");
    let file = File::open(super::files::create(directory.path(), "input", bytes)).expect("just created");
    (directory, file)
}

fn an_answer_after_the_end_arrives() {
    let backend = counting();
    let proxy = Setup::tcp([backend.address()]).start();
    let (_directory, byte) = input(1);
    assert_eq!(succeeds_with(byte, &mut nc(proxy.address().port())), "1 bytes\n");
    // No byte at all: the end is all that there is to pass on.
    assert_eq!(succeeds(&mut nc(proxy.address().port())), "0 bytes\n");
    assert_eq!([0, 1].map(|connection| backend.wait_for_end(connection)), [Ended::Fin; 2]);
}

fn a_long_input_is_counted_at_its_end() {
    let backend = counting();
    let proxy = Setup::tcp([backend.address()]).start();
    let (_directory, file) = input(20_000_000);
    assert_eq!(succeeds_with(file, &mut nc(proxy.address().port())), "20000000 bytes\n");
    assert_eq!(backend.wait_for_end(0), Ended::Fin);
}

fn many_half_closes_at_once() {
    let backend = counting();
    let proxy = Setup::tcp([backend.address()]).workers(2).start();
    let port = proxy.address().port();
    std::thread::scope(|scope| {
        for bytes in (0..20).map(|client| client * 10_000) {
            scope.spawn(move || {
                let (_directory, file) = input(bytes);
                assert_eq!(succeeds_with(file, &mut nc(port)), format!("{bytes} bytes\n"));
            });
        }
    });
}
