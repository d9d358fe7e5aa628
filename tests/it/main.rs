//! The proxy from outside: real sockets on loopback, scripted backends, and the kernel's own view of
//! what became of the connections.
//!
//! Every test has a proxy of its own on a port that the kernel gives. Nothing sleeps in the hope that
//! something has happened by then: what is to happen is waited for, with a deadline.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod attack;
mod balancing;
mod cli;
mod conformance;
mod connections;
mod dns;
mod faults;
mod forwarding;
mod half_close;
mod harness;
mod isolation;
mod life;
mod netns;
mod orders;
mod pool;
mod ports;
mod real;
mod refusals;
mod reload;
mod rights;
mod service;
mod tcp;
mod upgrade;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// Tests at once, unless the command line says otherwise: most of them wait for a deadline. With 8 on two cores, the
/// load average was above 20.
const THREADS: usize = 4;

/// Tests that compare times, or count on how a long flow goes. They come after all others, these of them at once:
/// what loads the host beside them would be measured with them.
const APART: [(&[&str], usize); 2] =
    [(&["netns::forecast::"], 3), (&["attack::", "forwarding::long_flow::", "netns::half_open::"], 1)];

/// One trial for each function, named after the module and the function.
macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        vec![$(crate::trial(module_path!(), stringify!($name), $name)),+]
    };
}
pub(crate) use trials;

fn main() -> ExitCode {
    upgrade::play();
    let arguments = Arguments::from_args();
    harness::panics::watch();
    let (mut beside, mut failed) = (all(), false);
    let mut run = |trials: Vec<Trial>, threads| {
        let mut arguments = arguments.clone();
        arguments.test_threads.get_or_insert(threads);
        failed |= libtest_mimic::run(&arguments, trials).has_failed();
    };
    let apart = APART.map(|(names, threads)| {
        let is_named = |trial: &mut Trial| names.iter().any(|name| trial.name().starts_with(name));
        (beside.extract_if(.., is_named).collect(), threads)
    });
    run(beside, THREADS);
    apart.into_iter().for_each(|(trials, threads)| run(trials, threads));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn all() -> Vec<Trial> {
    [
        forwarding::tests(),
        refusals::tests(),
        conformance::tests(),
        attack::tests(),
        isolation::tests(),
        pool::tests(),
        ports::tests(),
        balancing::tests(),
        tcp::tests(),
        half_close::tests(),
        life::tests(),
        faults::tests(),
        reload::tests(),
        upgrade::tests(),
        service::tests(),
        rights::tests(),
        cli::tests(),
        orders::tests(),
        dns::tests(),
        netns::tests(),
        admin::tests(),
        connections::tests(),
        real::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn trial(module: &str, name: &str, test: fn()) -> Trial {
    let module = module.strip_prefix("it::").unwrap_or(module);
    Trial::test(format!("{module}::{name}"), move || {
        test();
        Ok(())
    })
}
