//! A connection in use.

use super::endpoint_pool::Pool;
use super::{Connection, Ending, Identity, state};
use crate::reason::DiscardReason;
use crate::sys::sockopt;
use std::rc::Rc;
use std::time::Instant;

/// The exclusive use of one connection.
///
/// Only [`Lease::release`] gives it back to the pool. A lease that is dropped in any other way (a
/// client that left, a cancelled session) closes its connection: nobody can tell what is still on
/// its way there.
#[derive(Debug)]
pub struct Lease {
    connection: Option<Connection>,
    pool: Rc<Pool>,
    reused: bool,
    is_tunnel: bool,
    lacks_lasting: bool,
}

impl Lease {
    /// Leases a connection that the pool has counted as idle.
    pub(super) fn new(mut connection: Connection, pool: Rc<Pool>) -> Self {
        state::transition(pool.counters(), state::State::Idle, state::State::Leased);
        let reused = connection.begin_use();
        if reused {
            pool.counters().reused_total.inc();
        }
        Self { connection: Some(connection), pool, reused, is_tunnel: false, lacks_lasting: false }
    }

    /// Leases a connection to whoever dialled it, and has the options to set that are for one that lasts.
    pub(super) fn dialled(mut connection: Connection, pool: Rc<Pool>) -> Self {
        state::transition(pool.counters(), state::State::Connecting, state::State::Leased);
        connection.begin_use();
        Self { connection: Some(connection), pool, reused: false, is_tunnel: false, lacks_lasting: true }
    }

    /// By when the connection has to be given the [options of one that lasts](crate::sys::sockopt::set_lasting);
    /// `None`: it has them.
    pub fn lasting_by(&self) -> Option<Instant> {
        let connection = self.connection.as_ref().filter(|_| self.lacks_lasting)?;
        Some(connection.life().established + sockopt::lasting_within(&self.pool.config().socket))
    }

    /// The connection.
    pub fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease has its connection until it ends")
    }

    /// The connection's name.
    pub fn identity(&self) -> &Rc<Identity> {
        self.connection.as_ref().expect("a lease has its connection until it ends").identity()
    }

    /// Whether the connection carried an exchange before this one.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The pool that the connection belongs to.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// Gives the connection back: the exchange ended cleanly on both sides.
    pub fn release(mut self, now: Instant) {
        if let Some(mut connection) = self.connection.take() {
            state::transition(self.pool.counters(), state::State::Leased, state::State::Idle);
            connection.life_mut().idle_since = now;
            self.pool.take_back(connection, now);
        }
    }

    /// How long connecting took.
    pub fn connect_time(&self) -> std::time::Duration {
        self.connection.as_ref().map(|connection| connection.life().connect_time).unwrap_or_default()
    }

    /// The connection becomes one side of a tunnel, and will not come back.
    pub fn become_tunnel(&mut self) {
        if !std::mem::replace(&mut self.is_tunnel, true) {
            self.pool.counters().tunnels.inc();
        }
    }

    /// The endpoint closed the connection without a byte of a response, and it had been used before: it
    /// was closed while it was idle, if that is heard at once.
    pub fn note_stale(&self, now: Instant) {
        if let Some(connection) = &self.connection {
            self.pool.closed_under_lease(connection.life(), now);
        }
    }

    /// Closes the connection.
    pub fn discard(mut self, ending: impl Into<Ending>) {
        self.end(ending.into());
    }

    fn end(&mut self, ending: Ending) {
        if let Some(connection) = self.connection.take() {
            if self.is_tunnel {
                self.pool.counters().tunnels.dec();
            }
            state::transition(self.pool.counters(), state::State::Leased, state::State::Absent);
            self.pool.close(connection, ending);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let condemned =
            self.connection.as_ref().is_some_and(|connection| connection.identity().is_condemned());
        let reason = if condemned { DiscardReason::Reaped } else { DiscardReason::Aborted };
        self.end(reason.into());
    }
}
