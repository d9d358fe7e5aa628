//! Micro-benchmarks of what is done for every request, dial or census: `cargo bench`.
//!
//! The same bodies are run under valgrind by `benches/counts.py`, which counts instructions: it calls this
//! program with `--list-bodies`, and with `--run NAME ROUNDS`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that benches/counts.py calls")]

mod balancing;
mod bodies;
mod census;
#[path = "../../tests/sim/fixture.rs"]
mod fixture;
mod http1;
mod pooling;

use bodies::{ALL, Body};
use divan::Bencher;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list-bodies"] => {
            ALL.iter().for_each(|body| println!("{} {}", body.name, body.rounds));
            ExitCode::SUCCESS
        }
        ["--run", name, rounds] => match (Body::named(name), rounds.parse::<u64>()) {
            (Some(body), Ok(rounds)) => {
                let mut run = (body.make)();
                (0..rounds).for_each(|_| run());
                ExitCode::SUCCESS
            }
            _ => {
                eprintln!("--run NAME ROUNDS: no body is called {name:?}, or {rounds:?} is not a number");
                ExitCode::from(2)
            }
        },
        _ => {
            divan::main();
            ExitCode::SUCCESS
        }
    }
}

#[divan::bench(args = ALL)]
fn micro(bencher: Bencher<'_, '_>, body: &Body) {
    let run = (body.make)();
    bencher.bench_local(run);
}
