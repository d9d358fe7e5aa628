//! Which sockets are stuck in CLOSE_WAIT (pure).
//!
//! Every state of a session has a deadline of its own, and a peer's FIN is noticed in every state.
//! What is found here is a fault of ours: this is the net below, so that a fault costs a connection
//! and a line in the log instead of a descriptor for ever. Its deadlines are later than all others,
//! and what it finds is put before the socket's owner before anything is closed.

use super::places::{Place, Places};
use crate::addr::Ends;
use crate::command::{Holding, Peer, Suspect};
use crate::sys::sock_diag::Socket;
use std::collections::{HashMap, HashSet};
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

/// What was seen of the sockets in CLOSE_WAIT, from one census to the next.
#[derive(Debug, Default)]
pub struct Reaper {
    sightings: HashMap<Ends, Sighting>,
    census: u64,
    /// When [`Self::know_own`] was told last.
    owners_known: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Sighting {
    peer: Peer,
    /// The listener's, or the upstream's.
    name: String,
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
    pub fn note(&mut self, found: &[(Socket, Place)], places: &Places, now: Instant) {
        self.census += 1;
        for (socket, place) in found.iter().filter(|(socket, _)| socket.inode != 0) {
            self.see(socket, places.describe(*place), now);
        }
        let census = self.census;
        self.sightings.retain(|_, sighting| sighting.last == census);
    }

    fn see(&mut self, socket: &Socket, (peer, name, deadline): (Peer, &str, Duration), now: Instant) {
        let new = || Sighting {
            peer,
            name: name.to_owned(),
            deadline,
            inode: socket.inode,
            unread: socket.rqueue,
            unsent: socket.wqueue,
            since: now,
            first: self.census,
            last: self.census,
            owner: Owner::Presumed,
        };
        let sighting = self.sightings.entry(Ends::new(socket.local, socket.remote)).or_insert_with(new);
        if sighting.inode != socket.inode {
            *sighting = new();
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

    /// How many of ours there are, and for how long the oldest has been there.
    pub fn stuck(&self, now: Instant) -> (u64, Duration) {
        let ours = || self.sightings.values().filter(|s| s.owner != Owner::Foreign);
        let oldest = ours().map(|s| now.saturating_duration_since(s.since)).max();
        (ours().count() as u64, oldest.unwrap_or_default())
    }

    /// The oldest of ours, at most so many, each with how long it has been there. What was seen by one
    /// census alone is not among them: most are gone by the next.
    pub fn oldest(&self, most: usize, now: Instant) -> Vec<(Suspect, Duration)> {
        let ours = self.sightings.iter().filter(|(_, s)| s.owner != Owner::Foreign && s.first < s.last);
        let mut all: Vec<_> = ours.collect();
        all.sort_by_key(|(ends, s)| (s.since, ends.local, ends.remote));
        let told = |(ends, s): (&Ends, &Sighting)| {
            (Suspect { ends: *ends, peer: s.peer }, now.saturating_duration_since(s.since))
        };
        all.into_iter().take(most).map(told).collect()
    }

    /// What the listener or the upstream of a socket is called.
    pub fn name(&self, socket: &Suspect) -> Option<&str> {
        self.sightings.get(&socket.ends).map(|sighting| sighting.name.as_str())
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
