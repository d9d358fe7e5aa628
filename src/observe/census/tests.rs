use super::*;
use crate::command;
use crate::observe::fixture::{self, Log};
use crate::sys::sock_diag::TcpState;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

/// Runs `test` and returns what it logged.
fn logged(test: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    tracing::subscriber::with_default(log.subscriber(), test);
    log.lines()
}

/// A listener of the registry's, for which nobody accepts.
fn listening() -> (TcpListener, Arc<Registry>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = fixture::config();
    Arc::make_mut(&mut config.listeners[0]).bind = vec![listener.local_addr().unwrap()];
    (listener, fixture::registry_of(&config))
}

#[test]
fn it_counts_at_once_and_ends_when_it_is_dropped() {
    let registry = fixture::registry();
    registry.close_wait.stuck.failed("not yet".into());
    let census = Census::start(Arc::clone(&registry), Crew::default()).unwrap();
    let start = Instant::now();
    while registry.close_wait.stuck(Instant::now()).is_err() {
        assert!(start.elapsed() < Duration::from_secs(5));
        thread::yield_now();
    }
    drop(census);
    assert!(start.elapsed() < Duration::from_secs(5), "the thread has ended");
}

#[test]
fn what_no_worker_was_asked_about_is_not_called_nobodys() {
    let (listener, registry) = listening();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _accepted = listener.accept().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // A worker that has ended hears nothing.
    let (ended, _) = command::channel();
    let (mut taker, start) = (Taker::new(Arc::clone(&registry), Crew::new(vec![(0, ended)])), Instant::now());
    let lines = logged(|| {
        (0..10).for_each(|number| {
            let _ = taker.take(start + Duration::from_secs(60 * number));
        })
    });
    let stuck = registry.close_wait.stuck(start).unwrap();
    assert_eq!((stuck.count, stuck.sockets.len()), (1, 1));
    assert_eq!(stuck.sockets[0].owner, Owner::Unanswered, "which is not to say that it has none");
    assert_eq!(lines, [""; 0]);
}

#[test]
fn a_failure_is_said_once_and_so_is_its_end() {
    let (_, registry) = listening();
    let mut taker = Taker::new(registry, Crew::default());
    let error = io::Error::other("no answer");
    let lines = logged(|| {
        for error in [None, Some(&error), Some(&error), None, None, Some(&error)] {
            taker.report(0, "accept queues", error);
        }
        taker.report(1, "connections", None);
    });
    let failures: Vec<_> = lines.iter().map(|line| line.contains("cannot count")).collect();
    assert_eq!(failures, [true, false, true], "{lines:?}");
    assert!(lines[0].contains("no answer") && lines[1].contains("counts again"), "{lines:?}");
}

#[test]
fn what_was_counted_reaches_listeners_endpoints_and_sources() {
    // At an address that nobody else on this host uses, or has left a TIME_WAIT at.
    let alone = Ipv4Addr::from(0x7f62_0000 | std::process::id() & 0xffff);
    let [listener, endpoint, other] = [(); 3].map(|()| TcpListener::bind((alone, 0)).unwrap());
    let mut config = fixture::config();
    config.listeners.truncate(1);
    Arc::make_mut(&mut config.listeners[0]).bind = vec![listener.local_addr().unwrap()];
    let endpoints = &mut Arc::make_mut(&mut config.upstreams[0]).endpoints;
    endpoints[0].address = endpoint.local_addr().unwrap();
    endpoints[1].address = other.local_addr().unwrap();
    let registry = fixture::registry_of(&config);
    let running = registry.running();
    let clients: Vec<_> =
        (0..3).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    clients[0].shutdown(Shutdown::Write).unwrap();
    let _dialled: Vec<_> =
        (0..4).map(|_| TcpStream::connect(endpoint.local_addr().unwrap()).unwrap()).collect();
    let (mut taker, now) = (Taker::new(Arc::clone(&registry), Crew::default()), Instant::now());
    taker.sample(now);
    assert_eq!(taker.take(now), config.runtime.census_interval);
    let (clients, endpoint) = (&running.listeners[0].tcp_states, &running.upstreams[0].endpoints[0]);
    let counts =
        [TcpState::Established, TcpState::CloseWait, TcpState::Listen].map(|state| clients.get(state));
    assert_eq!(counts, [2, 1, 1]);
    assert_eq!(endpoint.tcp_states.get(TcpState::Established), 4);
    assert_eq!(endpoint.sources()[0].figures(now).used, 4, "the budget of the ports knows");
    assert_eq!(running.upstreams[0].endpoints[1].tcp_states.get(TcpState::Established), 0);
    let taken = registry.census.last.get(now).unwrap();
    // The fixture has taken one.
    assert_eq!((taken.sockets, registry.census.taken_total()), (7, 2));
    assert!(registry.budgets.get().len() >= 3);
}
