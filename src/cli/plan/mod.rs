//! `millpond plan`: the arithmetic of port exhaustion, before it happens.
//!
//! Every connection that this host closes first by FIN holds its port in TIME_WAIT, towards that one
//! endpoint, for a minute. At a steady rate, rate times time ports are held; when that is more than
//! there are, connect(2) fails with EADDRNOTAVAIL.

mod arithmetic;

pub(super) use arithmetic::Percent;

use super::args::PlanArgs;
use super::table::{count, percent};
use crate::sys::limits;
use arithmetic::{Answer, Enough, Question};
use serde::Serialize;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The ports of net.ipv4.ip_local_port_range as the kernel sets it, 32768 to 60999. ip(7)
const DEFAULT_PORTS: u32 = 28_232;
/// TCP_TIMEWAIT_LEN of the kernel (`include/net/tcp.h`), which no setting changes.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// Ports from 1024 on: those below take a privilege to listen on, and are best left to it.
const UNPRIVILEGED_PORTS: u64 = 64_512;

/// Prints what the rate means. The result is the exit code: 0 when the ports last, 1 when they run out.
///
/// # Errors
/// `out` could not be written to.
pub(super) fn plan(args: &PlanArgs, out: &mut dyn Write) -> io::Result<u8> {
    let (ports, ports_from) = ports(args.ports, limits::local_port_range().ok());
    let question = Question {
        rate: args.rate,
        reuse: args.reuse,
        backends: args.backends,
        source_addresses: args.source_addresses,
        ports,
        time_wait: args.time_wait.unwrap_or(TIME_WAIT),
    };
    let answer = question.answer();
    match args.json {
        true => writeln!(out, "{:#}", serde_json::json!(Plan::new(&question, &ports_from, &answer)))?,
        false => out.write_all(text(&question, &ports_from, &answer).as_bytes())?,
    }
    Ok(u8::from(answer.enough.is_some()))
}

/// How many ports there are, and who says so.
fn ports(given: Option<u32>, range: Option<RangeInclusive<u16>>) -> (u32, String) {
    match (given, range) {
        (Some(given), _) => (given, "--ports".to_owned()),
        (None, Some(range)) => {
            let from = format!("net.ipv4.ip_local_port_range, {} to {}", range.start(), range.end());
            (used_by_connect(&range), from)
        }
        (None, None) => (DEFAULT_PORTS, "the default of net.ipv4.ip_local_port_range".to_owned()),
    }
}

/// connect(2) leaves the last port of an odd number of them out (`__inet_hash_connect` in
/// `net/ipv4/inet_hashtables.c`).
fn used_by_connect(range: &RangeInclusive<u16>) -> u32 {
    match u32::from(*range.end()) - u32::from(*range.start()) + 1 {
        1 => 1,
        ports => ports & !1,
    }
}

fn text(question: &Question, ports_from: &str, answer: &Answer) -> String {
    let Question { backends, source_addresses, ports, time_wait, .. } = question;
    let mut rows = vec![
        ("requests", per_second(question.rate.into()), format!("{}% on reused connections", question.reuse)),
        ("new connections", per_second(answer.opens), String::new()),
        ("", per_second(answer.opens_each), "from each local address to each backend".to_owned()),
        ("ports there", count((*ports).into()), ports_from.to_owned()),
        ("needed for TIME_WAIT", count(answer.held_each), format!("for {}s each", seconds(*time_wait))),
        ("sustainable", per_second(answer.sustainable), "new connections".to_owned()),
    ];
    if *backends == 1 && *source_addresses == 1 {
        rows.remove(2);
    }
    let width = rows.iter().map(|(_, value, _)| value.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value, note) in rows {
        out.push_str(format!("{name:<20}  {value:>width$}  {note}").trim_end());
        out.push('\n');
    }
    out.push('\n');
    match (&answer.enough, answer.runs_out_after) {
        (Some(enough), Some(after)) => out.push_str(&remedies(question, enough, after)),
        _ => {
            let share = percent(answer.held_each as f64 / f64::from(*ports));
            out.push_str(&format!("The ports last: {share} of them are held in TIME_WAIT.\n"));
        }
    }
    out
}

