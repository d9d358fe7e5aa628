//! One worker's connections to one endpoint: what is idle, and who waits.

mod idle_age;
mod listed;
mod own;
mod reaped;
mod reload;
mod scarce;
mod siblings;
mod succession;
mod ticket;

pub use listed::IdlePage;
pub use own::OwnDial;
pub use ticket::Ticket;

use crate::budget::Budget;
use crate::config::model;
use crate::metrics::counters::EndpointCounters;
use crate::pool::connection::{Connection, Life, NoSlot, OpenSlot, Quiet};
use crate::pool::ending::Ending;
use crate::pool::handover::{Handover, Message};
use crate::pool::identity::Identity;
use crate::pool::idle::IdleList;
use crate::pool::lease::Lease;
use crate::pool::state::{State, transition};
use crate::pool::waiters::Waiters;
use crate::pool::watch::WatchQueue;
use crate::reason::DiscardReason;
use crate::registry::EndpointState;
use crate::source::lease::PortLease;
use crate::source::level::Level;
use crate::timer::{Timer, Timers};
use crate::upstream::connect::{ConnectError, Shortage};
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What a waiting request is given.
pub type Delivery = Result<Connection, ConnectError>;

/// One worker's pool to one endpoint.
#[derive(Debug)]
pub struct Pool {
    endpoint: Arc<EndpointState>,
    /// The upstream's configuration now.
    upstream: RefCell<Arc<model::Upstream>>,
    handover: Arc<Handover>,
    budget: Arc<Budget>,
    worker: usize,
    desk: u64,
    watches: Arc<WatchQueue>,
    idle: RefCell<IdleList<Connection>>,
    waiters: RefCell<Waiters<Delivery>>,
    /// Dials and questions to siblings under way: each will serve one waiter.
    coming: Cell<usize>,
    standing: Cell<Standing>,
    has_keeper: Cell<bool>,
    /// The last question to a sibling found nothing: dial rather than ask again.
    asked_in_vain: Cell<bool>,
    last_dial_failed: Cell<bool>,
    /// Since when somebody waits for what a predecessor may give up.
    gift_awaited_since: Cell<Option<Instant>>,
    /// When to dial again, now that there was no descriptor for it.
    descriptor_at: Cell<Option<Instant>>,
    /// Another number for each dial: sources with equal room take turns.
    turn: Cell<usize>,
    /// Whether this worker keeps more than its share of `max_idle`.
    over_share: Cell<bool>,
    timers: Rc<Timers>,
    /// What wakes the keeper, and when.
    alarm: Timer,
    alarm_at: Cell<Option<Instant>>,
    /// When to forget some of what was learned, next.
    forget_at: Cell<Option<Instant>>,
}

/// Whether the pool keeps connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It does, until [`Pool::shut`].
    Open,
    /// It closes whatever becomes idle. [`Pool::reopen`] and [`Pool::dismiss`] lead out of it.
    Shut,
    /// So it does, and its keeper is gone.
    Dismissed,
}

/// How long a connection that was kept warm may be in use before another is warmed in its place.
const WARM_PATIENCE: Duration = Duration::from_millis(100);

impl Pool {
    /// An empty pool.
    pub fn new(
        endpoint: Arc<EndpointState>,
        upstream: Arc<model::Upstream>,
        budget: Arc<Budget>,
        worker: usize,
        timers: Rc<Timers>,
    ) -> Self {
        let handover = Arc::clone(&endpoint.handover);
        let desk = handover.open(worker);
        Self {
            watches: WatchQueue::new(Arc::clone(&handover), worker),
            endpoint,
            upstream: RefCell::new(upstream),
            handover,
            budget,
            worker,
            desk,
            idle: RefCell::default(),
            waiters: RefCell::default(),
            coming: Cell::new(0),
            standing: Cell::new(Standing::Open),
            has_keeper: Cell::new(false),
            asked_in_vain: Cell::new(false),
            last_dial_failed: Cell::new(false),
            gift_awaited_since: Cell::new(None),
            descriptor_at: Cell::new(None),
            turn: Cell::new(worker),
            over_share: Cell::new(false),
            alarm: timers.timer(),
            timers,
            alarm_at: Cell::new(None),
            forget_at: Cell::new(None),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.endpoint
    }

    /// The configuration of the upstream, as it is now.
    pub fn config(&self) -> Ref<'_, Arc<model::Upstream>> {
        self.upstream.borrow()
    }

