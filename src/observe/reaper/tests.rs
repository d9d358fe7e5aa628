use super::*;
use crate::observe::fixture;
use crate::observe::places::Places;
use crate::session::Phase;
use crate::sys::sock_diag::Family;
use crate::sys::sock_diag::TcpState;
use std::net::SocketAddr;

const S: fn(u64) -> Duration = Duration::from_secs;
/// The half-close deadline of the fixture's listeners and upstream.
const HALF_CLOSE: u64 = 30;
const WEB: &str = "127.0.0.1:8080";
const ENDPOINT: &str = "127.0.0.1:3000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn socket(local: &str, remote: &str) -> Socket {
    Socket {
        family: Family::V4,
        state: TcpState::CloseWait,
        local: address(local),
        remote: address(remote),
        rqueue: FIN,
        wqueue: 0,
        inode: 7,
        ends_in: None,
        uid: 0,
    }
}

/// A client's socket, an endpoint's, and what a reaper makes of them.
struct Scene {
    places: Places,
    reaper: Reaper,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let places = Places::of(&fixture::registry().running());
        Self { places, reaper: Reaper::default(), start: Instant::now() }
    }

    /// A census so many seconds after the start, in which inode 7 is ours.
    fn census(&mut self, at: u64, found: &[Socket]) -> Vec<Suspect> {
        let now = self.start + S(at);
        let placed = found.iter().filter_map(|socket| Some((*socket, self.places.find(socket)?)));
        self.reaper.note(&placed.collect::<Vec<_>>(), &self.places, now);
        if self.reaper.wants_inodes(now) {
            self.reaper.know_own(&HashSet::from([7]), now);
        }
        self.reaper.suspects(now)
    }

    fn stuck(&self, at: u64) -> (u64, u64) {
        let (count, oldest) = self.reaper.stuck(self.start + S(at));
        (count, oldest.as_secs())
    }

    fn judge(&mut self, at: u64, suspect: Suspect, has_deadline: bool, other_unsent: u32) -> Verdict {
        let held = Holding { socket: suspect, phase: Phase::Exchange, has_deadline, other: None };
        self.reaper.judge(&held, other_unsent, self.start + S(at))
    }
}

fn suspect(socket: &Socket, peer: Peer) -> Suspect {
    Suspect { ends: Ends::new(socket.local, socket.remote), peer }
}

#[test]
fn a_socket_is_a_suspect_only_after_its_deadline_and_the_grace() {
    for (socket, peer) in
        [(socket(WEB, "192.0.2.1:5"), Peer::Client), (socket("127.0.0.1:40000", ENDPOINT), Peer::Endpoint)]
    {
        let mut scene = Scene::new();
        for at in 0..=HALF_CLOSE + 2 {
            assert_eq!(scene.census(at, &[socket]), [], "after {at} s");
        }
        assert_eq!(scene.census(HALF_CLOSE + 3, &[socket]), [suspect(&socket, peer)]);
        assert_eq!(scene.stuck(HALF_CLOSE + 3), (1, HALF_CLOSE + 3));
    }
}

#[test]
fn every_byte_that_is_read_starts_its_age_again() {
    let mut scene = Scene::new();
    let mut slow = socket("127.0.0.1:40000", ENDPOINT);
    for at in 0..200 {
        slow.rqueue = 1_000_000 - 100 * u32::try_from(at / 20).unwrap();
        assert_eq!(scene.census(at, &[slow]), [], "after {at} s");
        assert_eq!(scene.stuck(at), (1, at % 20));
    }
    assert_eq!(scene.census(180 + HALF_CLOSE + 3, &[slow]).len(), 1, "nothing was read since 180 s");
}

#[test]
fn an_age_ends_with_its_socket() {
    let mut scene = Scene::new();
    let socket = socket(WEB, "192.0.2.1:5");
    scene.census(0, &[socket]);
    scene.census(20, &[]);
    assert_eq!(scene.stuck(20), (0, 0));
    scene.census(21, &[socket]);
    assert_eq!(scene.census(40, &[socket]), []);
    assert_eq!(scene.stuck(40), (1, 19));
    let another = Socket { inode: 8, ..socket };
    scene.census(41, &[another]);
    assert_eq!(scene.stuck(41), (1, 0), "the same addresses, another socket");
}