/// When the ports run out, and what would be enough, in the words of the command line.
fn remedies(question: &Question, enough: &Enough, after: Duration) -> String {
    let mut lines = vec![
        (format!("--reuse {}", enough.reuse), "connections used again, from a pool"),
        (format!("--source-addresses {}", enough.source_addresses), "upstream.source.addresses"),
        (format!("--backends {}", enough.backends), "or addresses or ports of one"),
    ];
    if let Some(ports) = possible_ports(question, enough) {
        lines.push((format!("--ports {ports}"), "net.ipv4.ip_local_port_range"));
    }
    // What tcp_tw_reuse does takes effect after a second (`tcp_twsk_unique` in `net/ipv4/tcp_ipv4.c`).
    let reuse = "net.ipv4.tcp_tw_reuse = 1 makes it 1, to backends with TCP timestamps";
    if enough.time_wait >= Duration::from_secs(1) {
        lines.push((format!("--time-wait {}", seconds(enough.time_wait)), reuse));
    }
    let width = lines.iter().map(|(option, _)| option.len()).max().unwrap_or(0);
    let lines = lines.iter().map(|(option, note)| format!("  {option:<width$}  {note}\n"));
    let mut out =
        format!("The ports run out after {:.1}s. Any one of these is enough:\n", after.as_secs_f64());
    out.extend(lines);
    if possible_ports(question, enough).is_none() {
        let (needed, all) = (count(enough.ports), count(UNPRIVILEGED_PORTS));
        out.push_str(&format!("More ports are not: {needed} are needed, and an address has {all}.\n"));
    }
    out
}

/// The number of ports that would be enough, where an address can have as many. More than that in the
/// question are those of several addresses, as a NAT may have, and there may be more of these.
fn possible_ports(question: &Question, enough: &Enough) -> Option<u64> {
    let several = u64::from(question.ports) > UNPRIVILEGED_PORTS;
    (several || enough.ports <= UNPRIVILEGED_PORTS).then_some(enough.ports)
}

fn per_second(rate: f64) -> String {
    let tenths = (rate * 10.0).floor() as u64;
    match tenths % 10 {
        0 => format!("{}/s", count(tenths / 10)),
        tenth => format!("{}.{tenth}/s", count(tenths / 10)),
    }
}

/// To the millisecond, without a unit, as `--time-wait` takes it.
fn seconds(time: Duration) -> String {
    let text = format!("{}.{:03}", time.as_secs(), time.subsec_millis());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What `--json` prints. Rates are a second; what is per pair is so for one local address and one
/// endpoint.
#[derive(Debug, Serialize)]
struct Plan<'a> {
    rate: u32,
    reuse_percent: f64,
    backends: u32,
    source_addresses: u32,
    ports: u32,
    ports_from: &'a str,
    time_wait_s: f64,
    opens_per_s: f64,
    opens_per_s_per_pair: f64,
    sustainable_opens_per_s: f64,
    time_wait_per_pair: u64,
    exhausts_in_s: Option<f64>,
    enough: Option<Remedies>,
}

/// Any one is enough; `null` where none can be.
#[derive(Debug, Serialize)]
struct Remedies {
    reuse_percent: f64,
    source_addresses: u64,
    backends: u64,
    ports: Option<u64>,
    time_wait_s: Option<f64>,
}

impl<'a> Plan<'a> {
    fn new(question: &Question, ports_from: &'a str, answer: &Answer) -> Self {
        let remedies = |enough: &Enough| Remedies {
            reuse_percent: enough.reuse.value(),
            source_addresses: enough.source_addresses,
            backends: enough.backends,
            ports: possible_ports(question, enough),
            time_wait_s: (!enough.time_wait.is_zero()).then_some(enough.time_wait.as_secs_f64()),
        };
        Self {
            rate: question.rate,
            reuse_percent: question.reuse.value(),
            backends: question.backends,
            source_addresses: question.source_addresses,
            ports: question.ports,
            ports_from,
            time_wait_s: question.time_wait.as_secs_f64(),
            opens_per_s: answer.opens,
            opens_per_s_per_pair: answer.opens_each,
            sustainable_opens_per_s: answer.sustainable,
            time_wait_per_pair: answer.held_each,
            exhausts_in_s: answer.runs_out_after.map(|after| after.as_secs_f64()),
            enough: answer.enough.as_ref().map(remedies),
        }
    }
}

#[cfg(test)]
mod tests;
