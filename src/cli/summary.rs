//! A snapshot as a person reads it in ten seconds.

use super::table::{Align, Table, count};
use super::top::format::{self, MISSING, percent};
use super::top::words;
use crate::observe::snapshot::{Budget, CloseWait, Endpoint, Listener, Ports, Snapshot};
use crate::source::level::Level;
use std::collections::BTreeMap;
use std::iter;
use std::time::Duration;

/// What is wrong is told in so many lines at the most.
const ALARMS: usize = 10;

/// The whole summary, ending with a line feed.
pub(super) fn of(snapshot: &Snapshot) -> String {
    let mut parts = vec![
        head(snapshot),
        alarms(snapshot),
        listeners(&snapshot.listeners),
        endings(&snapshot.listeners),
        upstreams(snapshot),
        names(snapshot),
        sockets(snapshot),
    ];
    if !snapshot.notes.is_empty() {
        let notes = snapshot.notes.iter().map(|note| format!("  {note}"));
        parts.push(lines(iter::once("Notes".to_owned()).chain(notes)));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

/// Text from another process: nothing in it may drive the terminal.
fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line.replace(char::is_control, "?") + "\n").collect()
}

fn head(snapshot: &Snapshot) -> String {
    let Snapshot { version, process, config, .. } = snapshot;
    // What comes from another process may be any number.
    let uptime = Duration::try_from_secs_f64(snapshot.uptime_s.trunc()).unwrap_or_default();
    let state = if snapshot.draining { "draining, " } else { "" };
    let used = format::count(process.fds.used);
    let memory = process.memory_bytes.map_or_else(|| MISSING.to_owned(), mebibytes);
    let mut said = vec![
        format!("millpond {version}, {state}up {}", humantime::format_duration(uptime)),
        format!(
            "descriptors {used} of {}, memory {memory}, configuration {} of {}",
            count(process.fds.limit),
            config.generation,
            config.loaded_at,
        ),
    ];
    if !snapshot.budgets.is_empty() {
        let budgets: Vec<_> = snapshot.budgets.iter().map(budget).collect();
        said.push(format!("budgets taken: {}", budgets.join(", ")));
    }
    said.extend(snapshot.close_wait.as_ref().and_then(close_wait));
    lines(said)
}

/// The share that is taken, and how urgent that is where it is; how much it is says the alarm.
fn budget(budget: &Budget) -> String {
    let Budget { name, used, limit, level, .. } = budget;
    let share = used.zip(*limit).filter(|(_, limit)| *limit > 0);
    let share = percent(share.map(|(used, limit)| used as f64 / limit as f64));
    if level == "ok" { format!("{name} {share}") } else { format!("{name} {share} ({level})") }
}

/// How many are there, whose the oldest is, and whether any was ever stuck.
fn close_wait(close_wait: &CloseWait) -> Option<String> {
    let CloseWait { count: there, oldest_s, reaped_total, sockets } = close_wait;
    if *there == Some(0) && *reaped_total == 0 {
        return None;
    }
    let mut line = format!("CLOSE_WAIT {}", format::count(*there));
    if *there != Some(0) {
        line.push_str(&format!(", the oldest for {}", oldest_s.map_or(MISSING.to_owned(), format::seconds)));
    }
    if let Some(oldest) = sockets.first() {
        let phase = oldest.phase.as_deref().unwrap_or("no owner");
        line.push_str(&format!(" ({} {}, {}, {phase})", oldest.side, oldest.name, oldest.peer));
    }
    Some(format!("{line}, reaped so far {}", count(*reaped_total)))
}

/// What is wrong, the worst first; or that nothing is.
fn alarms(snapshot: &Snapshot) -> String {
    let mut alarms = words::alarms(snapshot);
    let rest = alarms.split_off(alarms.len().min(ALARMS)).len();
    if rest > 0 {
        alarms.push(format!("and {} more: millpond top, key w", count(rest as u64)));
    }
    if alarms.is_empty() {
        let text = "OK        nothing to warn of at one look; millpond top knows what happens by the second";
        alarms.push(text.to_owned());
    }
    lines(alarms)
}

