//! A list of all that a worker holds.

use super::*;
use crate::command::{Held, Link};
use std::sync::mpsc::{Receiver, channel};

/// What is told, page by page, and that it ends.
fn pages(told: &Receiver<Vec<Held>>) -> Vec<Vec<Held>> {
    let mut pages: Vec<_> = told.try_iter().collect();
    assert!(pages.pop().is_some_and(|end| end.is_empty()) && pages.iter().all(|page| !page.is_empty()));
    pages
}

fn links(pages: &[Vec<Held>]) -> impl Iterator<Item = &Link> {
    pages.iter().flatten().filter_map(|held| match held {
        Held::Idle(link) => Some(&**link),
        Held::Session { .. } => None,
    })
}

#[test]
fn many_sessions_come_in_pages_between_which_others_have_their_turn() {
    const SESSIONS: usize = 2 * PAGE + 500;
    in_a_worker(async |scene| {
        let open = |n: usize| {
            let client = ClientAddr(SocketAddr::from(([192, 0, 2, 1], n as u16)));
            scene.worker.sessions.open(&scene.listener(), client, scene.start).unwrap()
        };
        let sessions: Vec<Session> = (0..SESSIONS).map(open).collect();
        let (answer, told) = channel();
        let listing = list::list(&scene.worker, &answer);
        let turns = std::cell::Cell::new(0);
        let others = async {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = listing => {}
            () = others => {}
        }
        let pages = pages(&told);
        assert!(pages.iter().all(|page| page.len() <= PAGE), "{:?}", pages.iter().map(Vec::len));
        assert!(turns.get() >= 3, "{} turns", turns.get());
        let mut clients: Vec<u16> = pages
            .iter()
            .flatten()
            .map(|held| match held {
                Held::Session { client, .. } => client.port(),
                Held::Idle(_) => panic!("there is no pool"),
            })
            .collect();
        clients.sort_unstable();
        assert!(clients.iter().copied().eq(0..SESSIONS as u16), "each of them once");
        drop(sessions);
    });
}

#[test]
fn idle_connections_are_told_before_the_sessions_and_after_them() {
    in_a_worker(async |scene| {
        let (_client, accepted, session) = scene.client();
        let (lease, busy) = scene.lease();
        session.enter_with(Phase::Exchange, lease.identity());
        let idle = [scene.pooled(), scene.pooled()];
        let (answer, told) = channel();
        list::list(&scene.worker, &answer).await;
        let pages = pages(&told);
        let mut locals: Vec<SocketAddr> = links(&pages).map(|link| link.local).collect();
        locals.sort_unstable();
        let mut expected: Vec<SocketAddr> =
            idle.iter().flat_map(|peer| [peer.peer_addr().unwrap(); 2]).collect();
        expected.sort_unstable();
        assert_eq!(locals, expected);
        assert!(
            links(&pages).all(|link| link.uses == 0 && link.endpoint.address == scene.endpoint().address)
        );
        let [Held::Session { phase, opened, link: Some(link), client, .. }] = &pages[1][..] else {
            panic!("{pages:?}")
        };
        assert_eq!((*phase, link.uses, link.local), (Phase::Exchange, 1, busy.peer_addr().unwrap()));
        assert_eq!(*client, session.client().0);
        assert!(*opened <= scene.start && link.established >= scene.start);
        drop((accepted, lease));
    });
}

#[test]
fn nobody_is_told_for_nothing() {
    in_a_worker(async |scene| {
        let _connections = [scene.pooled(), scene.pooled()];
        let (answer, told) = channel();
        drop(told);
        list::list(&scene.worker, &answer).await;
    });
}
