//! All findings, and what they are about (pure).

use super::checks::THEMES;
use super::facts::HostFacts;
use super::finding::{Finding, Verdict};
use crate::cli::check::counted;
use crate::config::model::Config;
use std::path::Path;

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Report {
    /// The file; `None`: the defaults.
    pub(super) file: Option<String>,
    /// What the configuration holds, in numbers.
    pub(super) contents: String,
    /// Whom this process runs as.
    pub(super) user: u32,
    /// In the order in which they are shown.
    pub(super) sections: Vec<Section>,
}

/// The findings of one theme.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// One finding, and the name of what it is about.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) finding: Finding,
}

impl Report {
    /// Runs every check.
    pub(super) fn of(facts: &HostFacts, config: &Config, file: Option<&Path>) -> Self {
        let sections = THEMES.iter().map(|theme| Section {
            title: theme.title,
            rows: theme
                .checks
                .iter()
                .map(|check| Row { name: check.name, finding: check.run(facts, config) })
                .collect(),
        });
        Self {
            file: file.map(|file| file.display().to_string()),
            contents: contents(config),
            user: facts.user,
            sections: sections.collect(),
        }
    }

    /// Every row.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|section| &section.rows)
    }

    /// The names of what has this verdict.
    pub(super) fn names(&self, verdict: Verdict) -> Vec<&'static str> {
        self.rows().filter(|row| row.finding.verdict == verdict).map(|row| row.name).collect()
    }

    /// How many have it.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.names(verdict).len()
    }
}

fn contents(config: &Config) -> String {
    let endpoints: usize = config.upstreams.iter().map(|upstream| upstream.endpoints.len()).sum();
    let names: usize = config.upstreams.iter().map(|upstream| upstream.names.len()).sum();
    let mut parts = vec![
        counted(config.listeners.len(), "listener"),
        counted(config.upstreams.len(), "upstream"),
        counted(endpoints, "endpoint"),
    ];
    // Nobody is asked for them: each counts as one endpoint.
    if names > 0 {
        parts.push(counted(names, "name"));
    }
    parts.push(counted(config.runtime.workers, "worker"));
    parts.join(", ")
}
