//! Which sockets are stuck in CLOSE_WAIT (pure).
//!
//! Every state of a session has a deadline of its own, and a peer's FIN is noticed in every state.
//! What is found here is a fault of ours: this is the net below, so that a fault costs a connection
//! and a line in the log instead of a descriptor for ever. Its deadlines are later than all others,
//! and what it finds is put before the socket's owner before anything is closed.

use crate::addr::{Ends, plain};
use crate::command::{Holding, Peer, Suspect};
use crate::metrics::close_wait::Stuck;
use crate::registry::Running;
use crate::sys::sock_diag::{Family, Socket};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// What a socket has beyond the deadline that its session has from the configuration.
pub const GRACE: Duration = Duration::from_secs(2);

/// The kernel counts a FIN as one unread byte until it has been read (`tcp_fin` and `tcp_recvmsg` in
/// net/ipv4). More are bytes before it: whoever does not read those cannot know of the FIN.
const FIN: u32 = 1;

/// Times that no worker knows a socket of ours before it is called nobody's: it may be on its way
/// from one worker to another.
const DENIALS: u8 = 2;

/// How often it is asked at the most whose sockets are: to list a hundred thousand descriptors takes a
/// tenth of a second.
const OWNERS_EVERY: Duration = Duration::from_secs(5);

/// Where our sockets are to be found.
#[derive(Debug)]
pub struct Places {
    listeners: Vec<(SocketAddr, Duration)>,
    endpoints: HashMap<SocketAddr, Duration>,
}

impl Places {
    /// The addresses of all listeners and endpoints.
    pub fn of(running: &Running) -> Self {
        let listeners = running.listeners.iter();
        let listeners = listeners.map(|l| (plain(l.address.0), l.config.timeout.half_close)).collect();
        let mut endpoints: HashMap<SocketAddr, Duration> = HashMap::new();
        for upstream in &running.upstreams {
            let deadline = upstream.config.timeout.half_close;
            for endpoint in &upstream.endpoints {
                let longest = endpoints.entry(plain(endpoint.address.0)).or_default();
                *longest = deadline.max(*longest);
            }
        }
        Self { listeners, endpoints }
    }

    /// Whose peer the socket would have, were it ours, and how long it may be in CLOSE_WAIT.
    pub fn find(&self, socket: &Socket) -> Option<(Peer, Duration)> {
        let listens = |exactly: bool| {
            let fits = |address: &SocketAddr| match exactly {
                true => *address == socket.local,
                false => is_wildcard_for(*address, socket),
            };
            self.listeners.iter().find(|(address, _)| fits(address))
        };
        if let Some((_, deadline)) = listens(true).or_else(|| listens(false)) {
            return Some((Peer::Client, *deadline));
        }
        self.endpoints.get(&socket.remote).map(|deadline| (Peer::Endpoint, *deadline))
    }

    /// The families of sockets that can be found.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        let all = || self.listeners.iter().map(|(address, _)| address).chain(self.endpoints.keys());
        let (v4, v6) = (all().any(SocketAddr::is_ipv4), all().any(SocketAddr::is_ipv6));
        [v4.then_some(Family::V4), v6.then_some(Family::V6)].into_iter().flatten()
    }
}

fn is_wildcard_for(address: SocketAddr, socket: &Socket) -> bool {
    address.port() == socket.local.port()
        && match address.ip() {
            IpAddr::V4(ip) => ip.is_unspecified() && socket.family == Family::V4,
            // Bound to `::`, a socket carries IPv4 too.
            IpAddr::V6(ip) => ip.is_unspecified() && socket.family == Family::V6,
        }
}

/// What was seen of the sockets in CLOSE_WAIT, from one census to the next.
#[derive(Debug, Default)]
pub struct Reaper {
    sightings: HashMap<Ends, Sighting>,
    census: u64,
    /// When [`Self::know_own`] was told last.
    owners_known: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    peer: Peer,
    deadline: Duration,
    inode: u32,
    unread: u32,
    unsent: u32,
    /// The census that saw it first with these unread bytes.
    since: Instant,
    first: u64,
    last: u64,
    owner: Owner,
}

/// Whose a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// By its addresses, ours.
    Presumed,
    /// By its inode, ours, though no worker knew it so many times.
    Ours { denials: u8 },
    /// Another process's.
    Foreign,
}

