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

/// Tests at once, unless the command line says otherwise: most of them wait for a deadline, and some load the host.
/// With 8 on two cores, the load average was above 20, and what measures time failed now and then.
const THREADS: usize = 4;

/// One trial for each function, named after the module and the function.
macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        vec![$(crate::trial(module_path!(), stringify!($name), $name)),+]
    };
}
pub(crate) use trials;

fn main() {
    upgrade::play();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    harness::panics::watch();
    let trials = [
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
    .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(module: &str, name: &str, test: fn()) -> Trial {
    let module = module.strip_prefix("it::").unwrap_or(module);
    Trial::test(format!("{module}::{name}"), move || {
        test();
        Ok(())
    })
}
