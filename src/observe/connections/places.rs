//! Whose a socket is by its addresses (pure).

use crate::addr::plain;
use crate::command::{Held, Link};
use crate::config::model;
use crate::observe::places::is_wildcard_for;
use crate::registry::{ListenerState, Running};
use crate::sys::sock_diag::{Family, Socket};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// The addresses of all listeners and endpoints.
#[derive(Debug, Default)]
pub(super) struct Places {
    exact: HashMap<SocketAddr, Arc<ListenerState>>,
    wildcards: Vec<Arc<ListenerState>>,
    endpoints: HashMap<SocketAddr, Toward>,
}

/// What is at an endpoint's address.
#[derive(Clone, Debug)]
pub(super) struct Toward {
    pub(super) endpoint: SocketAddr,
    /// `None`: several upstreams have it.
    pub(super) upstream: Option<Arc<model::Upstream>>,
    /// All that have it.
    names: BTreeSet<String>,
}

/// Where a socket belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// With a client of this listener.
    Listener(&'a Arc<ListenerState>),
    /// Towards this endpoint.
    Endpoint(&'a Toward),
}

impl Places {
    /// Those of what runs, and of what is still held.
    pub(super) fn of<'a>(running: &Running, held: impl Iterator<Item = &'a Held>) -> Self {
        let mut places = Self::default();
        running.all_listeners().for_each(|listener| places.listen(listener));
        for upstream in running.all_upstreams() {
            for endpoint in &upstream.endpoints {
                places.lead(endpoint.address.0, &upstream.config);
            }
        }
        for held in held {
            if let Held::Session { listener, .. } = held {
                places.listen(listener);
            }
            if let Held::Session { link: Some(link), .. } | Held::Idle(link) = held {
                let Link { upstream, endpoint, .. } = &**link;
                places.lead(endpoint.address.0, upstream);
            }
        }
        places
    }

    /// Where the socket would belong, were it ours. Who listens at its very address comes before who
    /// listens at all of them.
    pub(super) fn find(&self, socket: &Socket) -> Option<Place<'_>> {
        let wildcard = || self.wildcards.iter().find(|l| is_wildcard_for(plain(l.address.0), socket));
        match self.exact.get(&socket.local).or_else(wildcard) {
            Some(listener) => Some(Place::Listener(listener)),
            None => self.endpoints.get(&socket.remote).map(Place::Endpoint),
        }
    }

    /// The families of sockets that can be found.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        let all = || self.listeners().map(|l| plain(l.address.0)).chain(self.endpoints.keys().copied());
        let (v4, v6) = (all().any(|a| a.is_ipv4()), all().any(|a| a.is_ipv6()));
        [v4.then_some(Family::V4), v6.then_some(Family::V6)].into_iter().flatten()
    }

    /// The ports that the listeners have.
    pub(super) fn local_ports(&self) -> BTreeSet<u16> {
        self.listeners().map(|listener| listener.address.0.port()).collect()
    }

    /// The ports that the endpoints have.
    pub(super) fn remote_ports(&self) -> BTreeSet<u16> {
        self.endpoints.keys().map(SocketAddr::port).collect()
    }

    /// Every listener.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Arc<ListenerState>> {
        self.exact.values().chain(&self.wildcards)
    }

    /// The address of every endpoint.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints.keys().copied()
    }

    /// The name of every upstream.
    pub(super) fn upstreams(&self) -> BTreeSet<&str> {
        self.endpoints.values().flat_map(|toward| &toward.names).map(String::as_str).collect()
    }

    fn listen(&mut self, listener: &Arc<ListenerState>) {
        let address = plain(listener.address.0);
        if !listener.address.0.ip().is_unspecified() {
            self.exact.entry(address).or_insert_with(|| Arc::clone(listener));
        } else if !self.wildcards.iter().any(|known| known.address == listener.address) {
            self.wildcards.push(Arc::clone(listener));
        }
    }

    fn lead(&mut self, endpoint: SocketAddr, upstream: &Arc<model::Upstream>) {
        let toward = self.endpoints.entry(plain(endpoint)).or_insert_with(|| Toward {
            endpoint,
            upstream: Some(Arc::clone(upstream)),
            names: BTreeSet::new(),
        });
        if !toward.names.contains(&upstream.name) {
            toward.names.insert(upstream.name.clone());
            if toward.names.len() > 1 {
                toward.upstream = None;
            }
        }
    }
}
