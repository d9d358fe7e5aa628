//! The sources of every endpoint: which there are, and what the kernel's settings say of their ports.

use crate::config::model;
use crate::registry::{Registry, Sources};
use crate::source::kernel::PortSettings;
use crate::source::ledger::Ledger;
use crate::source::ports::{Route, SourcePorts};
use crate::sys::{limits, local_ports};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How soon a change of the settings or of the routes is noticed.
const LOOK: Duration = Duration::from_secs(10);

/// Makes the sources of endpoints. Those with the same source and destination share their ledger,
/// whichever upstream they belong to.
#[derive(Debug)]
pub(super) struct SourceMaker {
    settings: PortSettings,
    ledgers: HashMap<(IpAddr, SocketAddr), Arc<Mutex<Ledger>>>,
}

impl SourceMaker {
    pub(super) fn new() -> Self {
        Self {
            settings: settings(&|error| tracing::warn!(%error, "the default of Linux is assumed")),
            ledgers: HashMap::new(),
        }
    }

    /// Looks at the kernel's settings again, and forgets the ledgers that nobody has any more.
    pub(super) fn refresh(&mut self) {
        self.settings = settings(&|_| {});
        self.ledgers.retain(|_, ledger| Arc::strong_count(ledger) > 1);
    }

    /// The sources of one endpoint: the configured addresses, or the one that the kernel chooses. Those
    /// that it had `before` under another configuration hand on what they have counted.
    pub(super) fn towards(
        &mut self,
        destination: SocketAddr,
        upstream: &model::Upstream,
        before: &[Arc<SourcePorts>],
    ) -> Sources {
        let addresses = upstream.source.addresses.iter();
        let addresses: Vec<IpAddr> =
            addresses.filter(|address| address.is_ipv4() == destination.is_ipv4()).copied().collect();
        let sources = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let route = |source| Route { source, is_bound: true, destination, sources };
        let mut routes: Vec<Route> = addresses.into_iter().map(route).collect();
        if routes.is_empty() {
            let source = local_ports::chosen_source(destination).unwrap_or_else(|error| {
                tracing::warn!(upstream = %upstream.name, %destination, %error, "no route yet");
                unspecified(destination)
            });
            routes.push(Route { source, is_bound: false, destination, sources: 1 });
        }
        let ports = routes.into_iter().map(|route| {
            let ports = self.ports(route, upstream);
            let same = before.iter().find(|ports| ports.source() == route.source);
            same.into_iter().for_each(|same| ports.go_on_from(same));
            Arc::new(ports)
        });
        ports.collect()
    }

    fn ports(&mut self, route: Route, upstream: &model::Upstream) -> SourcePorts {
        let Self { settings, ledgers } = self;
        let hold = settings.hold(route.source, route.destination);
        let ledger = ledgers.entry((route.source, route.destination));
        let ledger = ledger.or_insert_with(|| Arc::new(Mutex::new(Ledger::new(hold))));
        SourcePorts::new(upstream, route, settings, Arc::clone(ledger))
    }

    /// Says what becomes of a configured range that cannot be had as it is written.
    pub(super) fn check(&self, upstream: &model::Upstream) {
        let Some(configured) = &upstream.source.ports else { return };
        let range = &self.settings.range;
        let name = &upstream.name;
        let had = self.settings.narrowed(configured);
        if !self.settings.range_by_socket {
            tracing::warn!(upstream = %name, ?range, "source.ports needs Linux 6.3; all of the host's are used");
        } else if had != *configured {
            tracing::warn!(
                upstream = %name, ?configured, ?range, ?had,
                "source.ports reaches beyond net.ipv4.ip_local_port_range, which it only narrows"
            );
        }
    }
}

/// Follows the kernel's settings and its choice of sources, for as long as it is polled.
pub(super) async fn follow(registry: Arc<Registry>) {
    let ignored = |_: &io::Error| {};
    let mut known = settings(&ignored);
    loop {
        tokio::time::sleep(LOOK).await;
        let found = settings(&ignored);
        let has_changed = found != known;
        let running = registry.running();
        for source in running.endpoints().flat_map(|endpoint| endpoint.sources().to_vec()) {
            follow_route(&source);
            if has_changed {
                source.note_settings(&found, Instant::now());
            }
        }
        if has_changed {
            tracing::info!(?found, "the kernel's settings for local ports have changed");
            known = found;
        }
    }
}

fn follow_route(ports: &SourcePorts) {
    if ports.bind_to().is_some() {
        return;
    }
    // Without a route there is nothing to dial from, and what was known may hold again.
    if let Ok(source) = local_ports::chosen_source(ports.destination())
        && source != ports.source()
    {
        let destination = ports.destination();
        tracing::info!(%destination, %source, before = %ports.source(), "the kernel chooses another source");
        ports.note_source(source);
    }
}

