//! The thread that formats and writes.

use super::Entry;
use super::line;
use crate::config::model::LogFormat;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Bytes that are gathered before a write, while more lines wait.
const BATCH: usize = 64 * 1024;

/// The shortest time between two reports of lost lines.
const REPORT_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Writer {
    sink: Box<dyn Write + Send>,
    format: LogFormat,
    batch: Vec<u8>,
    batch_lines: u64,
    lost: Arc<AtomicU64>,
    reported: u64,
    reported_at: Option<Instant>,
    last_error: Option<io::Error>,
}

impl Writer {
    pub(super) fn new(sink: Box<dyn Write + Send>, format: LogFormat, lost: Arc<AtomicU64>) -> Self {
        Self {
            sink,
            format,
            batch: Vec::with_capacity(BATCH),
            batch_lines: 0,
            lost,
            reported: 0,
            reported_at: None,
            last_error: None,
        }
    }

    /// Writes until every handle is gone. What is buffered is written as soon as nothing more waits.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) {
        while let Ok(first) = entries.recv() {
            self.append(&first);
            while let Ok(next) = entries.try_recv() {
                self.append(&next);
            }
            self.write();
            self.report();
        }
        self.reported_at = None;
        self.report();
    }

    fn append(&mut self, entry: &Entry) {
        match self.format {
            LogFormat::Text => line::text(&mut self.batch, entry),
            LogFormat::Json => line::json(&mut self.batch, entry),
        }
        self.batch_lines += 1;
        if self.batch.len() >= BATCH {
            self.write();
        }
    }

    fn write(&mut self) {
        let written = self.sink.write_all(&self.batch).and_then(|()| self.sink.flush());
        self.batch.clear();
        if let Err(error) = written {
            self.lost.fetch_add(self.batch_lines, Relaxed);
            self.last_error = Some(error);
            // Part of a line may have been written: the next one must not continue it.
            self.batch.push(b'\n');
        }
        self.batch_lines = 0;
    }

    /// Says how many lines were lost, at most once a minute: the cause may last.
    fn report(&mut self) {
        let lost = self.lost.load(Relaxed);
        let recently = self.reported_at.is_some_and(|at| at.elapsed() < REPORT_EVERY);
        if lost == self.reported || recently {
            return;
        }
        let lines = lost - self.reported;
        match self.last_error.take() {
            Some(error) => tracing::error!(lines, %error, "access log lines are lost: a write failed"),
            None => {
                tracing::warn!(lines, "access log lines are lost: they come faster than they are written")
            }
        }
        self.reported = lost;
        self.reported_at = Some(Instant::now());
    }
}
