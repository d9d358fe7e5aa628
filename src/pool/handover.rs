//! How the workers' pools to one endpoint help each other out.
//!
//! A pool belongs to one worker and is never locked. What one worker has idle is not lost to the
//! others: a worker that misses asks a sibling, whose keeper takes the socket out of its own pool
//! and sends it over. Each worker has a desk, where the others leave messages for its keeper.

use super::connection::Detached;
use super::heir::Heir;
use crate::registry::PerWorker;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The desks of all workers, for one endpoint.
#[derive(Debug)]
pub struct Handover {
    desks: PerWorker<Desk>,
    /// Another process, which gets what is idle when this one drains.
    heir: Mutex<Option<Heir>>,
    /// Until when connections may come from the process that this one has taken over from.
    gifts_until: Mutex<Option<Instant>>,
}

/// For how long more are expected from a predecessor after the last one came.
const MORE_GIFTS: Duration = Duration::from_millis(500);
/// The same after its end.
const LAST_GIFTS: Duration = Duration::from_millis(100);

/// Left at a worker's desk.
#[derive(Debug)]
pub enum Message {
    /// This worker would take an idle connection.
    Ask {
        /// The worker that asks.
        from: usize,
    },
    /// The answer to an `Ask`: nothing was idle any more if `None`.
    Answer(Option<Detached>),
    /// A returned connection, for a request that waits and may not dial.
    Gift(Detached),
}

#[derive(Debug, Default)]
struct Desk {
    tray: Mutex<Tray>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Tray {
    messages: Vec<Message>,
    /// Nobody will look here again.
    is_closed: bool,
}

impl Handover {
    /// Empty desks for this many workers.
    pub fn new(workers: usize) -> Self {
        Self { desks: PerWorker::new(workers), heir: Mutex::default(), gifts_until: Mutex::default() }
    }

    /// Sees to it that there is a desk for each of this many workers.
    pub fn grow_to(&self, workers: usize) {
        self.desks.grow_to(workers);
    }

    /// Leaves a message for a worker's keeper and wakes it. Gives the message back if that worker has
    /// closed its desk.
    #[must_use = "a connection that is given back is open"]
    pub fn send(&self, to: usize, message: Message) -> Option<Message> {
        let mut tray = self.tray(to);
        if tray.is_closed {
            return Some(message);
        }
        tray.messages.push(message);
        drop(tray);
        self.desks[to].bell.notify_one();
        None
    }

    /// A worker has a pool from now on.
    pub fn open(&self, worker: usize) {
        self.tray(worker).is_closed = false;
    }

    /// A worker has no pool any more. Returns what it has not read.
    pub fn close(&self, worker: usize) -> Vec<Message> {
        let mut tray = self.tray(worker);
        tray.is_closed = true;
        std::mem::take(&mut tray.messages)
    }

    /// Wakes a worker's keeper.
    pub fn wake(&self, worker: usize) {
        self.desks[worker].bell.notify_one();
    }

    /// Takes what was left for this worker.
    pub fn take(&self, worker: usize) -> Vec<Message> {
        std::mem::take(&mut self.tray(worker).messages)
    }

    /// Waits until this worker's keeper is woken.
    pub async fn rung(&self, worker: usize) {
        self.desks[worker].bell.notified().await;
    }

    /// From now on this process gives what is idle to another, when it drains; or no longer.
    pub fn set_heir(&self, heir: Option<Heir>) {
        *lock(&self.heir) = heir;
    }

    /// Who gets what is idle when this process drains.
    pub fn heir(&self) -> Option<Heir> {
        lock(&self.heir).clone()
    }

    /// A predecessor gives up connections, as it does for some more time.
    pub fn expect_gifts(&self, now: Instant) {
        *lock(&self.gifts_until) = Some(now + MORE_GIFTS);
    }

    /// No predecessor is left: what has come is on its way to the workers.
    pub fn expect_last_gifts(&self, now: Instant) {
        *lock(&self.gifts_until) = Some(now + LAST_GIFTS);
    }

    /// Whether a predecessor is about to give up more.
    pub fn expects_gifts(&self, now: Instant) -> bool {
        lock(&self.gifts_until).is_some_and(|until| now < until)
    }

    fn tray(&self, worker: usize) -> MutexGuard<'_, Tray> {
        lock(&self.desks[worker].tray)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
