//! What a history begins with, and what a reload changes.

use super::backend::{Backend, HealthModel, Mode};
use super::{Worker, World};
use crate::chance::Chance;
use crate::fixture;
use crate::runner::Log;
use millpond::budget::Budget;
use millpond::config::model;
use millpond::registry::{EndpointState, UpstreamState};
use millpond::source::kernel::PortSettings;
use millpond::source::ledger::Ledger;
use millpond::timer::{self, Timers};
use millpond::upstream::group::{Belongings, Group};
use millpond::upstream::health::Health;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The kernel's side of our ports.
#[derive(Clone, Debug)]
pub(super) struct SourceSetup {
    pub(super) settings: PortSettings,
    pub(super) ledgers: Vec<Arc<Mutex<Ledger>>>,
    /// How many sources there are.
    pub(super) count: u8,
    /// Ports of each source.
    pub(super) capacity: u32,
    /// How long a TIME_WAIT holds its port.
    pub(super) hold_at_least: Duration,
    pub(super) hold_at_most: Duration,
}

const BACKENDS: usize = 3;
/// A TIME_WAIT ends this much late at most, and is counted together with others for a tenth of a second.
const HOLD_LATE: Duration = Duration::from_millis(5120 + 100);

impl<'a> World<'a> {
    pub(super) fn new(seed: u64, log: &'a mut Log) -> Self {
        let mut chance = Chance::new(seed);
        let start = timer::now();
        let workers = chance.within(1..=3);
        let budget = Arc::new(Budget::new(Budget::RESERVE + chance.of(&[8, 20, 200]), 0));
        let config = Arc::new(random_config(&mut chance, &fixture::upstream()));
        let setup = random_sources(&mut chance);
        let unused = Arc::new(Health::new(1, &config.passive));
        let backends: Vec<Backend> = (0..chance.within(1..=BACKENDS))
            .map(|number| backend(number, workers, &setup, &config, &unused, &mut chance))
            .collect();
        let upstream = upstream_of(&config, &backends.iter().collect::<Vec<_>>());
        let workers = (0..workers).map(|index| {
            let timers = Timers::new(start);
            tokio::task::spawn_local(Rc::clone(&timers).drive());
            let (state, budget) = (Arc::clone(&upstream), Arc::clone(&budget));
            let mut known = Belongings::default();
            let group = Group::new(state, budget, index, Rc::clone(&timers), chance.number(), &mut known);
            Worker { timers, group, leaving: RefCell::new(known) }
        });
        let workers = workers.collect();
        let mut world = Self {
            log,
            start,
            config: Arc::clone(&upstream.config),
            upstream,
            budget,
            workers,
            keepers: Vec::new(),
            backends,
            begun: Rc::default(),
            dials: Vec::new(),
            sessions: Vec::new(),
            last_name: 0,
            chance,
        };
        let (pool, source) = (world.config.pool.clone(), world.config.source.clone());
        world.say("histories", || format!("{:?} {pool:?} {source:?}", world_of(&setup)));
        world.warm();
        world
    }

    /// Another configuration: other limits, and perhaps other endpoints.
    pub(super) fn reload(&mut self) {
        let config = random_config(&mut self.chance, &self.config);
        let all = self.backends.len();
        let (first, count) = (self.chance.below(all), self.chance.within(1..=all));
        let places: Vec<usize> = (0..count).map(|step| (first + step) % all).collect();
        let chosen: Vec<&Backend> = places.iter().map(|place| &self.backends[*place]).collect();
        let upstream = upstream_of(&config, &chosen);
        let config = Arc::clone(&upstream.config);
        for place in &places {
            let backend = &mut self.backends[*place];
            let (address, setup) = (backend.state.address.0, &backend.setup);
            backend.sources = fixture::sources(&config, address, &setup.settings, &setup.ledgers);
            backend.state.set_sources(backend.sources.clone().into());
            backend.health.follow(&config.passive);
        }
        let deadline = self.now() + Duration::from_secs(5);
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let mut known = worker.leaving.take();
            known.add([&worker.group]);
            let (state, budget) = (Arc::clone(&upstream), Arc::clone(&self.budget));
            let seed = self.chance.number();
            worker.group = Group::new(state, budget, index, Rc::clone(&worker.timers), seed, &mut known);
            worker.group.pools().for_each(|pool| pool.share_anew());
            known.leave(deadline);
            worker.leaving.replace(known);
        }
        (self.upstream, self.config) = (upstream, config);
        let (pool, passive) = (self.config.pool.clone(), self.config.passive.clone());
        self.say("reloads", || format!("backends {places:?}, {pool:?} {passive:?}"));
        self.warm();
    }

    /// What is to be kept warm has its keeper from the beginning.
    fn warm(&mut self) {
        if self.config.pool.min_idle > 0 {
            let (workers, endpoints) = (self.workers.len(), self.upstream.endpoints.len());
            for place in 0..workers * endpoints {
                self.pool(place % workers, place / workers);
            }
        }
    }
}

