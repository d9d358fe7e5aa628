//! What the pools of two workers know of each other.

use super::*;
use crate::observe::fixture;
use crate::pool::handover::Message;
use crate::pool::state::{State, transition};
use std::pin::pin;
use std::task::{Context, Waker};

/// The pools of two workers to one endpoint.
fn pools(now: Instant) -> [Rc<Pool>; 2] {
    let upstream = Arc::clone(&fixture::registry().running().upstreams[0]);
    let budget = Arc::new(Budget::new(1000, 0));
    [0, 1].map(|worker| {
        let (endpoint, config) = (Arc::clone(&upstream.endpoints[1]), Arc::clone(&upstream.config));
        Rc::new(Pool::new(endpoint, config, Arc::clone(&budget), worker, Timers::new(now)))
    })
}

#[test]
fn a_worker_is_starved_only_until_a_dial_has_begun() {
    let now = Instant::now();
    let [pool, _sibling] = pools(now);
    let _ticket = pool.join();
    let starved = || (pool.unprovided(), pool.counters().starved.get());
    assert_eq!(starved(), (1, 1), "siblings may give it what comes back to them");
    let slot = pool.begin_dial(Level::Ok, now).unwrap();
    assert_eq!(starved(), (0, 0), "now they keep it");
    drop(slot);
}

#[test]
fn a_worker_is_starved_only_until_it_has_asked_a_sibling() {
    let [pool, _sibling] = pools(Instant::now());
    let _ticket = pool.join();
    assert_eq!(pool.counters().starved.get(), 1);
    pool.ask(1);
    assert_eq!((pool.unprovided(), pool.counters().starved.get()), (0, 0));
}

#[test]
fn a_shorter_hint_wakes_the_keepers_of_all_workers() {
    let [pool, sibling] = pools(Instant::now());
    let seconds = Duration::from_secs;
    for (hint, is_shorter) in [(60, true), (60, false), (90, false), (15, true), (15, false)] {
        let mut called = pin!(sibling.called(None));
        let mut context = Context::from_waker(Waker::noop());
        assert!(called.as_mut().poll(&mut context).is_pending(), "{hint}: nothing has happened yet");
        pool.note_keep_alive(seconds(hint));
        assert_eq!(called.as_mut().poll(&mut context).is_ready(), is_shorter, "{hint}");
    }
    assert_eq!(sibling.idle_timeout(), seconds(14));
}

/// Whom nobody waits for any more, a question in vain tells nothing.
#[test]
fn a_question_in_vain_is_remembered_for_those_who_wait() {
    let now = Instant::now();
    let [pool, sibling] = pools(now);
    transition(sibling.counters(), State::Absent, State::Connecting);
    transition(sibling.counters(), State::Connecting, State::Idle);
    for waits_on in [true, false] {
        let mut ticket = Some(pool.join());
        pool.ask(1);
        ticket = ticket.filter(|_| waits_on);
        pool.read_message(Message::Answer(None), now);
        assert_eq!(pool.sibling_with_idle(), if waits_on { None } else { Some(1) });
        drop(ticket);
    }
}