/// What the kernel says; what it does not is as Linux comes, after `missing` is told.
fn settings(missing: &dyn Fn(&io::Error)) -> PortSettings {
    fn or<T>(read: io::Result<T>, usual: T, missing: &dyn Fn(&io::Error)) -> T {
        read.unwrap_or_else(|error| {
            missing(&error);
            usual
        })
    }
    let usual = PortSettings::default();
    PortSettings {
        range: or(limits::local_port_range(), usual.range, missing),
        reserved: or(limits::reserved_ports(), usual.reserved, missing),
        tw_reuse: or(limits::tcp_tw_reuse(), usual.tw_reuse, missing),
        tw_reuse_delay: or(limits::tcp_tw_reuse_delay(), usual.tw_reuse_delay, missing),
        timestamps: or(limits::tcp_timestamps().map(|on| on > 0), usual.timestamps, missing),
        range_by_socket: or(local_ports::has_port_range(), usual.range_by_socket, missing),
    }
}

fn unspecified(destination: SocketAddr) -> IpAddr {
    match destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::fixture;
    use crate::source::lease::PortLease;
    use crate::source::level::Level;

    fn upstream(addresses: &[&str]) -> model::Upstream {
        let mut upstream = fixture::upstream("app", &[3000]);
        upstream.source.addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        upstream
    }

    fn names(sources: &[Arc<SourcePorts>]) -> Vec<(String, bool)> {
        sources.iter().map(|source| (source.source().to_string(), source.bind_to().is_some())).collect()
    }

    #[test]
    fn configured_addresses_are_the_sources_and_else_what_the_kernel_chooses() {
        let mut sources = SourceMaker::new();
        let to: SocketAddr = "127.0.0.1:3000".parse().unwrap();
        let configured = sources.towards(to, &upstream(&["127.0.0.7", "::1", "127.0.0.8"]), &[]);
        assert_eq!(names(&configured), [("127.0.0.7".into(), true), ("127.0.0.8".into(), true)]);
        let chosen = sources.towards(to, &upstream(&[]), &[]);
        assert_eq!(names(&chosen), [("127.0.0.1".into(), false)]);
    }

    #[test]
    fn sources_share_the_ports_of_a_nat() {
        let mut upstream = upstream(&["127.0.0.7", "127.0.0.8"]);
        let seconds = Duration::from_secs;
        upstream.source.nat =
            Some(model::Nat { ports: 64, idle_timeout: seconds(350), time_wait: seconds(60) });
        let sources = SourceMaker::new().towards("127.0.0.1:3000".parse().unwrap(), &upstream, &[]);
        let capacity = |ports: &Arc<SourcePorts>| ports.figures(Instant::now()).capacity;
        assert_eq!(sources.iter().map(capacity).collect::<Vec<_>>(), [32, 32]);
    }

    #[test]
    fn upstreams_with_the_same_endpoint_and_source_share_what_is_taken() {
        let mut sources = SourceMaker::new();
        let to: SocketAddr = "127.0.0.1:3000".parse().unwrap();
        let one = sources.towards(to, &upstream(&[]), &[]);
        let other = sources.towards(to, &upstream(&["127.0.0.1", "127.0.0.2"]), &[]);
        let now = Instant::now();
        let lease = PortLease::take(&one, 0, Level::Warn, now).unwrap();
        let used = |ports: &SourcePorts| ports.figures(now).used;
        assert_eq!((used(&one[0]), used(&other[0]), used(&other[1])), (1, 1, 0));
        drop(lease);
        assert_eq!(used(&other[0]), 0);
    }

    #[test]
    fn a_port_is_taken_where_there_is_most_room() {
        let mut sources = SourceMaker::new();
        let both = upstream(&["127.0.0.1", "127.0.0.2"]);
        let two = sources.towards("127.0.0.1:3000".parse().unwrap(), &both, &[]);
        let now = Instant::now();
        let leases: Vec<_> = (0..10).map(|_| PortLease::take(&two, 0, Level::Warn, now).unwrap()).collect();
        assert_eq!((two[0].figures(now).used, two[1].figures(now).used), (5, 5));
        drop(leases);
        let of_second: Vec<_> =
            (0..3).map(|_| PortLease::take(&two[1..], 0, Level::Warn, now).unwrap()).collect();
        let next = PortLease::take(&two, 1, Level::Warn, now).unwrap();
        assert!(Arc::ptr_eq(next.ports(), &two[0]) && of_second.len() == 3);
    }
}