    /// The timers of its worker.
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// Whether it had no keeper until now; from now on it has.
    pub fn wants_keeper(&self) -> bool {
        !self.has_keeper.replace(true)
    }

    /// This worker's counters for the endpoint.
    pub fn counters(&self) -> &EndpointCounters {
        &self.endpoint.workers[self.worker]
    }

    /// Waits until there is work for this pool's keeper: a sibling or an idle connection rang, or
    /// `at` has come, which a connection that becomes idle may move forward.
    pub async fn called(&self, at: Option<Instant>) {
        match at {
            Some(at) => self.alarm.set(at),
            None => self.alarm.clear(),
        }
        self.alarm_at.set(at);
        tokio::select! {
            () = self.handover.rung(self.worker) => {}
            () = self.alarm.expired() => {}
        }
    }

    /// The freshest idle connection that is still good; what is not is closed on the way.
    pub fn check_out(self: &Rc<Self>, now: Instant) -> Option<Lease> {
        let mut connection = self.take_idle(now)?;
        connection.life_mut().leased_at = now;
        if self.cold() > 0 {
            self.call_by(now + WARM_PATIENCE);
        }
        Some(Lease::new(connection, Rc::clone(self)))
    }

    /// Takes back a connection, counted as idle, whose exchange ended cleanly: for whoever waits,
    /// else for the idle list.
    pub fn take_back(self: &Rc<Self>, connection: Connection, now: Instant) {
        match connection.retired(now, self.max_requests()) {
            Some(reason) => self.drop_idle(connection, reason),
            None => self.place(connection, now),
        }
    }

    /// Closes a connection that no gauge counts any more.
    pub fn close(&self, connection: Connection, ending: Ending) {
        let close = self.config().socket.close;
        connection.close(ending, close, self.counters());
    }

    /// Joins the queue for a connection.
    pub fn join(self: &Rc<Self>) -> Ticket {
        let key = self.waiters.borrow_mut().join();
        self.publish();
        Ticket { pool: Rc::clone(self), key: Some(key) }
    }

    /// How many wait without a dial or a question under way for them.
    pub fn unprovided(&self) -> usize {
        self.waiters.borrow().waiting().saturating_sub(self.coming.get())
    }

    /// Whether one of them does not wait for a connection that comes back, and nothing is under way
    /// for it.
    pub fn insists(&self) -> bool {
        self.waiters.borrow().insisting() > self.coming.get()
    }

    /// Whether a dial or a question is under way.
    pub fn is_coming(&self) -> bool {
        self.coming.get() > 0
    }

    /// A slot for a dial, if the level of the ports is `most` or below. [`Self::dial_ended`] must
    /// follow.
    ///
    /// # Errors
    /// When there is none.
    pub fn begin_dial(&self, most: Level, now: Instant) -> Result<OpenSlot, NoSlot> {
        let slot = self.take_slot(most, now)?;
        self.coming.set(self.coming.get() + 1);
        self.publish();
        Ok(slot)
    }

    fn take_slot(&self, most: Level, now: Instant) -> Result<OpenSlot, NoSlot> {
        let max = self.config().pool.max_connections;
        let port = || self.take_port(most, now);
        let slot = OpenSlot::take(&self.endpoint, &self.budget, &self.handover, max, port)?;
        transition(self.counters(), State::Absent, State::Connecting);
        Ok(slot)
    }

