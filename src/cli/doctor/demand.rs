//! What a configuration asks of the host, in numbers (pure).

use super::facts::{Fact, HostFacts};
use crate::budget::Budget;
use crate::config::model::{Backlog, Config, Listener, Protocol, TcpKeepalive, Upstream, UpstreamClose};
use crate::supervisor::fixed_descriptors;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The listeners that forward to an upstream.
pub(super) fn listeners_of(config: &Config, upstream: usize) -> impl Iterator<Item = &Listener> {
    config.listeners.iter().map(AsRef::as_ref).filter(move |listener| listener.upstream == upstream)
}

/// So many addresses, in words.
pub(super) fn counted_addresses(count: usize) -> String {
    if count == 1 { "1 address".to_owned() } else { format!("{count} addresses") }
}

/// A power of two that is enough, so that a recommended number looks like one.
pub(super) fn round_up(number: u64) -> u64 {
    number.checked_next_power_of_two().unwrap_or(u64::MAX / 2)
}

/// Addresses that are listened on.
pub(super) fn listening_addresses(config: &Config) -> usize {
    config.listeners.iter().map(|listener| listener.bind.len()).sum()
}

/// The argument of listen(2), before the kernel cuts it.
pub(super) fn backlog(listener: &Listener, somaxconn: u64) -> u64 {
    match listener.socket.backlog {
        Backlog::Auto => somaxconn,
        Backlog::Connections(wanted) => u64::from(wanted),
    }
}

/// The longest accept queue that a listener gets.
pub(super) fn longest_queue(config: &Config, somaxconn: u64) -> u64 {
    let queues = config.listeners.iter().map(|listener| backlog(listener, somaxconn).min(somaxconn));
    queues.max().unwrap_or(0)
}

/// The endpoints' addresses, each once.
pub(super) fn destinations(config: &Config) -> BTreeSet<SocketAddr> {
    let endpoints = config.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter());
    endpoints.map(|endpoint| endpoint.address).collect()
}

/// How many of them are on other hosts.
pub(super) fn endpoints_elsewhere(facts: &HostFacts, config: &Config) -> Fact<usize> {
    let mut count = 0;
    for endpoint in destinations(config) {
        count += usize::from(!facts.is_local(endpoint.ip())?);
    }
    Ok(count)
}

/// Local addresses that an upstream dials from, the kernel's choice counting as one.
pub(super) fn sources(upstream: &Upstream) -> usize {
    upstream.source.addresses.len().max(1)
}

/// Whether connections of this upstream end in TIME_WAIT on this host as a rule: idle ones closed by
/// FIN, or tunnels, in which a client's FIN is passed on.
pub(super) fn leaves_time_wait(config: &Config, index: usize) -> bool {
    config.upstreams[index].socket.close == UpstreamClose::Graceful
        || listeners_of(config, index).any(|listener| listener.protocol == Protocol::Tcp)
}

/// A number of connections to one endpoint, by the key that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The key.
    pub(super) key: &'static str,
    /// How many.
    pub(super) connections: usize,
    /// Whether somebody asked for it: the default of `max_idle` is nobody's wish.
    pub(super) is_meant: bool,
}

/// The most that an upstream may come to hold to one endpoint.
pub(super) fn wish(upstream: &Upstream) -> Wish {
    let pool = &upstream.pool;
    let wishes = [
        Wish { key: "max_connections", connections: pool.max_connections, is_meant: true },
        Wish { key: "min_idle", connections: pool.min_idle, is_meant: true },
        Wish { key: "max_idle", connections: pool.max_idle, is_meant: false },
    ];
    // More is not opened than max_connections, and of what is left min_idle is the surest.
    let meant = wishes.iter().find(|wish| wish.is_meant && wish.connections > 0);
    *meant.unwrap_or(&wishes[2])
}

/// Descriptors that a configuration may come to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// Taken for good, and the reserve.
    pub(super) fixed: usize,
    /// Clients at once, where every listener has a limit for them.
    pub(super) clients: Option<usize>,
    /// Connections to endpoints that serve those clients.
    pub(super) leased: usize,
    /// Connections to endpoints that are kept besides.
    pub(super) idle: usize,
}

impl Descriptors {
    pub(super) fn of(config: &Config) -> Self {
        let mut need = Self {
            fixed: fixed_descriptors(config) + Budget::RESERVE,
            clients: client_limit(config.listeners.iter().map(AsRef::as_ref)),
            leased: 0,
            idle: 0,
        };
        for (index, upstream) in config.upstreams.iter().enumerate() {
            let clients = client_limit(listeners_of(config, index));
            let most = match upstream.pool.max_connections {
                0 => usize::MAX,
                most => most.saturating_mul(upstream.endpoints_at_least()),
            };
            let leased = clients.unwrap_or(0).min(most);
            need.leased = need.leased.saturating_add(leased);
            let idle = upstream.pool.max_idle.saturating_mul(upstream.endpoints_at_least());
            need.idle = need.idle.saturating_add(idle.min(most - leased));
        }
        need
    }

    /// What the clients need, each with its connection to an endpoint; `None`: they have no limit.
    pub(super) fn least(self) -> Option<usize> {
        Some(self.fixed.saturating_add(self.clients?).saturating_add(self.leased))
    }

    /// Connections of either side.
    pub(super) fn sockets(self) -> u64 {
        let clients = self.clients.unwrap_or(0).saturating_add(self.leased);
        clients.saturating_add(self.idle) as u64
    }

