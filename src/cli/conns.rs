//! `millpond conns`: the TCP connections of a running instance.

use super::args::ConnsArgs;
use super::fetch;
use super::table::{Align, Table, count};
use crate::observe::connections::{Connection, Connections};
use anyhow::Context;
use std::io::Write;

/// Where the connections are.
const PATH: &str = "/connections";

/// In the place of what is not known.
const MISSING: &str = "-";

/// Prints the list, for people or as it came.
pub(super) fn conns(args: &ConnsArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let body = fetch::get(&args.instance, &path(args))?;
    if args.json {
        out.write_all(&body)?;
    } else {
        let listed: Connections = serde_json::from_slice(&body).with_context(|| {
            let target = &args.instance.admin;
            format!("what {target} answers is no list of connections that this version understands")
        })?;
        out.write_all(text(&listed).as_bytes())?;
    }
    out.flush()?;
    Ok(0)
}

fn path(args: &ConnsArgs) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in [
        ("state", &args.state),
        ("older_than", &args.older_than),
        ("listener", &args.listener),
        ("upstream", &args.upstream),
        ("endpoint", &args.endpoint),
        ("side", &args.side),
        ("phase", &args.phase),
        ("sort", &args.sort),
        ("limit", &args.limit),
    ] {
        query.extend_pairs(value.iter().map(|value| (key, value)));
    }
    match query.finish() {
        query if query.is_empty() => PATH.to_owned(),
        query => format!("{PATH}?{query}"),
    }
}

/// The whole text, ending with a line feed.
fn text(listed: &Connections) -> String {
    let mut out = table(&listed.connections);
    out.push_str(&sum(listed));
    if !listed.notes.is_empty() {
        out.push_str("\nNotes\n");
        listed.notes.iter().for_each(|note| out.push_str(&format!("  {}\n", shown(note))));
    }
    out
}

fn table(connections: &[Connection]) -> String {
    if connections.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("STATE", Align::Left),
        ("FOR", Align::Right),
        ("SIDE", Align::Left),
        ("NAME", Align::Left),
        ("PHASE", Align::Left),
        ("LOCAL", Align::Left),
        ("PEER", Align::Left),
        ("AGE", Align::Right),
        ("IDLE", Align::Right),
        ("RECV", Align::Right),
        ("SENT", Align::Right),
        ("UNREAD", Align::Right),
        ("UNACK", Align::Right),
        ("RTT", Align::Right),
        ("RETR", Align::Right),
        ("USES", Align::Right),
    ]);
    connections.iter().for_each(|connection| table.row(row(connection)));
    table.render()
}

fn row(connection: &Connection) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| MISSING.to_owned());
    let number = |number: Option<u64>| number.map_or_else(|| MISSING.to_owned(), |n| n.to_string());
    let name = if connection.side == "client" { &connection.listener } else { &connection.upstream };
    vec![
        text(&connection.state),
        time(connection.state_age_s),
        connection.side.clone(),
        text(name),
        text(&connection.phase),
        connection.local.clone(),
        connection.peer.clone(),
        time(connection.age_s),
        time(connection.idle_s),
        size(connection.received_bytes),
        size(connection.sent_bytes),
        size(connection.unread_bytes),
        size(connection.unacknowledged_bytes),
        round_trip(connection.rtt_ms),
        number(connection.retransmits),
        number(connection.uses),
    ]
}

/// How many there are, and in which states.
fn sum(listed: &Connections) -> String {
    if listed.matching == 0 {
        return "no connection matches\n".to_owned();
    }
    let mut states: Vec<_> = listed.tcp_states.iter().collect();
    states.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let states: Vec<String> =
        states.iter().map(|(state, n)| format!("{} {}", shown(state), count(**n))).collect();
    let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    let shown = count(listed.connections.len() as u64);
    format!("{shown} of {} listed{states}\n", count(listed.matching))
}

/// What comes from another process does not drive the terminal.
fn shown(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// A time in five characters, as long as it is below a hundred days.
fn time(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|seconds| seconds.is_finite()) else { return MISSING.to_owned() };
    if seconds < 9.95 {
        return format!("{:.1}s", seconds.max(0.0));
    }
    // The cast saturates.
    let whole = seconds.round() as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3_600, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", whole % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A number of bytes in four characters; units are those of 1024.
fn size(bytes: Option<u64>) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    let Some(bytes) = bytes else { return MISSING.to_owned() };
    if bytes < 1000 {
        return bytes.to_string();
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if size < 9.95 { format!("{size:.1}{}", UNITS[unit]) } else { format!("{size:.0}{}", UNITS[unit]) }
}

fn round_trip(ms: Option<f64>) -> String {
    match ms.filter(|ms| ms.is_finite()) {
        None => MISSING.to_owned(),
        Some(ms) if ms < 0.9995 => format!("{:.0}us", ms * 1000.0),
        Some(ms) if ms < 9.95 => format!("{ms:.1}ms"),
        Some(ms) if ms < 999.5 => format!("{ms:.0}ms"),
        Some(ms) => format!("{:.1}s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests;
