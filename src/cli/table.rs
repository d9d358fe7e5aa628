//! Tables of aligned columns, for people.

/// On which side a column is flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under a heading.
#[derive(Debug)]
pub(super) struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub(super) fn new(columns: &[(&str, Align)]) -> Self {
        let (names, align) = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).unzip();
        Self { align, rows: vec![names] }
    }

    /// Adds a row, with one cell a column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.align.len());
        // Cells may come from another process: nothing in them may drive the terminal.
        self.rows.push(cells.into_iter().map(|cell| cell.replace(char::is_control, "?")).collect());
    }

    /// The table as lines, each as long as it needs to be.
    pub(super) fn render(&self) -> String {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..self.align.len()).map(|column| width(column).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.align).map(|((cell, width), align)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            out.push('\n');
        }
        out
    }
}

/// A number with a comma at every third digit.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share of one as a percentage. Only what is all of it is 100 %, and only nothing is 0 %.
pub(super) fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round();
    let tenths = if share > 0.0 && share < 1.0 { tenths.clamp(1.0, 999.0) } else { tenths };
    format!("{:.1}%", tenths / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("WHY", Align::Left)]);
        table.row(vec!["é".into(), "1,000".into(), String::new()]);
        table.row(vec!["longer\x1b[31m".into(), "1".into(), "x".into()]);
        assert_eq!(table.render(), "NAME             N  WHY\né            1,000\nlonger?[31m      1  x\n");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_percentage_never_rounds_to_all_or_nothing() {
        assert_eq!(
            [0.0, 0.000_01, 0.5, 0.9973, 0.999_99, 1.0].map(percent),
            ["0.0%", "0.1%", "50.0%", "99.7%", "99.9%", "100.0%"]
        );
    }
}