/// What is to become of a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its session waits for its other side, and ends by a deadline of its own.
    Excused,
    /// It is stuck, for this long.
    Reap(Duration),
}

impl Reaper {
    /// A census at `now` found these sockets in CLOSE_WAIT, and no other.
    pub fn note(&mut self, found: &[Socket], places: &Places, now: Instant) {
        self.census += 1;
        for socket in found.iter().filter(|socket| socket.inode != 0) {
            if let Some((peer, deadline)) = places.find(socket) {
                self.see(socket, peer, deadline, now);
            }
        }
        let census = self.census;
        self.sightings.retain(|_, sighting| sighting.last == census);
    }

    fn see(&mut self, socket: &Socket, peer: Peer, deadline: Duration, now: Instant) {
        let new = Sighting {
            peer,
            deadline,
            inode: socket.inode,
            unread: socket.rqueue,
            unsent: socket.wqueue,
            since: now,
            first: self.census,
            last: self.census,
            owner: Owner::Presumed,
        };
        let sighting = self.sightings.entry(Ends::new(socket.local, socket.remote)).or_insert(new);
        if sighting.inode != socket.inode {
            *sighting = new;
        } else if sighting.unread != socket.rqueue {
            sighting.since = now;
        }
        (sighting.unread, sighting.unsent, sighting.last) = (socket.rqueue, socket.wqueue, self.census);
    }

    /// Whether [`Self::know_own`] is to be told: a socket was there at two censuses. Most are gone by
    /// then.
    pub fn wants_inodes(&self, now: Instant) -> bool {
        let is_due = self.owners_known.is_none_or(|at| now.saturating_duration_since(at) >= OWNERS_EVERY);
        is_due && self.sightings.values().any(|s| s.owner == Owner::Presumed && s.first < s.last)
    }

    /// These were the inodes of this process's sockets at `now`: others are none of our business.
    pub fn know_own(&mut self, inodes: &HashSet<u32>, now: Instant) {
        self.owners_known = Some(now);
        for sighting in self.sightings.values_mut().filter(|s| s.owner == Owner::Presumed) {
            sighting.owner = match inodes.contains(&sighting.inode) {
                true => Owner::Ours { denials: 0 },
                false => Owner::Foreign,
            };
        }
    }

    /// How many of ours there are.
    pub fn stuck(&self, now: Instant) -> Stuck {
        let ours = || self.sightings.values().filter(|s| s.owner != Owner::Foreign);
        let oldest = ours().map(|s| now.saturating_duration_since(s.since)).max();
        Stuck { count: ours().count() as u64, oldest: oldest.unwrap_or_default() }
    }

    /// Those that are past their deadline and the grace, whose owners are to be asked.
    pub fn suspects(&self, now: Instant) -> Vec<Suspect> {
        let overdue = |s: &Sighting| now.saturating_duration_since(s.since) > s.deadline + GRACE;
        let suspected = self.sightings.iter().filter(|(_, s)| match s.owner {
            Owner::Ours { denials } => denials < DENIALS && overdue(s),
            Owner::Presumed | Owner::Foreign => false,
        });
        suspected.map(|(ends, s)| Suspect { ends: *ends, peer: s.peer }).collect()
    }

    /// Judges a suspect by what its owner says. `other_unsent`: bytes that the session's other peer
    /// has not acknowledged.
    ///
    /// A socket may be in CLOSE_WAIT for long where bytes come before its FIN that its session cannot
    /// pass on yet, and where the FIN was read and what came before it is still on its way to the
    /// other side. Such a session waits for a slow peer, and that wait has a deadline.
    pub fn judge(&mut self, held: &Holding, other_unsent: u32, now: Instant) -> Verdict {
        let Some(sighting) = self.sightings.get_mut(&held.socket.ends) else { return Verdict::Excused };
        let waits = sighting.unread > FIN || sighting.unsent > 0 || other_unsent > 0;
        if held.has_deadline && waits {
            sighting.since = now;
            return Verdict::Excused;
        }
        Verdict::Reap(now.saturating_duration_since(sighting.since))
    }

    /// No worker knows this socket, which is ours. `true`: it is nobody's; this is said once.
    pub fn denied(&mut self, socket: &Suspect) -> bool {
        match self.sightings.get_mut(&socket.ends).map(|sighting| &mut sighting.owner) {
            Some(Owner::Ours { denials }) => {
                *denials = denials.saturating_add(1);
                *denials == DENIALS
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
