//! Every check, by theme: what is read of the host, judged by the configuration (pure).
//!
//! Each names where its rule comes from; `ip-sysctl.rst` is Documentation/networking/ip-sysctl.rst of the
//! kernel.

mod closed;
mod conntrack;
mod descriptors;
mod kernel;
mod listen_queues;
mod rights;
mod source_ports;
mod tcp;
#[cfg(test)]
mod tests;

use super::facts::{Fact, HostFacts};
use super::finding::Finding;
use crate::config::model::Config;

/// One question about the host.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What it is about: the name of a setting, a limit, a key or a feature.
    pub name: &'static str,
    run: fn(&HostFacts, &Config) -> Fact<Finding>,
}

impl Check {
    /// The answer. What cannot be read is unknown, never as it should be.
    pub fn run(&self, facts: &HostFacts, config: &Config) -> Finding {
        (self.run)(facts, config).unwrap_or_else(Finding::unknown)
    }
}

/// Checks that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// For a heading.
    pub title: &'static str,
    /// In the order in which they are shown.
    pub checks: &'static [Check],
}

/// Every theme, in the order in which they are shown.
pub const THEMES: [Theme; 8] = [
    Theme { title: "Listen queues", checks: listen_queues::CHECKS },
    Theme { title: "Source ports", checks: source_ports::CHECKS },
    Theme { title: "Closed connections", checks: closed::CHECKS },
    Theme { title: "Descriptors", checks: descriptors::CHECKS },
    Theme { title: "Connection tracking", checks: conntrack::CHECKS },
    Theme { title: "TCP", checks: tcp::CHECKS },
    Theme { title: "Rights", checks: rights::CHECKS },
    Theme { title: "Kernel features", checks: kernel::CHECKS },
];
