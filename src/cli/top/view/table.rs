//! One of the tables: a title, the columns' headings, and as many rows as there is room for.

use super::super::app::App;
use super::super::format;
use super::super::grid::{GAP, Grid, padded, shortened};
use super::super::panes::Pane;
use super::super::theme::Tone;
use super::span;
use crate::observe::snapshot::CloseWait;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

/// Before each row, for the cursor.
const GUTTER: usize = 1;

/// The lines that all of it takes.
pub(super) fn height(grid: &Grid) -> u16 {
    let below_title = if grid.rows.is_empty() { 1 } else { grid.rows.len() + 1 };
    u16::try_from(below_title + 1).unwrap_or(u16::MAX)
}

/// The table in exactly this width and at most this height.
pub(super) fn lines(app: &App, pane: Pane, grid: &Grid, width: usize, height: usize) -> Vec<Line<'static>> {
    let room = height.saturating_sub(2);
    let selected = app.selected(pane, &grid.rows);
    let first = first_row(selected.unwrap_or(0), grid.rows.len(), room);
    let mut lines = vec![title(app, pane, grid, width, (first, room))];
    if grid.rows.is_empty() {
        lines.push(Line::styled(format!(" {}", nothing(app, pane)), app.theme.style(Tone::Faint)));
        return lines;
    }
    let fit = grid.fit(width - GUTTER, app.look(pane).sort.column);
    lines.push(headings(app, pane, grid, &fit));
    for place in first..grid.rows.len().min(first + room) {
        let marked = pane == app.focus && selected == Some(place);
        lines.push(row(app, grid, &fit, place, marked));
    }
    lines.truncate(height);
    lines
}

/// The first row to show, so that the selected one stands in the middle where that is possible.
fn first_row(selected: usize, rows: usize, room: usize) -> usize {
    selected.saturating_sub(room / 2).min(rows.saturating_sub(room))
}

fn title(app: &App, pane: Pane, grid: &Grid, width: usize, shown: (usize, usize)) -> Line<'static> {
    let focused = pane == app.focus;
    let mark = if focused { '>' } else { ' ' };
    let name = format!("{mark}{} {}", pane.index() + 1, pane.title());
    let style = if focused { app.theme.focused() } else { app.theme.heading() };
    let mut rest = format!("  {}", counted(app, pane, grid));
    let (first, room) = shown;
    if room > 0 && room < grid.rows.len() {
        rest.push_str(&format!(", shown {} to {}", first + 1, first + room));
    }
    let look = app.look(pane);
    if !look.filter.is_empty() {
        rest.push_str(&format!(", with \"{}\"", look.filter));
    }
    match (look.sort.column, look.sort.reversed) {
        (Some(column), false) => rest.push_str(&format!(", by {}", grid.columns[column].title)),
        (Some(column), true) => rest.push_str(&format!(", by {} reversed", grid.columns[column].title)),
        (None, true) => rest.push_str(", reversed"),
        (None, false) => {}
    }
    let rest = shortened(&rest, width.saturating_sub(name.len()));
    Line::from(vec![span(name, style), span(rest, app.theme.style(Tone::Faint))])
}

/// How many there are.
fn counted(app: &App, pane: Pane, grid: &Grid) -> String {
    let rows = grid.rows.len();
    if pane != Pane::CloseWait {
        let of_all = if app.look(pane).filter.is_empty() {
            None
        } else {
            Some(pane.grid(&app.snapshot, &app.rates).rows.len())
        };
        return of_all.map_or_else(|| rows.to_string(), |all| format!("{rows} of {all}"));
    }
    let Some(close_wait) = &app.snapshot.close_wait else { return format::MISSING.to_owned() };
    let CloseWait { count, oldest_s, reaped_total, sockets } = close_wait;
    let mut text = format::count(*count);
    if let Some(oldest_s) = oldest_s.filter(|_| *count != Some(0)) {
        text.push_str(&format!(", the oldest for {}", format::seconds(oldest_s)));
    }
    if count.is_some_and(|count| count != sockets.len() as u64) {
        text.push_str(&format!(", {} listed", sockets.len()));
    }
    text + &format!(", reaped so far {}", format::count(Some(*reaped_total)))
}

/// Why there is no row.
fn nothing(app: &App, pane: Pane) -> &'static str {
    if !app.look(pane).filter.is_empty() {
        return "no row has that text";
    }
    let count = app.snapshot.close_wait.as_ref().map(|close_wait| close_wait.count);
    match count.flatten() {
        _ if pane != Pane::CloseWait => "none",
        Some(0) => "none",
        Some(_) => "not listed",
        None => "not known; w says why",
    }
}

fn headings(app: &App, pane: Pane, grid: &Grid, fit: &[(usize, usize)]) -> Line<'static> {
    let sorted = app.look(pane).sort.column;
    let mut spans = vec![span(" ".repeat(GUTTER), Style::new())];
    for (place, (column, width)) in fit.iter().enumerate() {
        if place > 0 {
            spans.push(span(" ".repeat(GAP), Style::new()));
        }
        let style = app.theme.heading();
        let style = if sorted == Some(*column) { style.add_modifier(Modifier::REVERSED) } else { style };
        let column = &grid.columns[*column];
        spans.push(span(padded(column.title, column.align, *width), style));
    }
    Line::from(spans)
}

fn row(app: &App, grid: &Grid, fit: &[(usize, usize)], place: usize, marked: bool) -> Line<'static> {
    let mut spans = vec![span(if marked { ">" } else { " " }, Style::new())];
    for (nth, (column, width)) in fit.iter().enumerate() {
        if nth > 0 {
            spans.push(span(" ".repeat(GAP), Style::new()));
        }
        let cell = &grid.rows[place].cells[*column];
        let text = padded(&cell.text, grid.columns[*column].align, *width);
        spans.push(span(text, app.theme.style(cell.tone)));
    }
    let line = Line::from(spans);
    if marked { line.patch_style(app.theme.selected()) } else { line }
}

#[cfg(test)]
mod tests {
    use super::first_row;

    #[test]
    fn the_selected_row_is_always_to_be_seen() {
        assert_eq!([0, 2, 5, 9].map(|selected| first_row(selected, 10, 4)), [0, 0, 3, 6]);
        assert_eq!(first_row(3, 4, 9), 0);
        for (selected, room) in (0..10).flat_map(|selected| (1..12).map(move |room| (selected, room))) {
            let first = first_row(selected, 10, room);
            assert!((first..first + room).contains(&selected), "{selected} in {room}");
        }
    }
}
