//! What `/stats` tells of names that stand for endpoints.

use crate::discovery::report::Report;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// One name of an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discovered {
    /// As it is written, with the port where it has one.
    pub name: String,
    /// `dns` for addresses, `srv` for services.
    pub kind: String,
    /// Endpoints that it stands for.
    pub endpoints: u64,
    /// Time since it was last answered, with whatever; `None`: it never was.
    pub resolved_ago_s: Option<f64>,
    /// Time until it is asked for again; 0 while it is.
    pub next_in_s: f64,
    /// Questions in a row that were not answered, or not wholly.
    pub failures: u64,
    /// What was wrong with the last answer; `None`: nothing.
    pub error: Option<String>,
    /// What became of all questions.
    pub lookups: Lookups,
}

/// Questions for one name, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookups {
    /// Answered with endpoints.
    pub found: u64,
    /// Answered in part; what was known before stands in for the rest.
    pub partial: u64,
    /// Answered that there are none.
    pub empty: u64,
    /// Not answered.
    pub failed: u64,
}

impl Discovered {
    /// What the report says now.
    pub(super) fn of(report: &Report, now: Instant) -> Self {
        let counts = report.counts;
        Self {
            name: report.name.clone(),
            kind: report.kind.to_owned(),
            endpoints: report.endpoints as u64,
            resolved_ago_s: report.age(now).map(tenths),
            next_in_s: tenths(report.due.saturating_duration_since(now)),
            failures: report.failures.into(),
            error: report.error.clone(),
            lookups: Lookups {
                found: counts.found,
                partial: counts.partial,
                empty: counts.empty,
                failed: counts.failed,
            },
        }
    }
}

fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
