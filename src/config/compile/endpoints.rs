//! The endpoints of an upstream, and the names that stand for endpoints: `endpoints` and
//! `[upstream.discovery]`.

use super::secs;
use crate::config::diagnostic::{Problems, Site};
use crate::config::model::{Discovery, DnsKind, DnsName, Endpoint, Family, Source};
use crate::config::section::{Entry, Section};
use crate::config::values::{deadline, duration, number, one_of, shown, word};
use crate::config::{address, dns_name};
use std::collections::HashMap;

const WEIGHT_MAX: i64 = 1000;
/// More endpoints than any balance is of use for.
const ENDPOINTS_MAX: i64 = 10_000;

/// What `endpoints` lists.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) names: Vec<DnsName>,
}

enum Element {
    Address(Endpoint),
    Name(DnsName),
}

pub(super) fn listed(section: &Section<'_>, problems: &mut Problems) -> Listed {
    const FIX: &str = "write endpoints = [\"127.0.0.1:3000\"]";
    let site = section.site_of("endpoints");
    let mut listed = Listed::default();
    let Some(entry) = section.entry("endpoints") else {
        problems.error(&site, "it has no endpoints", FIX);
        return listed;
    };
    let Some(elements) = entry.elements() else {
        problems.error(&site, format!("{} is not a list", shown(entry.value)), FIX);
        return listed;
    };
    if elements.is_empty() {
        problems.error(&site, "it has no endpoints", FIX);
    }
    let mut seen = HashMap::new();
    for entry in &elements {
        let Some(element) = element(entry, problems) else { continue };
        let (what, once) = element.identity();
        if let Some(Site { position, .. }) = seen.insert(what.clone(), entry.site.clone()) {
            problems.error(&entry.site, format!("{what} is listed at {position} already"), once);
        }
        match element {
            Element::Address(endpoint) => listed.endpoints.push(endpoint),
            Element::Name(name) => listed.names.push(name),
        }
    }
    listed
}

impl Element {
    /// What may be listed once, and how it is written then.
    fn identity(&self) -> (String, &'static str) {
        let weighted = "remove it, or write { address, weight } once";
        match self {
            Self::Address(endpoint) => (endpoint.address.to_string(), weighted),
            Self::Name(DnsName { name, kind: DnsKind::Services }) => (format!("srv {name}"), "remove it"),
            Self::Name(DnsName { name, kind: DnsKind::Addresses { port, .. } }) => {
                (format!("{name}:{port}"), "remove it, or write { dns, weight } once")
            }
        }
    }
}

fn element(entry: &Entry<'_>, problems: &mut Problems) -> Option<Element> {
    let Some(table) = entry.section() else {
        let address = entry.read(problems, address::dial)?;
        return Some(Element::Address(Endpoint { address, weight: 1 }));
    };
    const KINDS: [&str; 3] = ["address", "dns", "srv"];
    let mut written = KINDS.into_iter().filter(|kind| table.entry(kind).is_some());
    let (kind, other) = (written.next(), written.next());
    if let (Some(kind), Some(other)) = (kind, other) {
        let fix = format!("write only one of {} in an endpoint", one_of(KINDS.into_iter()));
        problems.error(&table.site_of(other), format!("it has {kind} already"), fix);
        return None;
    }
    let weight = table.read("weight", problems, number(1..=WEIGHT_MAX));
    match kind {
        Some("dns") => {
            let (name, port) = table.read("dns", problems, dns_name::with_port)?;
            let kind = DnsKind::Addresses { port, weight: weight.unwrap_or(1) };
            Some(Element::Name(DnsName { name, kind }))
        }
        Some("srv") => {
            if table.entry("weight").is_some() {
                problems.error(&table.site_of("weight"), "SRV records say the weight", "remove it");
            }
            let name = table.read("srv", problems, dns_name::service)?;
            Some(Element::Name(DnsName { name, kind: DnsKind::Services }))
        }
        Some(_) => {
            let address = table.read("address", problems, address::dial)?;
            Some(Element::Address(Endpoint { address, weight: weight.unwrap_or(1) }))
        }
        None => {
            let fix = "write address = \"127.0.0.1:3000\", or dns = and a name with a port";
            problems.error(&table.site_of("address"), "an endpoint needs an address", fix);
            None
        }
    }
}

pub(super) fn discovery(
    upstream: &Section<'_>,
    names: &[DnsName],
    source: &Source,
    problems: &mut Problems,
) -> Discovery {
    let section = upstream.section("discovery");
    if names.is_empty() && upstream.entry("discovery").is_some() {
        let fix = "remove it, or write such as endpoints = [{ dns = \"app.internal:3000\" }]";
        problems.warning(&section.site, "it has no effect, as no endpoint is a name", fix);
    }
    let ttl_min = section.read("ttl_min", problems, deadline).unwrap_or(secs(1));
    let ttl_max = section.read("ttl_max", problems, deadline);
    if ttl_max.is_some_and(|ttl_max| ttl_max < ttl_min) {
        let ttl_min = humantime::format_duration(ttl_min);
        let fix = format!("write \"{ttl_min}\" or more");
        problems.error(&section.site_of("ttl_max"), format!("less than ttl_min (\"{ttl_min}\")"), fix);
    }
    Discovery {
        family: family(&section, source, problems),
        ttl_min,
        ttl_max: ttl_max.unwrap_or(secs(60).max(ttl_min)),
        grace: section.read("grace", problems, duration).unwrap_or(secs(30)),
        max_endpoints: section.read("max_endpoints", problems, number(1..=ENDPOINTS_MAX)).unwrap_or(256),
    }
}

/// Where it is dialled from certain addresses, only their family can be reached.
fn family(section: &Section<'_>, source: &Source, problems: &mut Problems) -> Family {
    const FAMILIES: [(&str, Family); 4] =
        [("auto", Family::Auto), ("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6), ("both", Family::Both)];
    let family = section.read("family", problems, word(&FAMILIES));
    let (only, missing) = match source.addresses.first() {
        Some(address) if source.addresses.iter().all(|other| other.is_ipv4() == address.is_ipv4()) => {
            match address.is_ipv4() {
                true => (Some((Family::Ipv4, "ipv4")), Family::Ipv6),
                false => (Some((Family::Ipv6, "ipv6")), Family::Ipv4),
            }
        }
        _ => (None, Family::Auto),
    };
    match (family, only) {
        (Some(family), Some((_, word))) if [missing, Family::Both].contains(&family) => {
            let message = "source.addresses cannot reach the other address family";
            problems.error(&section.site_of("family"), message, format!("write \"{word}\", or \"auto\""));
            family
        }
        (Some(Family::Auto) | None, Some((only, _))) => only,
        (family, _) => family.unwrap_or(Family::Auto),
    }
}
