//! From an [`App`] to a screen. Pure: the same state gives the same screen.

mod details;
mod header;
mod overlay;
mod table;

use super::alarms;
use super::app::App;
use super::grid::shortened;
use super::panes::Pane;
use super::theme::Tone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// The smallest window that everything fits into.
const SMALLEST: (u16, u16) = (80, 24);
/// Rows of the focused table that come before the details, with its title and heading.
const FOCUSED_FIRST: u16 = 4;

/// Draws the whole screen.
pub(super) fn view(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return too_small(frame, area);
    }
    let alarms = alarms::of(&app.snapshot, &app.rates);
    let lines = header::alarm_lines(app, &alarms, area);
    let [banner, top, middle, bottom] = Layout::vertical([
        Constraint::Length(u16::from(app.lost.is_some())),
        Constraint::Length(header::LINES + lines.len() as u16),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    put(frame, top, [header::lines(app, area.width.into()), lines].concat());
    panes(app, frame, middle);
    if app.lost.is_some() {
        frame.buffer_mut().set_style(top.union(middle), app.theme.stale());
        put(frame, banner, vec![header::banner(app, area.width.into())]);
    }
    put(frame, bottom, vec![header::footer(app, area.width.into())]);
    overlay::draw(app, &alarms, frame, area);
}

fn panes(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let grids = Pane::ALL.map(|pane| (pane, app.grid(pane)));
    let focused = &grids[app.focus.index()].1.rows;
    let selected = app.selected(app.focus, focused).map(|place| focused[place].subject);
    let details = app.details.then(|| details::lines(app, selected, area.width.into()));
    let wants = std::array::from_fn(|section| match grids.get(section) {
        Some((_, grid)) => table::height(grid),
        None => details.as_ref().map_or(0, Vec::len) as u16,
    });
    let heights = heights(area.height, wants, app.focus.index());
    let spare = area.height - heights.iter().sum::<u16>();
    let gap = u16::from(usize::from(spare) >= heights.len());
    let mut y = area.y + gap;
    let mut next = |height| {
        let part = Rect { y, height, ..area };
        y += height + gap;
        part
    };
    for ((pane, grid), height) in grids.iter().zip(heights) {
        let lines = table::lines(app, *pane, grid, area.width.into(), height.into());
        put(frame, next(height), lines);
    }
    if let Some(lines) = details {
        let area = next(heights[Pane::ALL.len()]);
        put(frame, area, cut(lines, area.height.into(), app.theme.style(Tone::Faint)));
    }
}

/// Shares out the rows: each table has its title, and without details its heading and one row; then
/// comes some of the focused table, then the details, then the rest of it, then the others by turns.
fn heights(area: u16, wants: [u16; 4], focus: usize) -> [u16; 4] {
    let mut heights = [0; 4];
    let mut rest = area;
    let mut give = |section: usize, upto: u16| {
        let more = upto.min(wants[section]).saturating_sub(heights[section]).min(rest);
        heights[section] += more;
        rest -= more;
    };
    let least = if wants[3] > 0 { 1 } else { 3 };
    (0..3).for_each(|section| give(section, least));
    give(focus, FOCUSED_FIRST);
    give(3, u16::MAX);
    give(focus, u16::MAX);
    // A heading is of no use without a row below it.
    for upto in 3..=area {
        (0..3).for_each(|section| give(section, upto));
    }
    heights
}

/// The lines that fit, the last of which says how many do not.
fn cut(mut lines: Vec<Line<'static>>, height: usize, style: Style) -> Vec<Line<'static>> {
    if lines.len() > height && height > 0 {
        let more = lines.len() - (height - 1);
        lines.truncate(height - 1);
        lines.push(Line::styled(format!("  … {more} more lines in a taller window"), style));
    }
    lines
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = SMALLEST;
    let text = format!("millpond top needs {width}x{height}; this window is {}x{}", area.width, area.height);
    put(frame, area, vec![Line::raw(shortened(&text, area.width.into())), Line::raw("q quits")]);
}

fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

/// A text in a style.
fn span(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}

#[cfg(test)]
mod tests {
    use super::heights;

    #[test]
    fn rows_are_shared_out_and_never_more_than_there_are() {
        assert_eq!(heights(17, [5, 7, 2, 0], 1), [5, 7, 2, 0], "all of it fits");
        assert_eq!(heights(17, [40, 40, 2, 0], 1), [3, 12, 2, 0], "the focused one has the most");
        assert_eq!(heights(17, [40, 40, 2, 0], 0), [12, 3, 2, 0]);
        assert_eq!(heights(17, [5, 40, 2, 20], 1), [1, 4, 1, 11], "details before the other tables");
        assert_eq!(heights(40, [9, 9, 9, 9], 1), [9, 9, 9, 9]);
        assert_eq!(heights(30, [40, 5, 40, 0], 1), [13, 5, 12, 0], "the others by turns");
        for height in 0..60 {
            let heights = heights(height, [4, 9, 2, 12], 2);
            assert!(heights.iter().sum::<u16>() <= height, "{height}: {heights:?}");
        }
    }
}
