//! The report for machines. Names of fields and verdicts are a promise; texts are not.

use super::finding::{self, Verdict};
use super::report;
use serde::Serialize;

/// `millpond doctor --json`
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    /// The configuration file; null: the defaults.
    config: Option<String>,
    /// The user id that limits and rights were read as.
    user: u32,
    summary: Summary,
    checks: Vec<Check>,
}

/// How many checks had which verdict.
#[derive(Debug, Serialize)]
struct Summary {
    ok: usize,
    unknown: usize,
    warn: usize,
    critical: usize,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    theme: &'static str,
    verdict: &'static str,
    /// null: it could not be read.
    value: Option<String>,
    /// Of an unknown one: why it is unknown.
    meaning: String,
    fixes: Vec<Fix>,
}

/// Each changes it by itself.
#[derive(Debug, Serialize)]
struct Fix {
    /// A line for a shell.
    now: Option<String>,
    /// A line for a file, and which.
    kept: Option<Kept>,
}

#[derive(Debug, Serialize)]
struct Kept {
    line: String,
    place: String,
}

impl Report {
    pub(super) fn of(report: &report::Report) -> Self {
        let summary = Summary {
            ok: report.count(Verdict::Ok),
            unknown: report.count(Verdict::Unknown),
            warn: report.count(Verdict::Warn),
            critical: report.count(Verdict::Critical),
        };
        let of_section = |section: &report::Section| {
            section.rows.iter().map(|row| Check::of(section.title, row)).collect()
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            config: report.file.clone(),
            user: report.user,
            summary,
            checks: report
                .sections
                .iter()
                .flat_map(|section| -> Vec<Check> { of_section(section) })
                .collect(),
        }
    }
}

impl Check {
    fn of(theme: &'static str, row: &report::Row) -> Self {
        let finding::Finding { value, verdict, meaning, fixes } = row.finding.clone();
        let fixes = fixes.into_iter().map(|fix| Fix {
            now: fix.now,
            kept: fix.kept.map(|kept| Kept { line: kept.line, place: kept.place }),
        });
        Self { name: row.name, theme, verdict: verdict.label(), value, meaning, fixes: fixes.collect() }
    }
}
