//! One worker's view of an upstream: its balancer and its pools.

use super::balance::{Balancer, stable_hash};
use super::health::Change;
use crate::addr::EndpointAddr;
use crate::budget::Budget;
use crate::pool::Pool;
use crate::registry::{EndpointState, UpstreamState};
use crate::timer::Timers;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

/// One worker's view of an upstream, as one configuration has it. After a reload another takes its
/// place, with the pools of the endpoints that are kept; whoever is at an exchange goes on with this one.
#[derive(Debug)]
pub struct Group {
    state: Arc<UpstreamState>,
    budget: Arc<Budget>,
    worker: usize,
    timers: Rc<Timers>,
    balancer: RefCell<Balancer>,
    members: Vec<Member>,
    seen_epoch: Cell<u64>,
}

/// An endpoint of a group.
#[derive(Debug)]
struct Member {
    /// Made at the first use of each endpoint, so that thousands of endpoints cost what is used.
    pool: OnceCell<Rc<Pool>>,
    seat: Rc<Seat>,
}

/// Where an endpoint is counted: in the group that has its upstream now, whichever group chose it.
#[derive(Debug, Default)]
struct Seat {
    group: RefCell<(Weak<Group>, usize)>,
    /// Choices that count here. An endpoint may be without a group for a while: one reload removes it, and
    /// another brings it back.
    choices: Cell<u32>,
}

/// What one worker has of the endpoints that may be kept.
#[derive(Debug, Default)]
pub struct Belongings(HashMap<*const EndpointState, Belonging>);

#[derive(Debug)]
struct Belonging {
    pool: Option<Rc<Pool>>,
    seat: Rc<Seat>,
    /// Of an endpoint that was removed: by when its connections are to be over.
    leaves_by: Option<Instant>,
}

impl Belongings {
    /// Adds what these groups have.
    pub fn add<'a>(&mut self, groups: impl IntoIterator<Item = &'a Rc<Group>>) {
        for group in groups {
            for (endpoint, member) in group.state.endpoints.iter().zip(&group.members) {
                let (pool, seat) = (member.pool.get().cloned(), Rc::clone(&member.seat));
                self.0.insert(Arc::as_ptr(endpoint), Belonging { pool, seat, leaves_by: None });
            }
        }
    }

    /// Nobody has taken what is left: it closes what is idle now, and is to be over by the deadline.
    pub fn leave(&mut self, deadline: Instant) {
        self.0.retain(|_, belonging| belonging.pool.is_some());
        for belonging in self.0.values_mut().filter(|belonging| belonging.leaves_by.is_none()) {
            belonging.leaves_by = Some(deadline);
            belonging.pool.iter().for_each(|pool| pool.shut());
        }
    }

    /// Lets go of the pools of endpoints to which no worker has a connection any more; returns those
    /// whose time is over.
    pub fn dismiss(&mut self, now: Instant) -> Vec<Arc<EndpointState>> {
        let mut overdue = Vec::new();
        self.0.retain(|_, belonging| {
            let Some(pool) = &belonging.pool else { return false };
            let is_gone = pool.endpoint().is_over();
            if is_gone {
                pool.dismiss();
            } else if belonging.leaves_by.is_some_and(|deadline| deadline <= now) {
                overdue.push(Arc::clone(pool.endpoint()));
            }
            !is_gone
        });
        overdue
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pools.
    pub fn pools(&self) -> impl Iterator<Item = Rc<Pool>> {
        self.0.values().filter_map(|belonging| belonging.pool.clone())
    }
}

impl Group {
    /// A view of an upstream, with what there is of its endpoints; the rest has no connections yet.
    /// `seed` makes the random choices.
    pub fn new(
        state: Arc<UpstreamState>,
        budget: Arc<Budget>,
        worker: usize,
        timers: Rc<Timers>,
        seed: u64,
        known: &mut Belongings,
    ) -> Rc<Self> {
        let identity = |address: EndpointAddr| stable_hash(address.to_string().as_bytes());
        let identities: Vec<u64> = state.endpoints.iter().map(|e| identity(e.address)).collect();
        let weights: Vec<u16> = state.config.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let balancer = Balancer::with_identities(&state.config.balance, &weights, &identities, seed);
        let members = state.endpoints.iter().map(|endpoint| Member::new(endpoint, known)).collect();
        let group = Rc::new(Self {
            balancer: RefCell::new(balancer),
            members,
            seen_epoch: Cell::new(0),
            state,
            budget,
            worker,
            timers,
        });
        group.take_over();
        group
    }

