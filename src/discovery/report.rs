//! What is known of every name, for those who look from outside.

use super::watch::{Counts, Watch};
use crate::config::model::{DnsKind, DnsName};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is known of the names of all upstreams.
#[derive(Debug, Default)]
pub struct Reports(Mutex<HashMap<String, Vec<Report>>>);

/// What is known of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The name as it is written, with the port where it has one.
    pub name: String,
    /// `dns` or `srv`.
    pub kind: &'static str,
    /// Endpoints that it stands for.
    pub endpoints: usize,
    /// When it was last answered.
    pub answered: Option<Instant>,
    /// When it is asked for again.
    pub due: Instant,
    /// Questions in a row that were not answered, or not wholly.
    pub failures: u32,
    /// What was wrong with the last answer.
    pub error: Option<String>,
    /// What became of all questions.
    pub counts: Counts,
}

impl Reports {
    /// What is known of the names of an upstream, in the order of the configuration.
    pub fn of(&self, upstream: &str) -> Vec<Report> {
        self.lock().get(upstream).cloned().unwrap_or_default()
    }

    /// This is what is known now.
    pub fn replace(&self, reports: HashMap<String, Vec<Report>>) {
        *self.lock() = reports;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Report>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    /// What is known of this name.
    pub fn new(name: &DnsName, watch: &Watch) -> Self {
        Self {
            name: written(name),
            kind: match name.kind {
                DnsKind::Addresses { .. } => "dns",
                DnsKind::Services => "srv",
            },
            endpoints: watch.endpoints().len(),
            answered: watch.answered(),
            due: watch.due(),
            failures: watch.failures(),
            error: watch.error().map(str::to_owned),
            counts: watch.counts(),
        }
    }

    /// For how long the last answer has been known; `None`: there was none.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|answered| now.saturating_duration_since(answered))
    }
}

/// A name as the configuration has it, with its port.
pub fn written(name: &DnsName) -> String {
    match name.kind {
        DnsKind::Addresses { port, .. } => format!("{}:{port}", name.name),
        DnsKind::Services => name.name.clone(),
    }
}
