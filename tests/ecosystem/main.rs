//! What is shipped beside the program agrees with it. Here for Prometheus and Grafana: every metric, label and
//! reason that is named exists, and every metric that exists is shown somewhere. `deploy` has the rest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod dashboard;
mod deploy;
mod manifests;
mod promql;
mod rules;

use dashboard::Dashboard;
use millpond::command::Peer;
use millpond::forward::failure;
use millpond::metrics::budgets::Resource;
use millpond::metrics::names::{self, Kind, Metric};
use millpond::metrics::render::RESPONSE_CLASSES;
use millpond::reason::{CloseReason, DiscardReason, RejectReason};
use millpond::sys::sock_diag::TcpState;
use promql::{Expression, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What Prometheus adds to every series.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];
/// Metrics that neither a rule nor the dashboard shows, and why.
const NOT_SHOWN: &[(&str, &str)] = &[];
/// The rows of the dashboard, what is urgent first.
const ROWS: [&str; 7] = [
    "What needs attention",
    "Requests",
    "Client connections",
    "Upstream connections",
    "Source ports",
    "Accept queues and kernel",
    "Process",
];

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every expression of the rules, the unit tests and the dashboard, with where it stands.
fn expressions() -> Vec<(String, Expression)> {
    let mut all = Vec::new();
    for rule in rules::rules() {
        all.push((rule.name().to_owned(), Expression::read(&rule.expr)));
    }
    for test in rules::unit_tests() {
        let place = format!("the test of {}", test.name);
        all.extend(test.checks.iter().map(|check| (place.clone(), Expression::read(&check.expr))));
        let series = test.input_series.iter().map(|series| &series.series);
        all.extend(series.map(|series| (place.clone(), Expression::read(series))));
    }
    let dashboard = Dashboard::read();
    all.extend(dashboard.expressions().into_iter().map(|(place, text)| (place, Expression::read(text))));
    all
}

/// The metric whose samples have this name.
fn metric_of(name: &str) -> Option<&'static Metric> {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    let is_meant = |metric: &&Metric| match metric.kind {
        Kind::Histogram => base == Some(metric.name),
        Kind::Counter | Kind::Gauge => name == metric.name,
    };
    names::ALL.iter().find(is_meant)
}

/// The labels of a metric, or of what is recorded from one, besides those of the target.
fn labels_of_metric(name: &str) -> Vec<&'static str> {
    match (metric_of(name), rules::recorded_labels(name)) {
        (Some(metric), _) if name.ends_with("_bucket") => [metric.labels, &["le"]].concat(),
        (Some(metric), _) => metric.labels.to_vec(),
        (None, Some(labels)) => labels.to_vec(),
        (None, None) => Vec::new(),
    }
}

/// The values that a label of a metric can have, where they are known.
fn values_of(metric: &Metric, label: &str) -> Option<Vec<&'static str>> {
    let values = match (metric.name, label) {
        ("millpond_rejects_total", "reason") => RejectReason::ALL.iter().map(|r| r.label()).collect(),
        ("millpond_closes_total", "reason") => CloseReason::ALL.iter().map(|r| r.label()).collect(),
        ("millpond_upstream_discards_total", "reason") => {
            DiscardReason::ALL.iter().map(|r| r.label()).collect()
        }
        ("millpond_responses_total", "class") => RESPONSE_CLASSES.to_vec(),
        ("millpond_upstream_connections", "state") => vec!["idle", "leased", "connecting"],
        ("millpond_descriptors", "state") => vec!["client", "upstream", "other"],
        ("millpond_tcp_sockets", "side") => [Peer::Client, Peer::Endpoint].map(Peer::label).to_vec(),
        ("millpond_tcp_sockets", "state") => {
            TcpState::CONNECTION.iter().chain([&TcpState::Listen]).map(|state| state.label()).collect()
        }
        (_, "budget") => Resource::ALL.map(Resource::label).to_vec(),
        _ => return None,
    };
    Some(values)
}

#[test]
fn every_metric_that_is_named_exists() {
    let recorded: BTreeSet<String> = rules::rules().into_iter().filter_map(|rule| rule.record).collect();
    for (place, expression) in expressions() {
        for Selector { metric, .. } in &expression.selectors {
            let exists = metric_of(metric).is_some() || recorded.contains(metric);
            assert!(exists, "{place} names {metric}, which does not exist");
        }
    }
}

#[test]
fn every_metric_is_shown_or_has_a_reason() {
    let expressions = expressions();
    let shown = expressions.iter().filter(|(place, _)| !place.starts_with("the test"));
    let shown = shown.flat_map(|(_, expression)| &expression.selectors);
    let shown: BTreeSet<_> = shown.filter_map(|s| metric_of(&s.metric)).map(|metric| metric.name).collect();
    for Metric { name, .. } in names::ALL {
        let excepted = NOT_SHOWN.iter().any(|(except, _)| except == name);
        assert_ne!(shown.contains(name), excepted, "{name}: a panel, a rule or a reason in NOT_SHOWN");
    }
    for (name, _) in NOT_SHOWN {
        assert!(metric_of(name).is_some(), "{name} does not exist");
    }
}

