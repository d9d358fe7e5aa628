//! One row for each endpoint of each upstream.

use super::super::format::{self, MISSING};
use super::super::grid::{Cell, Column, Grid, Row, Subject};
use super::super::rates::{EndpointRates, Rates};
use super::super::theme::Tone;
use super::level_tone;
use crate::observe::snapshot::{Endpoint, Ports, Snapshot};

/// Cells of the terminal that a bar takes.
const BAR: usize = 6;

/// When ports run out that do not within the hour that is looked ahead, if ever.
pub(in super::super) const LATER: &str = ">1h";

const COLUMNS: &[Column] = &[
    Column::text("UPSTREAM", u8::MAX, 16),
    Column::text("ADDRESS", u8::MAX, 21),
    Column::word("HEALTH", 95),
    Column::number("IDLE", 70),
    Column::number("LEASED", 80),
    Column::number("CONN", 50),
    Column::number("WAIT", 85),
    Column::number("REUSE", 75),
    Column::number("OPENS/S", 78),
    Column::number("RETRY/S", 30),
    Column::number("ERR/S", 82),
    Column::number("TW", 45),
    Column::number("PORTS FREE", 40),
    Column::word("USED", 25),
    Column::word("LEVEL", 90),
    Column::number("FULL IN", 35),
];

pub(super) fn grid(snapshot: &Snapshot, rates: &Rates) -> Grid {
    let mut rows = Vec::new();
    for (of, (upstream, rates)) in snapshot.upstreams.iter().zip(&rates.endpoints).enumerate() {
        for (place, (endpoint, rates)) in upstream.endpoints.iter().zip(rates).enumerate() {
            rows.push(Row {
                key: format!("{} {}", upstream.name, endpoint.address),
                subject: Subject::Endpoint(of, place),
                cells: cells(&upstream.name, endpoint, rates),
            });
        }
    }
    Grid { columns: COLUMNS, rows }
}

fn cells(upstream: &str, endpoint: &Endpoint, rates: &EndpointRates) -> Vec<Cell> {
    let connections = &endpoint.connections;
    let is_up = endpoint.health == "up";
    let mut cells = vec![
        Cell::text(upstream),
        Cell::text(&endpoint.address),
        Cell::text(&endpoint.health).tone(if is_up { Tone::Good } else { Tone::Critical }),
        Cell::count(Some(connections.idle)),
        Cell::count(Some(connections.leased)),
        Cell::count(Some(connections.connecting)),
        Cell::count(Some(connections.waiting)).alarm(Tone::Warn),
        Cell::percent(rates.reuse()),
        Cell::rate(rates.opens),
        Cell::rate(rates.retries).alarm(Tone::Warn),
        errors(rates),
        Cell::count(time_wait(endpoint)),
    ];
    cells.extend(ports(endpoint.ports.as_deref().and_then(tightest)));
    cells
}

/// Errors of the endpoint and of this host together.
fn errors(rates: &EndpointRates) -> Cell {
    let both = rates.connect_errors.zip(rates.local_errors).map(|(connect, local)| connect + local);
    Cell::rate(both).alarm(Tone::Critical)
}

/// Ports free, how many are not, the level and the forecast. Sorted by the last two, the worst level
/// and the nearest end come first.
fn ports(ports: Option<&Ports>) -> [Cell; 4] {
    let Some(ports) = ports else { return std::array::from_fn(|_| Cell::text(MISSING)) };
    let (tone, taken) = (level_tone(&ports.level), share_taken(ports));
    let free = format!("{}/{}", format::count(Some(ports.free)), format::count(Some(ports.capacity)));
    let full_in = ports
        .exhausts_in_s
        .map_or_else(|| LATER.to_owned(), |seconds| format::ahead(seconds).replace("in ", ""));
    [
        Cell::number(free, Some(ports.free as f64)),
        Cell::number(format::bar(taken, BAR), taken).tone(tone),
        Cell::number(ports.level.clone(), Some(severity(&ports.level))).tone(tone),
        Cell::number(full_in, Some(-ports.exhausts_in_s.unwrap_or(f64::INFINITY))).tone(tone),
    ]
}

/// The source that comes nearest to its end.
pub(in super::super) fn tightest(ports: &[Ports]) -> Option<&Ports> {
    ports.iter().max_by(|a, b| {
        let share = |ports| share_taken(ports).unwrap_or(0.0);
        severity(&a.level).total_cmp(&severity(&b.level)).then(share(a).total_cmp(&share(b)))
    })
}

/// The place of a level among the others; one that this version does not know is the worst.
fn severity(level: &str) -> f64 {
    const LEVELS: [&str; 4] = ["ok", "warn", "reuse_only", "refuse"];
    LEVELS.iter().position(|known| *known == level).unwrap_or(LEVELS.len()) as f64
}

/// The share of the ports that is not free.
pub(in super::super) fn share_taken(ports: &Ports) -> Option<f64> {
    (ports.capacity > 0).then(|| ports.capacity.saturating_sub(ports.free) as f64 / ports.capacity as f64)
}

/// Sockets in TIME_WAIT towards the endpoint.
pub(in super::super) fn time_wait(endpoint: &Endpoint) -> Option<u64> {
    let states = endpoint.tcp_states.as_ref().and_then(|states| states.get("time_wait").copied());
    states.or_else(|| Some(endpoint.ports.as_ref()?.iter().map(|ports| ports.time_wait).sum()))
}
