//! The kernel's sockets and the workers' holdings, put together (pure).

use super::figures::Figures;
use super::places::{Place, Places};
use crate::addr::{Ends, plain};
use crate::command::{Held, Link, Peer};
use crate::config::model;
use crate::registry::ListenerState;
use crate::sys::sock_diag::{Socket, TcpState};
use crate::sys::tcp_info::TcpInfo;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long TIME_WAIT lasts (TCP_TIMEWAIT_LEN in include/net/tcp.h).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// What the owner of a socket that is being opened does.
pub(super) const CONNECTING: &str = "connecting";

/// Since when a socket has been in a state, if that is known.
pub(super) type Since<'a> = &'a dyn Fn(&Ends, TcpState) -> Option<Instant>;

/// One socket.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) peer: Peer,
    pub(super) ends: Ends,
    pub(super) listener: Option<Arc<ListenerState>>,
    pub(super) upstream: Option<Arc<model::Upstream>>,
    pub(super) endpoint: Option<SocketAddr>,
    /// The client, on an endpoint's connection.
    pub(super) client: Option<SocketAddr>,
    pub(super) phase: Option<&'static str>,
    pub(super) state: Option<TcpState>,
    pub(super) age: Option<Duration>,
    pub(super) state_age: Option<Duration>,
    pub(super) figures: Option<Figures>,
    pub(super) uses: Option<u64>,
    pub(super) worker: Option<usize>,
}

/// What the workers hold, to be found by addresses.
pub(super) struct Join<'a> {
    places: &'a Places,
    holdings: Vec<Holding<'a>>,
    by_ends: HashMap<(Peer, Ends), usize>,
    now: Instant,
    since: Since<'a>,
}

/// One socket, as a worker tells of it.
struct Holding<'a> {
    worker: usize,
    peer: Peer,
    /// A client's have the address that it came to, which may be a wildcard.
    ends: Ends,
    held: &'a Held,
    was_seen: bool,
}

