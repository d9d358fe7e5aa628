//! The rules of deploy/prometheus, and their unit tests.

use crate::at_root;
use crate::promql::Expression;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::fs;

/// An alert or a recorded expression.
#[derive(Debug, Deserialize)]
pub(crate) struct Rule {
    pub(crate) alert: Option<String>,
    pub(crate) record: Option<String>,
    pub(crate) expr: String,
    #[serde(rename = "for")]
    pub(crate) duration: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A unit test: series in, alerts out.
#[derive(Debug, Deserialize)]
pub(crate) struct UnitTest {
    pub(crate) name: String,
    pub(crate) input_series: Vec<Series>,
    #[serde(rename = "promql_expr_test")]
    pub(crate) checks: Vec<Check>,
}

/// A series that a unit test begins with.
#[derive(Debug, Deserialize)]
pub(crate) struct Series {
    pub(crate) series: String,
}

/// What an expression is to give.
#[derive(Debug, Deserialize)]
pub(crate) struct Check {
    pub(crate) expr: String,
    /// Left out, it is to give nothing.
    #[serde(default)]
    pub(crate) exp_samples: Vec<IgnoredAny>,
}

impl Rule {
    pub(crate) fn name(&self) -> &str {
        self.alert.as_deref().or(self.record.as_deref()).expect("a rule has a name")
    }
}

impl UnitTest {
    /// What the alert's own checks expect: how many alerts, each time.
    pub(crate) fn firing(&self) -> Vec<usize> {
        let own = format!("ALERTS{{alertname=\"{}\", alertstate=\"firing\"}}", self.name);
        self.checks.iter().filter(|check| check.expr == own).map(|check| check.exp_samples.len()).collect()
    }
}

/// Every rule, in the order of the files' names.
pub(crate) fn rules() -> Vec<Rule> {
    #[derive(Deserialize)]
    struct File {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    let files: Vec<File> = read_all("deploy/prometheus/rules");
    files.into_iter().flat_map(|file| file.groups).flat_map(|group| group.rules).collect()
}

pub(crate) fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| rule.alert.is_some()).collect()
}

pub(crate) fn unit_tests() -> Vec<UnitTest> {
    #[derive(Deserialize)]
    struct File {
        tests: Vec<UnitTest>,
    }
    let files: Vec<File> = read_all("deploy/prometheus/tests");
    files.into_iter().flat_map(|file| file.tests).collect()
}

/// The labels of a recorded expression besides the target's, which its name begins with.
pub(crate) fn recorded_labels(name: &str) -> Option<&'static [&'static str]> {
    match name.split_once(':')?.0 {
        "instance" => Some(&[]),
        "listener" => Some(&["listener"]),
        "listener_reason" => Some(&["listener", "reason"]),
        "endpoint" => Some(&["upstream", "endpoint"]),
        "budget" => Some(&["budget"]),
        _ => None,
    }
}

/// The labels that a template such as `{{ $labels.endpoint }}` names.
pub(crate) fn labels_in(template: &str) -> impl Iterator<Item = &str> {
    template.split("$labels.").skip(1).filter_map(|rest| rest.split([' ', '}']).next())
}

/// The labels that an alert or a recorded expression can have.
pub(crate) fn labels_of(expression: &Expression) -> Vec<String> {
    let mut labels: Vec<String> = vec!["instance".into(), "job".into()];
    for selector in &expression.selectors {
        labels.extend(crate::labels_of_metric(&selector.metric).iter().map(|label| (*label).to_owned()));
    }
    labels.retain(|label| !expression.labels_after("without").any(|dropped| dropped == label));
    labels
}

fn read_all<T: DeserializeOwned>(directory: &str) -> Vec<T> {
    let entries = fs::read_dir(at_root(directory)).expect("a directory of the crate");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("a readable file");
        serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}
