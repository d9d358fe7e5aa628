//! From a configuration to what runs with it: new states for what is new or changed, the same for what
//! is not.

use super::sources::SourceMaker;
use crate::config::model::{self, Config, Protocol};
use crate::listener::bind::{self, Bound};
use crate::registry::{EndpointState, Leaving, ListenerState, PerWorker, Running, Sources, UpstreamState};
use crate::upstream::health::Health;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What is to run, and what it changes of what is kept, which is done when it begins to run.
pub(super) struct Upstreams {
    pub(super) states: Vec<Arc<UpstreamState>>,
    /// What the endpoints that are kept are told.
    told: Vec<Told>,
    leaving: Vec<Arc<UpstreamState>>,
}

/// What an endpoint that is kept is told.
struct Told {
    endpoint: Arc<EndpointState>,
    /// Where it is dialled from, if that is another.
    sources: Option<Sources>,
    health: Arc<Health>,
    place: usize,
}

/// How many workers there are places for, and how many of them are to stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workers {
    pub(super) places: usize,
    pub(super) staying: usize,
}

impl Upstreams {
    /// The upstreams of this configuration, with the endpoints that run already.
    pub(super) fn of(
        config: &Config,
        old: Option<&Running>,
        sources: &mut SourceMaker,
        workers: Workers,
    ) -> Self {
        let mut known = Known::of(old);
        let mut told = Vec::new();
        let states = config.upstreams.iter().map(|upstream| {
            let same = old.and_then(|old| old.upstreams.iter().find(|state| state.config == *upstream));
            if let Some(same) = same {
                for endpoint in &same.endpoints {
                    known.take(&upstream.name, endpoint.address.0);
                }
                return Arc::clone(same);
            }
            sources.check(upstream);
            known.renew(upstream, sources, workers, &mut told)
        });
        let states = states.collect();
        Self { states, told, leaving: known.leaving() }
    }

    /// It begins to run: what is kept hears of it. Returns what is leaving.
    pub(super) fn begin(self, workers: Workers) -> (Vec<Arc<UpstreamState>>, Vec<Arc<UpstreamState>>) {
        for Told { endpoint, sources, health, place } in self.told {
            if let Some(sources) = sources {
                endpoint.set_sources(sources);
            }
            endpoint.set_health(&health, place);
        }
        for endpoint in self.states.iter().flat_map(|upstream| &upstream.endpoints) {
            endpoint.set_workers(workers.places, workers.staying);
        }
        (self.states, self.leaving)
    }
}

/// The endpoints that run, or are leaving, by upstream and address.
struct Known(HashMap<(String, SocketAddr), Found>);

/// An endpoint, and the upstream that has it.
struct Found {
    upstream: Arc<UpstreamState>,
    endpoint: Arc<EndpointState>,
}

impl Known {
    fn of(old: Option<&Running>) -> Self {
        let mut known = HashMap::new();
        for upstream in old.into_iter().flat_map(Running::all_upstreams) {
            for endpoint in &upstream.endpoints {
                let (upstream, endpoint) = (Arc::clone(upstream), Arc::clone(endpoint));
                let key = (upstream.config.name.clone(), endpoint.address.0);
                known.insert(key, Found { upstream, endpoint });
            }
        }
        Self(known)
    }

    fn take(&mut self, upstream: &str, address: SocketAddr) -> Option<Found> {
        self.0.remove(&(upstream.to_owned(), address))
    }

    /// A state for an upstream that is new or changed.
    fn renew(
        &mut self,
        config: &Arc<model::Upstream>,
        sources: &mut SourceMaker,
        workers: Workers,
        told: &mut Vec<Told>,
    ) -> Arc<UpstreamState> {
        let addresses = config.endpoints.iter().map(|endpoint| endpoint.address);
        let found: Vec<Option<Found>> =
            addresses.clone().map(|address| self.take(&config.name, address)).collect();
        let healths: Vec<_> =
            found.iter().map(|found| found.as_ref().map(|found| found.endpoint.health())).collect();
        let health = Arc::new(Health::carrying(&healths, &config.passive));
        let endpoints = addresses.zip(found).enumerate().map(|(place, (address, found))| {
            let Some(Found { upstream, endpoint }) = found else {
                let sources = sources.towards(address, config, &[]);
                return Arc::new(EndpointState::new(address, workers.places, sources, (&health, place)));
            };
            let others = upstream.config.source != config.source;
            let sources = others.then(|| sources.towards(address, config, &endpoint.sources()));
            let (endpoint_told, health) = (Arc::clone(&endpoint), Arc::clone(&health));
            told.push(Told { endpoint: endpoint_told, sources, health, place });
            endpoint
        });
        let endpoints = endpoints.collect();
        Arc::new(UpstreamState { config: Arc::clone(config), endpoints, health })
    }

