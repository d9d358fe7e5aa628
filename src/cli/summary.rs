//! A snapshot as a person reads it in ten seconds.

use super::table::{Align, Table, count, percent};
use crate::observe::snapshot::{Endpoint, Listener, Ports, Snapshot};
use crate::source::level::Level;
use std::collections::BTreeMap;
use std::time::Duration;

/// The whole summary, ending with a line feed.
pub(super) fn of(snapshot: &Snapshot) -> String {
    let mut out = head(snapshot);
    out.push('\n');
    out.push_str(&listeners(&snapshot.listeners));
    out.push('\n');
    out.push_str(&upstreams(snapshot));
    if !snapshot.notes.is_empty() {
        out.push_str("\nNotes\n");
        for note in &snapshot.notes {
            out.push_str(&format!("  {}\n", note.replace(char::is_control, "?")));
        }
    }
    out
}

fn head(snapshot: &Snapshot) -> String {
    let Snapshot { version, process, config, .. } = snapshot;
    // What comes from another process may be any number.
    let uptime = Duration::try_from_secs_f64(snapshot.uptime_s.trunc()).unwrap_or_default();
    let state = if snapshot.draining { "draining, " } else { "" };
    let used = process.fds.used.map_or_else(|| "?".to_owned(), count);
    let memory = process.memory_bytes.map_or_else(|| "?".to_owned(), mebibytes);
    format!(
        "millpond {version}, {state}up {}\ndescriptors {used} of {}, memory {memory}, configuration {} of {}\n",
        humantime::format_duration(uptime),
        count(process.fds.limit),
        config.generation,
        config.loaded_at,
    )
    .replace(|c: char| c.is_control() && c != '\n', "?")
}

fn listeners(listeners: &[Listener]) -> String {
    let mut table = Table::new(&[
        ("LISTENER", Align::Left),
        ("ADDRESS", Align::Left),
        ("PROTOCOL", Align::Left),
        ("SESSIONS", Align::Right),
        ("ACCEPTED", Align::Right),
        ("REQUESTS", Align::Right),
        ("CLOSES", Align::Left),
        ("REJECTS", Align::Left),
    ]);
    for listener in listeners {
        table.row(vec![
            listener.name.clone(),
            listener.address.clone(),
            listener.protocol.clone(),
            count(listener.sessions.current),
            count(listener.sessions.total),
            count(listener.requests_total),
            most_common(&listener.closes),
            most_common(&listener.rejects),
        ]);
    }
    table.render()
}

fn upstreams(snapshot: &Snapshot) -> String {
    let mut table = Table::new(&[
        ("UPSTREAM", Align::Left),
        ("ENDPOINT", Align::Left),
        ("HEALTH", Align::Left),
        ("IDLE", Align::Right),
        ("LEASED", Align::Right),
        ("CONNECTING", Align::Right),
        ("WAITING", Align::Right),
        ("OPENED", Align::Right),
        ("REUSE", Align::Right),
        ("RETRIES", Align::Right),
        ("ERRORS", Align::Right),
        ("LOCAL ERRORS", Align::Right),
        ("PORTS FREE", Align::Right),
    ]);
    for upstream in &snapshot.upstreams {
        for endpoint in &upstream.endpoints {
            table.row(endpoint_row(&upstream.name, endpoint));
        }
    }
    table.render()
}

fn endpoint_row(upstream: &str, endpoint: &Endpoint) -> Vec<String> {
    let connections = &endpoint.connections;
    vec![
        upstream.to_owned(),
        endpoint.address.clone(),
        endpoint.health.clone(),
        count(connections.idle),
        count(connections.leased),
        count(connections.connecting),
        count(connections.waiting),
        count(endpoint.opened_total),
        endpoint.reuse_ratio.map_or_else(|| "-".to_owned(), percent),
        count(endpoint.retries_total),
        count(endpoint.connect_errors_total),
        count(endpoint.local_errors_total),
        endpoint.ports.as_deref().map_or_else(|| "?".to_owned(), ports),
    ]
}

