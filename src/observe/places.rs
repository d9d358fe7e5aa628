//! Where our sockets are to be found: which listener or endpoint a socket belongs to, by its addresses
//! (pure).

use crate::addr::plain;
use crate::command::Peer;
use crate::registry::{ListenerState, Running};
use crate::sys::sock_diag::{Family, Program, Socket};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The addresses of all listeners and endpoints.
#[derive(Debug)]
pub struct Places {
    listeners: Vec<Listener>,
    /// By address, and those that are bound to all addresses.
    exact: HashMap<SocketAddr, usize>,
    wildcards: Vec<usize>,
    /// In order, to be asked before the tables are.
    local_ports: Vec<u16>,
    endpoints: Vec<Endpoint>,
    by_address: HashMap<SocketAddr, usize>,
}

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    state: Arc<ListenerState>,
}

/// One address, of whichever upstreams have it.
#[derive(Debug)]
struct Endpoint {
    address: SocketAddr,
    /// Of the first of them.
    upstream: String,
    /// The longest of all of them.
    half_close: Duration,
}

/// Whose a socket is, by its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A client's, of the listener with this number.
    Listener(usize),
    /// A connection to the endpoint with this number: see [`Places::endpoint`].
    Endpoint(usize),
}

impl Places {
    /// The addresses of all listeners and endpoints.
    pub fn of(running: &Running) -> Self {
        let mut places = Self {
            listeners: Vec::new(),
            exact: HashMap::new(),
            wildcards: Vec::new(),
            local_ports: Vec::new(),
            endpoints: Vec::new(),
            by_address: HashMap::new(),
        };
        running.all_listeners().for_each(|listener| places.add_listener(listener));
        for upstream in running.all_upstreams() {
            for endpoint in &upstream.endpoints {
                let config = &upstream.config;
                places.add_endpoint(plain(endpoint.address.0), &config.name, config.timeout.half_close);
            }
        }
        places.local_ports.sort_unstable();
        places
    }

    /// One that was removed, and whose address another has now, is found as that one.
    fn add_listener(&mut self, state: &Arc<ListenerState>) {
        let address = plain(state.address.0);
        if self.listeners.iter().any(|known| known.address == address) {
            return;
        }
        let place = self.listeners.len();
        self.listeners.push(Listener { address, state: Arc::clone(state) });
        self.local_ports.push(address.port());
        if address.ip().is_unspecified() {
            self.wildcards.push(place);
        } else {
            self.exact.insert(address, place);
        }
    }

    fn add_endpoint(&mut self, address: SocketAddr, upstream: &str, half_close: Duration) {
        let place = *self.by_address.entry(address).or_insert_with(|| {
            let upstream = upstream.to_owned();
            self.endpoints.push(Endpoint { address, upstream, half_close });
            self.endpoints.len() - 1
        });
        let longest = &mut self.endpoints[place].half_close;
        *longest = half_close.max(*longest);
    }

    /// Where the socket belongs, were it ours. A listener's own address comes before one that is bound to
    /// all addresses; one of `::` carries IPv4 too, on sockets of IPv6.
    pub fn find(&self, socket: &Socket) -> Option<Place> {
        if self.local_ports.binary_search(&socket.local.port()).is_ok()
            && let Some(listener) = self.listener_of(socket)
        {
            return Some(Place::Listener(listener));
        }
        self.endpoint(socket.remote).map(Place::Endpoint)
    }

    fn listener_of(&self, socket: &Socket) -> Option<usize> {
        let is_for = |place: &&usize| is_wildcard_for(self.listeners[**place].address, socket);
        self.exact.get(&socket.local).or_else(|| self.wildcards.iter().find(is_for)).copied()
    }

    /// The listener that this socket listens for.
    pub fn listening(&self, socket: &Socket) -> Option<usize> {
        let at =
            |address: &Listener| address.address == socket.local && is_of(socket.family, address.address);
        self.listeners.iter().position(at)
    }

    /// The listeners, by their numbers.
    pub fn listeners(&self) -> impl ExactSizeIterator<Item = &Arc<ListenerState>> {
        self.listeners.iter().map(|listener| &listener.state)
    }

    /// The number of an endpoint's address.
    pub fn endpoint(&self, address: SocketAddr) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    /// How many numbers there are for listeners, and for endpoints.
    pub fn len(&self) -> (usize, usize) {
        (self.listeners.len(), self.endpoints.len())
    }

    /// Who the peer of a socket here is, whose side has which name, and how long the socket may be in
    /// CLOSE_WAIT.
    pub fn describe(&self, place: Place) -> (Peer, &str, Duration) {
        match place {
            Place::Listener(at) => {
                let config = &self.listeners[at].state.config;
                (Peer::Client, &config.name, config.timeout.half_close)
            }
            Place::Endpoint(at) => {
                let Endpoint { upstream, half_close, .. } = &self.endpoints[at];
                (Peer::Endpoint, upstream, *half_close)
            }
        }
    }

    /// The families of sockets that can be found, each with what keeps the kernel from listing others.
    pub fn questions(&self) -> impl Iterator<Item = (Family, Program)> {
        [Family::V4, Family::V6].into_iter().filter_map(|family| {
            let listeners = self.listeners.iter().map(|listener| listener.address);
            let endpoints = self.endpoints.iter().map(|endpoint| endpoint.address);
            let local = ports(listeners.filter(|address| is_of(family, *address)));
            let remote = ports(endpoints.filter(|address| is_of(family, *address)));
            let is_there = !local.is_empty() || !remote.is_empty();
            is_there.then(|| (family, Program::any_of(&local, &remote)))
        })
    }

    /// The same for sockets that listen.
    pub fn questions_for_listening(&self) -> impl Iterator<Item = (Family, Program)> {
        [Family::V4, Family::V6].into_iter().filter_map(|family| {
            let listeners = self.listeners.iter().map(|listener| listener.address);
            let local = ports(listeners.filter(|address| is_of(family, *address)));
            (!local.is_empty()).then(|| (family, Program::any_of(&local, &BTreeSet::new())))
        })
    }
}

/// Whether a listener at this address, were it bound to all addresses, has this socket.
pub(super) fn is_wildcard_for(address: SocketAddr, socket: &Socket) -> bool {
    address.ip().is_unspecified() && address.port() == socket.local.port() && is_of(socket.family, address)
}

fn ports(addresses: impl Iterator<Item = SocketAddr>) -> BTreeSet<u16> {
    addresses.map(|address| address.port()).collect()
}

fn is_of(family: Family, address: SocketAddr) -> bool {
    address.is_ipv4() == (family == Family::V4)
}

#[cfg(test)]
mod tests;
