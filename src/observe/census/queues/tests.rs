use super::*;
use crate::observe::fixture::{self, Log};
use crate::registry::Running;
use crate::sys::sockopt;
use socket2::Socket;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// A listener of the registry's with a queue of its own, in which this many connections find room beside
/// the first, and what looks at it.
struct Scene {
    listener: TcpListener,
    running: Arc<Running>,
    places: Places,
    queues: Queues,
    start: Instant,
}

impl Scene {
    fn new(backlog: i32) -> Self {
        let listener: Socket = sockopt::tcp_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(backlog).unwrap();
        let listener = TcpListener::from(listener);
        let mut config = fixture::config();
        Arc::make_mut(&mut config.listeners[1]).bind = vec![listener.local_addr().unwrap()];
        let running = fixture::registry_of(&config).running();
        running.listeners[2].queues.belong([(sockopt::inode(&listener).unwrap(), Some(1))]);
        let places = Places::of(&running);
        Self { listener, running, places, queues: Queues::default(), start: Instant::now() }
    }

    fn look(&mut self, second: u64) -> Vec<String> {
        let log = Log::default();
        let now = self.start + Duration::from_secs(second);
        tracing::subscriber::with_default(log.subscriber(), || {
            self.queues.look(&self.places, now).unwrap();
        });
        log.lines()
    }

    fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect_timeout(&self.listener.local_addr().unwrap(), Duration::from_millis(50)).ok()
    }

    fn figures(&self, second: u64) -> (u32, u32, u32, u64) {
        let all = self.running.listeners[2].queues.figures(self.start + Duration::from_secs(second));
        assert_eq!((all.len(), all[0].worker), (1, Some(1)));
        (all[0].depth, all[0].limit, all[0].deepest, all[0].drops_total)
    }
}

#[test]
fn a_look_finds_how_many_wait_and_remembers_the_most() {
    let mut scene = Scene::new(7);
    scene.look(0);
    assert_eq!(scene.figures(0), (0, 7, 0, 0));
    let waiting: Vec<_> = (0..3).map(|_| scene.connect().unwrap()).collect();
    scene.look(1);
    waiting.iter().for_each(|_| drop(scene.listener.accept().unwrap()));
    assert_eq!(scene.look(2), [""; 0], "nothing was dropped");
    assert_eq!(scene.figures(2), (0, 7, 3, 0));
    assert_eq!(scene.running.listeners[2].tcp_states.get(TcpState::Listen), 1);
}

#[test]
fn an_overflow_is_told_with_the_listeners_name_and_what_to_change_and_not_every_second() {
    let mut scene = Scene::new(1);
    scene.look(0);
    let mut clients: Vec<_> = (0..3).map(|_| scene.connect()).collect();
    assert!(clients.iter().any(Option::is_none), "the queue is full");
    let lines = scene.look(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let somaxconn = limits::somaxconn().unwrap();
    let parts = [
        "WARN",
        "listener=db",
        "worker=1",
        "limit=1",
        &format!("somaxconn={somaxconn}"),
        "the accept queue is full and clients are turned away: raise listener.socket.backlog",
    ];
    assert!(parts.iter().all(|part| lines[0].contains(part)), "{lines:?}");
    let (depth, limit, deepest, drops) = scene.figures(1);
    assert!((depth, limit, deepest) == (2, 1, 2) && drops > 0, "{depth} of {limit}, {deepest}, {drops}");

    clients.push(scene.connect());
    assert_eq!(scene.look(2), [""; 0], "it goes on");
    clients.push(scene.connect());
    assert_eq!(scene.look(62).len(), 1, "it still goes on");
    clients.push(scene.connect());
    assert_eq!(scene.look(63), [""; 0]);
    let lines = scene.look(123);
    assert!(lines.len() == 1 && lines[0].contains("listener=db dropped="), "it is over: {lines:?}");
    clients.push(scene.connect());
    assert_eq!(scene.look(124).len(), 1, "and is news again");
}

#[test]
fn the_remedy_is_what_holds_the_queue_short() {
    assert!(remedy(Cause::AcceptQueue, 8, Some(4096)).contains("listener.socket.backlog, up to 4096"));
    for somaxconn in [Some(4096), None] {
        assert!(remedy(Cause::AcceptQueue, 4096, somaxconn).contains("net.core.somaxconn"));
    }
    assert!(remedy(Cause::SynQueue, 8, None).contains("tcp_max_syn_backlog"));
}

#[test]
fn the_cause_is_what_the_kernel_has_counted() {
    let before =
        TcpCounters { listen_overflows: Some(1), syn_queue_drops: Some(1), ..TcpCounters::default() };
    let overflow = TcpCounters { listen_overflows: Some(2), ..before };
    let syns = TcpCounters { syn_queue_drops: Some(2), ..before };
    let causes = [overflow, syns, before].map(|now| Cause::of(&before, &now));
    assert_eq!(causes, [Cause::AcceptQueue, Cause::SynQueue, Cause::Unknown]);
}
