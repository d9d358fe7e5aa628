//! Everything about one row.

use super::super::app::App;
use super::super::format::{self, MISSING};
use super::super::grid::{Subject, shortened, width};
use super::super::panes::{LATER, level_tone, time_wait};
use super::super::theme::Tone;
use super::span;
use crate::observe::snapshot::{Bytes, CloseWaitSocket, Endpoint, Listener, Ports, TcpStates, Upstream};
use ratatui::text::Line;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The column that facts begin in.
const INDENT: usize = 16;
/// Between two facts of a line.
const GAP: usize = 3;

/// A label, and what is to be said under it.
struct Fact {
    label: &'static str,
    items: Vec<(String, Tone)>,
}

impl Fact {
    fn new(label: &'static str, items: impl IntoIterator<Item = String>) -> Self {
        Self { label, items: items.into_iter().map(|item| (item, Tone::Plain)).collect() }
    }

    fn counts<const N: usize>(label: &'static str, counts: [(&str, Option<u64>); N]) -> Self {
        Self::new(label, counts.map(|(what, count)| format!("{what} {}", format::count(count))))
    }
}

/// A title and the facts, within this width.
pub(super) fn lines(app: &App, subject: Option<Subject>, width: usize) -> Vec<Line<'static>> {
    let snapshot = &app.snapshot;
    let (title, facts) = match subject {
        None => return vec![Line::styled("  Details  of no row", app.theme.style(Tone::Faint))],
        Some(Subject::Listener(place)) => of_listener(&snapshot.listeners[place]),
        Some(Subject::Endpoint(of, place)) => {
            let upstream = &snapshot.upstreams[of];
            of_endpoint(upstream, &upstream.endpoints[place])
        }
        Some(Subject::Socket(place)) => match &snapshot.close_wait {
            Some(close_wait) => of_socket(&close_wait.sockets[place]),
            None => return Vec::new(),
        },
    };
    let heading = span("  Details", app.theme.heading());
    let of = shortened(&format!("  {title}"), width.saturating_sub(heading.width()));
    let mut lines = vec![Line::from(vec![heading, span(of, app.theme.style(Tone::Faint))])];
    for fact in facts {
        flow(app, fact, width, &mut lines);
    }
    lines
}

/// A text in lines of at most this width, broken between words where that is possible.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && width(line) + 1 + width(word) > columns {
            lines.push(shortened(word, columns));
        } else {
            let gap = if line.is_empty() { "" } else { " " };
            *line = shortened(&format!("{line}{gap}{word}"), columns);
        }
    }
    lines
}

fn of_listener(listener: &Listener) -> (String, Vec<Fact>) {
    let Listener { sessions, accept_queue: queue, .. } = listener;
    let title = format!("{} {} {}", listener.name, listener.address, listener.protocol);
    let facts = vec![
        states(listener.tcp_states.as_ref()),
        Fact::counts(
            "accept queue",
            [("now", queue.depth), ("at the most", queue.depth_max), ("limit", Some(queue.limit))],
        ),
        Fact::counts(
            "sessions",
            [
                ("now", Some(sessions.current)),
                ("so far", Some(sessions.total)),
                ("requests", Some(listener.requests_total)),
                ("accepts failed", Some(listener.accept_errors_total)),
            ],
        ),
        Fact::new("closes", counted(&listener.closes)),
        Fact::new("rejects", counted(&listener.rejects)),
        Fact::new("responses", counted(&listener.responses)),
        traffic(&listener.bytes),
    ];
    (title, facts)
}

fn of_endpoint(upstream: &Upstream, endpoint: &Endpoint) -> (String, Vec<Fact>) {
    let title = format!(
        "{} {}, {}, {}, weight {}, {}",
        upstream.name, endpoint.address, endpoint.health, endpoint.admin, endpoint.weight, upstream.balance
    );
    let timeout = format::seconds(endpoint.idle_timeout_s);
    let time_waits = &endpoint.time_wait;
    let mut facts = vec![states(endpoint.tcp_states.as_ref())];
    facts.extend(ports(endpoint.ports.as_deref()));
    facts.extend([
        Fact::new("idle timeout", [format!("{timeout} ({})", origin(&endpoint.idle_timeout_from))]),
        Fact::new("discards", counted(&endpoint.discards)),
        Fact::counts(
            "trouble",
            [
                ("retries", Some(endpoint.retries_total)),
                ("connects failed", Some(endpoint.connect_errors_total)),
                ("for want of something local", Some(endpoint.local_errors_total)),
            ],
        ),
        Fact::counts(
            "TIME_WAIT",
            [
                ("now", time_wait(endpoint)),
                ("left behind", Some(time_waits.caused_total)),
                ("avoided", Some(time_waits.avoided_total)),
            ],
        ),
        Fact::counts(
            "leases",
            [
                ("opened one", Some(endpoint.opened_total)),
                ("reused one", Some(endpoint.reused_total)),
                ("took a sibling's", Some(endpoint.taken_over_total)),
            ],
        ),
        traffic(&endpoint.bytes),
    ]);
    (title, facts)
}