fn listeners(listeners: &[Listener]) -> String {
    let mut table = Table::new(&[
        ("LISTENER", Align::Left),
        ("ADDRESS", Align::Left),
        ("PROTO", Align::Left),
        ("SESSIONS", Align::Right),
        ("ACCEPTED", Align::Right),
        ("REQUESTS", Align::Right),
        ("QUEUE/MAX/LIMIT", Align::Right),
        ("DROPS", Align::Right),
        ("TCP STATES", Align::Left),
    ]);
    for listener in listeners {
        table.row(vec![
            listener.name.clone(),
            listener.address.clone(),
            listener.protocol.clone(),
            count(listener.sessions.current),
            count(listener.sessions.total),
            count(listener.requests_total),
            words::queue(&listener.accept_queue),
            format::count(listener.accept_queue.drops_total),
            words::states(listener.tcp_states.as_ref()),
        ]);
    }
    table.render()
}

/// Why sessions ended and requests were refused, of the listeners that had any; empty if none had.
fn endings(listeners: &[Listener]) -> String {
    let columns = ["LISTENER", "ADDRESS", "CLOSES", "REJECTS"].map(|name| (name, Align::Left));
    let mut table = Table::new(&columns);
    let happened = |reasons: &BTreeMap<String, u64>| reasons.values().any(|n| *n > 0);
    let some: Vec<_> = listeners.iter().filter(|l| happened(&l.closes) || happened(&l.rejects)).collect();
    if some.is_empty() {
        return String::new();
    }
    for Listener { name, address, closes, rejects, .. } in some {
        table.row(vec![name.clone(), address.clone(), most_common(closes), most_common(rejects)]);
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
        ("CONN", Align::Right),
        ("WAIT", Align::Right),
        ("OPENED", Align::Right),
        ("REUSE", Align::Right),
        ("RETRIES", Align::Right),
        ("ERRORS", Align::Right),
        ("LOCAL ERR", Align::Right),
        ("PORTS FREE", Align::Right),
    ]);
    for upstream in &snapshot.upstreams {
        for endpoint in &upstream.endpoints {
            table.row(endpoint_row(&upstream.name, endpoint));
        }
    }
    table.render()
}