#[test]
fn every_label_that_is_named_exists() {
    for (place, expression) in expressions() {
        let mut labels: BTreeSet<&str> = BTreeSet::from(TARGET_LABELS);
        for Selector { metric, matchers, .. } in &expression.selectors {
            let own = labels_of_metric(metric);
            for matcher in matchers {
                let exists = own.contains(&&*matcher.label) || TARGET_LABELS.contains(&&*matcher.label);
                assert!(exists, "{place}: {metric} has no label {}", matcher.label);
            }
            labels.extend(own);
        }
        for label in expression.groupings.iter().flat_map(|grouping| &grouping.labels) {
            assert!(labels.contains(&**label), "{place}: nothing in it has the label {label}");
        }
    }
}

#[test]
fn every_value_that_is_named_exists() {
    let mut checked = 0;
    for (place, expression) in expressions() {
        for selector in &expression.selectors {
            let Some(metric) = metric_of(&selector.metric) else { continue };
            for matcher in &selector.matchers {
                let Some(known) = values_of(metric, &matcher.label) else { continue };
                for value in matcher.values() {
                    assert!(known.contains(&value), "{place}: {} is never {value:?}", matcher.label);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

/// A counter begins at 0 with the process, so that its value alone says nothing.
#[test]
fn counters_are_looked_at_over_time() {
    for (place, expression) in expressions().iter().filter(|(place, _)| !place.starts_with("the test")) {
        for Selector { metric, has_range, .. } in &expression.selectors {
            let counts = metric_of(metric).is_some_and(|metric| metric.kind != Kind::Gauge);
            assert!(!counts || *has_range, "{place}: {metric} without a range");
        }
    }
}

#[test]
fn what_is_recorded_says_by_which_labels() {
    for rule in rules::rules().into_iter().filter(|rule| rule.record.is_some()) {
        let expected = rules::recorded_labels(rule.name());
        let expected = expected.unwrap_or_else(|| panic!("{}: an unknown level", rule.name()));
        let labels = rules::labels_of(&Expression::read(&rule.expr));
        let missing: Vec<_> = expected.iter().filter(|label| !labels.iter().any(|l| l == *label)).collect();
        assert!(missing.is_empty(), "{} has no {missing:?}", rule.name());
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let alerts = rules::alerts();
    assert!(alerts.len() > 20, "{}", alerts.len());
    for alert in &alerts {
        let name = alert.name();
        assert!(name.starts_with("Millpond"), "{name}");
        let severity = alert.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning")), "{name}: {severity:?}");
        assert!(alert.duration.is_some(), "{name} says not for how long");
        assert!(alert.annotations["summary"].len() < 120, "{name}: a summary is one line");
        assert!(
            alert.annotations["description"].len() > 100,
            "{name}: what does it mean, what is to be done?"
        );
        let labels = rules::labels_of(&Expression::read(&alert.expr));
        for label in alert.annotations.values().flat_map(|text| rules::labels_in(text)) {
            assert!(labels.iter().any(|known| known == label), "{name} has no label {label}");
        }
        assert_link(name, &alert.annotations["docs"]);
    }
    let names: BTreeSet<_> = alerts.iter().map(rules::Rule::name).collect();
    assert_eq!(names.len(), alerts.len(), "an alert is there twice");
}

#[test]
fn every_alert_is_seen_to_fire_and_to_be_silent() {
    let tests: BTreeMap<_, _> = rules::unit_tests().into_iter().map(|t| (t.name.clone(), t)).collect();
    let alerts = rules::alerts();
    for alert in &alerts {
        let test = tests.get(alert.name()).unwrap_or_else(|| panic!("{} has no test", alert.name()));
        let firing = test.firing();
        assert!(firing.iter().any(|count| *count > 0), "{} is never seen to fire", alert.name());
        assert!(firing.contains(&0), "{} is never seen to be silent", alert.name());
    }
    assert_eq!(tests.len(), alerts.len(), "a test belongs to no alert");
}

#[test]
fn unit_tests_have_series_as_millpond_has_them() {
    for test in rules::unit_tests() {
        for series in &test.input_series {
            let expression = Expression::read(&series.series);
            let Some(Selector { metric, matchers, .. }) = expression.selectors.first() else { continue };
            let given: BTreeSet<_> = matchers.iter().map(|matcher| &*matcher.label).collect();
            let expected: BTreeSet<_> = labels_of_metric(metric).into_iter().chain(TARGET_LABELS).collect();
            assert_eq!(given, expected, "the test of {}: {}", test.name, series.series);
            assert!(matchers.iter().all(|matcher| matcher.operator == "="), "{}", series.series);
        }
    }
}

/// By the status: 4xx, and the version that we do not speak, which RFC 9110 section 15.6.6 has among
/// the 5xx.
#[test]
fn the_rules_know_which_rejects_are_the_clients_doing() {
    let is_clients = |reason: &&RejectReason| {
        failure::status(**reason).0 < 500 || matches!(**reason, RejectReason::BadVersion)
    };
    let expected: Vec<_> = RejectReason::ALL.iter().filter(is_clients).map(|reason| reason.label()).collect();
    let listed: Vec<_> = rules::rules().iter().filter_map(clients_reasons).collect();
    assert_eq!(listed.len(), 2);
    for (operator, reasons) in listed {
        assert_eq!(reasons, expected, "{operator}");
    }
}

fn clients_reasons(rule: &rules::Rule) -> Option<(String, Vec<String>)> {
    let expression = Expression::read(&rule.expr);
    let rejects = expression.selectors.iter().find(|s| s.metric == names::REJECTS.name)?;
    let reason = rejects.matchers.iter().find(|matcher| matcher.label == "reason")?;
    Some((reason.operator.clone(), reason.values().into_iter().map(str::to_owned).collect()))
}

#[test]
fn the_dashboard_has_its_rows_in_order() {
    let dashboard = Dashboard::read();
    let mut rows: Vec<_> = dashboard.panels.iter().filter(|panel| panel.kind == "row").collect();
    rows.sort_by_key(|row| row.place.y);
    assert_eq!(rows.iter().map(|row| row.title.as_str()).collect::<Vec<_>>(), ROWS);
}

#[test]
fn panels_have_an_id_and_a_place_of_their_own() {
    let Dashboard { panels, .. } = Dashboard::read();
    for (index, panel) in panels.iter().enumerate() {
        let place = panel.place;
        assert!(place.w > 0 && place.h > 0 && place.x + place.w <= 24, "{panel:?}");
        for other in &panels[..index] {
            assert_ne!(panel.id, other.id, "{:?} and {:?}", panel.title, other.title);
            assert!(!place.overlaps(other.place), "{:?} overlaps {:?}", panel.title, other.title);
        }
    }
}

#[test]
fn panels_say_what_they_show_and_follow_the_variables() {
    let dashboard = Dashboard::read();
    let variables: Vec<_> = dashboard.variables().iter().map(|v| (&*v.name, &*v.kind)).collect();
    let chosen = ["instance", "listener", "upstream", "endpoint"].map(|name| (name, "query"));
    assert_eq!(variables, [&[("datasource", "datasource")][..], &chosen].concat());
    for panel in dashboard.shown() {
        let title = &panel.title;
        assert!(panel.description.ends_with('.'), "{title:?} has no description");
        assert_eq!(panel.datasource.as_ref().map(|d| d.uid.as_str()), Some("${datasource}"), "{title:?}");
        assert!(!panel.targets.is_empty(), "{title:?} asks nothing");
        for target in &panel.targets {
            assert_eq!(target.datasource.uid, "${datasource}", "{title:?}");
            let expression = Expression::read(&target.expr);
            assert_follows(title, &expression, &variables);
            let labels = rules::labels_of(&expression);
            for label in dashboard::labels_in(&target.legend) {
                assert!(labels.iter().any(|known| known == label), "{title:?} has no label {label}");
            }
        }
    }
}

/// Whatever can be chosen above the panels is asked for in each of them, where the metric has it.
fn assert_follows(title: &str, expression: &Expression, variables: &[(&str, &str)]) {
    for Selector { metric, matchers, .. } in &expression.selectors {
        let own = labels_of_metric(metric);
        for (variable, _) in variables.iter().filter(|(_, kind)| *kind == "query") {
            let value = format!("${variable}");
            let follows = matchers.iter().any(|m| m.label == *variable && m.value == value);
            let can = *variable == "instance" || own.contains(variable) && !is_empty_for(matchers, variable);
            assert_eq!(follows, can, "{title:?}: {metric} and {value}");
        }
    }
}

/// A socket of a client has no upstream, and one to an endpoint no listener: asked for, they would
/// leave everything out.
fn is_empty_for(matchers: &[promql::Matcher], label: &str) -> bool {
    let side = matchers.iter().find(|m| m.label == "side" && m.operator == "=").map(|m| &*m.value);
    match side {
        Some("client") => matches!(label, "upstream" | "endpoint"),
        Some("upstream") => label == "listener",
        _ => false,
    }
}

/// A link such as `docs/TIMERS.md#nat-gateways` leads to a heading.
fn assert_link(from: &str, link: &str) {
    let (path, anchor) = link.split_once('#').unwrap_or_else(|| panic!("{from}: {link} has no anchor"));
    let text = fs::read_to_string(at_root(path)).unwrap_or_else(|error| panic!("{from}: {path}: {error}"));
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    let slug = |heading: &str| {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "")
    };
    assert!(headings.map(slug).any(|slug| slug == anchor), "{from}: {link} leads nowhere");
}
