//! Local ports of the connections to endpoints.

use super::Check;
use crate::cli::check::counted;
use crate::cli::doctor::demand;
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::cli::table::count;
use crate::config::model::{AdminListen, Config, Upstream};
use crate::source::kernel::{PortSettings, TIME_WAIT};
use crate::sys::probe::SocketOption;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

pub(super) const CHECKS: &[Check] = &[
    Check { name: RANGE, run: range },
    Check { name: "source_port_parity", run: parity },
    Check { name: RESERVED, run: reserved },
    Check { name: "upstream.source.ports", run: configured },
    Check { name: "upstream.source.addresses", run: addresses },
];

const RANGE: &str = "net.ipv4.ip_local_port_range";
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
/// What the kernel comes with, 32768 to 60999.
const USUAL_PORTS: u64 = 28_232;
/// Above the ports that services listen on, and with an even first and an odd last.
const WIDE: RangeInclusive<u16> = 10_240..=65_535;

/// The settings that decide which ports connect(2) may choose; not how soon again.
pub(super) fn settings(facts: &HostFacts) -> Fact<PortSettings> {
    Ok(PortSettings {
        range: facts.sysctls.port_range(RANGE)?,
        reserved: facts.sysctls.port_list(RESERVED)?,
        range_by_socket: facts.has_option(SocketOption::LocalPortRange)?,
        ..PortSettings::default()
    })
}

/// Ports from one source address to one destination.
pub(super) fn usable(settings: &PortSettings, upstream: &Upstream) -> u64 {
    settings.ports(upstream.source.ports.as_ref()).into()
}

/// Connections to an endpoint that fit below `source.refuse_percent`, from all sources.
fn room(settings: &PortSettings, upstream: &Upstream) -> u64 {
    let ports = usable(settings, upstream) * demand::sources(upstream) as u64;
    (ports * u64::from(upstream.source.refuse_percent)).div_ceil(100)
}

/// What is said of the upstream that lacks the most of those given, if one lacks any: critical if somebody
/// asked for that many connections.
fn short<'a>(
    value: &str,
    settings: &PortSettings,
    upstreams: impl Iterator<Item = &'a Upstream>,
) -> Option<Finding> {
    let lack = |upstream: &&Upstream| {
        let wish = demand::wish(upstream);
        (wish.is_meant, (wish.connections as u64).saturating_sub(room(settings, upstream)))
    };
    let short = upstreams.filter(|upstream| lack(upstream).1 > 0).max_by_key(lack)?;
    let (wish, room) = (demand::wish(short), room(settings, short));
    let meaning = format!(
        "Upstream \"{}\" may hold {} connections to an endpoint (pool.{}), but {} from {} of this host are room \
         for {}, up to {} % (source.refuse_percent).",
        short.name,
        count(wish.connections as u64),
        wish.key,
        counted_ports(usable(settings, short)),
        demand::counted_addresses(demand::sources(short)),
        count(room),
        short.source.refuse_percent,
    );
    let finding =
        if wish.is_meant { Finding::critical(value, meaning) } else { Finding::warn(value, meaning) };
    Some(finding.fix(Fix::toml("upstream", &short.name, format!("pool.{} = {room}", wish.key))))
}

/// A connection to an endpoint holds a port that no other to the same endpoint can have. ip(7),
/// ip-sysctl.rst
fn range(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let settings = settings(facts)?;
    let usable = u64::from(settings.ports(None));
    let value = from_to(&settings.range);
    let upstreams = || {
        let all = config.upstreams.iter().map(AsRef::as_ref);
        all.filter(|upstream: &&Upstream| upstream.source.ports.is_none())
    };
    let wide = PortSettings { range: WIDE, ..settings.clone() };
    let widen = Fix::sysctl(RANGE, format!("{} {}", WIDE.start(), WIDE.end()));
    if let Some(finding) = short(&value, &settings, upstreams()) {
        let is_enough = short(&value, &wide, upstreams()).is_none();
        return Ok(if is_enough { finding.fix(widen) } else { finding });
    }
    let meaning = format!(
        "{} to each endpoint and from each source address: {} new connections a second that are closed here by \
         FIN, as TIME_WAIT holds a port for {} s.",
        counted_ports(usable),
        count(usable / TIME_WAIT.as_secs()),
        TIME_WAIT.as_secs(),
    );
    if usable < USUAL_PORTS {
        let meaning = format!("{meaning} The kernel's default is {} ports.", count(USUAL_PORTS));
        return Ok(Finding::warn(value, meaning).fix(widen));
    }
    Ok(Finding::ok(value, meaning))
}