fn of_socket(socket: &CloseWaitSocket) -> (String, Vec<Fact>) {
    let title = format!("{} {} from {} to {}", socket.side, socket.name, socket.local, socket.peer);
    let owner = match &socket.phase {
        Some(phase) => format!("{} {}, in phase {phase}", socket.side, socket.name),
        None => "nobody: its owner has forgotten it".to_owned(),
    };
    let age = format!("its peer has closed; seen so for {}", format::seconds(socket.age_s));
    (title, vec![Fact::new("owner", [owner]), Fact::new("state", [age])])
}

/// Where an idle timeout comes from. What this version does not know is shown as it is.
fn origin(from: &str) -> &str {
    match from {
        "default" => "the default",
        "hint" => "the endpoint's Keep-Alive hint",
        "learned" => "learned from the endpoint's closes",
        "nat" => "before the NAT forgets",
        other => other,
    }
}

fn states(states: Option<&TcpStates>) -> Fact {
    let items = match states {
        None => vec![MISSING.to_owned()],
        Some(states) => {
            states.iter().map(|(state, n)| format!("{state} {}", format::count(Some(*n)))).collect()
        }
    };
    Fact::new("TCP states", items)
}

/// One for each source.
fn ports(ports: Option<&[Ports]>) -> Vec<Fact> {
    let Some(ports) = ports else { return vec![Fact::new("ports", [MISSING.to_owned()])] };
    let fact = |(nth, ports): (usize, &Ports)| {
        let count = |number| format::count(Some(number));
        let end = ports.exhausts_in_s.map_or_else(|| format!("in {LATER}"), format::ahead);
        let items = [
            format!("free {} of {}", count(ports.free), count(ports.capacity)),
            format!("none left {end}"),
            format!("open {}", count(ports.used)),
            format!("TIME_WAIT {}", count(ports.time_wait)),
            format!("opens/s {}", format::rate(Some(ports.opens_per_s))),
        ];
        let mut fact = Fact::new(if nth == 0 { "ports" } else { "" }, items);
        let level = (format!("{} {}", ports.source, ports.level), level_tone(&ports.level));
        fact.items.insert(0, level);
        fact
    };
    ports.iter().enumerate().map(fact).collect()
}

fn traffic(bytes: &Bytes) -> Fact {
    let (received, sent) = (format::bytes(Some(bytes.received_total)), format::bytes(Some(bytes.sent_total)));
    Fact::new("bytes", [format!("received {received}"), format!("sent {sent}")])
}

/// What was counted at all, the most common first.
fn counted(reasons: &BTreeMap<String, u64>) -> Vec<String> {
    let mut counted: Vec<_> = reasons.iter().filter(|(_, n)| **n > 0).collect();
    counted.sort_by_key(|(_, n)| Reverse(**n));
    if counted.is_empty() {
        return vec!["none".to_owned()];
    }
    counted.iter().map(|(reason, n)| format!("{reason} {}", format::count(Some(**n)))).collect()
}

/// Appends a fact in as many lines as it needs.
fn flow(app: &App, fact: Fact, columns: usize, lines: &mut Vec<Line<'static>>) {
    let begin =
        |label: &str| vec![span(format!("  {label:<width$}", width = INDENT - 2), app.theme.heading())];
    let mut spans = begin(fact.label);
    let mut taken = INDENT;
    for (text, tone) in fact.items {
        let text = shortened(&text, columns.saturating_sub(INDENT));
        if taken > INDENT && taken + GAP + width(&text) > columns {
            lines.push(Line::from(std::mem::replace(&mut spans, begin(""))));
            taken = INDENT;
        }
        let gap = if taken > INDENT { GAP } else { 0 };
        taken += gap + width(&text);
        spans.push(span(" ".repeat(gap), app.theme.style(Tone::Plain)));
        spans.push(span(text, app.theme.style(tone)));
    }
    lines.push(Line::from(spans));
}
