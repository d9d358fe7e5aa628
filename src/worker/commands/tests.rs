//! Sessions and connections that really are stuck, with real sockets, from the census to the end of
//! the descriptor. Time is an argument of the census, so that nobody waits for a deadline.

mod listing;

use super::*;
use crate::addr::ClientAddr;
use crate::command::{self, Crew};
use crate::forward::dispatch;
use crate::listener::inlet::{Door, Inlet};
use crate::observe::census::Taker;
use crate::observe::fixture::{self, Log};
use crate::pool::Lease;
use crate::pool::connection::Life;
use crate::reason::DiscardReason;
use crate::registry::{EndpointState, ListenerState, Registry};
use crate::session::{Phase, Session};
use crate::source::level::Level;
use crate::sys::sock_diag::{Filter, TcpState, TcpStates, sockets};
use crate::timer::Timer;
use crate::upstream::group::Group;
use std::future::pending;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use tokio::task::{LocalSet, spawn_local};
use tokio_util::sync::CancellationToken;

const S: fn(u64) -> Duration = Duration::from_secs;

/// A worker on this thread, and the census on another.
struct Scene {
    worker: Rc<Worker>,
    group: Rc<Group>,
    listening: TcpListener,
    origin: TcpListener,
    taker: Option<Taker>,
    start: Instant,
    log: Log,
    _logging: tracing::subscriber::DefaultGuard,
}

/// Runs `test` in the runtime of a worker whose half-close deadlines are 0.
fn in_a_worker(test: impl AsyncFnOnce(Scene)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { test(Scene::new()).await });
}

impl Scene {
    fn new() -> Self {
        let (listening, origin) = (listen(), listen());
        let mut config = fixture::config();
        let listener = Arc::make_mut(&mut config.listeners[0]);
        listener.bind = vec![listening.local_addr().unwrap()];
        listener.timeout.half_close = Duration::ZERO;
        let upstream = Arc::make_mut(&mut config.upstreams[0]);
        upstream.endpoints.truncate(1);
        upstream.endpoints[0].address = origin.local_addr().unwrap();
        upstream.timeout.half_close = Duration::ZERO;
        let registry = fixture::registry_of(&config);
        // The other worker, which does not run, has nothing to hand over.
        registry.running().upstreams[0].endpoints[0].workers[1].idle.set(0);

        let log = Log::default();
        let logging = tracing::subscriber::set_default(log.subscriber());
        let start = Instant::now();
        let worker = Rc::new(Worker::new(0, Arc::clone(&registry), None, CancellationToken::new(), start));
        let state = Arc::clone(&registry.running().upstreams[0]);
        let group = worker.play(state);
        let (sender, commands) = command::channel();
        spawn_local(serve(Rc::clone(&worker), commands));
        let taker = Some(Taker::new(registry, Crew::new(vec![(0, sender)])));
        Self { worker, group, listening, origin, taker, start, log, _logging: logging }
    }

    fn registry(&self) -> &Registry {
        &self.worker.registry
    }

    fn listener(&self) -> Arc<ListenerState> {
        Arc::clone(&self.registry().running().listeners[0])
    }

    fn endpoint(&self) -> Arc<EndpointState> {
        Arc::clone(&self.registry().running().upstreams[0].endpoints[0])
    }

    /// A client, with its socket in the worker and its session.
    fn client(&self) -> (TcpStream, TcpStream, Session) {
        let client = TcpStream::connect(self.listening.local_addr().unwrap()).unwrap();
        let (accepted, address) = self.listening.accept().unwrap();
        let session = self.worker.sessions.open(&self.listener(), ClientAddr(address), self.start).unwrap();
        (client, accepted, session)
    }

