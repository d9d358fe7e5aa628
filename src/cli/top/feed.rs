//! Where events come from: three threads, for keys, for signals and for what the instance answers.

use super::super::args::Instance;
use super::app::Event;
use super::clean;
use crate::cli::fetch::{self, FetchError};
use crate::cli::stats;
use crate::observe::snapshot::Snapshot;
use ratatui::crossterm::event::{self, Event as Input};
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The threads. They live as long as the process.
#[derive(Debug)]
pub(super) struct Feed {
    events: Receiver<Event>,
    asks: Sender<()>,
}

impl Feed {
    /// Starts the threads. Signals are caught from here on.
    pub(super) fn start(instance: Instance) -> io::Result<Self> {
        let (sender, events) = mpsc::channel();
        let (asks, asked) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let mut signals = [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ];
        drop(context);
        spawn("signals", sender.clone(), move |_| {
            let [terminate, interrupt, hangup] = &mut signals;
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
        })?;
        spawn("keys", sender.clone(), keys)?;
        spawn("answers", sender, move |events| answers(&instance, &asked, events))?;
        Ok(Self { events, asks })
    }

    /// Has the instance asked. The answer, or its absence, will be one of the events.
    pub(super) fn ask(&self) {
        // Without that thread an Event::End is on its way.
        let _ = self.asks.send(());
    }

    /// The next event, or [`Event::Tick`] after this time.
    pub(super) fn next(&self, within: Duration) -> Event {
        match self.events.recv_timeout(within) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::Tick,
            Err(RecvTimeoutError::Disconnected) => Event::End,
        }
    }
}

/// What the instance answers now.
pub(super) fn snapshot(instance: &Instance) -> anyhow::Result<Snapshot> {
    let body = fetch::get(instance, stats::PATH)?;
    let value = clean::json(stats::parse(&instance.admin, &body)?);
    stats::parse(&instance.admin, value.to_string().as_bytes())
}

/// Runs something on a thread of its own. When it is over, however that came about, so is the rest.
fn spawn(
    name: &str,
    events: Sender<Event>,
    run: impl FnOnce(&Sender<Event>) + Send + 'static,
) -> io::Result<()> {
    struct Ends(Sender<Event>);
    impl Drop for Ends {
        fn drop(&mut self) {
            // Nobody listens any more: it has ended already.
            let _ = self.0.send(if thread::panicking() { Event::Broken } else { Event::End });
        }
    }
    let ends = Ends(events);
    thread::Builder::new().name(name.into()).spawn(move || run(&ends.0)).map(drop)
}

/// Until the terminal is gone.
fn keys(events: &Sender<Event>) {
    while let Ok(input) = event::read() {
        let event = match input {
            Input::Key(key) => Event::Key(key),
            _ => Event::Tick,
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

fn answers(instance: &Instance, asked: &Receiver<()>, events: &Sender<Event>) {
    while asked.recv().is_ok() {
        let event = match snapshot(instance) {
            Ok(snapshot) => Event::Answer(Box::new(snapshot)),
            Err(error) => Event::Silence(reason(&error)),
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Why there was no answer, to be read beside the address.
fn reason(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(FetchError::NotThere { why, .. }) => why.to_string(),
        _ => format!("{error:#}"),
    }
}
