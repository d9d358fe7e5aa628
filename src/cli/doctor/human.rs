//! The report for people: one row a check, what it means beneath, and lines that can be copied.

use super::finding::{Finding, Fix, Verdict};
use super::report::{Report, Row};
use crate::cli::top::no_color;
use std::io::{IsTerminal, stdout};

/// How it is to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Columns.
    width: usize,
    colour: bool,
}

/// Where there is no terminal, or one that does not know.
const USUAL_WIDTH: usize = 80;
/// Narrower text is hard to read however narrow the terminal is.
const LEAST_TEXT: usize = 40;
/// Wider text is hard to read, too.
const MOST_TEXT: usize = 100;
/// What is said of a row begins below its name.
const INDENT: usize = 2 + VERDICT + GAP;
const VERDICT: usize = 8;
const GAP: usize = 2;
/// Wide enough for all but a few names, after which the value stands further to the right.
const NAME: usize = 34;
const LEAST_VALUE: usize = 14;
/// The width of what stands before a line that is to be copied.
const LABEL: usize = 6;

impl Style {
    /// The terminal's width, and colours unless NO_COLOR is set to anything (<https://no-color.org>).
    pub(super) fn of_stdout() -> Self {
        let is_terminal = stdout().is_terminal();
        let width = terminal_size::terminal_size_of(stdout()).map(|(width, _)| usize::from(width.0));
        Self { width: width.unwrap_or(USUAL_WIDTH), colour: is_terminal && !no_color() }
    }

    #[cfg(test)]
    pub(super) fn plain(width: usize) -> Self {
        Self { width, colour: false }
    }

    #[cfg(test)]
    pub(super) fn coloured(width: usize) -> Self {
        Self { width, colour: true }
    }
}

/// The whole report, ending with a line feed.
pub(super) fn render(report: &Report, style: Style) -> String {
    let mut page = Page { style, out: String::new() };
    page.head(report);
    for section in &report.sections {
        page.line("");
        page.line(section.title);
        section.rows.iter().for_each(|row| page.row(row));
    }
    page.summary(report);
    page.out
}

struct Page {
    style: Style,
    out: String,
}

impl Page {
    fn head(&mut self, report: &Report) {
        let config = match &report.file {
            Some(file) => format!("Configuration: {file} ({}).", report.contents),
            None => format!(
                "Configuration: none given, so the defaults ({}); -c FILE checks yours.",
                report.contents
            ),
        };
        self.text(0, &config);
        let user = report.user;
        self.text(0, &format!("Limits and rights are those of this process, of user id {user}."));
    }

    fn row(&mut self, row: &Row) {
        let Finding { value, verdict, meaning, fixes } = &row.finding;
        let begin = format!("  {}  {:<NAME$}  ", self.coloured(*verdict), row.name);
        let before = INDENT + row.name.len().max(NAME) + GAP;
        let values = wrap(&clean(value.as_deref().unwrap_or("-")), self.room(before, LEAST_VALUE));
        for (index, value) in values.iter().enumerate() {
            match index {
                0 => self.line(&format!("{begin}{value}")),
                _ => self.line(&format!("{:before$}{value}", "")),
            }
        }
        self.text(INDENT, meaning);
        fixes.iter().enumerate().for_each(|(index, fix)| self.fix(fix, index == 0));
    }

    /// Lines that are to be copied are not wrapped.
    fn fix(&mut self, fix: &Fix, is_first: bool) {
        let kept = fix.kept.as_ref();
        let lines = [("now:", fix.now.as_deref()), ("keep:", kept.map(|kept| kept.line.as_str()))];
        let lines = lines.into_iter().filter_map(|(label, line)| Some((label, line?)));
        for (index, (label, line)) in lines.enumerate() {
            let label = if index == 0 && !is_first { "or:" } else { label };
            self.line(&format!("{:INDENT$}{label:<LABEL$}{}", "", clean(line)));
        }
        if let Some(kept) = kept {
            self.text(INDENT + LABEL, &format!("in {}", kept.place));
        }
    }

    fn summary(&mut self, report: &Report) {
        self.line("");
        let counts = Verdict::ALL.map(|verdict| (verdict, report.count(verdict)));
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let words: Vec<String> =
            counts.map(|(verdict, count)| format!("{count} {}", verdict.label())).collect();
        self.text(0, &words.join(", "));
        for verdict in [Verdict::Critical, Verdict::Warn, Verdict::Unknown] {
            let names = report.names(verdict);
            if !names.is_empty() {
                let begin = self.coloured(verdict);
                let lines = wrap(&names.join(", "), self.room(INDENT, LEAST_TEXT));
                for (index, line) in lines.iter().enumerate() {
                    let begin = if index == 0 { format!("  {begin}  ") } else { " ".repeat(INDENT) };
                    self.line(&format!("{begin}{line}"));
                }
            }
        }
    }

    /// Text that is wrapped, with so many blanks before each line.
    fn text(&mut self, indent: usize, text: &str) {
        for line in wrap(&clean(text), self.room(indent, LEAST_TEXT).min(MOST_TEXT)) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn room(&self, indent: usize, least: usize) -> usize {
        self.style.width.saturating_sub(indent).max(least)
    }

    /// The verdict's word, as wide as the widest.
    fn coloured(&self, verdict: Verdict) -> String {
        let word = format!("{:<VERDICT$}", verdict.label());
        if !self.style.colour {
            return word;
        }
        let colour = match verdict {
            Verdict::Ok => 32,
            Verdict::Unknown => 35,
            Verdict::Warn => 33,
            Verdict::Critical => 31,
        };
        format!("\x1b[{colour}m{word}\x1b[0m")
    }
}

/// Names and paths come from a file: nothing in them may drive the terminal.
fn clean(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Breaks between words; a word that is longer than a line has one of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
