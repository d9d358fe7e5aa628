//! The reaper: what it says of sockets in CLOSE_WAIT of a pretended kernel.

use crate::chance::Chance;
use crate::clock::Since;
use crate::fixture::{self, ENDPOINT, LISTENER};
use crate::runner::Log;
use millpond::addr::Ends;
use millpond::command::{Holding, Peer, Suspect};
use millpond::observe::places::Places;
use millpond::observe::reaper::{GRACE, Reaper, Verdict};
use millpond::session::Phase;
use millpond::sys::sock_diag::{Family, Socket, TcpState};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Events of one history.
const EVENTS: usize = 40;
/// The FIN counts as a byte that was not read.
const FIN: u32 = 1;
/// By the configuration below.
const CLIENTS_HALF_CLOSE: Duration = Duration::from_secs(4);
const ENDPOINTS_HALF_CLOSE: Duration = Duration::from_secs(9);
/// Within which a socket that is stuck has to be found, beside its deadline: whose sockets are is asked
/// every 5 s at the most, and from one census to the next it takes 3.
const FOUND_WITHIN: Duration = Duration::from_secs(12);

/// Plays the history of a seed.
pub(crate) fn simulate(seed: u64, log: &mut Log) {
    PLACES.with(|places| {
        let start = Instant::now();
        let mut world = World {
            chance: Chance::new(seed),
            log,
            places,
            start,
            now: start,
            reaper: Reaper::default(),
            sockets: Vec::new(),
            made: 0,
        };
        (0..EVENTS).for_each(|_| world.happen());
    });
}

struct World<'a> {
    chance: Chance,
    log: &'a mut Log,
    places: &'a Places,
    start: Instant,
    now: Instant,
    reaper: Reaper,
    sockets: Vec<Held>,
    made: u32,
}

/// A socket of the kernel, and who has it.
#[derive(Clone, Debug)]
struct Held {
    socket: Socket,
    peer: Peer,
    owner: Owner,
    /// Bytes that the session's other peer has not acknowledged.
    other_unsent: u32,
    /// Since when censuses have seen it in CLOSE_WAIT with the same bytes unread.
    still_since: Option<Instant>,
    unread_seen: u32,
    censuses: u32,
    denials: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// A session of ours, whose deadline is still to come or not: that is a fault.
    Session { has_deadline: bool },
    /// Nobody, although it is open here: a fault.
    Lost,
    /// Another program.
    Foreign,
}

