use super::*;
use crate::observe::fixture;
use crate::registry::Running;
use crate::session::Phase;
use crate::sys::sock_diag::Family;

const S: fn(u64) -> Duration = Duration::from_secs;
const INODE: u32 = 7;

/// What runs in the fixture, with another address for its second listener.
fn running(second: &str) -> Arc<Running> {
    let mut config = fixture::config();
    Arc::make_mut(&mut config.listeners[1]).bind = vec![second.parse().unwrap()];
    fixture::registry_of(&config).running()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn socket(local: &str, remote: &str, state: TcpState) -> Socket {
    let local = address(local);
    Socket {
        family: if local.is_ipv4() { Family::V4 } else { Family::V6 },
        state,
        local,
        remote: address(remote),
        ends_in: None,
        rqueue: 0,
        wqueue: 0,
        inode: INODE,
        uid: 0,
    }
}

fn gone(local: &str, remote: &str, state: TcpState) -> Socket {
    Socket { inode: 0, ..socket(local, remote, state) }
}

/// A link to an endpoint of the fixture, with 17 uses, established 50 s ago.
fn link(running: &Running, endpoint: usize, local: &str, now: Instant) -> Box<Link> {
    let upstream = &running.upstreams[0];
    Box::new(Link {
        upstream: Arc::clone(&upstream.config),
        endpoint: Arc::clone(&upstream.endpoints[endpoint]),
        local: address(local),
        established: now - S(50),
        uses: 17,
    })
}

/// A session on a listener of the fixture, opened 100 s ago.
fn session(running: &Running, listener: usize, client: &str, phase: Phase, now: Instant) -> Held {
    let listener = Arc::clone(&running.listeners[listener]);
    Held::Session { listener, client: address(client), phase, opened: now - S(100), link: None }
}

/// What becomes of these sockets, and of what the kernel was not heard to have. Nobody but the workers knows
/// of a socket.
fn join(running: &Running, held: &[Held], sockets: &[Socket], now: Instant) -> (Vec<Option<Row>>, Vec<Row>) {
    let places = Places::of(running, held.iter());
    let mut join = Join::new(&places, held.iter().map(|held| (1, held)), now, &|_, _| None);
    let rows = sockets.iter().map(|socket| join.row(socket, None, |_| false)).collect();
    (rows, join.unseen().collect())
}

#[test]
fn a_session_has_its_client_and_its_endpoint() {
    let (running, now) = (running("127.0.0.1:5432"), Instant::now());
    let mut held = session(&running, 0, "192.0.2.1:5000", Phase::Exchange, now);
    if let Held::Session { link: l, .. } = &mut held {
        *l = Some(link(&running, 1, "127.0.0.1:40000", now));
    }
    let sockets = [
        socket("127.0.0.1:8080", "192.0.2.1:5000", TcpState::CloseWait),
        socket("127.0.0.1:40000", "127.0.0.1:3001", TcpState::Established),
    ];
    let (rows, unseen) = join(&running, &[held], &sockets, now);
    let [Some(client), Some(upstream)] = &rows[..] else { panic!("{rows:?}") };
    for row in [client, upstream] {
        assert_eq!(row.listener.as_ref().unwrap().config.name, "web");
        assert_eq!(row.upstream.as_ref().unwrap().name, "app");
        assert_eq!((row.endpoint, row.phase), (Some(address("127.0.0.1:3001")), Some("exchange")));
        assert_eq!(row.worker, Some(1));
    }
    assert_eq!((client.peer, client.client, client.uses), (Peer::Client, None, None));
    assert_eq!((client.state, client.age, client.state_age), (Some(TcpState::CloseWait), Some(S(100)), None));
    assert_eq!((upstream.peer, upstream.client), (Peer::Endpoint, Some(address("192.0.2.1:5000"))));
    assert_eq!((upstream.age, upstream.state_age, upstream.uses), (Some(S(50)), Some(S(50)), Some(17)));
    assert_eq!(upstream.ends, Ends::new(address("127.0.0.1:40000"), address("127.0.0.1:3001")));
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn an_idle_connection_has_no_client() {
    let (running, now) = (running("127.0.0.1:5432"), Instant::now());
    let held = [Held::Idle(link(&running, 0, "127.0.0.1:40000", now))];
    let idle = socket("127.0.0.1:40000", "127.0.0.1:3000", TcpState::Established);
    let (rows, _) = join(&running, &held, &[idle, idle], now);
    let row = rows[0].as_ref().unwrap();
    assert_eq!((row.phase, row.uses, row.client), (Some("idle"), Some(17), None));
    assert!(row.listener.is_none());
    assert!(rows[1].is_none(), "a dump may have a socket twice");
}

#[test]
fn what_is_told_last_counts() {
    let (running, now) = (running("127.0.0.1:5432"), Instant::now());
    let mut busy = session(&running, 0, "192.0.2.1:5000", Phase::Exchange, now);
    if let Held::Session { link: l, .. } = &mut busy {
        *l = Some(link(&running, 0, "127.0.0.1:40000", now));
    }
    let idle = Held::Idle(link(&running, 0, "127.0.0.1:40000", now));
    let upstream = [socket("127.0.0.1:40000", "127.0.0.1:3000", TcpState::Established)];
    let phase = |held: &[Held]| join(&running, held, &upstream, now).0[0].as_ref().unwrap().phase;
    assert_eq!(phase(&[idle.clone(), busy.clone()]), Some("exchange"));
    assert_eq!(phase(&[busy, idle]), Some("idle"));
}

#[test]
fn what_nobody_holds_is_attributed_by_its_addresses() {
    let (running, now) = (running("127.0.0.1:5432"), Instant::now());
    let time_wait =
        Socket { ends_in: Some(S(48)), ..gone("127.0.0.1:40000", "127.0.0.1:3000", TcpState::TimeWait) };
    let sockets = [
        time_wait,
        gone("127.0.0.1:5432", "192.0.2.9:1", TcpState::SynRecv),
        gone("127.0.0.1:8080", "192.0.2.9:1", TcpState::Established),
    ];
    // The worker has told of it and closed it since.
    let held = [Held::Idle(link(&running, 0, "127.0.0.1:40000", now))];
    let (rows, unseen) = join(&running, &held, &sockets, now);
    let [Some(waiting), Some(half_open), Some(queued)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((waiting.phase, waiting.age, waiting.worker), (None, None, None));
    assert_eq!(waiting.state_age, Some(S(12)));
    assert_eq!(waiting.upstream.as_ref().unwrap().name, "app");
    assert_eq!(half_open.listener.as_ref().unwrap().config.name, "db");
    assert_eq!((half_open.phase, half_open.state_age), (None, None));
    assert_eq!(queued.listener.as_ref().unwrap().config.name, "web");
    assert_eq!((queued.phase, queued.state_age), (None, None));
    assert_eq!(unseen.len(), 1);
}

#[test]
fn other_processes_and_other_addresses_are_left_out() {
    let (running, now) = (running("127.0.0.1:5432"), Instant::now());
    let foreign = [
        socket("127.0.0.1:40000", "127.0.0.1:3000", TcpState::Established),
        socket("127.0.0.1:8080", "192.0.2.1:1", TcpState::Established),
        gone("127.0.0.1:40000", "127.0.0.1:9999", TcpState::TimeWait),
        gone("127.0.0.2:8080", "192.0.2.1:1", TcpState::TimeWait),
    ];
    assert!(join(&running, &[], &foreign, now).0.iter().all(Option::is_none));
    let places = Places::of(&running, [].iter());
    let mut join = Join::new(&places, [].into_iter(), now, &|_, _| None);
    let mut phase = |state| {
        let socket = socket("127.0.0.1:40000", "127.0.0.1:3000", state);
        join.row(&socket, None, |inode| inode == INODE).unwrap().phase
    };
    assert_eq!((phase(TcpState::SynSent), phase(TcpState::Established)), (Some("connecting"), None));
}

#[test]
fn a_wildcard_takes_what_no_exact_address_does() {
    let now = Instant::now();
    for (bind, local) in [("0.0.0.0:8080", "10.0.0.1:8080"), ("[::]:8080", "[2001:db8::1]:8080")] {
        let running = running(bind);
        let held = [
            session(&running, 2, "192.0.2.1:5000", Phase::Tunnel, now),
            session(&running, 0, "192.0.2.1:5000", Phase::Idle, now),
        ];
        let sockets = [
            socket(local, "192.0.2.1:5000", TcpState::Established),
            socket("127.0.0.1:8080", "192.0.2.1:5000", TcpState::Established),
        ];
        let (rows, _) = join(&running, &held, &sockets, now);
        let row =
            |at: usize| rows[at].as_ref().map(|row| (row.phase, row.listener.as_ref().unwrap().address.0));
        assert_eq!(row(0), Some((Some("tunnel"), address(bind))));
        assert_eq!(row(1), Some((Some("idle"), address("127.0.0.1:8080"))));
    }
}

#[test]
fn who_knows_since_when_is_asked() {
    let (running, now) = (running("127.0.0.1:5432"), Instant::now());
    let held = [session(&running, 0, "192.0.2.1:5000", Phase::Exchange, now)];
    let places = Places::of(&running, held.iter());
    let since =
        |ends: &Ends, state| (ends.remote.port() == 5000 && state == TcpState::CloseWait).then(|| now - S(3));
    let mut join = Join::new(&places, held.iter().map(|held| (0, held)), now, &since);
    let mut row =
        |state| join.row(&socket("127.0.0.1:8080", "192.0.2.1:5000", state), None, |_| true).unwrap();
    assert_eq!(row(TcpState::CloseWait).state_age, Some(S(3)));
    assert_eq!(row(TcpState::FinWait1).state_age, None);
    assert_eq!(row(TcpState::Established).state_age, Some(S(100)));
}

/// A session that outlives its listener, and a connection that outlives its upstream.
#[test]
fn what_is_held_is_found_though_it_is_configured_no_more() {
    let (old, now) = (running("127.0.0.1:6000"), Instant::now());
    let mut config = fixture::config();
    config.listeners.truncate(1);
    config.upstreams = vec![Arc::new(fixture::upstream("new", &[4000]))];
    let running = fixture::registry_of(&config).running();
    let held = [
        session(&old, 2, "192.0.2.1:5000", Phase::Tunnel, now),
        Held::Idle(link(&old, 0, "127.0.0.1:40000", now)),
    ];
    let sockets = [
        socket("127.0.0.1:6000", "192.0.2.1:5000", TcpState::Established),
        socket("127.0.0.1:40000", "127.0.0.1:3000", TcpState::Established),
    ];
    let (rows, _) = join(&running, &held, &sockets, now);
    assert!(rows.iter().all(|row| row.as_ref().is_some_and(|row| row.phase.is_some())), "{rows:?}");
}

#[test]
fn an_endpoint_of_two_upstreams_is_neithers_when_nobody_holds_it() {
    let mut config = fixture::config();
    config.upstreams.push(Arc::new(fixture::upstream("other", &[3000])));
    let (running, now) = (fixture::registry_of(&config).running(), Instant::now());
    let sockets = [
        gone("127.0.0.1:40000", "127.0.0.1:3000", TcpState::TimeWait),
        gone("127.0.0.1:40000", "127.0.0.1:3001", TcpState::TimeWait),
    ];
    let (rows, _) = join(&running, &[], &sockets, now);
    let upstream = |at: usize| rows[at].as_ref().unwrap().upstream.as_ref().map(|u| u.name.as_str());
    assert_eq!((upstream(0), upstream(1)), (None, Some("app")));
}
