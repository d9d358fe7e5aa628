//! What lies over the tables: the help, or everything that is wrong.

use super::super::alarms::Alarm;
use super::super::app::{App, Overlay};
use super::super::theme::Tone;
use super::super::words::ALARM_INDENT;
use super::details::wrapped;
use super::{cut, put};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear};

/// Keys, and what they do.
const HELP: &[(&str, &str)] = &[
    ("q Esc Ctrl-C", "quit (Esc closes what is open first)"),
    ("Tab, 1 2 3", "choose a table"),
    ("arrows, j k", "move the cursor; PgUp, PgDn by ten rows; Home, End"),
    ("Enter", "details of the row under the cursor"),
    ("s, r", "sort by the next column, the other way round"),
    ("/", "only rows with a text, such as down or 10.0.0.7"),
    ("p, Space", "pause"),
    ("+ -", "ask less often, more often"),
    ("w", "all warnings, and why figures are missing"),
    ("? h", "this help"),
];

/// What is not plain from its name.
const TERMS: &[(&str, &str)] = &[
    ("-", "not known"),
    ("QUEUE/MAX/LIMIT", "accept queue: now, the most seen, all it holds"),
    ("TCP STATES, TW", "cw CLOSE_WAIT, est ESTABLISHED, tw TIME_WAIT"),
    ("REUSE", "requests on a connection used before, since the last answer"),
    ("CONN, WAIT", "connections being opened; requests waiting for one"),
    ("ERR/S", "connects that failed, there or for want of something here"),
    ("PORTS FREE", "of the source address that has the fewest left"),
    ("LEVEL", "reuse_only: pooled connections first; refuse: no dialling"),
];

/// Draws it, if there is one.
pub(super) fn draw(app: &App, alarms: &[Alarm], frame: &mut Frame<'_>, area: Rect) {
    let Some(overlay) = app.overlay else { return };
    let width = usize::from(area.width) - 4;
    let (title, lines) = match overlay {
        Overlay::Help => (" Help ", help(app)),
        Overlay::Alarms => (" Warnings ", everything(app, alarms, width)),
    };
    let inner = Rect { x: area.x + 2, y: area.y + 1, width: area.width - 4, height: area.height - 2 };
    frame.render_widget(Clear, area);
    frame.render_widget(Block::bordered().title(title).title_bottom(" Esc closes "), area);
    put(frame, inner, cut(lines, inner.height.into(), app.theme.style(Tone::Faint)));
}

fn help(app: &App) -> Vec<Line<'static>> {
    let line = |(what, means): &(&str, &str)| Line::raw(format!("{what:16} {means}"));
    let heading = |text: &'static str| Line::styled(text, app.theme.heading());
    let mut lines = vec![heading("KEYS")];
    lines.extend(HELP.iter().map(line));
    lines.extend([Line::default(), heading("FIGURES")]);
    lines.extend(TERMS.iter().map(line));
    lines
}

fn everything(app: &App, alarms: &[Alarm], width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for alarm in alarms {
        for (nth, text) in wrapped(&alarm.text, width - ALARM_INDENT).into_iter().enumerate() {
            let word = if nth == 0 { alarm.word() } else { "" };
            lines.push(Line::styled(format!("{word:ALARM_INDENT$}{text}"), app.theme.style(alarm.tone)));
        }
    }
    if alarms.is_empty() {
        lines.push(Line::styled("nothing to warn of", app.theme.style(Tone::Good)));
    }
    if !app.snapshot.notes.is_empty() {
        lines.extend([Line::default(), Line::styled("NOT KNOWN, AND WHY", app.theme.heading())]);
        for note in &app.snapshot.notes {
            lines.extend(wrapped(note, width).into_iter().map(Line::raw));
        }
    }
    lines
}
