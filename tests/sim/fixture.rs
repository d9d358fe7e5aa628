//! One listener and one endpoint: their configuration, and what runs by it. benches/micro has it too.

use millpond::addr::ListenAddr;
use millpond::config::load::parse_str;
use millpond::config::model::{self, Config};
use millpond::registry::{EndpointState, Leaving, ListenerState, PerWorker, Running, UpstreamState};
use millpond::source::kernel::PortSettings;
use millpond::source::ledger::Ledger;
use millpond::source::ports::{Route, SourcePorts};
use millpond::upstream::health::Health;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

/// Where the listener is.
pub(crate) const LISTENER: ([u8; 4], u16) = ([192, 0, 2, 1], 80);
/// Where the endpoint is.
pub(crate) const ENDPOINT: ([u8; 4], u16) = ([198, 51, 100, 1], 8080);

/// The configuration, with these lines more in its two tables.
pub(crate) fn config(of_listener: &str, of_upstream: &str) -> Config {
    let (listener, endpoint) = (SocketAddr::from(LISTENER), SocketAddr::from(ENDPOINT));
    let text = format!(
        "[[listener]]\nbind = \"{listener}\"\nupstream = \"app\"\n{of_listener}\n\
         [[upstream]]\nname = \"app\"\nendpoints = [\"{endpoint}\"]\n{of_upstream}\n"
    );
    parse_str("fixture", &text).expect("a configuration").config
}

/// The upstream, as it is where nothing is said of it.
pub(crate) fn upstream() -> Arc<model::Upstream> {
    static UPSTREAM: OnceLock<Arc<model::Upstream>> = OnceLock::new();
    Arc::clone(UPSTREAM.get_or_init(|| Arc::clone(&config("", "").upstreams[0])))
}

/// What runs by this configuration in one worker.
pub(crate) fn running(config: Config) -> Running {
    let (listener, upstream) = (Arc::clone(&config.listeners[0]), Arc::clone(&config.upstreams[0]));
    let health = Arc::new(Health::new(1, &upstream.passive));
    let endpoint = EndpointState::new(upstream.endpoints[0].address, 1, Box::default(), (&health, 0));
    let bind = listener.bind[0];
    let listener = ListenerState {
        address: ListenAddr(bind),
        bind,
        config: listener,
        upstream: "app".into(),
        backlog: 0,
        workers: Arc::new(PerWorker::new(1)),
        clients: Arc::default(),
        queues: Arc::default(),
        tcp_states: Arc::default(),
    };
    let upstream = UpstreamState { config: upstream, endpoints: vec![Arc::new(endpoint)], health };
    Running {
        generation: 1,
        loaded_at: SystemTime::UNIX_EPOCH,
        config: Arc::new(config),
        listeners: vec![Arc::new(listener)],
        upstreams: vec![Arc::new(upstream)],
        leaving: Leaving::default(),
        needs_restart: Vec::new(),
    }
}

/// The sources 192.0.2.1 and so on towards an endpoint, one for each ledger.
pub(crate) fn sources(
    config: &model::Upstream,
    destination: SocketAddr,
    settings: &PortSettings,
    ledgers: &[Arc<Mutex<Ledger>>],
) -> Vec<Arc<SourcePorts>> {
    let source = |(number, ledger): (u8, &Arc<Mutex<Ledger>>)| {
        let source = IpAddr::from([192, 0, 2, number]);
        let route = Route { source, is_bound: true, destination, sources: ledgers.len() as u32 };
        Arc::new(SourcePorts::new(config, route, settings, Arc::clone(ledger)))
    };
    (1..).zip(ledgers).map(source).collect()
}

/// A ledger for each of so many sources towards an endpoint.
pub(crate) fn ledgers(
    count: u8,
    destination: SocketAddr,
    settings: &PortSettings,
) -> Vec<Arc<Mutex<Ledger>>> {
    let ledger = |number| {
        let hold = settings.hold(IpAddr::from([192, 0, 2, number]), destination);
        Arc::new(Mutex::new(Ledger::new(hold)))
    };
    (1..=count).map(ledger).collect()
}
