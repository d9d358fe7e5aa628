//! How the workers' pools to one endpoint help each other out.
//!
//! A pool belongs to one worker and is never locked. What one worker has idle is not lost to the
//! others: a worker that misses asks a sibling, whose keeper takes the socket out of its own pool
//! and sends it over. Each worker has a desk, where the others leave messages for its keeper.

use super::connection::Detached;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The desks of all workers, for one endpoint.
#[derive(Debug)]
pub struct Handover {
    desks: Box<[Desk]>,
}

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
    messages: Mutex<Vec<Message>>,
    bell: Notify,
}

impl Handover {
    /// Empty desks for this many workers.
    pub fn new(workers: usize) -> Self {
        Self { desks: (0..workers).map(|_| Desk::default()).collect() }
    }

    /// Leaves a message for a worker's keeper and wakes it.
    pub fn send(&self, to: usize, message: Message) {
        let desk = &self.desks[to];
        desk.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        desk.bell.notify_one();
    }

    /// Wakes a worker's keeper.
    pub fn wake(&self, worker: usize) {
        self.desks[worker].bell.notify_one();
    }

    /// Takes what was left for this worker.
    pub fn take(&self, worker: usize) -> Vec<Message> {
        std::mem::take(&mut self.desks[worker].messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until this worker's keeper is woken.
    pub async fn rung(&self, worker: usize) {
        self.desks[worker].bell.notified().await;
    }
}
