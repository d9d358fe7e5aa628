//! The command line. Results go to standard output, logs and errors to standard error; the exit code
//! is 0 when it is done, 1 when the request failed, 2 when the command line is wrong.

mod args;
pub mod check;
mod conns;
mod demo;
pub mod doctor;
mod drain;
mod fetch;
#[cfg(test)]
mod generated;
mod health;
mod plan;
mod reload;
mod run;
mod signals;
mod stats;
mod summary;
mod table;
mod top;
mod upgrade;

use args::{Args, Command};
use clap::Parser;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// Runs the command that the process was started with.
#[allow(clippy::print_stderr)]
pub fn main() -> ExitCode {
    match dispatch(Args::parse().command) {
        Ok(code) => ExitCode::from(code),
        // `millpond stats | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millpond: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    match command {
        Command::Demo(args) => demo::demo(&args, &mut out),
        Command::Run(args) => {
            // An access log on standard output is written by a thread of its own.
            drop(out);
            run::run(args)
        }
        Command::Check(args) => Ok(check::check(&args.config, args.strict, &mut out)?),
        Command::Doctor(args) => doctor::doctor(&args, &mut out),
        Command::Plan(args) => Ok(plan::plan(&args, &mut out)?),
        Command::Stats(args) => stats::stats(&args, &mut out),
        Command::Drain(args) => drain::drain(&args, &mut out),
        Command::Health(args) => health::health(&args, &mut out),
        Command::Conns(args) => conns::conns(&args, &mut out),
        Command::Reload(args) => reload::reload(&args, &mut out),
        Command::Upgrade(args) => upgrade::upgrade(&args, &mut out),
        Command::Top(args) => {
            // A panic on another thread gives the terminal back through standard output.
            drop(out);
            top::top(&args)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
