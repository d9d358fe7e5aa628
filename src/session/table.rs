//! The sessions of one worker, each with what others may know of it.
//!
//! What a session holds for the whole of its life is here and not in its task, so that an idle client
//! costs it once. Entries are written by their session in plain cells: no lock, no clock, nothing
//! allocated between accept and close.

use super::{Phase, Rated, Session};
use crate::addr::{ClientAddr, as_v6, plain};
use crate::budget::Budget;
use crate::metrics::counters::ListenerCounters;
use crate::pool::Identity;
use crate::reason::{CloseReason, RejectReason};
use crate::registry::ListenerState;
use crate::timer::{NO_TIMER, Timer, TimerId};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The sessions of one worker.
#[derive(Debug)]
pub struct SessionTable {
    entries: RefCell<Slab<Rc<Entry>>>,
    worker: usize,
    budget: Arc<Budget>,
    /// What [`Entry::opened`] counts from.
    base: Instant,
    emptied: Notify,
}

/// One session, as others see it.
pub struct Entry {
    table: Rc<SessionTable>,
    listener: Arc<ListenerState>,
    task: Cell<Option<AbortHandle>>,
    connection: Cell<Option<Rc<Identity>>>,
    client: Compact,
    /// In units of [`UNIT`] since the table was made: 13 years fit.
    opened: u32,
    key: u32,
    timer: Cell<TimerId>,
    phase: Cell<Phase>,
    reason: Cell<CloseReason>,
}

/// A client's address in 18 bytes instead of 32: an entry's block has 80 then, and would have 96.
#[derive(Clone, Copy)]
struct Compact {
    /// IPv4 addresses are mapped.
    ip: Ipv6Addr,
    port: u16,
}

impl Compact {
    /// The scope of a link-local address, and the flow label, are not kept.
    fn new(client: ClientAddr) -> Self {
        Self { ip: as_v6(client.0.ip()), port: client.0.port() }
    }

    /// The address; one that is mapped was one of IPv4.
    fn address(self) -> ClientAddr {
        ClientAddr(plain(SocketAddr::new(self.ip.into(), self.port)))
    }
}

/// The resolution of [`Entry::age`].
const UNIT: Duration = Duration::from_millis(100);

/// Why a client gets no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which limit is reached.
    pub reason: RejectReason,
    /// For how long, if that can be told.
    pub retry_after: Option<Duration>,
}

/// Some of the entries of a table.
#[derive(Debug)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Rc<Entry>>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<usize>,
}

impl SessionTable {
    /// An empty table of this worker's.
    pub fn new(worker: usize, budget: Arc<Budget>, now: Instant) -> Rc<Self> {
        let (entries, emptied) = (RefCell::default(), Notify::new());
        Rc::new(Self { entries, worker, budget, base: now, emptied })
    }

