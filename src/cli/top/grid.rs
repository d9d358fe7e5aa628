//! A table before it is drawn: rows that can be filtered and sorted, columns that fit a width. Pure.

use super::super::table::Align;
use super::format;
use super::theme::Tone;
use ratatui::text::Span;
use std::cmp::Ordering;

/// Between two columns.
pub(super) const GAP: usize = 1;
/// The narrowest that a column becomes by shortening its text.
const NARROWEST: usize = 4;

/// One column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) align: Align,
    /// Where there is no room for all, the columns with the smallest of these are left out.
    pub(super) keep: u8,
    /// Text beyond this may be cut where room is short; `None`: never.
    pub(super) cut: Option<usize>,
}

impl Column {
    pub(super) const fn number(title: &'static str, keep: u8) -> Self {
        Self { title, align: Align::Right, keep, cut: None }
    }

    pub(super) const fn word(title: &'static str, keep: u8) -> Self {
        Self { title, align: Align::Left, keep, cut: None }
    }

    pub(super) const fn text(title: &'static str, keep: u8, cut: usize) -> Self {
        Self { title, align: Align::Left, keep, cut: Some(cut) }
    }
}

/// What a row is about: its place in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Listener(usize),
    /// The upstream, and the endpoint in it.
    Endpoint(usize, usize),
    /// One of the sockets in CLOSE_WAIT.
    Socket(usize),
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The same in the next snapshot, so that the cursor stays with what it stands on.
    pub(super) key: String,
    pub(super) subject: Subject,
    /// One a column.
    pub(super) cells: Vec<Cell>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    /// What it is sorted by; `None`: by its text.
    number: Option<f64>,
    pub(super) tone: Tone,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), number: None, tone: Tone::Plain }
    }

    /// A text that stands for a number.
    pub(super) fn number(text: String, number: Option<f64>) -> Self {
        Self { text, number, tone: Tone::Plain }
    }

    pub(super) fn count(count: Option<u64>) -> Self {
        Self::number(format::count(count), count.map(|count| count as f64))
    }

    pub(super) fn rate(per_s: Option<f64>) -> Self {
        Self::number(format::rate(per_s), per_s)
    }

    pub(super) fn percent(share: Option<f64>) -> Self {
        Self::number(format::percent(share), share)
    }

    pub(super) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// With this tone if the number is more than 0.
    pub(super) fn alarm(self, tone: Tone) -> Self {
        if self.number.is_some_and(|number| number > 0.0) { self.tone(tone) } else { self }
    }

    /// Numbers from the largest down, texts in their order; what is not known comes last either way.
    fn compare(&self, other: &Self, reversed: bool) -> Ordering {
        let missing = |cell: &Self| cell.number.is_none() && cell.text == format::MISSING;
        let order = match (self.number, other.number) {
            (Some(one), Some(two)) => two.total_cmp(&one),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.text.cmp(&other.text),
        };
        let order = if reversed { order.reverse() } else { order };
        missing(self).cmp(&missing(other)).then(order)
    }
}

/// By which column a table is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sort {
    /// `None`: as the instance lists it.
    pub(super) column: Option<usize>,
    /// The other way round.
    pub(super) reversed: bool,
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row>,
}

impl Grid {
    /// Keeps the rows that have this text in one of their cells, in capitals or not.
    pub(super) fn filter(&mut self, text: &str) {
        let text = text.to_lowercase();
        self.rows.retain(|row| row.cells.iter().any(|cell| cell.text.to_lowercase().contains(&text)));
    }

    pub(super) fn sort(&mut self, sort: Sort) {
        match sort.column {
            Some(column) => {
                self.rows.sort_by(|a, b| a.cells[column].compare(&b.cells[column], sort.reversed));
            }
            None if sort.reversed => self.rows.reverse(),
            None => {}
        }
    }

    /// The columns that fit into this width, in their order, each with its own. `wanted` is among them
    /// whatever it takes.
    pub(super) fn fit(&self, available: usize, wanted: Option<usize>) -> Vec<(usize, usize)> {
        let full: Vec<usize> = (0..self.columns.len()).map(|column| self.width_of(column)).collect();
        let least =
            |column: usize| self.columns[column].cut.map_or(full[column], |cut| full[column].min(cut));
        let mut shown: Vec<(usize, usize)> = (0..full.len()).map(|column| (column, least(column))).collect();
        while total(&shown) > available {
            let droppable = shown
                .iter()
                .enumerate()
                .filter(|(_, (column, _))| self.columns[*column].keep < u8::MAX && Some(*column) != wanted);
            let Some((place, _)) = droppable.min_by_key(|(_, (column, _))| self.columns[*column].keep) else {
                break;
            };
            shown.remove(place);
        }
        self.shrink(&mut shown, available);
        for place in 0..shown.len() {
            let spare = available.saturating_sub(total(&shown));
            let (column, width) = &mut shown[place];
            *width = full[*column].min(*width + spare);
        }
        shown
    }

