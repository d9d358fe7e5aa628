//! A seeded simulation of what decides about connections, with a clock of its own.
//!
//! A world of pretended backends and clients drives the real types by random events and a clock that only
//! the simulation moves; after each step it is checked that they keep what they promise. A seed is a whole
//! history: the same one takes the same course, but for the jitter of `max_age`.
//!
//! - [`world`]: pools, their waiting queue and their help for each other, port ledgers, passive health,
//!   idle learning, the timer wheel. Connections are pairs of Unix sockets, on which the kernel
//!   delivers at once; the backends' ends are held here, and so are the ports.
//! - [`ports`], [`health`], [`learning`]: each of three of those by itself, held against the kernel's tables and
//!   simple models.
//! - [`reaper`]: sockets of a pretended kernel, sessions that own them, and faults that lose some.
//! - [`closing`]: how connections of every kind are closed, against a model of TCP.
//!
//! `MILLPOND_SIM_SEED=n` plays one seed and prints its events. `MILLPOND_SIM_SEEDS=n` plays so many
//! instead of 10,000.

#![allow(clippy::print_stdout, reason = "histories are told to whoever runs the test")]

mod chance;
mod clock;
mod closing;
mod fixture;
mod health;
mod learning;
mod ports;
mod reaper;
mod runner;
mod world;

use runner::run;

#[test]
fn pools() {
    run("pools", world::simulate);
}

#[test]
fn ports() {
    run("ports", ports::simulate);
}

#[test]
fn health() {
    run("health", health::simulate);
}

#[test]
fn learning() {
    run("learning", learning::simulate);
}

#[test]
fn reaper() {
    run("reaper", reaper::simulate);
}

#[test]
fn closing() {
    run("closing", closing::simulate);
}
