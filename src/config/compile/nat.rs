//! `upstream.source.nat`, and what a translator on the way to the endpoints means for other keys: it
//! forgets a connection that is silent for too long, and tells neither side.

use super::Placed;
use crate::config::diagnostic::{Fault, Problems};
use crate::config::model::{Listener, Nat, Pool, Protocol, Upstream, UpstreamSocket};
use crate::config::nat::PROFILES;
use crate::config::section::Section;
use crate::config::values::{duration, number, seconds_from, text, word};
use config::Value;
use humantime::format_duration;
use std::time::Duration;

const TABLE: &str = "{ ports = 64512, idle_timeout = \"350s\", time_wait = \"60s\" }";
/// Half of the time has to be a second at least, which is the least that a keepalive probe waits.
const IDLE_MIN: u64 = 2;
/// Nothing is remembered for longer than a year.
const IDLE_MAX: u64 = 31_557_600;

/// A name, or a table that has all of its keys: what is not known of a translator has no default.
pub(super) fn nat(source: &Section<'_>, problems: &mut Problems) -> Option<Nat> {
    let entry = source.entry("nat")?;
    let Some(table) = entry.section() else { return entry.read(problems, named).flatten() };
    for (key, such_as) in [("ports", "64512"), ("idle_timeout", "\"350s\""), ("time_wait", "\"60s\"")] {
        if table.entry(key).is_none() {
            let fix = format!("write such as {key} = {such_as}, as its provider or its settings say");
            problems.error(&table.site_of(key), format!("a NAT in numbers needs {key}"), fix);
        }
    }
    let ports = table.read("ports", problems, number(1..=i64::from(u32::MAX)));
    let idle_timeout = table.read("idle_timeout", problems, seconds_from(IDLE_MIN, IDLE_MAX));
    let time_wait = table.read("time_wait", problems, duration);
    Some(Nat { ports: ports?, idle_timeout: idle_timeout?, time_wait: time_wait? })
}

fn named(value: &Value) -> Result<Option<Nat>, Fault> {
    let known = PROFILES.map(|(name, nat)| (name, Some(nat)));
    let words: Vec<(&str, Option<Nat>)> = std::iter::once(("none", None)).chain(known).collect();
    word(&words)(value).map_err(|fault| match text(value) {
        Ok(_) => Fault::new(fault.message, format!("{}, or {TABLE}", fault.fix)),
        Err(_) => Fault::new(fault.message, format!("{}, or a table such as {TABLE}", fault.fix)),
    })
}

/// What the translator of one upstream means for its pool and its sockets. Probes are brought to what
/// it takes; what only the user can decide is noted.
pub(super) fn adapt(
    upstream: &Section<'_>,
    nat: &Nat,
    pool: &Pool,
    socket: &mut UpstreamSocket,
    problems: &mut Problems,
) {
    let forgets = format!("the NAT forgets a connection that is silent for {}", shown(nat.idle_timeout));
    if pool.idle_timeout.is_some_and(|idle| idle >= nat.idle_timeout) {
        let site = upstream.section("pool").site_of("idle_timeout");
        let fix = format!("write \"{}\" or less, or \"auto\"", format_duration(nat.pool_idle_max()));
        match socket.tcp_keepalive {
            Some(_) => problems.warning(&site, format!("{forgets}: only probes keep it"), fix),
            None => problems.error(&site, format!("{forgets}, and so before this"), fix),
        }
    }
    let section = upstream.section("socket");
    if socket.user_timeout.is_zero() {
        let message = format!("{forgets}, without a word: nothing else notices that in time");
        problems.error(&section.site_of("user_timeout"), message, "write \"30s\"");
    }
    let Some(probes) = &mut socket.tcp_keepalive else { return };
    let most = nat.keepalive_idle_max();
    if probes.idle > most {
        probes.idle = most;
        if let Some(site) = section.find("tcp_keepalive.idle") {
            let most = shown(most);
            let message = format!("{forgets}: probes begin after half of that, {most}");
            problems.warning(&site, message, format!("write {most} or less"));
        }
    }
}

/// Where probes are off, whether deadlines end every silence before the translator forgets it.
/// Upgraded connections, which may be silent for longer, are left to the documentation: whether there
/// are any is not known here.
pub(super) fn silence(
    upstream: &Placed<'_, Upstream>,
    users: &[&Placed<'_, Listener>],
    problems: &mut Problems,
) {
    let Some(nat) = upstream.value.source.nat else { return };
    if upstream.value.socket.tcp_keepalive.is_some() {
        return;
    }
    let silences = users.iter().flat_map(|listener| silences(listener, upstream));
    let longest = silences.max_by_key(|(silence, _)| *silence);
    let Some((silence, key)) = longest.filter(|(silence, _)| *silence >= nat.idle_timeout) else { return };
    let message = format!(
        "without probes, the NAT forgets a connection that is silent for {}, and {key} allows {}",
        shown(nat.idle_timeout),
        shown(silence)
    );
    let fix = format!("write {{ idle = {} }}, or less for {key}", shown(nat.keepalive_idle_max()));
    problems.warning(&upstream.section.section("socket").site_of("tcp_keepalive"), message, fix);
}

/// How long a connection to the endpoint may be silent while it carries something, and the keys that
/// say so. Pooled connections have been judged by [`adapt`].
fn silences(
    listener: &Placed<'_, Listener>,
    upstream: &Placed<'_, Upstream>,
) -> impl Iterator<Item = (Duration, String)> {
    let (theirs, ours) = (&listener.value.timeout, &upstream.value.timeout);
    let of_listener = |key: &str| listener.section.site_of("timeout").key + "." + key;
    let of_upstream = |key: &str| upstream.section.site_of("timeout").key + "." + key;
    let silences = match listener.value.protocol {
        Protocol::Tcp => vec![(theirs.idle, of_listener("idle"))],
        Protocol::Http => vec![
            (theirs.body, of_listener("body")),
            (ours.response_header, of_upstream("response_header")),
            (ours.body, of_upstream("body")),
        ],
    };
    silences.into_iter()
}

fn shown(time: Duration) -> String {
    format!("\"{}\"", format_duration(time))
}
