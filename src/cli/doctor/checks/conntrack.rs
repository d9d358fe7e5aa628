//! The connection tracking of netfilter, where it is loaded: its table fills, and it forgets.
//!
//! All of it is described in Documentation/networking/nf_conntrack-sysctl.rst.

use super::Check;
use crate::cli::doctor::demand::{self, Descriptors};
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix, sentence};
use crate::cli::table::count;
use crate::config::model::Config;
use humantime::format_duration;
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    Check { name: MAX, run: max },
    Check { name: BUCKETS, run: buckets },
    Check { name: ESTABLISHED, run: established },
    Check { name: CLOSE_WAIT, run: close_wait },
    Check { name: TIME_WAIT, run: time_wait },
    Check { name: LIBERAL, run: be_liberal },
];

const MAX: &str = "net.netfilter.nf_conntrack_max";
const COUNT: &str = "net.netfilter.nf_conntrack_count";
const BUCKETS: &str = "net.netfilter.nf_conntrack_buckets";
const ESTABLISHED: &str = "net.netfilter.nf_conntrack_tcp_timeout_established";
const CLOSE_WAIT: &str = "net.netfilter.nf_conntrack_tcp_timeout_close_wait";
const TIME_WAIT: &str = "net.netfilter.nf_conntrack_tcp_timeout_time_wait";
const LIBERAL: &str = "net.netfilter.nf_conntrack_tcp_be_liberal";
/// The kernel's default for TIME_WAIT, in seconds.
const USUAL_TIME_WAIT: u64 = 120;
/// And for ESTABLISHED: five days.
const USUAL_ESTABLISHED: u64 = 432_000;
/// Entries to a bucket at which lookups are long; nf_conntrack_max is the number of buckets by default.
const CROWDED: u64 = 4;
/// The share of the table, in percent, beyond which it is as good as full.
const NEARLY_FULL: u64 = 90;

/// What is said where nothing is tracked.
fn absent() -> Finding {
    Finding::ok("not loaded", "Nothing is tracked on this host: fine.")
}

/// Whether connections are tracked. Where other settings are hidden too (ProcSubset=pid of systemd), it is
/// not known.
fn is_loaded(facts: &HostFacts) -> Fact<bool> {
    if facts.sysctls.is_there(MAX)? {
        return Ok(true);
    }
    facts.sysctls.text("net.core.somaxconn").map(|_| false)
}

/// When the table is full, packets of new connections are dropped without a word to either side.
fn max(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    if !is_loaded(facts)? {
        return Ok(absent());
    }
    let (most, tracked) = (facts.sysctls.number(MAX)?, facts.sysctls.number(COUNT)?);
    let (_, hard) = facts.nofile.clone()?;
    let need = Descriptors::of(config);
    let (sockets, of) = match need.clients {
        Some(_) => (need.sockets(), "limit.connections and the pools allow"),
        None => (hard.saturating_sub(need.fixed as u64), "RLIMIT_NOFILE allows"),
    };
    let value = format!("{} of {}", count(tracked), count(most));
    let enough = demand::round_up(sockets.saturating_add(tracked));
    if tracked >= most.saturating_mul(NEARLY_FULL) / 100 {
        let meaning = "The table is all but full: packets of new connections are dropped without a word.";
        return Ok(
            Finding::critical(value, meaning).fix(Fix::sysctl(MAX, enough.max(most.saturating_mul(2))))
        );
    }
    if most < sockets {
        let meaning = format!(
            "It is full before the {} connections that {of}: then packets of new ones are dropped without a \
             word.",
            count(sockets),
        );
        return Ok(Finding::warn(value, meaning).fix(Fix::sysctl(MAX, enough)));
    }
    Ok(Finding::ok(value, format!("Room for the {} connections that {of}.", count(sockets))))
}

/// Each connection has two places in the hash table.
fn buckets(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    if !is_loaded(facts)? {
        return Ok(absent());
    }
    let (most, buckets) = (facts.sysctls.number(MAX)?, facts.sysctls.number(BUCKETS)?);
    let chain = most.saturating_mul(2).div_ceil(buckets.max(1));
    let meaning = format!("A full table of {} has {chain} entries to a bucket.", count(most));
    if most > buckets.saturating_mul(CROWDED) {
        let meaning = format!("{meaning} Every packet walks along half of one.");
        return Ok(Finding::warn(count(buckets), meaning).fix(Fix::sysctl(BUCKETS, most)));
    }
    Ok(Finding::ok(count(buckets), meaning))
}

/// A connection that was silent for longer is forgotten: behind address translation it is dead, and its
/// ends do not know.
fn established(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    if !is_loaded(facts)? {
        return Ok(absent());
    }
    let timeout = facts.sysctls.number(ESTABLISHED)?;
    let value = format!("{} s", count(timeout));
    let Some(silence) = demand::longest_silence(config) else {
        return Ok(Finding::ok(value, "No connection is ever silent."));
    };
    let of = format!("{} may be silent for {}", sentence(&silence.of), format_duration(silence.time));
    if Duration::from_secs(timeout) <= silence.time {
        let meaning = format!("{of} before a probe or a deadline, and is forgotten earlier.");
        return Ok(Finding::warn(value, meaning).fix(Fix::sysctl(ESTABLISHED, USUAL_ESTABLISHED)));
    }
    Ok(Finding::ok(value, format!("{of} before a probe or a deadline: it is not forgotten.")))
}

/// The time after one side's FIN without a packet, while the other side may still send.
fn close_wait(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    if !is_loaded(facts)? {
        return Ok(absent());
    }
    let timeout = facts.sysctls.number(CLOSE_WAIT)?;
    let value = format!("{} s", count(timeout));
    let half_close = demand::longest_half_close(config);
    let of = format!("After one side's FIN the other may take {}", format_duration(half_close));
    if Duration::from_secs(timeout) <= half_close {
        let meaning = format!("{of} (timeout.half_close), but is forgotten earlier if it is silent.");
        let enough = half_close.as_secs().saturating_add(30);
        return Ok(Finding::warn(value, meaning).fix(Fix::sysctl(CLOSE_WAIT, enough)));
    }
    Ok(Finding::ok(value, format!("{of} (timeout.half_close): it is not forgotten.")))
}

/// A closed connection keeps its place in the table for so long.
fn time_wait(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    if !is_loaded(facts)? {
        return Ok(absent());
    }
    let (timeout, most) = (facts.sysctls.number(TIME_WAIT)?, facts.sysctls.number(MAX)?);
    let value = format!("{} s", count(timeout));
    let meaning = format!(
        "A connection closed by FIN keeps its place for so long: {} a second fill the table of {}.",
        count(most / timeout.max(1)),
        count(most),
    );
    if timeout > USUAL_TIME_WAIT {
        return Ok(Finding::warn(value, meaning).fix(Fix::sysctl(TIME_WAIT, USUAL_TIME_WAIT)));
    }
    Ok(Finding::ok(value, meaning))
}

/// For information: 1 accepts segments outside the window that it expects. It matters where rules drop
/// what is INVALID, or where addresses are translated.
fn be_liberal(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    if !is_loaded(facts)? {
        return Ok(absent());
    }
    let value = facts.sysctls.number(LIBERAL)?;
    let meaning = match value {
        0 => {
            "A segment outside the expected window is INVALID: it is not translated, and dropped where a rule says \
             so. If connections through a NAT of this host are reset under load, set it to 1."
        }
        _ => "Only an RST outside the expected window is INVALID.",
    };
    Ok(Finding::ok(value, meaning))
}
