//! Local ports of the connections to endpoints.

use super::Check;
use crate::cli::check::counted;
use crate::cli::doctor::demand::{self, TIME_WAIT};
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::cli::table::count;
use crate::config::model::{AdminListen, Config, Upstream, UpstreamClose};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

pub(super) const CHECKS: &[Check] = &[
    Check { name: RANGE, run: range },
    Check { name: "source_port_parity", run: parity },
    Check { name: RESERVED, run: reserved },
    Check { name: "upstream.source.ports", run: configured },
    Check { name: "upstream.source.addresses", run: addresses },
    Check { name: "net.ipv4.tcp_tw_reuse", run: tw_reuse },
    Check { name: "net.ipv4.tcp_max_tw_buckets", run: max_tw_buckets },
];

const RANGE: &str = "net.ipv4.ip_local_port_range";
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
/// What the kernel comes with, 32768 to 60999.
const USUAL_PORTS: usize = 28_232;
/// Above the ports that services listen on, and with an even first and an odd last.
const WIDE: RangeInclusive<u16> = 10_240..=65_535;

/// The ports that connect(2) may choose from.
struct Ports {
    range: RangeInclusive<u16>,
    reserved: Vec<RangeInclusive<u16>>,
}

impl Ports {
    fn of(facts: &HostFacts) -> Fact<Self> {
        Ok(Self { range: facts.sysctls.port_range(RANGE)?, reserved: facts.sysctls.port_list(RESERVED)? })
    }

    /// Ports from one source address to one destination.
    fn usable(&self, upstream: &Upstream) -> usize {
        let range = upstream.source.ports.as_ref().map(|ports| demand::narrowed(ports, &self.range));
        demand::usable_ports(&range.unwrap_or_else(|| self.range.clone()), &self.reserved)
    }

    /// Connections to an endpoint that fit below `source.refuse_percent`, from all sources.
    fn room(&self, upstream: &Upstream) -> usize {
        let ports = self.usable(upstream) * demand::sources(upstream);
        (ports * usize::from(upstream.source.refuse_percent)).div_ceil(100)
    }

    /// What is said of the upstream that lacks the most of those given, if one lacks any: critical if
    /// somebody asked for that many connections.
    fn short<'a>(&self, value: &str, upstreams: impl Iterator<Item = &'a Upstream>) -> Option<Finding> {
        let lack = |upstream: &&Upstream| {
            let wish = demand::wish(upstream);
            (wish.is_meant, wish.connections.saturating_sub(self.room(upstream)))
        };
        let short = upstreams.filter(|upstream| lack(upstream).1 > 0).max_by_key(lack)?;
        let (wish, room) = (demand::wish(short), self.room(short));
        let meaning = format!(
            "Upstream \"{}\" may hold {} connections to an endpoint (pool.{}), but {} from {} of this host are \
             room for {}, up to {} % (source.refuse_percent).",
            short.name,
            count(wish.connections as u64),
            wish.key,
            counted_ports(self.usable(short)),
            demand::counted_addresses(demand::sources(short)),
            count(room as u64),
            short.source.refuse_percent,
        );
        let finding =
            if wish.is_meant { Finding::critical(value, meaning) } else { Finding::warn(value, meaning) };
        Some(finding.fix(Fix::toml("upstream", &short.name, format!("pool.{} = {room}", wish.key))))
    }
}

/// A connection to an endpoint holds a port that no other to the same endpoint can have. ip(7),
/// ip-sysctl.rst
fn range(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let ports = Ports::of(facts)?;
    let usable = demand::usable_ports(&ports.range, &ports.reserved);
    let value = format!("{} to {}", ports.range.start(), ports.range.end());
    let upstreams = || {
        let all = config.upstreams.iter().map(AsRef::as_ref);
        all.filter(|upstream: &&Upstream| upstream.source.ports.is_none())
    };
    let wide = Ports { range: WIDE, reserved: ports.reserved.clone() };
    let widen = Fix::sysctl(RANGE, format!("{} {}", WIDE.start(), WIDE.end()));
    if let Some(short) = ports.short(&value, upstreams()) {
        let is_enough = wide.short(&value, upstreams()).is_none();
        return Ok(if is_enough { short.fix(widen) } else { short });
    }
    let meaning = format!(
        "{} to each endpoint and from each source address: {} new connections a second that are closed here by \
         FIN, as TIME_WAIT holds a port for {} s.",
        counted_ports(usable),
        count((usable as u64) / TIME_WAIT.as_secs()),
        TIME_WAIT.as_secs(),
    );
    if usable < USUAL_PORTS {
        let meaning = format!("{meaning} The kernel's default is {} ports.", count(USUAL_PORTS as u64));
        return Ok(Finding::warn(value, meaning).fix(widen));
    }
    Ok(Finding::ok(value, meaning))
}

