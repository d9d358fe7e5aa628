use super::*;
use crate::observe::fixture;
use crate::registry::Registry;
use std::net::SocketAddr;
use tokio::task::LocalSet;

fn table(registry: &Registry, now: Instant) -> Rc<SessionTable> {
    SessionTable::new(1, Arc::clone(&registry.budget), now)
}

fn client(port: u16) -> ClientAddr {
    ClientAddr(SocketAddr::from(([192, 0, 2, 1], port)))
}

fn closes(listener: &ListenerState, reason: CloseReason) -> u64 {
    listener.workers.iter().map(|w| w.closes.get(reason.index())).sum()
}

#[test]
fn an_entry_is_small() {
    // With the two counts of an Rc, a block of 80 bytes.
    assert!(size_of::<Entry>() <= 64, "an entry takes {} bytes", size_of::<Entry>());
    assert_eq!(size_of::<Session>(), size_of::<usize>());
}

#[test]
fn a_client_of_either_family_is_known_by_its_address() {
    let (registry, now) = (fixture::registry(), Instant::now());
    let table = table(&registry, now);
    let known = [
        ("192.0.2.1:4711", "192.0.2.1:4711"),
        ("[2001:db8::1]:4711", "[2001:db8::1]:4711"),
        ("[::ffff:192.0.2.1]:4711", "192.0.2.1:4711"),
    ];
    for (came, is) in known {
        let client = ClientAddr(came.parse().unwrap());
        let session = table.open(&registry.running().listeners[0], client, now).unwrap();
        assert_eq!(session.client().to_string(), is);
    }
}

#[test]
fn a_session_is_in_the_table_from_its_beginning_to_its_end() {
    let (registry, now) = (fixture::registry(), Instant::now());
    let listener = &registry.running().listeners[0];
    let (sessions, clients) = (listener.gauge(|w| &w.sessions), registry.budget.clients());
    let table = table(&registry, now);
    let mut first = table.open(listener, client(1), now).unwrap();
    let second = table.open(listener, client(2), now + Duration::from_secs(7)).unwrap();
    second.enter(Phase::ReadingHead);

    let page = table.page(0, 100);
    let seen = |e: &Rc<Entry>| (e.client(), e.phase(), e.age(now + Duration::from_millis(10_450)));
    assert_eq!(
        page.entries.iter().map(seen).collect::<Vec<_>>(),
        [
            (client(1), Phase::Idle, Duration::from_millis(10_400)),
            (client(2), Phase::ReadingHead, Duration::from_millis(3_400)),
        ]
    );
    assert_eq!((table.len(), listener.gauge(|w| &w.sessions)), (2, sessions + 2));

    first.ends(CloseReason::ClientFin);
    let (fins, drains) = (closes(listener, CloseReason::ClientFin), closes(listener, CloseReason::Drain));
    drop(first);
    assert_eq!(closes(listener, CloseReason::ClientFin), fins + 1);
    drop(second);
    assert_eq!(closes(listener, CloseReason::Drain), drains + 1, "cut without a reason");
    assert!(table.is_empty() && table.page(0, 100).entries.is_empty());
    assert_eq!((listener.gauge(|w| &w.sessions), registry.budget.clients()), (sessions, clients));
}

#[test]
fn a_panic_is_the_reason_for_what_it_ends() {
    let (registry, now) = (fixture::registry(), Instant::now());
    let listener = &registry.running().listeners[0];
    let table = table(&registry, now);
    let [one, other, third] = [1, 2, 3].map(|port| table.open(listener, client(port), now).unwrap());
    let panicked = || closes(listener, CloseReason::Panicked);
    let before = panicked();
    let fault = std::panic::AssertUnwindSafe(move || {
        let _session = one;
        std::panic::panic_any("on purpose")
    });
    assert!(std::panic::catch_unwind(fault).is_err());
    assert_eq!(panicked(), before + 1, "its own task");
    table.lose_all();
    drop((other, third));
    assert_eq!((panicked(), table.len()), (before + 3, 0), "its worker");
}

#[test]
fn pages_cover_the_table_whatever_left_it() {
    let (registry, now) = (fixture::registry(), Instant::now());
    let table = table(&registry, now);
    let open = |port| table.open(&registry.running().listeners[0], client(port), now).unwrap();
    let mut sessions: Vec<Session> = (0..50).map(open).collect();
    sessions.retain(|session| session.client().0.port() % 3 != 0);
    let (mut from, mut ports) = (Some(0), Vec::new());
    while let Some(place) = from {
        let page = table.page(place, 7);
        assert!(page.entries.len() <= 7);
        ports.extend(page.entries.iter().map(|entry| entry.client().0.port()));
        from = page.next;
    }
    assert_eq!(ports, (0..50).filter(|port| port % 3 != 0).collect::<Vec<u16>>());
}

/// Something that a session holds, which tells when it is let go of.
struct Held(Rc<Cell<bool>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_aborted_session_lets_go_of_everything_once() {
    let (registry, now) = (fixture::registry(), Instant::now());
    let listener = &registry.running().listeners[0];
    let table = table(&registry, now);
    let let_go = Rc::new(Cell::new(false));
    LocalSet::new()
        .run_until(async {
            let session = table.open(listener, client(1), now).unwrap();
            let entry = Rc::clone(session.entry());
            assert!(!entry.abort(CloseReason::Reaped), "nothing serves it yet");
            let held = Held(Rc::clone(&let_go));
            let task = tokio::task::spawn_local(async move {
                let _held = (session, held);
                std::future::pending::<()>().await;
            });
            entry.served_by(task.abort_handle());
            tokio::task::yield_now().await;
            assert!(entry.abort(CloseReason::Reaped));
            assert!(!entry.abort(CloseReason::Reaped), "it is told once");
            // The drain waits for nothing else.
            table.emptied().await;
            assert!(task.await.unwrap_err().is_cancelled());
        })
        .await;
    assert!(let_go.get());
    assert_eq!(closes(listener, CloseReason::Reaped), 1);
}
