//! `[listener.limit]`

use crate::addr::Network;
use crate::config::diagnostic::{Fault, Problems};
use crate::config::model::{ListenerLimit, Period, Rate};
use crate::config::section::Section;
use crate::config::values::{number, or_word, shown, size, text};
use config::Value;

const KIB: u64 = 1024;
const HEAD_MAX: u64 = 1024 * KIB;
/// More in a second are more than a core can refuse; more at once are no limit.
const RATE_MAX: i64 = 1_000_000;

pub(super) fn limit(section: &Section<'_>, problems: &mut Problems) -> ListenerLimit {
    let connections = number(0..=i64::MAX);
    let header_bytes = section.read("header_bytes", problems, size(KIB..=HEAD_MAX)).unwrap_or(32 * 1024);
    let target_bytes = section.read("target_bytes", problems, size(64..=HEAD_MAX));
    if target_bytes.is_some_and(|target| target > header_bytes) {
        let message = format!("a target of this length never fits limit.header_bytes ({header_bytes})");
        problems.error(&section.site_of("target_bytes"), message, "write less, or more for header_bytes");
    }
    let limit = ListenerLimit {
        connections: section.read("connections", problems, &connections).unwrap_or(0),
        connections_per_client: section.read("connections_per_client", problems, &connections).unwrap_or(0),
        connection_rate: rate(section, "connection_rate_per_client", "connection_burst", problems),
        request_rate: rate(section, "request_rate_per_client", "request_burst", problems),
        exempt_clients: exempt_clients(section, problems),
        header_bytes,
        headers: section.read("headers", problems, number(1..=1000)).unwrap_or(100),
        target_bytes: target_bytes.unwrap_or(header_bytes.min(8 * 1024)),
        body_bytes: section.read("body_bytes", problems, size(0..=u64::MAX)).unwrap_or(0),
    };
    let limits_clients = [
        limit.connections_per_client > 0,
        section.entry("connection_rate_per_client").is_some(),
        section.entry("request_rate_per_client").is_some(),
    ];
    if !limit.exempt_clients.is_empty() && !limits_clients.contains(&true) {
        let message = "there is no limit a client that these could be exempt from";
        let fix = "remove it, or write connections_per_client, connection_rate_per_client or \
                   request_rate_per_client";
        problems.warning(&section.site_of("exempt_clients"), message, fix);
    }
    limit
}

/// A rate with its burst, which is what the rate allows in its own period if nothing else is written.
fn rate(section: &Section<'_>, key: &str, burst_key: &str, problems: &mut Problems) -> Option<Rate> {
    let rate = section.read(key, problems, or_word("off", count_and_period)).flatten();
    let burst = section.read(burst_key, problems, or_word("auto", number(1..=RATE_MAX))).flatten();
    let Some((count, period)) = rate else {
        // A rate that cannot be read has been reported.
        if burst.is_some() && section.entry(key).is_none() {
            let fix = format!("write {key} = \"100/s\" or the like, or remove it");
            problems.warning(&section.site_of(burst_key), format!("it has no effect without {key}"), fix);
        }
        return None;
    };
    Some(Rate { count, period, burst: burst.unwrap_or(count) })
}

/// `"100/s"`, `"600/m"`, `"1000/h"`.
fn count_and_period(value: &Value) -> Result<(u32, Period), Fault> {
    const FIX: &str = "write a number, a slash and s, m or h, such as \"100/s\"";
    let Some((count, unit)) = text(value).ok().and_then(|text| text.split_once('/')) else {
        return Err(Fault::new(format!("{} is not a rate", shown(value)), FIX));
    };
    let period = Period::ALL.into_iter().find(|period| period.unit() == unit.trim());
    match (count.trim().parse::<i64>(), period) {
        (Ok(count), Some(period)) if (1..=RATE_MAX).contains(&count) => Ok((count as u32, period)),
        (Ok(_), Some(period)) => {
            let unit = period.unit();
            let fix = format!("write \"1/{unit}\" to \"{RATE_MAX}/{unit}\"");
            Err(Fault::new(format!("{} is out of range", shown(value)), fix))
        }
        _ => Err(Fault::new(format!("{} is not a rate", shown(value)), FIX)),
    }
}

fn exempt_clients(section: &Section<'_>, problems: &mut Problems) -> Vec<Network> {
    let Some(entry) = section.entry("exempt_clients") else { return Vec::new() };
    let Some(elements) = entry.elements() else {
        let fix = "write a list, such as [\"192.0.2.0/24\"]";
        problems.error(&entry.site, format!("{} is not a list", shown(entry.value)), fix);
        return Vec::new();
    };
    elements.iter().filter_map(|element| element.read(problems, network)).collect()
}

fn network(value: &Value) -> Result<Network, Fault> {
    let network = text(value).ok().and_then(|text| text.parse().ok());
    network.ok_or_else(|| {
        let fix = "write an IP address, or a network such as \"192.0.2.0/24\"";
        Fault::new(format!("{} is neither an address nor a network", shown(value)), fix)
    })
}
