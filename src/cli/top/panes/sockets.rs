//! One row for each socket in CLOSE_WAIT that the instance lists.

use super::super::format;
use super::super::grid::{Cell, Column, Grid, Row, Subject};
use super::super::theme::Tone;
use crate::observe::snapshot::{CloseWaitSocket, Snapshot};

const COLUMNS: &[Column] = &[
    Column::word("SIDE", 80),
    Column::text("OWNER", u8::MAX, 16),
    Column::word("PHASE", 90),
    Column::number("AGE", u8::MAX),
    Column::text("LOCAL", 60, 21),
    Column::text("PEER", 70, 21),
];

pub(super) fn grid(snapshot: &Snapshot) -> Grid {
    let sockets = snapshot.close_wait.iter().flat_map(|close_wait| &close_wait.sockets);
    Grid { columns: COLUMNS, rows: sockets.enumerate().map(|(place, socket)| row(place, socket)).collect() }
}

fn row(place: usize, socket: &CloseWaitSocket) -> Row {
    Row {
        key: format!("{} {}", socket.local, socket.peer),
        subject: Subject::Socket(place),
        cells: vec![
            Cell::text(&socket.side),
            Cell::text(&socket.name),
            match &socket.phase {
                Some(phase) => Cell::text(phase),
                // Nobody will ever close it.
                None => Cell::text("no owner").tone(Tone::Critical),
            },
            Cell::number(format::seconds(socket.age_s), Some(socket.age_s)).tone(Tone::Warn),
            Cell::text(&socket.local),
            Cell::text(&socket.peer),
        ],
    }
}
