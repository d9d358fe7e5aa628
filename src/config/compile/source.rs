//! `[upstream.source]`

use super::nat;
use crate::config::address;
use crate::config::diagnostic::{Fault, Problems};
use crate::config::model::{Endpoint, Source};
use crate::config::section::Section;
use crate::config::values::{number, or_word, shown, text};
use config::Value;
use std::net::IpAddr;
use std::ops::RangeInclusive;

pub(super) fn source(section: &Section<'_>, endpoints: &[Endpoint], problems: &mut Problems) -> Source {
    let [warn_percent, reuse_only_percent, refuse_percent] = percents(section, problems);
    Source {
        addresses: addresses(section, endpoints, problems),
        ports: section.read("ports", problems, or_word("auto", ports)).flatten(),
        warn_percent,
        reuse_only_percent,
        refuse_percent,
        nat: nat::nat(section, problems),
    }
}

/// Sources are used for every endpoint, so that all must be able to reach all.
fn addresses(section: &Section<'_>, endpoints: &[Endpoint], problems: &mut Problems) -> Vec<IpAddr> {
    let Some(entry) = section.entry("addresses") else { return Vec::new() };
    let Some(elements) = entry.elements() else {
        let fix = "write a list, such as [\"192.0.2.10\"]";
        problems.error(&entry.site, format!("{} is not a list", shown(entry.value)), fix);
        return Vec::new();
    };
    let mut sources: Vec<IpAddr> = Vec::new();
    for element in elements {
        let Some(source) = element.read(problems, address::source) else { continue };
        if sources.contains(&source) {
            problems.error(&element.site, format!("{source} is listed already"), "remove it");
        }
        if let Some(other) = endpoints.iter().find(|e| e.address.is_ipv4() != source.is_ipv4()) {
            let message = format!("{source} cannot reach {}, of the other address family", other.address);
            let fix = "write addresses of the endpoints' family, and an upstream for each family";
            problems.error(&element.site, message, fix);
        }
        sources.push(source);
    }
    sources
}

/// `"20000-40000"`. One port is one connection, and no connection while that one is in TIME_WAIT.
fn ports(value: &Value) -> Result<RangeInclusive<u16>, Fault> {
    let bounds = text(value).ok().and_then(|text| text.split_once('-'));
    let bounds = bounds.and_then(|(first, last)| Some((port(first)?, port(last)?)));
    let Some((first, last)) = bounds else {
        let fix = "write a range of ports such as \"20000-40000\"";
        return Err(Fault::new(format!("{} is not a range of ports", shown(value)), fix));
    };
    match (u16::try_from(first), u16::try_from(last)) {
        (Ok(first @ 1..), Ok(last)) if first < last => Ok(first..=last),
        (Ok(first @ 1..), Ok(last @ 1..)) if first > last => {
            let message = format!("{} begins after its end", shown(value));
            Err(Fault::new(message, format!("write \"{last}-{first}\"")))
        }
        (Ok(1..), Ok(1..)) => {
            let fix = "write a range of two at least, such as \"20000-40000\"";
            Err(Fault::new(format!("{} is a single port", shown(value)), fix))
        }
        _ => {
            let fix = "write ports from 1 to 65535, such as \"20000-40000\"";
            Err(Fault::new(format!("{} is out of range", shown(value)), fix))
        }
    }
}

/// Digits, and nothing that `parse` takes beside them, such as a sign.
fn port(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Warn, reuse only, refuse, in this order. What is not written follows a lower one that is.
fn percents(section: &Section<'_>, problems: &mut Problems) -> [u8; 3] {
    let percent = number::<u8>(1..=100);
    let refuse = section.read("refuse_percent", problems, &percent).unwrap_or(85);
    let reuse_only = section.read("reuse_only_percent", problems, &percent);
    no_more(section, ("reuse_only_percent", reuse_only), ("refuse_percent", refuse), problems);
    let reuse_only = reuse_only.unwrap_or(75.min(refuse));
    let warn = section.read("warn_percent", problems, &percent);
    no_more(section, ("warn_percent", warn), ("reuse_only_percent", reuse_only), problems);
    [warn.unwrap_or(60.min(reuse_only)), reuse_only, refuse]
}

fn no_more(
    section: &Section<'_>,
    (key, written): (&str, Option<u8>),
    (next, most): (&str, u8),
    problems: &mut Problems,
) {
    if let Some(written) = written.filter(|written| *written > most) {
        let message = format!("{written} % is reached only after {next} ({most} %)");
        let fix = format!("write {most} or less, or more for {next}");
        problems.error(&section.site_of(key), message, fix);
    }
}
