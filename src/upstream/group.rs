//! One worker's view of an upstream: its balancer and its pools.

use super::balance::{Balancer, stable_hash};
use super::health::Change;
use crate::addr::EndpointAddr;
use crate::pool::Pool;
use crate::pool::handover::Handover;
use crate::registry::{Registry, UpstreamState};
use crate::timer::Timers;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What the workers share of one upstream beside its [`UpstreamState`].
#[derive(Debug)]
pub struct Shared {
    /// The upstream.
    pub state: Arc<UpstreamState>,
    /// One for each endpoint.
    pub handovers: Vec<Arc<Handover>>,
}

/// One worker's view of an upstream.
#[derive(Debug)]
pub struct Group {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    worker: usize,
    timers: Rc<Timers>,
    balancer: RefCell<Balancer>,
    /// Made at the first use of each endpoint, so that thousands of endpoints cost what is used.
    pools: Vec<OnceCell<Rc<Pool>>>,
    seen_epoch: Cell<u64>,
}

impl Group {
    /// A view without connections. `seed` makes the random choices.
    pub fn new(
        shared: Arc<Shared>,
        registry: Arc<Registry>,
        worker: usize,
        timers: Rc<Timers>,
        seed: u64,
    ) -> Self {
        let state = &shared.state;
        let identity = |address: EndpointAddr| stable_hash(address.to_string().as_bytes());
        let identities: Vec<u64> = state.endpoints.iter().map(|e| identity(e.address)).collect();
        let weights: Vec<u16> = state.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self {
            balancer: RefCell::new(Balancer::with_identities(
                &state.config.balance,
                &weights,
                &identities,
                seed,
            )),
            pools: state.endpoints.iter().map(|_| OnceCell::new()).collect(),
            seen_epoch: Cell::new(0),
            shared,
            registry,
            worker,
            timers,
        }
    }

    /// The upstream.
    pub fn state(&self) -> &Arc<UpstreamState> {
        &self.shared.state
    }

    /// Chooses an endpoint for an exchange and counts the exchange on it until the choice is
    /// dropped. `avoid` is passed over as long as there is another.
    pub fn choose(self: &Rc<Self>, key: u64, avoid: Option<usize>, now: Instant) -> Choice {
        self.follow_health();
        let mut balancer = self.balancer.borrow_mut();
        let endpoint = match self.state().health.due_trial(now).filter(|trial| Some(*trial) != avoid) {
            Some(trial) => {
                balancer.take(trial);
                trial
            }
            None => balancer.pick(key, avoid),
        };
        Choice { group: Rc::clone(self), endpoint }
    }

    /// The pool of an endpoint, and whether it was made by this call.
    pub fn pool(&self, endpoint: usize) -> (&Rc<Pool>, bool) {
        let cell = &self.pools[endpoint];
        let new = cell.get().is_none();
        let pool = cell.get_or_init(|| {
            Rc::new(Pool::new(
                Arc::clone(&self.state().endpoints[endpoint]),
                Arc::clone(&self.state().config),
                Arc::clone(&self.shared.handovers[endpoint]),
                Arc::clone(&self.registry.budget),
                self.worker,
                self.timers.timer(),
            ))
        });
        (pool, new)
    }

    /// The pools that have been used.
    pub fn pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.pools.iter().filter_map(OnceCell::get)
    }

    /// The timers of this worker.
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// A connect to an endpoint succeeded or failed; a change is logged once.
    pub fn report(&self, endpoint: usize, succeeded: bool, now: Instant) {
        let health = &self.state().health;
        let change = if succeeded { health.succeeded(endpoint) } else { health.failed(endpoint, now) };
        let address = self.state().endpoints[endpoint].address;
        let upstream = &self.state().config.name;
        match change {
            Change::None => {}
            Change::WentDown => tracing::warn!(%upstream, endpoint = %address, "endpoint is down"),
            Change::CameUp => tracing::info!(%upstream, endpoint = %address, "endpoint is up again"),
        }
    }

    /// Brings the balancer up to date with what any worker found out.
    fn follow_health(&self) {
        let health = &self.state().health;
        let epoch = health.epoch();
        if self.seen_epoch.replace(epoch) != epoch {
            let mut balancer = self.balancer.borrow_mut();
            for endpoint in 0..self.pools.len() {
                balancer.set_available(endpoint, health.is_up(endpoint));
            }
        }
    }
}

/// An endpoint chosen for an exchange, which counts there until this is dropped.
#[derive(Debug)]
pub struct Choice {
    group: Rc<Group>,
    endpoint: usize,
}

impl Choice {
    /// The endpoint's place in its upstream.
    pub fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// The upstream.
    pub fn group(&self) -> &Rc<Group> {
        &self.group
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.group.balancer.borrow_mut().release(self.endpoint);
    }
}