    /// Opens a session for a client accepted at `now`.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn open(
        self: &Rc<Self>,
        listener: &Arc<ListenerState>,
        client: ClientAddr,
        now: Instant,
    ) -> Result<Session, Refusal> {
        const FULL: Refusal = Refusal { reason: RejectReason::ConnectionLimit, retry_after: None };
        let limit = &listener.config.limit;
        let open = || listener.gauge(|w| &w.sessions);
        if limit.connections > 0 && open() >= limit.connections as u64 {
            return Err(FULL);
        }
        let address = client.0.ip();
        if let Some(wait) = listener.over_rate(|| address, Rated::Connections, now) {
            return Err(Refusal { reason: RejectReason::ConnectionRate, retry_after: Some(wait) });
        }
        if !self.budget.take_client() {
            return Err(FULL);
        }
        let per_client = limit.connections_per_client;
        let is_counted = per_client > 0 && !limit.exempts(address);
        if is_counted && !listener.clients.enter(address, per_client) {
            self.budget.release_client();
            return Err(FULL);
        }
        listener.workers[self.worker].sessions.inc();
        listener.workers[self.worker].sessions_total.inc();
        Ok(self.insert(Arc::clone(listener), client, now))
    }

    fn insert(self: &Rc<Self>, listener: Arc<ListenerState>, client: ClientAddr, now: Instant) -> Session {
        let mut entries = self.entries.borrow_mut();
        let place = entries.vacant_entry();
        let entry = Rc::new(Entry {
            table: Rc::clone(self),
            listener,
            task: Cell::new(None),
            connection: Cell::new(None),
            client: Compact::new(client),
            opened: self.units(now),
            key: u32::try_from(place.key()).expect("fewer sessions than descriptors"),
            timer: Cell::new(NO_TIMER),
            phase: Cell::new(Phase::Idle),
            // What is dropped without a reason was cut when its worker ended.
            reason: Cell::new(CloseReason::Drain),
        });
        place.insert(Rc::clone(&entry));
        Session(entry)
    }

    /// How many sessions are open.
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// The worker has panicked: sessions that are open are lost.
    pub fn lose_all(&self) {
        self.entries.borrow().iter().for_each(|(_, entry)| entry.set_reason(CloseReason::Panicked));
    }

    /// Waits until there is no session.
    pub async fn emptied(&self) {
        while !self.is_empty() {
            self.emptied.notified().await;
        }
    }

    /// The entries at `from` and on, as far as they are within `places` of it; 0 is the first. Whoever
    /// lists a large table lets others have their turn between two pages, and may miss or meet twice
    /// what comes and goes meanwhile.
    pub fn page(&self, from: usize, places: usize) -> Page {
        let entries = self.entries.borrow();
        // Every key is below the capacity.
        let end = from.saturating_add(places).min(entries.capacity());
        Page {
            entries: (from..end).filter_map(|key| entries.get(key).cloned()).collect(),
            next: (end < entries.capacity()).then_some(end),
        }
    }

    fn units(&self, at: Instant) -> u32 {
        let units = at.saturating_duration_since(self.base).as_millis() / UNIT.as_millis();
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, phase) = (self.client(), self.phase.get());
        f.debug_struct("Entry").field("client", &client).field("phase", &phase).finish_non_exhaustive()
    }
}

impl Entry {
    /// The client.
    pub fn client(&self) -> ClientAddr {
        self.client.address()
    }

    /// The address that it came to.
    pub fn listener(&self) -> &Arc<ListenerState> {
        &self.listener
    }

    /// What it is at.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The connection to an endpoint that it has, if it has one.
    pub fn connection(&self) -> Option<Rc<Identity>> {
        let connection = self.connection.take();
        self.connection.set(connection.clone());
        connection
    }

    /// When it was opened, to a tenth of a second.
    pub fn opened(&self) -> Instant {
        self.table.base + UNIT * self.opened
    }

    /// How long it has been open, to a tenth of a second.
    pub fn age(&self, now: Instant) -> Duration {
        UNIT * self.table.units(now).saturating_sub(self.opened)
    }

    /// The timer that ends it when nothing else does, or [`NO_TIMER`].
    pub fn timer(&self) -> TimerId {
        self.timer.get()
    }

    /// Its deadlines are this timer's from now on.
    pub fn ends_by(&self, timer: &Timer) {
        self.timer.set(timer.id());
    }

    /// It is this task that serves it.
    pub fn served_by(&self, task: AbortHandle) {
        self.task.set(Some(task));
    }

    /// Ends the session for this reason, whatever its task is waiting for: the task is dropped at its
    /// next turn, and what it holds with it. `false`: it was told to end before.
    pub fn abort(&self, reason: CloseReason) -> bool {
        let Some(task) = self.task.take() else { return false };
        self.set_reason(reason);
        task.abort();
        true
    }

    pub(super) fn counters(&self) -> &ListenerCounters {
        &self.listener.workers[self.table.worker]
    }

    pub(super) fn set_phase(&self, phase: Phase, connection: Option<Rc<Identity>>) {
        self.phase.set(phase);
        self.connection.set(connection);
    }

    pub(super) fn set_reason(&self, reason: CloseReason) {
        self.reason.set(reason);
    }

    /// The session is over.
    pub(super) fn leave(&self) {
        let counters = self.counters();
        counters.sessions.dec();
        counters.closes.inc(self.reason.get().index());
        let (limit, client) = (&self.listener.config.limit, self.client().0.ip());
        if limit.connections_per_client > 0 && !limit.exempts(client) {
            self.listener.clients.leave(client);
        }
        self.table.budget.release_client();
        let mut entries = self.table.entries.borrow_mut();
        entries.remove(self.key as usize);
        if entries.is_empty() {
            self.table.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