    /// Takes from the widest texts that may be cut, until the rest fits.
    fn shrink(&self, shown: &mut [(usize, usize)], available: usize) {
        while total(shown) > available {
            let cut = |(column, width): &&mut (usize, usize)| {
                self.columns[*column].cut.is_some() && *width > NARROWEST
            };
            let Some((_, width)) = shown.iter_mut().filter(cut).max_by_key(|(_, width)| *width) else {
                break;
            };
            *width -= 1;
        }
    }

    fn width_of(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| width(&row.cells[column].text));
        cells.fold(width(self.columns[column].title), usize::max)
    }
}

/// The text in exactly this many columns of the terminal.
pub(super) fn padded(text: &str, align: Align, columns: usize) -> String {
    let text = shortened(text, columns);
    let blank = " ".repeat(columns.saturating_sub(width(&text)));
    match align {
        Align::Left => text + &blank,
        Align::Right => blank + &text,
    }
}

/// The text in at most this many columns of the terminal, with a mark where something was cut off.
pub(super) fn shortened(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short) + 1 > columns {
            short.pop();
            break;
        }
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// How many columns of the terminal a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

fn total(shown: &[(usize, usize)]) -> usize {
    shown.iter().map(|(_, width)| width).sum::<usize>() + GAP * shown.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column::text("NAME", u8::MAX, 6), Column::number("N", 10), Column::number("RATE", 20)];

    fn grid(rows: &[(&str, Option<u64>)]) -> Grid {
        let row = |(place, (name, n)): (usize, &(&str, Option<u64>))| Row {
            key: (*name).to_owned(),
            subject: Subject::Listener(place),
            cells: vec![Cell::text(*name), Cell::count(*n), Cell::rate(None)],
        };
        Grid { columns: COLUMNS, rows: rows.iter().enumerate().map(row).collect() }
    }

    fn names(grid: &Grid) -> Vec<&str> {
        grid.rows.iter().map(|row| row.key.as_str()).collect()
    }

    fn sorted(column: Option<usize>, reversed: bool) -> String {
        let mut grid = grid(&[("b", Some(9)), ("c", None), ("a", Some(10)), ("d", Some(0))]);
        grid.sort(Sort { column, reversed });
        names(&grid).concat()
    }

    #[test]
    fn numbers_come_largest_first_and_the_unknown_last() {
        assert_eq!((sorted(Some(1), false), sorted(Some(1), true)), ("abdc".into(), "dbac".into()));
        assert_eq!((sorted(Some(0), false), sorted(Some(0), true)), ("abcd".into(), "dcba".into()));
        assert_eq!((sorted(None, false), sorted(None, true)), ("bcad".into(), "dacb".into()));
        assert_eq!(sorted(Some(2), false), "bcad", "equal rows stay in their order");
    }

    #[test]
    fn a_filter_looks_into_every_cell() {
        for (text, found) in [("", &["Web", "db"][..]), ("wEB", &["Web"]), ("2,0", &["db"]), ("x", &[])] {
            let mut grid = grid(&[("Web", Some(1)), ("db", Some(2_000))]);
            grid.filter(text);
            assert_eq!(names(&grid), found, "{text:?}");
        }
    }

    #[test]
    fn columns_are_left_out_or_cut_until_they_fit() {
        let grid = grid(&[("a-long-name", Some(1_000))]);
        assert_eq!(grid.fit(99, None), [(0, 11), (1, 5), (2, 4)], "all of it");
        assert_eq!(grid.fit(19, None), [(0, 8), (1, 5), (2, 4)], "the name is cut first");
        assert_eq!(grid.fit(16, None), [(0, 11), (2, 4)], "then a column goes, and there is room again");
        assert_eq!(grid.fit(16, Some(1)), [(0, 10), (1, 5)], "not the one that is sorted by");
        assert_eq!(grid.fit(9, None), [(0, 9)]);
        assert_eq!(grid.fit(3, None), [(0, 4)], "what stays is never less than legible");
    }

    #[test]
    fn texts_fill_their_column_exactly() {
        assert_eq!(padded("ab", Align::Left, 4), "ab  ");
        assert_eq!(padded("ab", Align::Right, 4), "  ab");
        assert_eq!(padded("abcdef", Align::Right, 4), "abc…");
        assert_eq!(padded("日本語", Align::Left, 4), "日… ", "wide characters take two columns");
        assert_eq!(["abc", ""].map(|text| shortened(text, 0)), ["", ""]);
    }
}
