//! Workers with their pools, the backends that they dial, and clients that want connections.

mod backend;
mod client;
mod dialling;
mod events;
mod keeper;
mod promises;
mod setup;

use crate::chance::Chance;
use crate::clock::Since;
use crate::runner::{Log, history};
use backend::Backend;
use client::Session;
use dialling::{Begun, Dial};
use keeper::Keeper;
use millpond::budget::Budget;
use millpond::config::model;
use millpond::registry::UpstreamState;
use millpond::timer::{self, Timers};
use millpond::upstream::group::{Belongings, Group};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Events of one history.
const EVENTS: usize = 40;

/// Plays the history of a seed.
pub(crate) fn simulate(seed: u64, log: &mut Log) {
    history(EVENTS, || World::new(seed, log), World::happen, |world| world.check(), World::end);
}

struct World<'a> {
    chance: Chance,
    log: &'a mut Log,
    start: Instant,
    config: Arc<model::Upstream>,
    upstream: Arc<UpstreamState>,
    budget: Arc<Budget>,
    workers: Vec<Worker>,
    keepers: Vec<Keeper>,
    /// All there ever are; those of `upstream` are some of them.
    backends: Vec<Backend>,
    begun: Begun,
    dials: Vec<Dial>,
    /// In the order of their arrival.
    sessions: Vec<Session>,
    /// Names of connections and of sessions.
    last_name: u64,
}

struct Worker {
    timers: Rc<Timers>,
    group: Rc<Group>,
    leaving: RefCell<Belongings>,
}

impl World<'_> {
    fn say(&mut self, what: &'static str, more: impl FnOnce() -> String) {
        self.log.say(what, Since(self.start, self.now()), more);
    }

    fn now(&self) -> Instant {
        timer::now()
    }

    fn name(&mut self) -> u64 {
        self.last_name += 1;
        self.last_name
    }

    /// The backend that an endpoint of the upstream is.
    fn backend_of(&self, place: usize) -> usize {
        self.number_of(&self.upstream.endpoints[place])
    }

    fn number_of(&self, endpoint: &Arc<millpond::registry::EndpointState>) -> usize {
        let is_it = |backend: &Backend| Arc::ptr_eq(&backend.state, endpoint);
        self.backends.iter().position(is_it).expect("a backend of this world")
    }
}
