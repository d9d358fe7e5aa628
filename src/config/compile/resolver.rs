//! `[resolver]`

use super::secs;
use crate::config::diagnostic::{Fault, Problems};
use crate::config::dns_name;
use crate::config::model::Resolver;
use crate::config::section::Section;
use crate::config::values::{duration_in, number, or_word, shown, text};
use config::Value;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The port of name servers (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
/// What the resolver of the C library takes at most (resolv.conf(5)).
const NDOTS_MAX: i64 = 15;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=secs(30);
/// Who lists more servers or domains than this waits for ever for an answer.
const LIST_MAX: usize = 8;

pub(super) fn resolver(root: &Section<'_>, problems: &mut Problems) -> Resolver {
    let section = root.section("resolver");
    Resolver {
        nameservers: list(&section, "nameservers", "[\"192.0.2.53\"]", problems, nameserver),
        search: list(&section, "search", "[\"internal\"]", problems, dns_name::domain),
        ndots: section.read("ndots", problems, or_word("auto", number(0..=NDOTS_MAX))).flatten(),
        timeout: section.read("timeout", problems, duration_in(TIMEOUT)).unwrap_or(secs(2)),
        attempts: section.read("attempts", problems, number(1..=5)).unwrap_or(2),
    }
}

/// A list, or "auto" for that of `/etc/resolv.conf`.
fn list<T>(
    section: &Section<'_>,
    key: &str,
    example: &str,
    problems: &mut Problems,
    parse: impl Fn(&Value) -> Result<T, Fault>,
) -> Option<Vec<T>> {
    let entry = section.entry(key)?;
    if text(entry.value).is_ok_and(|text| text == "auto") {
        return None;
    }
    let Some(elements) = entry.elements() else {
        let fix = format!("write \"auto\", or a list such as {example}");
        problems.error(&entry.site, format!("{} is not a list", shown(entry.value)), fix);
        return None;
    };
    if elements.len() > LIST_MAX || key == "nameservers" && elements.is_empty() {
        let fix = format!("write \"auto\", or no more than {LIST_MAX}");
        problems.error(&entry.site, format!("a list of {}", elements.len()), fix);
    }
    Some(elements.iter().filter_map(|element| element.read(problems, &parse)).collect())
}

fn nameserver(value: &Value) -> Result<SocketAddr, Fault> {
    let written = text(value).unwrap_or_default().trim();
    let address = match written.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, DNS_PORT)),
        Err(_) => written.parse().ok(),
    };
    let usable = |address: &SocketAddr| {
        address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
    };
    address.filter(usable).ok_or_else(|| {
        let fix = "write the IP address of a name server, such as \"192.0.2.53\" or \"192.0.2.53:5353\"";
        Fault::new(format!("{} is no address of a name server", shown(value)), fix)
    })
}
