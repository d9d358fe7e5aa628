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
        /// Its desk, as [`Handover::open`] has named it.
        desk: u64,
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
    /// How often it has been opened.
    opened: u64,
    /// Nobody will look here again, until it is opened.
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

    /// Answers a worker's question. Gives back what it was to be given if the pool that asked is not there any
    /// more, whoever has taken its place.
    #[must_use = "a connection that is given back is open"]
    pub fn answer(&self, to: usize, desk: u64, spare: Option<Detached>) -> Option<Detached> {
        let mut tray = self.tray(to);
        if tray.is_closed || tray.opened != desk {
            return spare;
        }
        tray.messages.push(Message::Answer(spare));
        drop(tray);
        self.desks[to].bell.notify_one();
        None
    }

    /// A worker has a pool from now on. Returns the name of its desk.
    pub fn open(&self, worker: usize) -> u64 {
        let mut tray = self.tray(worker);
        tray.is_closed = false;
        tray.opened += 1;
        tray.opened
    }

    /// A worker has no pool any more: what others ask of it is answered with no. What it was given is closed.
    pub fn abandon(&self, worker: usize) {
        for message in self.close(worker) {
            if let Message::Ask { from, desk } = message {
                // Nothing was to be given.
                let _ = self.answer(from, desk, None);
            }
        }
    }

    /// Returns what it has not read.
    fn close(&self, worker: usize) -> Vec<Message> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_a_worker_that_is_gone_is_answered_with_no() {
        let handover = Handover::new(2);
        let (desk, _) = (handover.open(0), handover.open(1));
        assert!(handover.send(1, Message::Ask { from: 0, desk }).is_none());
        handover.abandon(1);
        assert!(matches!(handover.take(0)[..], [Message::Answer(None)]));
        assert!(handover.send(1, Message::Ask { from: 0, desk }).is_some(), "nobody looks there any more");
    }

    #[test]
    fn an_answer_is_for_the_pool_that_has_asked_and_for_no_other_in_its_place() {
        let handover = Handover::new(2);
        let before = handover.open(0);
        handover.abandon(0);
        let now = handover.open(0);
        assert!(handover.answer(0, before, None).is_none() && handover.take(0).is_empty());
        assert!(handover.answer(0, now, None).is_none());
        assert!(matches!(handover.take(0)[..], [Message::Answer(None)]));
    }
}