fn counted_ports(ports: u64) -> String {
    format!("{} port{}", count(ports), if ports == 1 { "" } else { "s" })
}

fn from_to(range: &RangeInclusive<u16>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// connect(2) takes the ports of the first one's parity before the others, and bind(2) with port 0 the
/// other way round, which keeps them apart if there are as many of either: an even first port and an odd
/// last one are usual. ip-sysctl.rst, commit 07f4c90062f8 of Linux 4.2. A socket with
/// IP_LOCAL_PORT_RANGE, as ours have, is given the next free port since Linux 6.8 (__inet_hash_connect() in
/// net/ipv4/inet_hashtables.c).
fn parity(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    let range = facts.sysctls.port_range(RANGE)?;
    let (first, last) = (*range.start(), *range.end());
    let word = |port: u16| if port.is_multiple_of(2) { "even" } else { "odd" };
    let value = format!("{} to {}", word(first), word(last));
    let is_apart = facts.has_option(SocketOption::LocalPortRange)? && facts.release()? >= (6, 8);
    let whose = if is_apart { "of other programs, not of millpond, " } else { "" };
    if word(first) != word(last) {
        let meaning = format!(
            "connect(2) {whose}takes {} ports first and bind(2) to port 0 {} ones: they keep out of each other's \
             way.",
            word(first),
            word(last),
        );
        return Ok(Finding::ok(value, meaning));
    }
    let (first, last) = match (first.is_multiple_of(2), first) {
        (true, _) => (first, last + 1),
        (false, ..=1024) => (first + 1, last),
        (false, _) => (first - 1, last),
    };
    let meaning = format!(
        "The number of ports is odd, so connect(2) {whose}and bind(2) to port 0, which begin with ports of \
         different parity, get into each other's way and search for longer.",
    );
    Ok(Finding::warn(value, meaning).fix(Fix::sysctl(RANGE, format!("{first} {last}"))))
}

/// A port of the range that something is to listen on may be that of an outgoing connection by then,
/// and bind(2) fails. Reserved ports are never chosen; listening on them is not affected. ip-sysctl.rst
fn reserved(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let settings = settings(facts)?;
    let value = match facts.sysctls.text(RESERVED)? {
        "" => "none".to_owned(),
        list => list.to_owned(),
    };
    let listened = listened_ports(facts, config)?;
    let is_free = |port: &&u16| {
        settings.range.contains(port) && !settings.reserved.iter().any(|reserved| reserved.contains(port))
    };
    let clashes: Vec<String> = listened.iter().filter(is_free).map(u16::to_string).collect();
    let range = from_to(&settings.range);
    if clashes.is_empty() {
        let meaning = format!(
            "No outgoing connection can take one of the {} that are listened on here.",
            counted(listened.len(), "port"),
        );
        return Ok(Finding::ok(value, meaning));
    }
    let list = clashes.join(",");
    let meaning = format!(
        "An outgoing connection may have taken port {} before what listens there starts: {} of {range}, and \
         not reserved.",
        clashes.join(" or "),
        if clashes.len() == 1 { "it is one" } else { "they are" },
    );
    // Writing the setting replaces it, so that what is in it has to be said again.
    let all = if settings.reserved.is_empty() { list } else { format!("{value},{list}") };
    Ok(Finding::warn(value, meaning).fix(Fix::sysctl(RESERVED, all)))
}

/// Ports that are listened on here: the listeners', the admin server's, and those of endpoints on this
/// host.
fn listened_ports(facts: &HostFacts, config: &Config) -> Fact<BTreeSet<u16>> {
    let binds = config.listeners.iter().flat_map(|listener| listener.bind.iter().map(|bind| bind.port()));
    let mut ports: BTreeSet<u16> = binds.collect();
    if let AdminListen::Tcp(address) = config.admin.listen {
        ports.insert(address.port());
    }
    for endpoint in demand::destinations(config) {
        if facts.is_local(endpoint.ip())? {
            ports.insert(endpoint.port());
        }
    }
    ports.remove(&0);
    Ok(ports)
}

/// `source.ports` narrows ip_local_port_range: an end that lies outside has no effect.
/// IP_LOCAL_PORT_RANGE(2const)
fn configured(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let settings = settings(facts)?;
    let upstreams = || {
        let all = config.upstreams.iter().map(AsRef::as_ref);
        all.filter_map(|upstream: &Upstream| Some((upstream, upstream.source.ports.as_ref()?)))
    };
    let written: Vec<String> = upstreams().map(|(_, range)| hyphened(range)).collect();
    if written.is_empty() {
        return Ok(Finding::ok("auto", format!("Every upstream dials from {}.", from_to(&settings.range))));
    }
    let value = written.join(", ");
    if let Some((upstream, wanted)) = upstreams().find(|(_, range)| settings.narrowed(range) != **range) {
        let unprivileged = facts.sysctls.number("net.ipv4.ip_unprivileged_port_start")?;
        return Ok(outside(&value, &settings, (&upstream.name, wanted), unprivileged));
    }
    if let Some(short) = short(&value, &settings, upstreams().map(|(upstream, _)| upstream)) {
        return Ok(short);
    }
    let fewest = upstreams().map(|(upstream, _)| usable(&settings, upstream)).min().unwrap_or(0);
    Ok(Finding::ok(value, format!("{} or more to each endpoint.", counted_ports(fewest))))
}

/// As it is written in the configuration.
fn hyphened(range: &RangeInclusive<u16>) -> String {
    format!("{}-{}", range.start(), range.end())
}

fn outside(
    value: &str,
    settings: &PortSettings,
    (name, wanted): (&str, &RangeInclusive<u16>),
    unprivileged: u64,
) -> Finding {
    let (host, had) = (&settings.range, settings.narrowed(wanted));
    if !settings.range_by_socket {
        let meaning = format!(
            "Upstream \"{name}\" dials from {} instead, as this kernel has no IP_LOCAL_PORT_RANGE.",
            from_to(&had),
        );
        let fix = Fix::toml("upstream", name, "source.ports = \"auto\"".to_owned());
        return Finding::critical(value, meaning).fix(fix);
    }
    let meaning = format!(
        "Upstream \"{name}\" dials from {} instead: an end outside {} (ip_local_port_range) has no effect.",
        from_to(&had),
        from_to(host),
    );
    let is_apart = wanted.end() < host.start() || wanted.start() > host.end();
    let finding = if is_apart { Finding::critical(value, meaning) } else { Finding::warn(value, meaning) };
    let written = format!("source.ports = \"{}\"", hyphened(&had));
    // A single port is no range for the configuration.
    let finding = match had.start() < had.end() {
        true => finding.fix(Fix::toml("upstream", name, written)),
        false => finding,
    };
    // The kernel takes no range that begins among the privileged ports.
    if u64::from(*wanted.start()) < unprivileged {
        return finding;
    }
    let wider = format!("{} {}", host.start().min(wanted.start()), host.end().max(wanted.end()));
    finding.fix(Fix::sysctl(RANGE, wider))
}

/// bind(2) to an address that no interface has fails with EADDRNOTAVAIL. ip(7)
fn addresses(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let mut written = Vec::new();
    let mut broken = None;
    for upstream in &config.upstreams {
        let mut here = Vec::new();
        for address in &upstream.source.addresses {
            written.push(address.to_string());
            if facts.is_local(*address)? {
                here.push(format!("\"{address}\""));
            } else {
                broken = broken.or(Some((upstream, address)));
            }
        }
        if let Some((upstream, address)) = broken {
            let meaning =
                format!("No interface has {address}, so upstream \"{}\" cannot dial from it.", upstream.name);
            let line = format!("source.addresses = [{}]", here.join(", "));
            let fix = Fix::toml("upstream", &upstream.name, line);
            return Ok(Finding::critical(written.join(", "), meaning).fix(fix));
        }
    }
    Ok(match written.len() {
        0 => Finding::ok("auto", "The kernel chooses the source address of every connection."),
        _ => Finding::ok(written.join(", "), "Interfaces of this host have them."),
    })
}
