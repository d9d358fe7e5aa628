//! `[[upstream]]`

use super::endpoints::{self, Listed};
use super::{Placed, nat, secs, socket, source};
use crate::config::diagnostic::{Fault, Problems};
use crate::config::model::{
    Balance, HashKey, Passive, Pool, Upstream, UpstreamClose, UpstreamSocket, UpstreamTimeout,
};
use crate::config::section::Section;
use crate::config::suggest::closest;
use crate::config::values::{deadline, duration, name, number, one_of, or_word, shown, text, word};
use config::Value;
use std::time::Duration;

/// Stands for an upstream that does not exist; never leaves the compiler, as that is an error.
pub(super) const UNRESOLVED: usize = usize::MAX;
/// A longer queue is one that nobody waits through.
const WAIT_QUEUE_MAX: i64 = 1_000_000;

pub(super) fn all<'a>(root: &Section<'a>, problems: &mut Problems) -> Vec<Placed<'a, Upstream>> {
    let sections = root.sections("upstream");
    if sections.is_empty() {
        let fix = "write an [[upstream]] with name = \"app\" and endpoints = [\"127.0.0.1:3000\"]";
        problems.error(&root.site_of("upstream"), "there is no upstream", fix);
    }
    let compiled = sections.into_iter().map(|section| {
        let value = upstream(&section, problems);
        Placed { section, value }
    });
    compiled.collect()
}