    /// The same with full pools; without a limit for the clients, the pools alone.
    pub(super) fn most(self) -> usize {
        self.least().unwrap_or(self.fixed).saturating_add(self.idle)
    }
}

/// Clients of all these listeners at once; `None`: one of them has no limit.
fn client_limit<'a>(mut listeners: impl Iterator<Item = &'a Listener>) -> Option<usize> {
    listeners.try_fold(0_usize, |sum, listener| match listener.limit.connections {
        0 => None,
        limit => Some(sum.saturating_add(limit)),
    })
}

/// A kind of connection that may be silent for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    /// Whose.
    pub(super) of: String,
    /// How long it lasts at most before a deadline or a probe ends it.
    pub(super) time: Duration,
}

/// The longest time for which an open connection may carry no packet.
pub(super) fn longest_silence(config: &Config) -> Option<Silence> {
    let clients = config.listeners.iter().map(|listener| {
        let deadline = listener.timeout.idle;
        silence(
            format!("a client of \"{}\"", listener.name),
            deadline,
            listener.socket.tcp_keepalive.as_ref(),
        )
    });
    let endpoints = config.upstreams.iter().enumerate().map(|(index, upstream)| {
        let tunnels = listeners_of(config, index).filter(|listener| listener.protocol == Protocol::Tcp);
        let idle = tunnels.map(|listener| listener.timeout.idle).max().unwrap_or_default();
        let answer = upstream.timeout.response_header.max(upstream.timeout.body);
        let deadline = idle.max(answer).max(upstream.pool.idle_timeout.unwrap_or_default());
        silence(
            format!("a connection to \"{}\"", upstream.name),
            deadline,
            upstream.socket.tcp_keepalive.as_ref(),
        )
    });
    clients.chain(endpoints).max_by_key(|silence| silence.time)
}

fn silence(of: String, deadline: Duration, probes: Option<&TcpKeepalive>) -> Silence {
    Silence { of, time: probes.map_or(deadline, |probes| probes.idle.min(deadline)) }
}

/// The longest `timeout.half_close`, on either side.
pub(super) fn longest_half_close(config: &Config) -> Duration {
    let clients = config.listeners.iter().map(|listener| listener.timeout.half_close);
    let endpoints = config.upstreams.iter().map(|upstream| upstream.timeout.half_close);
    clients.chain(endpoints).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse_str;

    fn config(listener: &str, upstream: &str) -> Config {
        let text = format!(
            "[runtime]\nworkers = 2\n[[listener]]\nbind = [\"127.0.0.1:1\", \"[::1]:1\"]\nupstream = \"app\"\n{listener}\n\
             [[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\", \"192.0.2.1:3000\"]\n{upstream}\n"
        );
        parse_str("x.toml", &text).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    #[test]
    fn descriptors_are_for_clients_their_connections_and_full_pools() {
        // 2 addresses x 2 workers x 2 + 3 x (2 + 1) runtimes + 64 in reserve.
        let fixed = 8 + 9 + 64;
        let need = Descriptors::of(&config("", ""));
        assert_eq!(need, Descriptors { fixed, clients: None, leased: 0, idle: 512 });
        assert_eq!((need.least(), need.most()), (None, fixed + 512));

        let need = Descriptors::of(&config("limit.connections = 1000", "pool.max_idle = 10"));
        assert_eq!((need.least(), need.most()), (Some(fixed + 2000), fixed + 2020));

        let limited = config("limit.connections = 1000", "pool.max_connections = 300\npool.max_idle = 300");
        assert_eq!(Descriptors::of(&limited).most(), fixed + 1000 + 600);
    }

    #[test]
    fn a_probe_or_a_deadline_ends_a_silence() {
        let secs = Duration::from_secs;
        let silence = |listener, upstream| longest_silence(&config(listener, upstream)).unwrap();
        assert_eq!(silence("", "").time, secs(60));
        let off = silence("", "socket.tcp_keepalive = \"off\"\ntimeout.body = \"90s\"");
        assert_eq!(off, Silence { of: "a connection to \"app\"".into(), time: secs(90) });
        let off = silence("protocol = \"tcp\"\nsocket.tcp_keepalive = \"off\"", "");
        assert_eq!((off.of.as_str(), off.time), ("a client of \"127.0.0.1:1\"", secs(3600)));
    }

    #[test]
    fn of_several_the_longest_counts() {
        let second = "timeout.half_close = \"10s\"\nsocket.backlog = 500\nprotocol = \"tcp\"\n\
                      socket.tcp_keepalive = \"off\"\ntimeout.idle = \"20m\"\n\
                      [[listener]]\nbind = \"127.0.0.1:2\"\nupstream = \"app\"\nsocket.backlog = 200";
        let config = config(second, "socket.tcp_keepalive = \"off\"\ntimeout.half_close = \"20s\"");
        assert_eq!((longest_queue(&config, 4096), longest_queue(&config, 300)), (500, 300));
        assert_eq!(longest_half_close(&config), Duration::from_secs(30));
        // A tunnel may be silent for as long as its client, which the HTTP listener's may not.
        let silence = longest_silence(&config).unwrap();
        let expected = Silence { of: "a connection to \"app\"".into(), time: Duration::from_secs(1200) };
        assert_eq!(silence, expected);
    }

    #[test]
    fn tunnels_and_graceful_closes_leave_time_wait() {
        assert!(!leaves_time_wait(&config("", ""), 0));
        assert!(leaves_time_wait(&config("", "socket.close = \"graceful\""), 0));
        assert!(leaves_time_wait(&config("protocol = \"tcp\"", ""), 0));
    }
}