    fn take_port(&self, most: Level, now: Instant) -> Result<PortLease, Level> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        PortLease::take(&self.endpoint.sources(), turn, most, now)
    }

    /// A dial ended at `now`: the connection goes to whoever waits, or is kept; an error goes to a waiter
    /// that nothing else is under way for. Where ports were wanting, [`Self::fail_one`] is left to
    /// whoever provides: something may come back.
    pub fn dial_ended(self: &Rc<Self>, result: Result<(TcpStream, Life), ConnectError>, now: Instant) {
        self.coming.set(self.coming.get() - 1);
        self.last_dial_failed.set(result.is_err());
        match result {
            Ok((stream, life)) => {
                transition(self.counters(), State::Connecting, State::Idle);
                let connection = self.connection(stream, life);
                self.take_back(connection, now);
            }
            Err(error) => {
                transition(self.counters(), State::Connecting, State::Absent);
                if matches!(error, ConnectError::Local(Shortage::Descriptors)) {
                    self.want_descriptor(now);
                } else if self.unprovided() > 0 && error.unavailable().is_none() {
                    self.fail_one(error);
                }
            }
        }
        self.publish();
    }

    /// Tells the longest waiter that nothing will come.
    pub fn fail_one(&self, error: ConnectError) {
        // Nobody waiting any more is nobody to tell.
        let _ = self.waiters.borrow_mut().give(Err(error));
        self.publish();
    }

    /// Deals with what siblings left at the desk and with idle connections that were disturbed.
    pub fn look_after(self: &Rc<Self>, now: Instant) {
        for message in self.handover.take(self.worker) {
            self.read_message(message, now);
        }
        for key in self.watches.take() {
            let verdict = self.idle.borrow().get(key).map(|connection| connection.watch_idle(key));
            if let Some(Quiet::No(reason)) = verdict {
                self.evict(key, reason, now);
            }
        }
    }

    /// Closes what has been idle for too long; returns when to look again.
    pub fn expire(&self, now: Instant) -> Option<Instant> {
        self.forget_idle(now);
        loop {
            let expires = self.first_expiry()?;
            if expires > now {
                return Some(expires);
            }
            let Some(connection) = self.pop_oldest() else { continue };
            let retired = connection.retired(now, self.max_requests());
            match self.heir().filter(|_| now < connection.expires(self.idle_timeout())) {
                Some(heir) => self.give(connection, &heir, now),
                None => self.drop_idle(connection, retired.unwrap_or(DiscardReason::IdleTimeout)),
            }
        }
    }

    /// How many connections are wanted to keep `min_idle` warm in this worker.
    pub fn cold(&self) -> usize {
        let (workers, min) = (self.sharers(), self.config().pool.min_idle);
        let share = min / workers + usize::from(self.worker < min % workers);
        match self.standing.get() {
            Standing::Shut | Standing::Dismissed => 0,
            Standing::Open => share.saturating_sub(self.idle.borrow().len() + self.coming.get()),
        }
    }

    /// Whether the last dial from here failed.
    pub fn last_dial_failed(&self) -> bool {
        self.last_dial_failed.get()
    }

    /// The endpoint announced how long it keeps idle connections.
    pub fn note_keep_alive(&self, timeout: Duration) {
        let ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let before = self.endpoint.keep_alive_hint_ms.load(Relaxed);
        if before != ms {
            self.endpoint.keep_alive_hint_ms.store(ms, Relaxed);
            if before == 0 || ms < before {
                self.wake_keepers();
            }
        }
    }

    /// Closes everything idle, now and from now on; or gives it away, where there is an heir.
    pub fn shut(&self) {
        if self.standing.get() == Standing::Open {
            self.standing.set(Standing::Shut);
        }
        if self.heir().is_some() {
            return self.handover.wake(self.worker);
        }
        while let Some(connection) = self.pop_idle() {
            self.drop_idle(connection, DiscardReason::Drain);
        }
    }

    /// How long an idle connection is kept.
    pub fn idle_timeout(&self) -> Duration {
        self.endpoint.idle_timeout(&self.config()).0
    }

    fn max_requests(&self) -> u64 {
        self.config().pool.max_requests
    }

    fn take_idle(&self, now: Instant) -> Option<Connection> {
        while let Some(connection) = self.pop_idle() {
            let mut reason = connection.retired(now, self.max_requests());
            if reason.is_none() && connection.was_disturbed() {
                reason = match connection.watch_idle(usize::MAX) {
                    Quiet::Yes => None,
                    Quiet::No(reason) => Some(reason),
                };
            }
            match reason {
                None => return Some(connection),
                Some(reason) => self.drop_disturbed(connection, reason, now),
            }
        }
        None
    }

    /// The newest idle connection. A function of its own, so that no borrow outlives it.
    fn pop_idle(&self) -> Option<Connection> {
        let newest = self.idle.borrow_mut().pop();
        self.note_share();
        newest
    }

    /// The connection that has been idle longest.
    fn pop_oldest(&self) -> Option<Connection> {
        let oldest = self.idle.borrow_mut().pop_oldest();
        self.note_share();
        oldest
    }

    fn connection(&self, stream: TcpStream, life: Life) -> Connection {
        let identity = Identity::new(&self.config(), &self.endpoint, &stream, &life);
        Connection::new(stream, life, identity, &self.watches)
    }

    /// When the connection that has been idle longest expires. The others do so later, but for their
    /// age, which is looked at again when they are used.
    fn first_expiry(&self) -> Option<Instant> {
        self.idle.borrow().oldest().map(|connection| connection.expires(self.idle_limit()))
    }

    /// Finds a use for a connection without work: for whoever waits, here or at a sibling's; else it
    /// is kept, if there is room. One that was used may have been closed right behind its response.
    /// One just dialled is given away as it is: where the server speaks first, its first bytes belong
    /// to whoever waits.
    fn place(self: &Rc<Self>, mut connection: Connection, now: Instant) {
        let key = self.idle.borrow().next_key();
        let was_used = connection.life().uses > 0;
        if was_used && let Quiet::No(reason) = connection.watch_idle(key) {
            return self.drop_idle(connection, reason);
        }
        connection.life_mut().leased_at = now;
        let given = match was_used && self.is_coming() {
            true => self.waiters.borrow_mut().give_used(Ok(connection)),
            false => self.waiters.borrow_mut().give(Ok(connection)),
        };
        self.publish();
        let Err(Ok(connection)) = given else { return };
        if !was_used && let Quiet::No(reason) = connection.watch_idle(key) {
            return self.drop_idle(connection, reason);
        }
        if let Some(sibling) = self.starved_sibling() {
            if let Some(detached) = self.detach(connection) {
                // One whose worker has just ended is closed.
                let _ = self.handover.send(sibling, Message::Gift(detached));
            }
        } else if self.standing.get() != Standing::Open && self.heir().is_none() {
            self.drop_idle(connection, DiscardReason::Drain);
        } else if self.budget.is_short() {
            self.drop_idle(connection, DiscardReason::Descriptors);
        } else if self.has_room() {
            self.keep(connection);
        } else {
            self.drop_idle(connection, DiscardReason::PoolFull);
        }
    }

    /// Keeps a connection that is watched as the next key.
    fn keep(&self, connection: Connection) {
        self.idle.borrow_mut().push(connection);
        self.note_share();
        if let Some(at) = self.first_expiry() {
            self.call_by(at);
        }
    }

    /// Wakes the keeper at this time, if nothing does so before.
    pub fn call_by(&self, at: Instant) {
        if self.alarm_at.get().is_none_or(|alarm| at < alarm) {
            self.alarm.set(at);
            self.alarm_at.set(Some(at));
        }
    }

    fn evict(&self, key: usize, reason: DiscardReason, now: Instant) {
        let evicted = self.idle.borrow_mut().remove(key);
        self.note_share();
        if let Some(connection) = evicted {
            self.drop_disturbed(connection, reason, now);
        }
    }

    /// Closes a connection that something happened to while it was idle.
    fn drop_disturbed(&self, connection: Connection, reason: DiscardReason, now: Instant) {
        self.closed_in_pool(connection.life(), reason, now);
        self.drop_idle(connection, reason);
    }

    fn drop_idle(&self, connection: Connection, reason: DiscardReason) {
        transition(self.counters(), State::Idle, State::Absent);
        self.close(connection, reason.into());
    }

    /// Publishes how many wait, for the statistics and for the siblings.
    pub(super) fn publish(&self) {
        let counters = self.counters();
        counters.waiting.set(self.waiters.borrow().waiting() as u64);
        counters.starved.set(self.unprovided() as u64);
    }
}

#[cfg(test)]
mod tests;
