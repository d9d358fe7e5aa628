//! From the layered configuration to the model, with every problem at once. Pure: what depends on
//! the host is an argument.
//!
//! Each reader below returns a complete value whatever it met, with defaults where something was
//! wrong, so that one mistake never hides another. What they return counts only when no problem
//! was an error.

mod endpoints;
mod limit;
mod lints;
mod listener;
mod nat;
mod process;
mod relations;
mod resolver;
mod socket;
mod source;
mod upstream;

use super::diagnostic::Problems;
use super::model::Config;
use super::section::Section;
use std::sync::Arc;
use std::time::Duration;

/// Compiles a whole configuration. `cores` is what `workers = "auto"` stands for.
pub(super) fn compile(root: &Section<'_>, cores: usize, problems: &mut Problems) -> Config {
    let admin = process::admin(root, problems);
    let upstreams = upstream::all(root, problems);
    let listeners = listener::all(root, &upstreams, problems);
    relations::check(&admin, &listeners, &upstreams, problems);
    lints::timers(&listeners, &upstreams, problems);
    Config {
        runtime: process::runtime(root, cores, problems),
        admin,
        log: process::log(root, problems),
        resolver: resolver::resolver(root, problems),
        listeners: listeners.into_iter().map(|listener| Arc::new(listener.value)).collect(),
        upstreams: upstreams.into_iter().map(|upstream| Arc::new(upstream.value)).collect(),
    }
}

/// A part of the model and the table that it was read from.
#[derive(Debug)]
struct Placed<'a, T> {
    section: Section<'a>,
    value: T,
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests;