impl World<'_> {
    fn say(&mut self, what: &'static str, more: impl FnOnce() -> String) {
        self.log.say(what, Since(self.start, self.now), more);
    }

    fn happen(&mut self) {
        match self.chance.below(20) {
            0..5 => self.open(),
            5..9 => self.disturb(),
            9..11 => self.close(),
            11 => self.take_over_address(),
            _ => self.census(),
        }
    }

    fn open(&mut self) {
        self.made += 1;
        let (number, inode) = (self.made as u16, self.made);
        let is_client = self.chance.one_in(2);
        let far = |host| SocketAddr::from(([203, 0, 113, host], 1000 + number));
        let (local, remote, peer) = match is_client {
            true => (SocketAddr::from(LISTENER), far(1), Peer::Client),
            false => (far(2), SocketAddr::from(ENDPOINT), Peer::Endpoint),
        };
        let with_deadline = Owner::Session { has_deadline: true };
        let owner = self.chance.of(&[
            with_deadline,
            with_deadline,
            Owner::Session { has_deadline: false },
            Owner::Lost,
            Owner::Foreign,
        ]);
        let state = TcpState::Established;
        let family = Family::V4;
        let socket =
            Socket { family, state, local, remote, ends_in: None, rqueue: 0, wqueue: 0, inode, uid: 0 };
        let held = Held {
            socket,
            peer,
            owner,
            other_unsent: 0,
            still_since: None,
            unread_seen: 0,
            censuses: 0,
            denials: 0,
        };
        self.say("sockets", || format!("{inode} {peer:?} {owner:?}"));
        self.sockets.push(held);
    }

    /// Something happens on a socket: FIN, bytes, acknowledgements.
    fn disturb(&mut self) {
        if self.sockets.is_empty() {
            return;
        }
        let place = self.chance.below(self.sockets.len());
        let (unread, unsent, other) = (
            self.chance.of(&[FIN, FIN, 500]),
            self.chance.of(&[0, 0, 0, 900]),
            self.chance.of(&[0, 0, 0, 40]),
        );
        let Held { socket, other_unsent, .. } = &mut self.sockets[place];
        socket.state = TcpState::CloseWait;
        (socket.rqueue, socket.wqueue, *other_unsent) = (unread, unsent, other);
        let inode = socket.inode;
        self.say("FINs and bytes", || {
            format!("{inode}: {unread} unread, {unsent} unsent, {other} at its other side")
        });
    }

    fn close(&mut self) {
        if !self.sockets.is_empty() {
            let place = self.chance.below(self.sockets.len());
            let inode = self.sockets.remove(place).socket.inode;
            self.say("closes", || format!("{inode}"));
        }
    }

    /// One is closed, and another has its addresses before the next census.
    fn take_over_address(&mut self) {
        self.made += 1;
        let made = self.made;
        if let Some(held) = self.sockets.last_mut() {
            held.socket.inode = made;
            (held.still_since, held.denials, held.censuses) = (None, 0, 0);
            self.say("addresses used again", || format!("by {made}"));
        }
    }

    fn census(&mut self) {
        self.now += self.chance.ms(500..=3000);
        let in_close_wait = |held: &&mut Held| held.socket.state == TcpState::CloseWait;
        for held in self.sockets.iter_mut().filter(in_close_wait) {
            let unread = held.socket.rqueue;
            if held.still_since.is_none() || held.unread_seen != unread {
                held.still_since = Some(self.now);
            }
            (held.unread_seen, held.censuses) = (unread, held.censuses + 1);
        }
        let found = self.sockets.iter().filter(|held| held.socket.state == TcpState::CloseWait);
        let found: Vec<_> =
            found.map(|held| (held.socket, self.places.find(&held.socket).expect("a place"))).collect();
        self.reaper.note(&found, self.places, self.now);
        if self.reaper.wants_inodes(self.now) {
            let ours = self.sockets.iter().filter(|held| held.owner != Owner::Foreign);
            let ours: HashSet<u32> = ours.map(|held| held.socket.inode).collect();
            self.reaper.know_own(&ours, self.now);
        }
        self.say("censuses", || format!("{} in CLOSE_WAIT", found.len()));
        self.ask();
        self.check();
    }

    /// Asks the owners of what is suspected, and closes what is stuck.
    fn ask(&mut self) {
        let mut suspects = self.reaper.suspects(self.now);
        suspects.sort_by_key(|suspect| (suspect.ends.local, suspect.ends.remote));
        for suspect in suspects {
            let is_it = |held: &Held| Ends::new(held.socket.local, held.socket.remote) == suspect.ends;
            let place = self.sockets.iter().position(is_it).expect("a socket that is there");
            let held = &self.sockets[place];
            let deadline = half_close(held.peer) + GRACE;
            let stuck = self.now - held.still_since.expect("in CLOSE_WAIT");
            assert_eq!(suspect.peer, held.peer);
            assert!(held.owner != Owner::Foreign, "{held:?} is none of our business");
            assert!(stuck > deadline, "{held:?} is suspected after {stuck:?}");
            match held.owner {
                Owner::Session { has_deadline } => self.judge(place, suspect, has_deadline, stuck),
                Owner::Lost | Owner::Foreign => self.deny(place, suspect),
            }
        }
    }

    fn judge(&mut self, place: usize, suspect: Suspect, has_deadline: bool, stuck: Duration) {
        let held = &mut self.sockets[place];
        let holding = Holding { socket: suspect, phase: Phase::Exchange, has_deadline, other: None };
        let verdict = self.reaper.judge(&holding, held.other_unsent, self.now);
        let waits = held.socket.rqueue > FIN || held.socket.wqueue > 0 || held.other_unsent > 0;
        let inode = held.socket.inode;
        match verdict {
            Verdict::Excused => {
                assert!(has_deadline && waits, "{held:?} is excused without a reason");
                held.still_since = Some(self.now);
                self.say("excused", || format!("{inode}"));
            }
            Verdict::Reap(time) => {
                assert!(!(has_deadline && waits), "{held:?} waits for a slow peer, and will end");
                assert_eq!(time, stuck, "{held:?}");
                self.sockets.remove(place);
                self.say("reaped", || format!("{inode} after {stuck:?}"));
            }
        }
    }

    fn deny(&mut self, place: usize, suspect: Suspect) {
        let held = &mut self.sockets[place];
        held.denials += 1;
        let (denials, inode) = (held.denials, held.socket.inode);
        assert!(denials <= 2, "{held:?} is asked about again");
        let is_told = self.reaper.denied(&suspect);
        assert_eq!(is_told, denials == 2, "it is said once, when it was asked for twice");
        self.say("denied", || format!("{inode}, {denials}"));
    }

    fn check(&mut self) {
        let seen = self.sockets.iter().filter(|held| held.socket.state == TcpState::CloseWait);
        let ours = seen.clone().filter(|held| held.owner != Owner::Foreign);
        let (count, oldest) = self.reaper.stuck(self.now);
        // What was reaped just now is counted until the next census.
        assert!(count as usize >= ours.clone().count(), "{count} are counted");
        let longest = ours.clone().filter_map(|held| Some(self.now - held.still_since?)).max();
        assert!(
            longest.is_none_or(|longest| oldest >= longest),
            "{oldest:?}, where one is there for {longest:?}"
        );
        for held in ours {
            let overdue = half_close(held.peer) + GRACE + FOUND_WITHIN;
            let is_known = held.owner == Owner::Lost && held.denials == 2;
            let stuck = self.now - held.still_since.expect("it was seen");
            assert!(is_known || stuck <= overdue, "{held:?} is stuck for {stuck:?} and nobody was asked");
        }
        for (suspect, _) in self.reaper.oldest(3, self.now) {
            let is_it = |held: &&Held| Ends::new(held.socket.local, held.socket.remote) == suspect.ends;
            let held = self.sockets.iter().find(is_it);
            assert!(held.is_none_or(|held| held.censuses >= 2), "{held:?} was seen once");
        }
    }
}

fn half_close(peer: Peer) -> Duration {
    match peer {
        Peer::Client => CLIENTS_HALF_CLOSE,
        Peer::Endpoint => ENDPOINTS_HALF_CLOSE,
    }
}

thread_local! {
    /// One listener and one endpoint.
    static PLACES: Places = Places::of(&fixture::running(fixture::config(
        "timeout.half_close = \"4s\"",
        "timeout.half_close = \"9s\"",
    )));
}