/// Names that stand for endpoints, if there are any.
fn names(snapshot: &Snapshot) -> String {
    if snapshot.upstreams.iter().all(|upstream| upstream.discovery.is_empty()) {
        return String::new();
    }
    let mut table = Table::new(&[
        ("UPSTREAM", Align::Left),
        ("NAME", Align::Left),
        ("KIND", Align::Left),
        ("ENDPOINTS", Align::Right),
        ("ANSWERED", Align::Right),
        ("NEXT", Align::Right),
        ("FAILURES", Align::Right),
        ("ERROR", Align::Left),
    ]);
    for upstream in &snapshot.upstreams {
        for name in &upstream.discovery {
            table.row(vec![
                upstream.name.clone(),
                name.name.clone(),
                name.kind.clone(),
                count(name.endpoints),
                name.resolved_ago_s.map_or_else(|| "never".to_owned(), |ago| format!("{ago:.0}s ago")),
                format!("{:.0}s", name.next_in_s),
                count(name.failures),
                name.error.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
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
        percent(endpoint.reuse_ratio),
        count(endpoint.retries_total),
        count(endpoint.connect_errors_total),
        count(endpoint.local_errors_total),
        endpoint.ports.as_deref().map_or_else(|| MISSING.to_owned(), ports),
    ]
}

/// What the kernel has of the connections to each endpoint, and why they were closed.
fn sockets(snapshot: &Snapshot) -> String {
    let columns = ["UPSTREAM", "ENDPOINT", "TCP STATES", "DISCARDS"].map(|name| (name, Align::Left));
    let mut table = Table::new(&columns);
    for upstream in &snapshot.upstreams {
        for Endpoint { address, tcp_states, discards, .. } in &upstream.endpoints {
            let states = words::states(tcp_states.as_ref());
            table.row(vec![upstream.name.clone(), address.clone(), states, most_common(discards)]);
        }
    }
    table.render()
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
    if parts.is_empty() { MISSING.to_owned() } else { parts.join(", ") }
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
budgets taken: files 90.0% (warn), conntrack -
CLOSE_WAIT 2, the oldest for 1s (client web, 192.0.2.1:5, exchange), reaped so far 1

CRITICAL  2 in CLOSE_WAIT, the oldest for 1s; 1 without an owner
WARNING   files: 900 of 1,000 taken, level warn, none left in 50s

LISTENER  ADDRESS         PROTO  SESSIONS  ACCEPTED  REQUESTS  QUEUE/MAX/LIMIT  DROPS  TCP STATES
web       127.0.0.1:8080  http          3        90     1,000          4/7/512      9  est 3 tw 1
web       127.0.0.1:8081  http          0         0        10        -/-/1,024      0  none
db        127.0.0.1:5432  tcp           0         0         0        -/-/1,024      0  none

LISTENER  ADDRESS         CLOSES                     REJECTS
web       127.0.0.1:8080  client_fin 80, graceful 7  pool_timeout 2

UPSTREAM  ENDPOINT        HEALTH  IDLE  LEASED  CONN  WAIT  OPENED  REUSE  RETRIES  ERRORS  LOCAL ERR  PORTS FREE
app       127.0.0.1:3000  up         2       1     0     0       3  99.7%        0       0          0      28,229
app       127.0.0.1:3001  up         0       0     0     0       0      -        0       0          0      28,232

UPSTREAM  ENDPOINT        TCP STATES  DISCARDS
app       127.0.0.1:3000  est 3       idle_timeout 1
app       127.0.0.1:3001  none        -

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
        assert!(text.contains("draining, up 0s\ndescriptors - of 20,000, memory -,"), "{text}");
    }

    #[test]
    fn what_is_well_takes_no_room() {
        let mut snapshot = snapshot();
        (snapshot.budgets, snapshot.notes) = (Vec::new(), Vec::new());
        snapshot.close_wait =
            Some(CloseWait { count: Some(0), oldest_s: Some(0.0), reaped_total: 0, sockets: vec![] });
        for listener in &mut snapshot.listeners {
            listener.closes.values_mut().chain(listener.rejects.values_mut()).for_each(|n| *n = 0);
        }
        let text = of(&snapshot);
        assert_eq!(
            text.lines().nth(3),
            Some("OK        nothing to warn of at one look; millpond top knows what happens by the second")
        );
        assert!(
            ["CLOSE_WAIT", "budgets", "REJECTS", "Notes"].iter().all(|word| !text.contains(word)),
            "{text}"
        );
    }

    #[test]
    fn close_wait_without_an_owner_or_a_count_says_so() {
        let known = snapshot().close_wait.unwrap();
        let none_now = CloseWait { count: Some(0), sockets: vec![], ..known.clone() };
        assert_eq!(close_wait(&none_now).as_deref(), Some("CLOSE_WAIT 0, reaped so far 1"));
        let unread = CloseWait { count: None, oldest_s: None, ..none_now };
        assert_eq!(close_wait(&unread).as_deref(), Some("CLOSE_WAIT -, the oldest for -, reaped so far 1"));
        let lost = CloseWait { sockets: known.sockets[1..].to_vec(), ..known };
        let line = close_wait(&lost).unwrap();
        assert!(line.contains("(upstream app, 127.0.0.1:3000, no owner)"), "{line}");
    }

    #[test]
    fn a_long_list_of_alarms_is_cut() {
        let mut snapshot = snapshot();
        let endpoint = snapshot.upstreams[0].endpoints[0].clone();
        let waiting = |n: u64| {
            let mut endpoint = Endpoint { address: format!("192.0.2.{n}:80"), ..endpoint.clone() };
            endpoint.connections.waiting = n;
            endpoint
        };
        snapshot.upstreams[0].endpoints = (1..=20).map(waiting).collect();
        let text = alarms(&snapshot);
        assert_eq!(text.lines().count(), ALARMS + 1);
        assert!(text.starts_with("CRITICAL  2 in CLOSE_WAIT"), "{text}");
        assert!(text.ends_with("\nand 12 more: millpond top, key w\n"), "{text}");
    }

    #[test]
    fn text_from_another_process_does_not_drive_the_terminal() {
        let mut snapshot = snapshot();
        let evil = "\x1b[2J\nOK".to_owned();
        (snapshot.version, snapshot.budgets[0].name) = (evil.clone(), evil.clone());
        (snapshot.close_wait.as_mut().unwrap().sockets[0].name, snapshot.notes) = (evil.clone(), vec![evil]);
        let text = of(&snapshot);
        assert!(!text.contains('\x1b') && !text.lines().any(|line| line == "OK"), "{text}");
        assert_eq!(text.matches("?[2J?OK").count(), 5, "{text}");
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