#[test]
fn what_no_descriptor_of_ours_holds_is_left_alone() {
    let mut scene = Scene::new();
    let foreign = Socket { inode: 8, ..socket("127.0.0.1:40000", ENDPOINT) };
    let unaccepted = Socket { inode: 0, ..socket(WEB, "192.0.2.1:5") };
    let elsewhere = socket("127.0.0.1:40000", "127.0.0.1:9");
    let all = [foreign, unaccepted, elsewhere];
    scene.census(0, &all);
    assert_eq!(scene.stuck(0), (1, 0), "presumed ours, until it is known");
    assert_eq!(scene.census(1, &all), []);
    assert_eq!(scene.stuck(1), (0, 0));
    assert_eq!(scene.census(HALF_CLOSE + 10, &all), []);
}

#[test]
fn it_is_asked_whose_sockets_are_only_where_one_stays_and_not_always() {
    let (mut reaper, places, start) = (Reaper::default(), Scene::new().places, Instant::now());
    let of_web = |inode, peer| (Socket { inode, ..socket(WEB, peer) }, Place::Listener(0));
    let (first, second) = (of_web(7, "192.0.2.1:5"), of_web(7, "192.0.2.1:6"));
    reaper.note(&[first], &places, start);
    assert!(!reaper.wants_inodes(start), "most are gone at once");
    reaper.note(&[first, second], &places, start + S(1));
    assert!(reaper.wants_inodes(start + S(1)));
    reaper.know_own(&HashSet::from([7]), start + S(1));
    assert!(!reaper.wants_inodes(start + S(1)));
    let third = of_web(9, "192.0.2.1:7");
    reaper.note(&[third], &places, start + S(2));
    reaper.note(&[third], &places, start + S(3));
    assert!(!reaper.wants_inodes(start + S(5)) && reaper.wants_inodes(start + S(6)));
}

#[test]
fn a_session_is_excused_while_it_waits_for_its_other_side_within_a_deadline() {
    let at_fin = socket("127.0.0.1:40000", ENDPOINT);
    let (behind_data, sending) = (Socket { rqueue: 2, ..at_fin }, Socket { wqueue: 1, ..at_fin });
    let cases = [
        (at_fin, true, 0, false),
        (at_fin, true, 1, true),
        (behind_data, true, 0, true),
        (sending, true, 0, true),
        (at_fin, false, 1, false),
        (behind_data, false, 0, false),
        (sending, false, 0, false),
    ];
    for (socket, has_deadline, other_unsent, excused) in cases {
        let mut scene = Scene::new();
        scene.census(0, &[socket]);
        let suspects = scene.census(40, &[socket]);
        let verdict = scene.judge(40, suspects[0], has_deadline, other_unsent);
        let expected = if excused { Verdict::Excused } else { Verdict::Reap(S(40)) };
        assert_eq!(verdict, expected, "{socket:?}, deadline: {has_deadline}, {other_unsent} unsent");
        let again = 40 + if excused { HALF_CLOSE + 3 } else { 1 };
        assert_eq!(scene.census(again - 1, &[socket]).is_empty(), excused);
        assert_eq!(scene.census(again, &[socket]).len(), 1, "an excuse is good for one deadline");
    }
}

#[test]
fn what_nobody_knows_is_said_once_and_never_asked_about_again() {
    let mut scene = Scene::new();
    let socket = socket(WEB, "192.0.2.1:5");
    scene.census(0, &[socket]);
    let suspects = scene.census(40, &[socket]);
    assert!(!scene.reaper.denied(&suspects[0]), "it may be on its way from one worker to another");
    assert_eq!(scene.census(41, &[socket]), suspects);
    assert!(scene.reaper.denied(&suspects[0]));
    assert_eq!(scene.census(42, &[socket]), []);
    assert!(!scene.reaper.denied(&suspects[0]));
    assert_eq!(scene.stuck(42), (1, 42), "but it is there");
}

#[test]
fn the_oldest_are_told_first_once_they_were_seen_twice() {
    let mut scene = Scene::new();
    let client = socket(WEB, "192.0.2.1:5");
    let endpoint = socket("127.0.0.1:40000", ENDPOINT);
    let foreign = Socket { inode: 8, ..socket("127.0.0.1:40001", ENDPOINT) };
    scene.census(0, &[endpoint]);
    assert_eq!(scene.reaper.oldest(5, scene.start), [], "most are gone by the next census");
    scene.census(2, &[endpoint, client, foreign]);
    scene.census(7, &[endpoint, client, foreign]);
    let told = |most| scene.reaper.oldest(most, scene.start + S(7));
    let (first, second) = (suspect(&endpoint, Peer::Endpoint), suspect(&client, Peer::Client));
    assert_eq!(told(5), [(first, S(7)), (second, S(5))]);
    assert_eq!(told(1), [(first, S(7))]);
    assert_eq!((scene.reaper.name(&first), scene.reaper.name(&second)), (Some("app"), Some("web")));
}
