//! What is shown and what keys do to it. Pure: the time comes with each event.

use super::clean;
use super::grid::{Grid, Row, Sort};
use super::panes::Pane;
use super::rates::Rates;
use super::theme::Theme;
use crate::observe::snapshot::Snapshot;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::time::{Duration, SystemTime};

/// Rows that PgUp and PgDn move by.
const PAGE: isize = 10;
/// The longest between two attempts to reach an instance that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// The intervals that + and - go through, in milliseconds.
const INTERVALS_MS: [u64; 8] = [250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

/// Something that happens to an [`App`].
#[derive(Debug)]
pub(super) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The instance has answered.
    Answer(Box<Snapshot>),
    /// It has not, and why.
    Silence(String),
    /// Time has passed, or the window has another size.
    Tick,
    /// It is to end.
    End,
    /// A part of the program has failed, and said so.
    Broken,
}

/// What lies over the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlay {
    Help,
    /// Everything that is wrong, and why figures are missing.
    Alarms,
}

/// How one of the tables is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) sort: Sort,
    /// Only rows with this text; empty: all.
    pub(super) filter: String,
    /// The row that the cursor stands on; `None`: whichever is the first.
    key: Option<String>,
    /// Where that row was last seen, for when it is gone.
    place: usize,
}

/// That the instance does not answer.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// When it last did.
    pub(super) since: SystemTime,
    pub(super) why: String,
}

/// Everything that the screen depends on.
#[derive(Debug)]
pub(super) struct App {
    /// Who is asked.
    pub(super) target: String,
    pub(super) theme: Theme,
    pub(super) snapshot: Snapshot,
    pub(super) rates: Rates,
    /// Whether the next snapshot may be compared with this one.
    comparable: bool,
    pub(super) interval: Duration,
    pub(super) paused: bool,
    pub(super) focus: Pane,
    looks: [Look; Pane::ALL.len()],
    pub(super) details: bool,
    pub(super) overlay: Option<Overlay>,
    /// Whether a filter is being typed.
    pub(super) editing: bool,
    answered: SystemTime,
    pub(super) lost: Option<Lost>,
    pub(super) now: SystemTime,
    ended: bool,
}

impl App {
    /// The view of what `target` has just answered.
    pub(super) fn new(
        target: String,
        snapshot: Snapshot,
        interval: Duration,
        theme: Theme,
        now: SystemTime,
    ) -> Self {
        Self {
            target,
            theme,
            rates: Rates::unknown(&snapshot),
            snapshot,
            comparable: true,
            interval,
            paused: false,
            focus: Pane::Endpoints,
            looks: Default::default(),
            details: false,
            overlay: None,
            editing: false,
            answered: now,
            lost: None,
            now,
            ended: false,
        }
    }

    /// Takes in what has happened.
    pub(super) fn update(&mut self, event: Event, now: SystemTime) {
        self.now = now;
        match event {
            Event::Tick => {}
            Event::End | Event::Broken => self.ended = true,
            Event::Key(key) if key.kind == KeyEventKind::Release => {}
            Event::Key(key) => self.key(key),
            // It was asked before the pause.
            Event::Answer(_) | Event::Silence(_) if self.paused => {}
            Event::Answer(snapshot) => self.answer(*snapshot),
            Event::Silence(why) => {
                // Whoever answers next may be another process, which counts from 0.
                self.comparable = false;
                self.lost = Some(Lost { since: self.answered, why: clean::text(&why) });
            }
        }
    }

    /// How long after the last question the next one is to follow. An instance that has gone is looked
    /// for often, however seldom it was to be asked.
    pub(super) fn pace(&self) -> Duration {
        if self.lost.is_some() { self.interval.min(RETRY) } else { self.interval }
    }

    /// Whether it is over.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The rows of a table that are to be seen, in their order.
    pub(super) fn grid(&self, pane: Pane) -> Grid {
        let mut grid = pane.grid(&self.snapshot, &self.rates);
        let look = self.look(pane);
        grid.filter(&look.filter);
        grid.sort(look.sort);
        grid
    }

    /// Where the cursor stands among these rows; `None`: there are none.
    pub(super) fn selected(&self, pane: Pane, rows: &[Row]) -> Option<usize> {
        let Look { key, place, .. } = self.look(pane);
        let found = key.as_ref().and_then(|key| rows.iter().position(|row| row.key == *key));
        found.or_else(|| Some((*place).min(rows.len().checked_sub(1)?)))
    }