impl HealthModel {
    fn new(policy: &model::Passive) -> Self {
        let (failures_allowed, retry_after) = (policy.failures, policy.retry_after);
        Self { failures_allowed, retry_after, failures: 0, is_down: false, no_trial_before: None }
    }

    fn follow(&mut self, policy: &model::Passive) {
        if policy.failures == 0 {
            *self = Self::new(policy);
        }
        self.failures_allowed = policy.failures;
        self.retry_after = self.retry_after.min(policy.retry_after);
    }
}

fn backend(
    number: usize,
    workers: usize,
    setup: &SourceSetup,
    config: &model::Upstream,
    health: &Arc<Health>,
    chance: &mut Chance,
) -> Backend {
    let address = SocketAddr::from(([198, 51, 100, 1 + number as u8], 80));
    let mut setup = setup.clone();
    setup.ledgers = fixture::ledgers(setup.count, address, &setup.settings);
    let sources = fixture::sources(config, address, &setup.settings, &setup.ledgers);
    Backend {
        state: Arc::new(EndpointState::new(address, workers, sources.clone().into(), (health, 0))),
        sources,
        setup,
        mode: Mode::Accepts,
        keeps_for: chance.of(&[None, Some(400), Some(900), Some(3000)]).map(Duration::from_millis),
        ends: Default::default(),
        time_waits: Vec::new(),
        time_waits_told: 0,
        others: 0,
        had_others: false,
        short_at: None,
        health: HealthModel::new(&config.passive),
        closed: Vec::new(),
    }
}

fn upstream_of(config: &model::Upstream, backends: &[&Backend]) -> Arc<UpstreamState> {
    let mut config = config.clone();
    let endpoint = |backend: &&Backend| model::Endpoint { address: backend.state.address.0, weight: 1 };
    config.endpoints = backends.iter().map(endpoint).collect();
    let known: Vec<_> = backends.iter().map(|backend| Some(backend.state.health())).collect();
    let health = Arc::new(Health::carrying(&known, &config.passive));
    for (place, backend) in backends.iter().enumerate() {
        backend.state.set_health(&health, place);
    }
    let endpoints = backends.iter().map(|backend| Arc::clone(&backend.state)).collect();
    Arc::new(UpstreamState { config: Arc::new(config), endpoints, health })
}

fn random_config(chance: &mut Chance, before: &model::Upstream) -> model::Upstream {
    let mut config = before.clone();
    let (max_idle, min_idle) = (chance.within(0..=6), chance.of(&[0, 0, 0, 1, 2]));
    config.pool = model::Pool {
        max_idle,
        min_idle: min_idle.min(max_idle),
        max_connections: chance.of(&[0, 0, 1, 2, 4]),
        idle_timeout: chance.of(&[None, None, Some(700), Some(5000)]).map(Duration::from_millis),
        max_age: Duration::from_secs(chance.of(&[0, 6, 3600])),
        max_requests: chance.of(&[0, 0, 1, 3]),
        wait_timeout: chance.ms(50..=3000),
        wait_queue: chance.within(0..=6),
    };
    let [warn, reuse_only, refuse] = chance.of(&[[60, 75, 85], [10, 40, 90], [90, 95, 100]]);
    config.source.warn_percent = warn;
    config.source.reuse_only_percent = reuse_only;
    config.source.refuse_percent = refuse;
    config.passive.failures = chance.within(0..=3) as u32;
    config.passive.retry_after = chance.ms(100..=1000);
    config.passive.retry_after_max = Duration::from_secs(4);
    config.timeout.connect = chance.ms(100..=1000);
    let (auto, graceful) = (model::UpstreamClose::Auto, model::UpstreamClose::Graceful);
    config.socket.close = chance.of(&[auto, graceful, graceful, model::UpstreamClose::Reset]);
    config
}

fn random_sources(chance: &mut Chance) -> SourceSetup {
    let capacity = chance.of(&[4, 8, 20, 1000]);
    let reuses = chance.one_in(3);
    let settings = PortSettings {
        range: 40_000..=40_000 + capacity - 1,
        tw_reuse: u32::from(reuses),
        ..PortSettings::default()
    };
    let hold_at_least = Duration::from_secs(if reuses { 1 } else { 60 });
    let late = if reuses { Duration::from_millis(100) } else { HOLD_LATE };
    SourceSetup {
        count: chance.of(&[1, 1, 2]),
        ledgers: Vec::new(),
        capacity: u32::from(capacity),
        hold_at_least,
        hold_at_most: hold_at_least + late,
        settings,
    }
}

fn world_of(setup: &SourceSetup) -> (u32, u8, Duration) {
    (setup.capacity, setup.count, setup.hold_at_least)
}

/// When something that is due at `at` has happened: timers are late by up to one tick, and the
/// runtime's by a millisecond or two.
pub(super) fn by(at: Instant) -> Instant {
    at + timer::RESOLUTION + Duration::from_millis(3)
}