/// Ports left from all sources to an endpoint, with the least scarce level where that is scarce.
fn ports(ports: &[Ports]) -> String {
    let free = count(ports.iter().map(|source| source.free).sum());
    let rank = |level: &str| Level::ALL.iter().position(|known| known.label() == level);
    let level = ports.iter().filter_map(|source| rank(&source.level)).min().unwrap_or(0);
    if level == 0 { free } else { format!("{free} {}", Level::ALL[level].label()) }
}

/// The three reasons that were counted most, and how often the rest was.
fn most_common(reasons: &BTreeMap<String, u64>) -> String {
    const SHOWN: usize = 3;
    let mut counted: Vec<_> = reasons.iter().filter(|(_, n)| **n > 0).collect();
    counted.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let rest: u64 = counted.iter().skip(SHOWN).map(|(_, n)| **n).sum();
    let mut parts: Vec<String> =
        counted.iter().take(SHOWN).map(|(reason, n)| format!("{reason} {}", count(**n))).collect();
    if rest > 0 {
        parts.push(format!("others {}", count(rest)));
    }
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::host::Host;
    use crate::observe::fixture;

    fn snapshot() -> Snapshot {
        let host = Host { descriptors: Some(1041), resident_bytes: Some(12 << 20), ..Host::default() };
        Snapshot { uptime_s: 7_380.5, ..Snapshot::take(&fixture::registry(), host) }
    }

    #[test]
    fn a_snapshot_in_tables() {
        let snapshot = Snapshot { notes: vec!["something is not measured".into()], ..snapshot() };
        let expected = "\
millpond VERSION, up 2h 3m
descriptors 1,041 of 20,000, memory 12.0 MiB, configuration 1 of 2026-09-21T14:13:20.000Z

LISTENER  ADDRESS         PROTOCOL  SESSIONS  ACCEPTED  REQUESTS  CLOSES                     REJECTS
web       127.0.0.1:8080  http             3        90     1,000  client_fin 80, graceful 7  pool_timeout 2
web       127.0.0.1:8081  http             0         0        10  -                          -
db        127.0.0.1:5432  tcp              0         0         0  -                          -

UPSTREAM  ENDPOINT        HEALTH  IDLE  LEASED  CONNECTING  WAITING  OPENED  REUSE  RETRIES  ERRORS  LOCAL ERRORS  PORTS FREE
app       127.0.0.1:3000  up         2       1           0        0       3  99.7%        0       0             0      28,229
app       127.0.0.1:3001  up         0       0           0        0       0      -        0       0             0      28,232

Notes
  something is not measured
";
        assert_eq!(of(&snapshot), expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn what_is_unknown_is_not_zero_and_a_drain_is_said() {
        let mut snapshot = snapshot();
        snapshot.draining = true;
        snapshot.process.fds.used = None;
        snapshot.process.memory_bytes = None;
        snapshot.uptime_s = f64::NAN;
        let text = of(&snapshot);
        assert!(text.contains("draining, up 0s\ndescriptors ? of 20,000, memory ?,"), "{text}");
    }

    #[test]
    fn ports_are_added_up_and_the_freest_source_decides() {
        let registry = fixture::registry();
        let host = Host::default();
        let template = Snapshot::take(&registry, host).upstreams[0].endpoints[1].ports.clone().unwrap();
        let of = |free, level: &str| Ports { free, level: level.into(), ..template[0].clone() };
        assert_eq!(ports(&[of(1000, "warn"), of(500, "refuse")]), "1,500 warn");
        assert_eq!(ports(&[of(1000, "refuse"), of(5000, "ok")]), "6,000");
    }

    #[test]
    fn only_the_most_common_reasons_are_named() {
        let reasons = [("a", 1), ("b", 5), ("c", 0), ("d", 2_000), ("e", 3), ("f", 1)];
        let reasons = reasons.map(|(reason, n)| (reason.to_owned(), n)).into();
        assert_eq!(most_common(&reasons), "d 2,000, b 5, e 3, others 2");
    }
}