fn counted_ports(ports: usize) -> String {
    format!("{} port{}", count(ports as u64), if ports == 1 { "" } else { "s" })
}

/// connect(2) takes the ports of the first one's parity before the others, and bind(2) with port 0 the
/// other way round, which keeps them apart if there are as many of either: an even first port and an odd
/// last one are usual. ip-sysctl.rst, commit 07f4c90062f8 of Linux 4.2
fn parity(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    let range = facts.sysctls.port_range(RANGE)?;
    let (first, last) = (*range.start(), *range.end());
    let word = |port: u16| if port.is_multiple_of(2) { "even" } else { "odd" };
    let value = format!("{} to {}", word(first), word(last));
    if word(first) != word(last) {
        let meaning = format!(
            "connect(2) takes {} ports first and bind(2) to port 0 {} ones: they keep out of each other's way.",
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
    let meaning = "The number of ports is odd, so connect(2), which takes those of the first one's parity, and \
                   bind(2) to port 0, which takes the others, get into each other's way and search for longer.";
    Ok(Finding::warn(value, meaning).fix(Fix::sysctl(RANGE, format!("{first} {last}"))))
}

/// A port of the range that something is to listen on may be that of an outgoing connection by then,
/// and bind(2) fails. Reserved ports are never chosen; listening on them is not affected. ip-sysctl.rst
fn reserved(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let ports = Ports::of(facts)?;
    let value = match facts.sysctls.text(RESERVED)? {
        "" => "none".to_owned(),
        list => list.to_owned(),
    };
    let listened = listened_ports(facts, config)?;
    let is_free = |port: &&u16| {
        ports.range.contains(port) && !ports.reserved.iter().any(|reserved| reserved.contains(port))
    };
    let clashes: Vec<String> = listened.iter().filter(is_free).map(u16::to_string).collect();
    let range = format!("{} to {}", ports.range.start(), ports.range.end());
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
    let all = if ports.reserved.is_empty() { list } else { format!("{value},{list}") };
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
    let ports = Ports::of(facts)?;
    let upstreams = || config.upstreams.iter().map(AsRef::as_ref);
    let ranges = upstreams().filter_map(|upstream| upstream.source.ports.as_ref());
    let written: Vec<String> = ranges.map(|range| format!("{}-{}", range.start(), range.end())).collect();
    if written.is_empty() {
        let meaning = format!("Every upstream dials from {} to {}.", ports.range.start(), ports.range.end());
        return Ok(Finding::ok("auto", meaning));
    }
    let value = written.join(", ");
    let is_outside = |upstream: &&Upstream| {
        let range = upstream.source.ports.as_ref();
        range.is_some_and(|range| demand::narrowed(range, &ports.range) != *range)
    };
    if let Some(outside) = upstreams().find(is_outside) {
        let unprivileged = facts.sysctls.number("net.ipv4.ip_unprivileged_port_start")?;
        return Ok(outside_the_range(&value, &ports, outside, unprivileged));
    }
    let upstreams = || upstreams().filter(|upstream| upstream.source.ports.is_some());
    if let Some(short) = ports.short(&value, upstreams()) {
        return Ok(short);
    }
    let fewest = upstreams().map(|upstream| ports.usable(upstream)).min().unwrap_or(0);
    Ok(Finding::ok(value, format!("{} or more to each endpoint.", counted_ports(fewest))))
}

fn outside_the_range(value: &str, ports: &Ports, upstream: &Upstream, unprivileged: u64) -> Finding {
    let (first, last) = (*ports.range.start(), *ports.range.end());
    let wanted = upstream.source.ports.clone().unwrap_or_else(|| ports.range.clone());
    let effective = demand::narrowed(&wanted, &ports.range);
    let meaning = format!(
        "Upstream \"{}\" dials from {} to {} instead: an end outside {first} to {last} (ip_local_port_range) \
         has no effect.",
        upstream.name,
        effective.start(),
        effective.end(),
    );
    let line = format!("source.ports = \"{}-{}\"", effective.start(), effective.end());
    let wider = format!("{} {}", first.min(*wanted.start()), last.max(*wanted.end()));
    let is_apart = wanted.end() < &first || wanted.start() > &last;
    let finding = if is_apart { Finding::critical(value, meaning) } else { Finding::warn(value, meaning) };
    let finding = finding.fix(Fix::toml("upstream", &upstream.name, line));
    // The kernel takes no range that begins among the privileged ports.
    let can_be = u64::from(*wanted.start()) >= unprivileged;
    if can_be { finding.fix(Fix::sysctl(RANGE, wider)) } else { finding }
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

/// 1 lets a new outgoing connection take the port of one in TIME_WAIT to the same endpoint if both ends
/// send timestamps, 2 on loopback only; "it should not be changed without advice/request of technical
/// experts". ip-sysctl.rst
fn tw_reuse(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_tw_reuse";
    let value = facts.sysctls.number(NAME)?;
    let timestamps = facts.sysctls.number("net.ipv4.tcp_timestamps")?;
    let elsewhere = demand::endpoints_elsewhere(facts, config)?;
    let leaves = (0..config.upstreams.len()).find(|index| demand::leaves_time_wait(config, *index));
    let remote = format!("{} on other hosts", counted(elsewhere, "endpoint"));
    let enough = if elsewhere > 0 && leaves.is_some() { 1 } else { 2 };
    Ok(match (value, leaves) {
        (1.., _) if timestamps == 0 => {
            let meaning = "Without effect, as net.ipv4.tcp_timestamps is 0: TIME_WAIT is reused only where both \
                           ends send timestamps.";
            Finding::warn(value, meaning).fix(Fix::sysctl("net.ipv4.tcp_timestamps", 1))
        }
        (0, _) => {
            let meaning = "A port in TIME_WAIT is lost to its endpoint for 60 s, on loopback too.";
            Finding::warn(value, meaning).fix(Fix::sysctl(NAME, enough))
        }
        (1, _) => Finding::ok(
            value,
            "A port in TIME_WAIT is used again for the same endpoint, and only if that sends timestamps too, \
             which is what makes it safe.",
        ),
        (_, Some(index)) if elsewhere > 0 => {
            let name = &config.upstreams[index].name;
            let meaning = format!(
                "Loopback only, so it does nothing for {remote}; and connections of upstream \"{name}\" end in \
                 TIME_WAIT here. 1 is safe if the endpoints send timestamps.",
            );
            let finding = Finding::warn(value, meaning).fix(Fix::sysctl(NAME, enough));
            closes_by_reset(finding, &config.upstreams[index])
        }
        (_, _) if elsewhere > 0 => Finding::ok(
            value,
            format!(
                "Loopback only, so it does nothing for {remote}; nor need it, as idle connections are closed by \
                 RST, which leaves no TIME_WAIT."
            ),
        ),
        (_, _) => {
            Finding::ok(value, "Every endpoint is on this host, where ports in TIME_WAIT are used again.")
        }
    })
}

/// Adds what does away with the TIME_WAIT itself, where the configuration asks for it.
fn closes_by_reset(finding: Finding, upstream: &Upstream) -> Finding {
    match upstream.socket.close {
        UpstreamClose::Graceful => {
            finding.fix(Fix::toml("upstream", &upstream.name, "socket.close = \"auto\"".to_owned()))
        }
        UpstreamClose::Auto | UpstreamClose::Reset => finding,
    }
}

/// More sockets than this do not go into TIME_WAIT but vanish, and a late segment may hit the next
/// connection of the same ports; "you must not lower the limit artificially". ip-sysctl.rst, RFC 1337
fn max_tw_buckets(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_max_tw_buckets";
    let most = facts.sysctls.number(NAME)?;
    let ports = Ports::of(facts)?;
    let all =
        |upstream: &Upstream| upstream.endpoints.len() * demand::sources(upstream) * ports.usable(upstream);
    let one = |upstream: &Upstream| ports.usable(upstream);
    let could = config.upstreams.iter().enumerate().map(|(index, upstream)| {
        // An upstream that closes by RST leaves few: the ports of one endpoint are more than enough.
        if demand::leaves_time_wait(config, index) { all(upstream) } else { one(upstream) }
    });
    let could = could.sum::<usize>() as u64;
    let meaning = format!("The ports to the endpoints could leave {} sockets in TIME_WAIT", count(could));
    if most >= could {
        return Ok(Finding::ok(count(most), format!("{meaning}.")));
    }
    let meaning = format!(
        "{meaning}; beyond {} they are forgotten at once, and a late segment may reach the next connection of \
         the same ports.",
        count(most),
    );
    Ok(Finding::warn(count(most), meaning).fix(Fix::sysctl(NAME, demand::round_up(could))))
}
