//! One row for each address of each listener.

use super::super::format;
use super::super::grid::{Cell, Column, Grid, Row, Subject};
use super::super::rates::{ListenerRates, Rates};
use super::super::theme::Tone;
use super::super::words;
use crate::observe::snapshot::{AcceptQueue, Listener, Snapshot};

const COLUMNS: &[Column] = &[
    Column::text("LISTENER", u8::MAX, 16),
    Column::text("ADDRESS", u8::MAX, 21),
    Column::word("PROTO", 10),
    Column::number("SESSIONS", 90),
    Column::number("REQ/S", 80),
    Column::number("QUEUE/MAX/LIMIT", 85),
    Column::text("TCP STATES", 50, 12),
    Column::number("REJ/S", 70),
    Column::text("TOP REASON", 40, 16),
];

pub(super) fn grid(snapshot: &Snapshot, rates: &Rates) -> Grid {
    let rows = snapshot.listeners.iter().zip(&rates.listeners).enumerate();
    Grid {
        columns: COLUMNS,
        rows: rows.map(|(place, (listener, rates))| row(place, listener, rates)).collect(),
    }
}

fn row(place: usize, listener: &Listener, rates: &ListenerRates) -> Row {
    let close_wait = listener.tcp_states.as_ref().and_then(|states| states.get("close_wait"));
    let has_close_wait = close_wait.is_some_and(|count| *count > 0);
    Row {
        key: format!("{} {}", listener.name, listener.address),
        subject: Subject::Listener(place),
        cells: vec![
            Cell::text(&listener.name),
            Cell::text(&listener.address),
            Cell::text(&listener.protocol),
            Cell::count(Some(listener.sessions.current)),
            Cell::rate(rates.requests),
            queue(&listener.accept_queue),
            Cell::text(words::states(listener.tcp_states.as_ref())).tone(if has_close_wait {
                Tone::Warn
            } else {
                Tone::Plain
            }),
            Cell::rate(rates.rejects).alarm(Tone::Warn),
            Cell::text(rates.top_reject.as_deref().unwrap_or(format::MISSING)),
        ],
    }
}

/// Sorted by how full it is now.
fn queue(queue: &AcceptQueue) -> Cell {
    let share = queue.depth.map(|depth| depth as f64 / queue.limit.max(1) as f64);
    Cell::number(words::queue(queue), share).tone(queue_tone(queue))
}

/// What a queue is like now, or was like at its fullest.
fn queue_tone(queue: &AcceptQueue) -> Tone {
    let reaches = |depth: Option<u64>| depth.is_some_and(|depth| depth >= queue.limit);
    if reaches(queue.depth) {
        Tone::Critical
    } else if is_nearly_full(queue) || reaches(queue.depth_max) {
        Tone::Warn
    } else {
        Tone::Plain
    }
}

/// Whether three quarters of it are taken.
pub(in super::super) fn is_nearly_full(queue: &AcceptQueue) -> bool {
    queue.depth.is_some_and(|depth| depth.saturating_mul(4) >= queue.limit.saturating_mul(3))
}
