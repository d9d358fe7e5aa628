//! What the pools of different workers to one endpoint do for each other.

use super::Pool;
use crate::metrics::counters::{EndpointCounters, Gauge};
use crate::pool::Connection;
use crate::pool::connection::{Detached, Quiet};
use crate::pool::handover::Message;
use crate::pool::state::{State, transition};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl Pool {
    /// A sibling that has something idle, as far as its counters tell; none right after a question
    /// that found nothing.
    pub fn sibling_with_idle(&self) -> Option<usize> {
        if self.asked_in_vain.take() {
            return None;
        }
        let workers = self.endpoint.workers.iter().enumerate();
        workers.filter(|(i, _)| *i != self.worker).find(|(_, w)| w.idle.get() > 0).map(|(i, _)| i)
    }

    /// Asks a sibling for an idle connection; the answer comes to the desk.
    pub fn ask(&self, sibling: usize) {
        self.coming.set(self.coming.get() + 1);
        if self.handover.send(sibling, Message::Ask { from: self.worker, desk: self.desk }).is_some() {
            self.coming.set(self.coming.get() - 1);
        }
        self.publish();
    }

    /// Whether a connection to the endpoint may come back to a pool, in any worker: one that carries an
    /// exchange, is idle with a sibling, or is being opened.
    pub fn expects_returns(&self) -> bool {
        let here = |pick: fn(&EndpointCounters) -> &Gauge| self.endpoint.gauge(pick);
        here(|w| &w.leased) + here(|w| &w.idle) + here(|w| &w.connecting) > here(|w| &w.tunnels)
    }

    pub(super) fn starved_sibling(&self) -> Option<usize> {
        let is_free = self.config().pool.max_connections == 0 && self.budget.has_room();
        if is_free && !self.endpoint.is_short_of_ports() {
            return None;
        }
        let workers = self.endpoint.workers.iter().enumerate();
        workers.filter(|(i, _)| *i != self.worker).find(|(_, w)| w.starved.get() > 0).map(|(i, _)| i)
    }

    pub(super) fn read_message(self: &Rc<Self>, message: Message, now: Instant) {
        match message {
            Message::Ask { from, desk } => {
                let spare = self.take_idle(now).and_then(|connection| self.detach(connection));
                if let Some(spare) = self.handover.answer(from, desk, spare) {
                    self.adopt(spare, now);
                }
            }
            Message::Answer(answer) => {
                self.coming.set(self.coming.get() - 1);
                // Whoever asks later, when nobody waits any more, may find something.
                self.asked_in_vain.set(answer.is_none() && self.unprovided() > 0);
                if let Some(detached) = answer {
                    self.adopt(detached, now);
                }
                self.publish();
            }
            Message::Gift(detached) => self.adopt(detached, now),
        }
    }

    /// Takes in a connection from a sibling, or from another process.
    pub fn adopt(self: &Rc<Self>, detached: Detached, now: Instant) {
        // Where the server speaks first, what is there belongs to whoever waits.
        let quiet = if detached.life().uses > 0 { detached.look() } else { Quiet::Yes };
        // A socket that the runtime cannot register is closed; the waiter is provided for anew.
        if let Ok((stream, life)) = detached.attach() {
            let connection = self.connection(stream, life);
            transition(self.counters(), State::Absent, State::Idle);
            self.counters().taken_over_total.inc();
            match quiet {
                Quiet::Yes => self.take_back(connection, now),
                Quiet::No(reason) => self.drop_disturbed(connection, reason, now),
            }
        }
    }

    /// Takes a connection out of this worker; one that the runtime cannot let go of is closed.
    pub(super) fn detach(&self, connection: Connection) -> Option<Detached> {
        transition(self.counters(), State::Idle, State::Absent);
        connection.detach().ok()
    }

    /// Whether one more may be idle, which the gauge counts already. As long as every worker keeps to
    /// its share, their sum does to `max_idle`, and nobody has to look at the others' counters.
    pub(super) fn has_room(&self) -> bool {
        let within_share = self.idle.borrow().len() < self.share();
        (within_share && self.endpoint.over_share.load(Relaxed) == 0)
            || self.endpoint.gauge(|w| &w.idle) <= self.config().pool.max_idle as u64
    }

    fn share(&self) -> usize {
        self.config().pool.max_idle / self.sharers()
    }

    /// Tells the others when this worker begins or ceases to keep more than its share.
    pub(super) fn note_share(&self) {
        let over = self.idle.borrow().len() > self.share();
        match (self.over_share.replace(over), over) {
            (false, true) => _ = self.endpoint.over_share.fetch_add(1, Relaxed),
            (true, false) => _ = self.endpoint.over_share.fetch_sub(1, Relaxed),
            _ => {}
        }
    }
}
