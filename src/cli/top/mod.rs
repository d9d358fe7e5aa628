//! `millpond top`: a full-screen live view of a running instance.
//!
//! [`app`] is what is shown and what keys do to it, [`view`] draws it; neither reads a clock, a file
//! or a socket. [`feed`] brings events, [`screen`] holds the terminal; this file joins them.

mod alarms;
mod app;
mod clean;
mod feed;
pub(super) mod format;
mod grid;
mod panes;
mod rates;
mod screen;
mod theme;
mod view;
pub(super) mod words;

use super::args::TopArgs;
use anyhow::{Context, bail};
use app::{App, Event};
use feed::Feed;
use screen::Screen;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant, SystemTime};
use theme::Theme;

/// The longest between two pictures: what is on the screen says how long ago something was.
const TICK: Duration = Duration::from_secs(1);

/// Shows a running instance until it is told to end.
pub(super) fn top(args: &TopArgs) -> anyhow::Result<u8> {
    if !io::stdout().is_terminal() {
        bail!("top needs a terminal to draw on; `millpond stats` prints the figures once, also as --json");
    }
    // An instance that is not there is told like every other command tells it.
    let first = feed::snapshot(&args.instance)?;
    let theme = Theme::new(!no_color());
    let app = App::new(args.instance.admin.to_string(), first, args.interval, theme, SystemTime::now());
    let feed = Feed::start(args.instance.clone()).context("cannot wait for events")?;
    let mut screen = Screen::take().context("cannot take over the terminal")?;
    match run(app, &feed, &mut screen) {
        // The terminal is gone, and whoever looked at it too.
        Err(_) if !io::stdout().is_terminal() => Ok(0),
        shown => shown.map(|()| 0).context("cannot go on"),
    }
}

fn run(mut app: App, feed: &Feed, screen: &mut Screen) -> io::Result<()> {
    let mut asked_at = Instant::now();
    let mut is_asked = false;
    while !app.ended() {
        screen.draw(|frame| view::view(&app, frame))?;
        let due = app.pace().saturating_sub(asked_at.elapsed());
        let event = feed.next(if is_asked || app.paused { TICK } else { due.min(TICK) });
        is_asked &= !matches!(event, Event::Answer(_) | Event::Silence(_));
        if matches!(event, Event::Broken) {
            return Err(io::Error::other("a thread of its own has failed"));
        }
        app.update(event, SystemTime::now());
        if !is_asked && !app.paused && asked_at.elapsed() >= app.pace() {
            feed.ask();
            (asked_at, is_asked) = (Instant::now(), true);
        }
    }
    Ok(())
}

/// <https://no-color.org>: set, and not empty.
pub(super) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
