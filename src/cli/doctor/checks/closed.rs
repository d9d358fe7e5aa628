//! What is left of connections that were closed here.

use super::Check;
use super::source_ports::{settings, usable};
use crate::cli::check::counted;
use crate::cli::doctor::demand;
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::cli::table::count;
use crate::config::model::{Config, Upstream, UpstreamClose};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "net.ipv4.tcp_tw_reuse", run: tw_reuse },
    Check { name: "net.ipv4.tcp_timestamps", run: timestamps },
    Check { name: "net.ipv4.tcp_max_tw_buckets", run: max_tw_buckets },
    Check { name: "net.ipv4.tcp_fin_timeout", run: fin_timeout },
];

/// The kernel's default, ip-sysctl.rst.
const USUAL_FIN_TIMEOUT: u64 = 60;

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

/// Timestamps tell old segments from new ones, which reusing TIME_WAIT rests on. ip-sysctl.rst,
/// RFC 7323 section 5
fn timestamps(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_timestamps";
    let value = facts.sysctls.number(NAME)?;
    if value > 0 {
        return Ok(Finding::ok(value, "Connections can tell old segments from new ones."));
    }
    let meaning = "No port in TIME_WAIT is reused (tcp_tw_reuse needs timestamps), and SYN cookies take clients \
                   their window scaling and selective acknowledgement.";
    Ok(Finding::warn(value, meaning).fix(Fix::sysctl(NAME, 1)))
}

/// More sockets than this do not go into TIME_WAIT but vanish, and a late segment may hit the next
/// connection of the same ports; "you must not lower the limit artificially". ip-sysctl.rst, RFC 1337
fn max_tw_buckets(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_max_tw_buckets";
    let most = facts.sysctls.number(NAME)?;
    let settings = settings(facts)?;
    let one = |upstream: &Upstream| usable(&settings, upstream);
    let all = |upstream: &Upstream| {
        (upstream.endpoints_at_least() * demand::sources(upstream)) as u64 * one(upstream)
    };
    let could = config.upstreams.iter().enumerate().map(|(index, upstream)| {
        // An upstream that closes by RST leaves few: the ports of one endpoint are more than enough.
        if demand::leaves_time_wait(config, index) { all(upstream) } else { one(upstream) }
    });
    let could = could.sum::<u64>();
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

/// For how long a connection that we closed waits in FIN_WAIT_2 for the peer's FIN; it is not the length
/// of TIME_WAIT, which is fixed. ip-sysctl.rst, tcp(7)
fn fin_timeout(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    const NAME: &str = "net.ipv4.tcp_fin_timeout";
    let seconds = facts.sysctls.number(NAME)?;
    let value = format!("{} s", count(seconds));
    let meaning = format!(
        "A connection closed here keeps its port for {value} while its peer sends no FIN. TIME_WAIT, which \
         comes after, is 60 s whatever this says.",
    );
    if seconds > USUAL_FIN_TIMEOUT {
        return Ok(Finding::warn(value, meaning).fix(Fix::sysctl(NAME, USUAL_FIN_TIMEOUT)));
    }
    Ok(Finding::ok(value, meaning))
}