    /// From now on its endpoints are counted here, beginning with what they carry already.
    fn take_over(self: &Rc<Self>) {
        for (endpoint, member) in self.members.iter().enumerate() {
            member.seat.group.replace((Rc::downgrade(self), endpoint));
            let load = member.seat.choices.get();
            if load > 0 {
                self.balancer.borrow_mut().set_load(endpoint, load);
            }
            if let Some(pool) = member.pool.get() {
                pool.reopen();
                pool.reconfigure(&self.state.config);
            }
        }
    }

    /// The upstream.
    pub fn state(&self) -> &Arc<UpstreamState> {
        &self.state
    }

    /// Chooses an endpoint for an exchange and counts the exchange on it until the choice is
    /// dropped. `avoid` is passed over as long as there is another. `None`: there is no endpoint, as no
    /// name stands for one.
    pub fn choose(&self, key: u64, avoid: Option<usize>, now: Instant) -> Option<Choice> {
        if self.members.is_empty() {
            return None;
        }
        self.follow_health();
        let mut balancer = self.balancer.borrow_mut();
        let endpoint = match self.state.health.due_trial(now).filter(|trial| Some(*trial) != avoid) {
            Some(trial) => {
                balancer.take(trial);
                trial
            }
            None => balancer.pick(key, avoid),
        };
        let seat = Rc::clone(&self.members[endpoint].seat);
        if let Some((group, place)) = seat.group().filter(|(group, _)| !std::ptr::eq(&**group, self)) {
            // This view is of an old configuration: what it chooses counts in the present one.
            balancer.release(endpoint);
            group.balancer.borrow_mut().take(place);
        }
        seat.choices.set(seat.choices.get() + 1);
        Some(Choice { seat, endpoint })
    }

    /// The pool of an endpoint.
    pub fn pool(&self, endpoint: usize) -> &Rc<Pool> {
        self.members[endpoint].pool.get_or_init(|| {
            Rc::new(Pool::new(
                Arc::clone(&self.state.endpoints[endpoint]),
                Arc::clone(&self.state.config),
                Arc::clone(&self.budget),
                self.worker,
                Rc::clone(&self.timers),
            ))
        })
    }

    /// The pools that have been used.
    pub fn pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.members.iter().filter_map(|member| member.pool.get())
    }

    /// The timers of this worker.
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// Brings the balancer up to date with what any worker found out.
    fn follow_health(&self) {
        let health = &self.state.health;
        let epoch = health.epoch();
        if self.seen_epoch.replace(epoch) != epoch {
            let mut balancer = self.balancer.borrow_mut();
            for endpoint in 0..self.members.len() {
                balancer.set_available(endpoint, health.is_up(endpoint));
            }
        }
    }
}

impl Member {
    fn new(endpoint: &Arc<EndpointState>, known: &mut Belongings) -> Self {
        match known.0.remove(&Arc::as_ptr(endpoint)) {
            Some(Belonging { pool, seat, .. }) => {
                Self { pool: pool.map_or_else(OnceCell::new, OnceCell::from), seat }
            }
            None => Self { pool: OnceCell::new(), seat: Rc::default() },
        }
    }
}

impl Seat {
    fn group(&self) -> Option<(Rc<Group>, usize)> {
        let (group, place) = &*self.group.borrow();
        Some((group.upgrade()?, *place))
    }
}

/// A connect to an endpoint succeeded or failed; a change is logged once.
pub fn report(pool: &Pool, succeeded: bool, now: Instant) {
    let endpoint = pool.endpoint();
    let change = endpoint.report(succeeded, now);
    let upstream = &pool.config().name;
    match change {
        Change::None => {}
        Change::WentDown => tracing::warn!(%upstream, endpoint = %endpoint.address, "endpoint is down"),
        Change::CameUp => tracing::info!(%upstream, endpoint = %endpoint.address, "endpoint is up again"),
    }
}

/// An endpoint chosen for an exchange, which counts there until this is dropped.
#[derive(Debug)]
pub struct Choice {
    seat: Rc<Seat>,
    endpoint: usize,
}

impl Choice {
    /// The endpoint's place in its upstream.
    pub fn endpoint(&self) -> usize {
        self.endpoint
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.seat.choices.set(self.seat.choices.get() - 1);
        if let Some((group, place)) = self.seat.group() {
            group.balancer.borrow_mut().release(place);
        }
    }
}

#[cfg(test)]
mod tests;