    /// A connection to the endpoint in the pool, which nobody looks after; and the endpoint's side.
    fn pooled(&self) -> TcpStream {
        let pool = self.group.pool(0);
        let slot = pool.begin_dial(Level::Refuse, self.start).unwrap();
        let stream = TcpStream::connect(self.origin.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let life = Life::new(slot, Instant::now(), Duration::ZERO, None);
        pool.dial_ended(Ok((tokio::net::TcpStream::from_std(stream).unwrap(), life)), Instant::now());
        self.origin.accept().unwrap().0
    }

    fn lease(&self) -> (Lease, TcpStream) {
        let endpoint = self.pooled();
        (self.group.pool(0).check_out(Instant::now()).unwrap(), endpoint)
    }

    /// A census so many seconds after the start, while the worker runs.
    async fn census(&mut self, at: u64) {
        let (mut taker, now) = (self.taker.take().unwrap(), self.start + S(at));
        let logging = tracing::dispatcher::get_default(Clone::clone);
        let taken = tokio::task::spawn_blocking(move || {
            tracing::dispatcher::with_default(&logging, || taker.take(now));
            taker
        });
        self.taker = Some(taken.await.unwrap());
        // What the worker is told last is done by now, and what follows from it.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// As many as it takes to see it, to know that it is ours, and to lose patience.
    async fn censuses(&mut self) {
        for at in [0, 1, 10, 11, 20, 21] {
            self.census(at).await;
        }
    }

    fn count(&self) -> u64 {
        self.registry().close_wait.stuck(self.start).unwrap().count
    }

    fn reaped(&self) -> u64 {
        const OF_THE_FIXTURE: u64 = 1;
        self.registry().close_wait.reaped_total() - OF_THE_FIXTURE
    }

    fn lines_with(&self, words: &str) -> Vec<String> {
        self.log.lines().into_iter().filter(|line| line.contains(words)).collect()
    }

    fn closes(&self, reason: CloseReason) -> u64 {
        self.listener().workers.iter().map(|w| w.closes.get(reason.index())).sum()
    }

    fn discards(&self, reason: DiscardReason) -> u64 {
        self.endpoint().workers.iter().map(|w| w.discards.get(reason.index())).sum()
    }
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The state of a socket of this process's; `None`: no descriptor holds it.
fn state(ends: Ends) -> Option<TcpState> {
    let filter = Filter { local_port: Some(ends.local.port()), ..Filter::states(TcpStates::ALL) };
    let found = sockets(&filter).unwrap();
    let socket = found.iter().find(|s| (s.local, s.remote) == (ends.local, ends.remote) && s.inode != 0);
    socket.map(|socket| socket.state)
}

/// The peer closes its half, and the kernel has noticed.
fn close(peer: &TcpStream) -> Ends {
    peer.shutdown(Shutdown::Write).unwrap();
    let ours = Ends::new(peer.peer_addr().unwrap(), peer.local_addr().unwrap());
    let deadline = Instant::now() + S(5);
    while state(ours) != Some(TcpState::CloseWait) {
        assert!(Instant::now() < deadline, "{:?}", state(ours));
        std::thread::yield_now();
    }
    ours
}

/// A session whose task holds these, and looks at nothing.
fn stuck_session<T: 'static>(session: Session, holds: T) {
    let entry = Rc::clone(session.entry());
    let task = spawn_local(async move {
        let _holds = (holds, session);
        pending::<()>().await;
    });
    entry.served_by(task.abort_handle());
}

#[test]
fn a_stuck_session_is_reported_counted_and_closed_once() {
    in_a_worker(async |mut scene| {
        let (mut client, accepted, session) = scene.client();
        let sessions = scene.listener().gauge(|w| &w.sessions);
        session.enter(Phase::ReadingHead);
        stuck_session(session, accepted);
        client.write_all(b"GET / HT").unwrap();
        let socket = close(&client);
        scene.census(0).await;
        scene.census(1).await;
        assert_eq!((scene.count(), scene.reaped(), state(socket)), (1, 0, Some(TcpState::CloseWait)));

        for at in [3, 4, 10] {
            scene.census(at).await;
        }
        assert_eq!(state(socket), None, "its descriptor is gone");
        assert_eq!((scene.count(), scene.reaped(), scene.closes(CloseReason::Reaped)), (0, 1, 1));
        let lines = scene.lines_with("reaped a session");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let peer = format!("client={}", socket.remote);
        for field in ["socket=\"client\"", "listener=\"web\"", &peer, "phase=reading_head", "close_wait=3s"] {
            assert!(lines[0].contains(field), "{field}: {}", lines[0]);
        }
        assert!(client.read(&mut [0; 1]).unwrap_or(0) == 0);
        assert_eq!(scene.listener().gauge(|w| &w.sessions), sessions - 1);
        scene.worker.sessions.emptied().await;
    });
}

#[test]
fn a_session_that_is_stuck_with_its_endpoint_gives_everything_back() {
    in_a_worker(async |mut scene| {
        let (before, leased) = (scene.registry().budget.used(), scene.endpoint().gauge(|w| &w.leased));
        let (client, accepted, session) = scene.client();
        let (lease, endpoint) = scene.lease();
        session.enter_with(Phase::Exchange, lease.identity());
        let (timer, buffer) = (scene.worker.timers.timer(), scene.worker.buffers.lend());
        timer.set(Instant::now() + S(3600));
        session.entry().ends_by(&timer);
        stuck_session(session, (accepted, lease, timer, buffer));
        let socket = close(&endpoint);
        scene.censuses().await;

        assert_eq!(state(socket), None);
        let counted =
            (scene.reaped(), scene.closes(CloseReason::Reaped), scene.discards(DiscardReason::Reaped));
        assert_eq!(counted, (1, 1, 1), "one socket, one session, one connection");
        assert_eq!(scene.discards(DiscardReason::Aborted), 0);
        let lines = scene.lines_with("reaped a session");
        let endpoint = format!("endpoint={}", scene.endpoint().address);
        assert!(lines.len() == 1 && lines[0].contains("socket=\"endpoint\""), "{lines:?}");
        assert!(lines[0].contains(&endpoint) && lines[0].contains("upstream=\"app\""), "{lines:?}");
        assert_eq!(scene.endpoint().gauge(|w| &w.leased), leased);
        assert_eq!(scene.registry().budget.used(), before);
        scene.worker.sessions.emptied().await;
        drop(client);
    });
}

#[test]
fn the_connection_of_a_session_that_is_stuck_with_its_client_is_only_aborted() {
    in_a_worker(async |mut scene| {
        let (client, accepted, session) = scene.client();
        let (lease, _endpoint) = scene.lease();
        session.enter_with(Phase::Tunnel, lease.identity());
        stuck_session(session, (accepted, lease));
        close(&client);
        scene.censuses().await;
        assert_eq!((scene.reaped(), scene.closes(CloseReason::Reaped)), (1, 1));
        assert_eq!((scene.discards(DiscardReason::Aborted), scene.discards(DiscardReason::Reaped)), (1, 0));
    });
}

#[test]
fn an_idle_connection_that_nobody_looks_after_is_discarded() {
    in_a_worker(async |mut scene| {
        let idle = scene.endpoint().gauge(|w| &w.idle);
        let endpoint = scene.pooled();
        let socket = close(&endpoint);
        scene.censuses().await;
        assert_eq!(state(socket), None);
        assert_eq!((scene.reaped(), scene.discards(DiscardReason::Reaped)), (1, 1));
        assert_eq!(scene.endpoint().gauge(|w| &w.idle), idle);
        assert_eq!(scene.lines_with("reaped an idle connection").len(), 1);
    });
}

/// A session with this much before its client's FIN that nobody reads, and with a deadline.
fn reads_nothing(scene: &Scene, bytes: &[u8], due: Instant) -> (TcpStream, Timer, Ends) {
    let (mut client, accepted, session) = scene.client();
    let timer = scene.worker.timers.timer();
    timer.set(due);
    session.entry().ends_by(&timer);
    stuck_session(session, accepted);
    client.write_all(bytes).unwrap();
    let socket = close(&client);
    (client, timer, socket)
}

#[test]
fn who_cannot_see_the_fin_yet_has_until_its_own_deadline() {
    in_a_worker(async |mut scene| {
        let later = Instant::now() + S(3600);
        let (_client, timer, socket) = reads_nothing(&scene, b"what its other side has no room for", later);
        scene.censuses().await;
        assert_eq!((scene.reaped(), state(socket)), (0, Some(TcpState::CloseWait)));
        timer.clear();
        scene.census(30).await;
        scene.census(40).await;
        assert_eq!((scene.reaped(), state(socket)), (1, None));
    });
}

#[test]
fn who_can_see_the_fin_has_no_excuse() {
    in_a_worker(async |mut scene| {
        let (_client, _timer, socket) = reads_nothing(&scene, b"", Instant::now() + S(3600));
        scene.censuses().await;
        assert_eq!((scene.reaped(), state(socket)), (1, None));
    });
}

#[test]
fn a_session_whose_other_side_is_slow_is_left_alone() {
    in_a_worker(async |mut scene| {
        let (client, accepted, session) = scene.client();
        let (lease, endpoint) = scene.lease();
        session.enter_with(Phase::Exchange, lease.identity());
        let timer = scene.worker.timers.timer();
        timer.set(Instant::now() + S(3600));
        session.entry().ends_by(&timer);
        // The client reads nothing, and its window is full.
        accepted.set_nonblocking(true).unwrap();
        while (&accepted).write(&[0; 65_536]).is_ok() {}
        stuck_session(session, (accepted, lease, timer));
        let socket = close(&endpoint);
        scene.censuses().await;
        assert_eq!((scene.reaped(), state(socket)), (0, Some(TcpState::CloseWait)));
        drop(client);
    });
}

#[test]
fn a_socket_of_ours_that_no_worker_knows_is_reported_once() {
    in_a_worker(async |mut scene| {
        let client = TcpStream::connect(scene.listening.local_addr().unwrap()).unwrap();
        let (leaked, _) = scene.listening.accept().unwrap();
        let socket = close(&client);
        scene.censuses().await;
        assert_eq!((scene.count(), scene.reaped(), state(socket)), (1, 0, Some(TcpState::CloseWait)));
        assert_eq!(scene.lines_with("no worker knows it").len(), 1);
        drop(leaked);
        scene.census(21).await;
        assert_eq!(scene.count(), 0);
    });
}

/// Serves a client as the listener's protocol says.
fn dispatch(scene: &Scene, listener: usize) -> (TcpStream, Rc<Entry>) {
    let (client, accepted, mut session) = scene.client();
    let state = Arc::clone(&scene.registry().running().listeners[listener]);
    if listener > 0 {
        session = scene.worker.sessions.open(&state, session.client(), scene.start).unwrap();
    }
    let entry = Rc::clone(session.entry());
    accepted.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(accepted).unwrap();
    let inlet = Inlet::new(&Rc::<Door>::default(), state, Rc::clone(&scene.group));
    dispatch::dispatch(&scene.worker, &inlet, stream, session);
    (client, entry)
}

/// Lets the worker run until a session is at this.
async fn until(entry: &Entry, phase: Phase) {
    let deadline = Instant::now() + S(5);
    while entry.phase() != phase {
        assert!(Instant::now() < deadline, "{} and not {phase}", entry.phase());
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_table_shows_what_an_http_session_is_at() {
    in_a_worker(async |scene| {
        let (mut client, entry) = dispatch(&scene, 0);
        assert_eq!(entry.phase(), Phase::Idle);
        for _ in 0..2 {
            client.write_all(b"GET / HT").unwrap();
            until(&entry, Phase::ReadingHead).await;
            assert!(entry.connection().is_none());
            client.write_all(b"TP/1.1\r\nHost: a\r\n\r\n").unwrap();
            until(&entry, Phase::Exchange).await;
            let mut endpoint = scene.origin.accept().unwrap().0;
            assert_eq!(entry.connection().unwrap().local, endpoint.peer_addr().unwrap());
            endpoint.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
            until(&entry, Phase::Idle).await;
            assert!(entry.connection().is_none());
        }
        drop(client);
        scene.worker.sessions.emptied().await;
        assert_eq!(entry.phase(), Phase::Closing);
    });
}

#[test]
fn the_table_shows_what_a_tcp_session_is_at() {
    const TCP: usize = 1;
    in_a_worker(async |scene| {
        let (client, entry) = dispatch(&scene, TCP);
        until(&entry, Phase::Waiting).await;
        until(&entry, Phase::Tunnel).await;
        let endpoint = scene.origin.accept().unwrap().0;
        assert_eq!(entry.connection().unwrap().local, endpoint.peer_addr().unwrap());
        drop((client, endpoint));
        scene.worker.sessions.emptied().await;
    });
}