    /// What is left, where anything of it is still open, under the upstream that had it.
    fn leaving(self) -> Vec<Arc<UpstreamState>> {
        let mut left: Vec<UpstreamState> = Vec::new();
        for Found { upstream, endpoint } in self.0.into_values() {
            let place = left.iter().position(|state| state.config.name == upstream.config.name);
            let place = place.unwrap_or_else(|| {
                let (config, health) = (Arc::clone(&upstream.config), Arc::clone(&upstream.health));
                left.push(UpstreamState { config, endpoints: Vec::new(), health });
                left.len() - 1
            });
            left[place].endpoints.push(endpoint);
        }
        left.sort_by(|one, other| one.config.name.cmp(&other.config.name));
        left.iter_mut().for_each(|state| state.endpoints.sort_by_key(|endpoint| endpoint.address.0));
        left.into_iter().map(Arc::new).collect()
    }
}

/// An address of a listener in a new configuration, with the listener that it has now, if any.
pub(super) struct Wanted {
    pub(super) config: Arc<model::Listener>,
    pub(super) bind: SocketAddr,
    /// What it goes on with.
    pub(super) same: Option<Arc<ListenerState>>,
    /// Whose sockets it takes over, which for another protocol is another listener.
    pub(super) sockets: Option<Arc<ListenerState>>,
}

/// All addresses of all listeners, and the listeners that go.
pub(super) fn listeners(
    config: &Config,
    old: &[Arc<ListenerState>],
) -> (Vec<Wanted>, Vec<Arc<ListenerState>>) {
    let mut left: Vec<Option<&Arc<ListenerState>>> = old.iter().map(Some).collect();
    let mut take = |fits: &dyn Fn(&ListenerState) -> bool| {
        left.iter_mut().find(|state| state.is_some_and(|state| fits(state)))?.take().map(Arc::clone)
    };
    let all =
        config.listeners.iter().flat_map(|listener| listener.bind.iter().map(move |bind| (listener, *bind)));
    let mut wanted: Vec<Wanted> = all
        .map(|(config, bind)| {
            let speaks = |state: &ListenerState, protocol: Protocol| state.config.protocol == protocol;
            let same = take(&|state| state.bind == bind && speaks(state, config.protocol));
            Wanted { config: Arc::clone(config), bind, sockets: same.clone(), same }
        })
        .collect();
    let going: Vec<Arc<ListenerState>> = left.into_iter().flatten().map(Arc::clone).collect();
    for wanted in wanted.iter_mut().filter(|wanted| wanted.sockets.is_none()) {
        wanted.sockets = going.iter().find(|state| state.bind == wanted.bind).cloned();
    }
    (wanted, going)
}

/// What is known of an address that was just bound.
pub(super) fn listener(bound: Bound, upstream: String, places: usize) -> Arc<ListenerState> {
    Arc::new(ListenerState {
        address: bound.address,
        bind: bound.bind,
        config: bound.config,
        upstream,
        backlog: bound.backlog,
        workers: Arc::new(PerWorker::new(places)),
        clients: Arc::default(),
        queues: Arc::default(),
        tcp_states: Arc::default(),
    })
}

/// What is known of an address that is bound already: what it has counted, if it goes on with that.
pub(super) fn renewed(
    wanted: &Wanted,
    sockets: &ListenerState,
    upstream: String,
    places: usize,
) -> Arc<ListenerState> {
    let Wanted { config, bind, same, .. } = wanted;
    let backlog = bind::effective_backlog(config);
    match same {
        Some(same) if same.config == *config && same.upstream == upstream && same.backlog == backlog => {
            Arc::clone(same)
        }
        same => Arc::new(ListenerState {
            address: sockets.address,
            bind: *bind,
            config: Arc::clone(config),
            upstream,
            backlog,
            workers: same
                .as_ref()
                .map_or_else(|| Arc::new(PerWorker::new(places)), |same| same.workers.clone()),
            clients: same.as_ref().map(|same| same.clients.clone()).unwrap_or_default(),
            // Those of the sockets, whoever had them before.
            queues: Arc::clone(&sockets.queues),
            tcp_states: Arc::clone(&sockets.tcp_states),
        }),
    }
}

/// What is not over yet.
pub(super) fn still(leaving: &Leaving) -> Leaving {
    let has_sessions = |state: &&Arc<ListenerState>| state.gauge(|w| &w.sessions) > 0;
    let rest = |upstream: &Arc<UpstreamState>| {
        let open = upstream.endpoints.iter().filter(|endpoint| !endpoint.is_over());
        let endpoints: Vec<_> = open.cloned().collect();
        match endpoints.len() {
            0 => None,
            all if all == upstream.endpoints.len() => Some(Arc::clone(upstream)),
            _ => {
                let (config, health) = (Arc::clone(&upstream.config), Arc::clone(&upstream.health));
                Some(Arc::new(UpstreamState { config, endpoints, health }))
            }
        }
    };
    Leaving {
        listeners: leaving.listeners.iter().filter(has_sessions).cloned().collect(),
        upstreams: leaving.upstreams.iter().filter_map(rest).collect(),
    }
}
