//! The first lines, the last line, and the banner.

use super::super::alarms::{self, Alarm};
use super::super::app::App;
use super::super::format;
use super::super::grid::{shortened, width};
use super::super::panes::level_tone;
use super::super::theme::Tone;
use super::super::words::{self, ALARM_INDENT};
use super::span;
use crate::observe::snapshot::Budget;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use std::time::{Duration, SystemTime};

/// Lines of the header, without the alarms.
pub(super) const LINES: u16 = 3;
/// The share of the window that alarms may take, one line in so many; the second is for when details
/// need the room.
const ALARMS: [u16; 2] = [4, 8];

/// One figure with its name.
struct Piece {
    label: String,
    value: String,
    tone: Tone,
}

/// Who it is, what it does, what it has left.
pub(super) fn lines(app: &App, width: usize) -> Vec<Line<'static>> {
    vec![identity(app, width), pieces(app, traffic(app), width), pieces(app, left(app), width)]
}

/// As many alarms as there is room for.
pub(super) fn alarm_lines(app: &App, alarms: &[Alarm], area: Rect) -> Vec<Line<'static>> {
    let most = usize::from(area.height / ALARMS[usize::from(app.details)]);
    let style = |tone| app.theme.style(tone);
    if alarms.is_empty() {
        let text = if app.snapshot.notes.is_empty() {
            "OK  nothing to warn of"
        } else {
            "OK  nothing to warn of in what is known (w: what is not)"
        };
        return vec![Line::styled(text, style(Tone::Good))];
    }
    let shown = if alarms.len() > most { most - 1 } else { alarms.len() };
    let line = |alarm: &Alarm| {
        Line::styled(shortened(&words::alarm(alarm), area.width.into()), app.theme.style(alarm.tone))
    };
    let mut lines: Vec<_> = alarms.iter().take(shown).map(line).collect();
    if alarms.len() > shown {
        let text = format!("{:ALARM_INDENT$}and {} more (w: all of them)", "", alarms.len() - shown);
        lines.push(Line::styled(text, style(alarms[shown].tone)));
    }
    lines
}

/// That the instance does not answer; blank while it does.
pub(super) fn banner(app: &App, columns: usize) -> Line<'static> {
    let Some(lost) = &app.lost else { return Line::default() };
    let since = app.now.duration_since(lost.since).unwrap_or_default();
    let text = format!(
        " no answer from {} since {} ({}), trying again: {}",
        app.target,
        time_of_day(lost.since),
        format::seconds(since.as_secs_f64()),
        lost.why,
    );
    let text = shortened(&text, columns);
    let blank = " ".repeat(columns - width(&text));
    Line::styled(text + &blank, app.theme.banner())
}

/// What keys do, or the filter that is being typed.
pub(super) fn footer(app: &App, columns: usize) -> Line<'static> {
    if app.editing {
        let text = format!("/{}_", app.look(app.focus).filter);
        return Line::raw(shortened(&format!("{text}   Enter keeps the filter, Esc clears it"), columns));
    }
    let text = "q quit  Tab table  Enter details  s sort  r reverse  / filter  p pause  ? help";
    Line::styled(shortened(text, columns), app.theme.style(Tone::Faint))
}

fn identity(app: &App, columns: usize) -> Line<'static> {
    let snapshot = &app.snapshot;
    let every = humantime::format_duration(app.interval);
    let state = if app.paused { "PAUSED".to_owned() } else { format!("every {every}") };
    let right = format!("{}  {state}", shortened(&app.target, columns / 3));
    let mut left = vec![
        span(format!("millpond {}", snapshot.version), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  up {}", format::seconds(snapshot.uptime_s))),
    ];
    if snapshot.draining {
        left.push(span("  DRAINING", app.theme.style(Tone::Warn)));
    }
    left.push(Span::raw(format!("  configuration {}", snapshot.config.generation)));
    let taken = left.iter().map(Span::width).sum::<usize>() + width(&right);
    left.push(Span::raw(" ".repeat(columns.saturating_sub(taken).max(2))));
    left.push(span(right, app.theme.style(if app.paused { Tone::Warn } else { Tone::Faint })));
    Line::from(left)
}

fn traffic(app: &App) -> Vec<Piece> {
    let (snapshot, rates) = (&app.snapshot, &app.rates);
    let sessions = snapshot.listeners.iter().map(|listener| listener.sessions.current).sum();
    let plain = |label: &str, value| Piece { label: label.to_owned(), value, tone: Tone::Plain };
    vec![
        plain("requests/s", format::rate(rates.requests())),
        plain("opens/s", format::rate(rates.opens())),
        plain("reuse", format::percent(rates.reuse())),
        plain("sessions", format::count(Some(sessions))),
        plain("memory", format::bytes(snapshot.process.memory_bytes)),
    ]
}

/// The budgets, those that run out first.
fn left(app: &App) -> Vec<Piece> {
    let mut budgets = alarms::budgets(&app.snapshot);
    budgets.sort_by_key(|budget| std::cmp::Reverse(level_tone(&budget.level)));
    budgets.iter().map(budget).collect()
}

fn budget(budget: &Budget) -> Piece {
    let tone = level_tone(&budget.level);
    let mut value = format!("{} of {}", format::count(budget.used), format::count(budget.limit));
    if let Some((used, limit)) = budget.used.zip(budget.limit).filter(|(_, limit)| *limit > 0) {
        value.push_str(&format!(" ({})", format::percent(Some(used as f64 / limit as f64))));
    }
    if tone > Tone::Good {
        value.push_str(&format!(" {}", budget.level));
    }
    if let Some(seconds) = budget.exhausts_in_s {
        value.push_str(&format!(", none left {}", format::ahead(seconds)));
    }
    Piece { label: budget.name.clone(), value, tone: if tone > Tone::Good { tone } else { Tone::Plain } }
}

/// As many pieces as fit.
fn pieces(app: &App, pieces: Vec<Piece>, columns: usize) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut taken = 0;
    for Piece { label, value, tone } in pieces {
        let gap = if spans.is_empty() { 0 } else { 3 };
        let needs = gap + width(&label) + 1 + width(&value);
        if taken + needs > columns {
            break;
        }
        taken += needs;
        spans.push(Span::raw(" ".repeat(gap)));
        spans.push(span(format!("{label} "), app.theme.style(Tone::Faint)));
        spans.push(span(value, app.theme.style(tone)));
    }
    Line::from(spans)
}

/// Hours, minutes and seconds, UTC.
fn time_of_day(time: SystemTime) -> String {
    const DAY: u64 = 86_400;
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let second = since_epoch.as_secs() % DAY;
    format!("{:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}