    pub(super) fn look(&self, pane: Pane) -> &Look {
        &self.looks[pane.index()]
    }

    fn look_mut(&mut self) -> &mut Look {
        &mut self.looks[self.focus.index()]
    }

    fn answer(&mut self, snapshot: Snapshot) {
        self.rates = if self.comparable {
            Rates::between(&self.snapshot, &snapshot)
        } else {
            Rates::unknown(&snapshot)
        };
        self.snapshot = snapshot;
        self.comparable = true;
        self.answered = self.now;
        self.lost = None;
        for pane in Pane::ALL {
            let place = self.selected(pane, &self.grid(pane).rows);
            self.looks[pane.index()].place = place.unwrap_or(0);
        }
    }

    fn key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => self.ended = true,
            KeyCode::Char('u') if control && self.editing => self.look_mut().filter.clear(),
            KeyCode::Char(_) if control => {}
            code if self.editing => self.edit(code),
            KeyCode::Char('q') => self.ended = true,
            KeyCode::Char('?' | 'h') => self.lay_over(Overlay::Help),
            KeyCode::Char('w') => self.lay_over(Overlay::Alarms),
            KeyCode::Esc if self.overlay.is_some() => self.overlay = None,
            KeyCode::Esc if self.details => self.details = false,
            KeyCode::Esc => self.ended = true,
            KeyCode::Char('p' | ' ') => self.pause(),
            KeyCode::Char('+' | '=') => self.interval = longer(self.interval),
            KeyCode::Char('-') => self.interval = shorter(self.interval),
            // What cannot be seen is not changed.
            _ if self.overlay.is_some() => {}
            code => self.look_at(code),
        }
    }

    fn look_at(&mut self, code: KeyCode) {
        match code {
            KeyCode::Tab => self.focus = self.focus.after(1),
            KeyCode::BackTab => self.focus = self.focus.after(Pane::ALL.len() - 1),
            KeyCode::Char('1') => self.focus = Pane::Listeners,
            KeyCode::Char('2') => self.focus = Pane::Endpoints,
            KeyCode::Char('3') => self.focus = Pane::CloseWait,
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::Home => (self.look_mut().key, self.look_mut().place) = (None, 0),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Char('s') => self.sort_by_next(),
            KeyCode::Char('r') => self.look_mut().sort.reversed ^= true,
            KeyCode::Char('/') => self.editing = true,
            KeyCode::Enter => self.details ^= true,
            _ => {}
        }
    }

    fn edit(&mut self, code: KeyCode) {
        let look = self.look_mut();
        match code {
            KeyCode::Char(c) => look.filter.push_str(&clean::text(c.encode_utf8(&mut [0; 4]))),
            KeyCode::Backspace => drop(look.filter.pop()),
            KeyCode::Enter => self.editing = false,
            KeyCode::Esc => {
                look.filter.clear();
                self.editing = false;
            }
            _ => {}
        }
    }

    fn lay_over(&mut self, overlay: Overlay) {
        self.overlay = if self.overlay == Some(overlay) { None } else { Some(overlay) };
    }

    fn pause(&mut self) {
        self.paused ^= true;
        // A rate over the whole pause would say nothing about now.
        self.comparable = false;
    }

    fn step(&mut self, by: isize) {
        let rows = self.grid(self.focus).rows;
        let Some(selected) = self.selected(self.focus, &rows) else { return };
        let place = selected.saturating_add_signed(by).min(rows.len() - 1);
        let look = self.look_mut();
        (look.key, look.place) = (Some(rows[place].key.clone()), place);
    }

    /// First as the instance lists them, then by each column, then again.
    fn sort_by_next(&mut self) {
        let columns = self.focus.grid(&self.snapshot, &self.rates).columns.len();
        let sort = &mut self.look_mut().sort;
        let next = sort.column.map_or(0, |column| column + 1);
        *sort = Sort { column: (next < columns).then_some(next), reversed: false };
    }
}

fn longer(interval: Duration) -> Duration {
    let steps = INTERVALS_MS.map(Duration::from_millis);
    steps.into_iter().find(|step| *step > interval).unwrap_or(interval)
}

fn shorter(interval: Duration) -> Duration {
    let steps = INTERVALS_MS.map(Duration::from_millis);
    steps.into_iter().rev().find(|step| *step < interval).unwrap_or(interval)
}