impl<'a> Join<'a> {
    /// `held`: with the worker that has it.
    pub(super) fn new(
        places: &'a Places,
        held: impl Iterator<Item = (usize, &'a Held)>,
        now: Instant,
        since: Since<'a>,
    ) -> Self {
        let mut join = Self { places, holdings: Vec::new(), by_ends: HashMap::new(), now, since };
        held.for_each(|(worker, held)| join.add(worker, held));
        join
    }

    fn add(&mut self, worker: usize, held: &'a Held) {
        if let Held::Session { listener, client, .. } = held {
            let ends = Ends::new(listener.address.0, *client);
            self.insert(Holding { worker, peer: Peer::Client, ends, held, was_seen: false });
        }
        if let Some(link) = link(held) {
            let ends = Ends::new(link.local, link.endpoint.address.0);
            self.insert(Holding { worker, peer: Peer::Endpoint, ends, held, was_seen: false });
        }
    }

    /// What is told later is newer: a connection that was idle and is in use by now is met twice.
    fn insert(&mut self, holding: Holding<'a>) {
        let next = self.holdings.len();
        let at = *self.by_ends.entry((holding.peer, holding.ends)).or_insert(next);
        match self.holdings.get_mut(at) {
            Some(known) => *known = holding,
            None => self.holdings.push(holding),
        }
    }

    /// The socket with its owner; `None`: it is none of ours, or was met before. `is_own` is asked for the
    /// inodes of sockets that no worker knows.
    pub(super) fn row(
        &mut self,
        socket: &Socket,
        info: Option<TcpInfo>,
        is_own: impl FnOnce(u32) -> bool,
    ) -> Option<Row> {
        let place = self.places.find(socket)?;
        let peer = match place {
            Place::Listener(_) => Peer::Client,
            Place::Endpoint(_) => Peer::Endpoint,
        };
        let mut row = match self.take(place, socket) {
            Found::Again => return None,
            Found::Held(at) => self.held(&self.holdings[at]),
            Found::Nobodys if socket.inode != 0 && !is_own(socket.inode) => return None,
            Found::Nobodys => nobodys(place),
        };
        row.ends = Ends::new(socket.local, socket.remote);
        row.state = Some(socket.state);
        if row.phase.is_none() && socket.state == TcpState::SynSent && socket.inode != 0 {
            row.phase = Some(CONNECTING);
        }
        row.state_age = self.state_age(socket, row.age);
        row.figures = info.and_then(|info| Figures::of(socket, &info, peer));
        if let (Some(figures), Some(age)) = (&mut row.figures, row.age) {
            // The kernel's clock of a socket that never carried a byte begins before the socket.
            figures.idle = figures.idle.map(|idle| idle.min(age));
        }
        Some(row)
    }

    /// What the workers hold, and the kernel was not heard to have.
    pub(super) fn unseen(&self) -> impl Iterator<Item = Row> {
        self.holdings.iter().filter(|holding| !holding.was_seen).map(|holding| self.held(holding))
    }

    /// The kernel keeps no inode for what has no owner any more, or none yet.
    fn take(&mut self, place: Place<'_>, socket: &Socket) -> Found {
        let key = match place {
            Place::Listener(listener) => (Peer::Client, Ends::new(listener.address.0, socket.remote)),
            Place::Endpoint(_) => (Peer::Endpoint, Ends::new(socket.local, socket.remote)),
        };
        match self.by_ends.get(&key) {
            Some(at) if socket.inode != 0 => {
                let again = std::mem::replace(&mut self.holdings[*at].was_seen, true);
                // A client's sockets to two addresses of a wildcard are one here.
                if again && key.0 == Peer::Endpoint { Found::Again } else { Found::Held(*at) }
            }
            _ => Found::Nobodys,
        }
    }

    fn held(&self, holding: &Holding<'_>) -> Row {
        let link = link(holding.held);
        let since_link = link.map(|link| link.established);
        let (listener, client, phase, opened) = match holding.held {
            Held::Session { listener, client, phase, opened, .. } => {
                (Some(Arc::clone(listener)), Some(plain(*client)), *phase, Some(*opened))
            }
            Held::Idle(_) => (None, None, crate::session::Phase::Idle, None),
        };
        let is_client = holding.peer == Peer::Client;
        let began = if is_client { opened } else { since_link };
        Row {
            peer: holding.peer,
            ends: holding.ends,
            listener,
            upstream: link.map(|link| Arc::clone(&link.upstream)),
            endpoint: link.map(|link| link.endpoint.address.0),
            client: client.filter(|_| !is_client),
            phase: Some(phase.label()),
            state: None,
            age: began.map(|began| self.now.saturating_duration_since(began)),
            state_age: None,
            figures: None,
            uses: link.filter(|_| !is_client).map(|link| link.uses),
            worker: Some(holding.worker),
        }
    }

    fn state_age(&self, socket: &Socket, age: Option<Duration>) -> Option<Duration> {
        match (socket.state, socket.ends_in) {
            (TcpState::Established, _) => age,
            (TcpState::TimeWait, Some(left)) => Some(TIME_WAIT.saturating_sub(left)),
            (state, _) => {
                let since = (self.since)(&Ends::new(socket.local, socket.remote), state);
                since.map(|since| self.now.saturating_duration_since(since))
            }
        }
    }
}

enum Found {
    Held(usize),
    Nobodys,
    Again,
}

fn link(held: &Held) -> Option<&Link> {
    match held {
        Held::Session { link, .. } => link.as_deref(),
        Held::Idle(link) => Some(link),
    }
}

fn nobodys(place: Place<'_>) -> Row {
    let (peer, listener, upstream, endpoint) = match place {
        Place::Listener(listener) => (Peer::Client, Some(Arc::clone(listener)), None, None),
        Place::Endpoint(toward) => (Peer::Endpoint, None, toward.upstream.clone(), Some(toward.endpoint)),
    };
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Row {
        peer,
        ends: Ends::new(nowhere, nowhere),
        listener,
        upstream,
        endpoint,
        client: None,
        phase: None,
        state: None,
        age: None,
        state_age: None,
        figures: None,
        uses: None,
        worker: None,
    }
}

#[cfg(test)]
mod tests;