/// The upstream that a listener names, as an index.
pub(super) fn reference(
    listener: &Section<'_>,
    upstreams: &[Placed<'_, Upstream>],
    problems: &mut Problems,
) -> usize {
    let site = listener.site_of("upstream");
    let names = || upstreams.iter().map(|u| u.value.name.as_str()).filter(|name| !name.is_empty());
    let Some(entry) = listener.entry("upstream") else {
        let fix = match (names().next(), names().nth(1)) {
            (Some(only), None) => format!("write upstream = \"{only}\""),
            (Some(_), Some(_)) => format!("write upstream = {}", one_of(names())),
            (None, _) => "write upstream and the name of an [[upstream]]".to_owned(),
        };
        problems.error(&site, "it has no upstream to forward to", fix);
        return UNRESOLVED;
    };
    let Some(wanted) = entry.read(problems, |value| text(value).map(str::to_owned)) else {
        return UNRESOLVED;
    };
    if let Some(index) = upstreams.iter().position(|upstream| upstream.value.name == wanted) {
        return index;
    }
    // Without any upstream, that has been said.
    if names().next().is_some() {
        let fix = match closest(&wanted, names()) {
            Some(name) => format!("write \"{name}\""),
            None => format!("write {}, or add an [[upstream]] of this name", one_of(names())),
        };
        problems.error(&site, format!("there is no upstream {}", shown(entry.value)), fix);
    }
    UNRESOLVED
}

fn upstream(section: &Section<'_>, problems: &mut Problems) -> Upstream {
    let Listed { endpoints, names } = endpoints::listed(section, problems);
    let source = source::source(&section.section("source"), &endpoints, problems);
    let discovery = endpoints::discovery(section, &names, &source, problems);
    let pool = pool(&section.section("pool"), problems);
    let mut socket = socket(&section.section("socket"), problems);
    if let Some(nat) = &source.nat {
        nat::adapt(section, nat, &pool, &mut socket, problems);
    }
    Upstream {
        name: required_name(section, problems),
        balance: balance(section, problems),
        endpoints,
        names,
        discovery,
        pool,
        source,
        timeout: timeout(&section.section("timeout"), problems),
        socket,
        passive: passive(&section.section("passive"), problems),
    }
}

/// A bad name is kept, so that the listeners which use it are not wrong as well.
fn required_name(section: &Section<'_>, problems: &mut Problems) -> String {
    let Some(entry) = section.entry("name") else {
        problems.error(&section.site_of("name"), "an upstream needs a name", "write such as name = \"app\"");
        return String::new();
    };
    let kept = text(entry.value).unwrap_or_default().to_owned();
    entry.read(problems, name).unwrap_or(kept)
}

fn balance(section: &Section<'_>, problems: &mut Problems) -> Balance {
    /// The policies by name; what a hash is of stands in a key of its own.
    #[derive(Clone, Copy, PartialEq)]
    enum Policy {
        RoundRobin,
        LeastConn,
        P2c,
        Random,
        Hash,
    }
    let policies = word(&[
        ("round_robin", Policy::RoundRobin),
        ("least_conn", Policy::LeastConn),
        ("p2c", Policy::P2c),
        ("random", Policy::Random),
        ("hash", Policy::Hash),
    ]);
    let written = section.entry("balance");
    let policy = section.read("balance", problems, policies);
    let key = section.read("hash_key", problems, hash_key);
    // Where the policy could not be read, the key may well belong to it.
    let unread = written.is_some() && policy.is_none();
    if section.entry("hash_key").is_some() && policy != Some(Policy::Hash) && !unread {
        let fix = "write balance = \"hash\", or remove it";
        problems.error(&section.site_of("hash_key"), "nothing is hashed with this balance", fix);
    }
    match policy.unwrap_or(Policy::LeastConn) {
        Policy::RoundRobin => Balance::RoundRobin,
        Policy::LeastConn => Balance::LeastConn,
        Policy::P2c => Balance::P2c,
        Policy::Random => Balance::Random,
        Policy::Hash => Balance::Hash(key.unwrap_or(HashKey::Client)),
    }
}

fn hash_key(value: &Value) -> Result<HashKey, Fault> {
    let written = text(value).unwrap_or_default();
    match written.strip_prefix("header:").map(str::trim) {
        None if written == "client" => Ok(HashKey::Client),
        Some(name) if is_token(name) => Ok(HashKey::Header(name.to_ascii_lowercase())),
        _ => Err(Fault::new(
            format!("{} is not something to hash", shown(value)),
            "write \"client\", or the name of a header such as \"header:x-session\"",
        )),
    }
}

/// RFC 9110 section 5.6.2: what a header's name is made of.
fn is_token(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(allowed)
}

fn pool(section: &Section<'_>, problems: &mut Problems) -> Pool {
    let count = number::<usize>(0..=i64::MAX);
    let max_connections = section.read("max_connections", problems, &count).unwrap_or(0);
    let max_idle = section.read("max_idle", problems, &count);
    let most = if max_connections == 0 { usize::MAX } else { max_connections };
    if max_idle.is_some_and(|max_idle| max_idle > most) {
        let message = format!("more idle connections than max_connections ({max_connections}) allows");
        problems.error(&section.site_of("max_idle"), message, format!("write {max_connections} or less"));
    }
    let max_idle = max_idle.unwrap_or(256.min(most));
    let min_idle = section.read("min_idle", problems, &count).unwrap_or(0);
    if min_idle > max_idle {
        let message = format!("more warm connections than max_idle ({max_idle}) keeps");
        let fix = format!("write {max_idle} or less, or more for max_idle");
        problems.error(&section.site_of("min_idle"), message, fix);
    }
    let idle_timeout = section.read("idle_timeout", problems, or_word("auto", deadline));
    Pool {
        max_idle,
        min_idle,
        max_connections,
        idle_timeout: idle_timeout.flatten(),
        max_age: section.read("max_age", problems, duration).unwrap_or(secs(3600)),
        max_requests: section.read("max_requests", problems, number(0..=i64::MAX)).unwrap_or(0),
        wait_timeout: section.read("wait_timeout", problems, deadline).unwrap_or(secs(3)),
        wait_queue: section.read("wait_queue", problems, number(0..=WAIT_QUEUE_MAX)).unwrap_or(1024),
    }
}

fn timeout(section: &Section<'_>, problems: &mut Problems) -> UpstreamTimeout {
    UpstreamTimeout {
        connect: section.read("connect", problems, deadline).unwrap_or(secs(3)),
        response_header: section.read("response_header", problems, deadline).unwrap_or(secs(60)),
        body: section.read("body", problems, deadline).unwrap_or(secs(60)),
        half_close: section.read("half_close", problems, deadline).unwrap_or(secs(30)),
    }
}

fn socket(section: &Section<'_>, problems: &mut Problems) -> UpstreamSocket {
    let close = word(&[
        ("auto", UpstreamClose::Auto),
        ("graceful", UpstreamClose::Graceful),
        ("reset", UpstreamClose::Reset),
    ]);
    UpstreamSocket {
        no_delay: socket::no_delay(section, problems),
        user_timeout: socket::user_timeout(section, problems),
        tcp_keepalive: socket::tcp_keepalive(section, problems),
        close: section.read("close", problems, close).unwrap_or(UpstreamClose::Auto),
    }
}

fn passive(section: &Section<'_>, problems: &mut Problems) -> Passive {
    const LONGEST: Duration = secs(30);
    let failures = section.read("failures", problems, number(0..=i64::from(u32::MAX))).unwrap_or(3);
    let retry_after = section.read("retry_after", problems, deadline).unwrap_or(secs(1));
    let retry_after_max = section.read("retry_after_max", problems, deadline);
    if retry_after_max.is_some_and(|most| most < retry_after) {
        let retry_after = humantime::format_duration(retry_after);
        let fix = format!("write \"{retry_after}\" or more");
        let message = format!("less than retry_after (\"{retry_after}\")");
        problems.error(&section.site_of("retry_after_max"), message, fix);
    }
    Passive { failures, retry_after, retry_after_max: retry_after_max.unwrap_or(LONGEST.max(retry_after)) }
}
