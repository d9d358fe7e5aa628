//! A connection that is dialled by the session that keeps it: no queue, and no task beside the session's.

use super::Pool;
use crate::pool::Lease;
use crate::pool::connection::{Life, OpenSlot};
use crate::pool::state::{State, transition};
use crate::source::level::Level;
use crate::source::ports::SourcePorts;
use crate::upstream::connect::{ConnectError, Shortage};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// A dial whose connection is whoever's who dials; given up when dropped.
#[derive(Debug)]
pub struct OwnDial {
    pool: Rc<Pool>,
    slot: Option<OpenSlot>,
}

impl Pool {
    /// A dial that nobody else waits for. `None`: it is not one's turn, a sibling has something idle, or there
    /// is no slot; then the [queue](Pool::join) is the place.
    pub fn begin_own_dial(self: &Rc<Self>, now: Instant) -> Option<OwnDial> {
        let has_to_wait = self.unprovided() > 0
            || self.awaits_descriptor(now).is_some()
            || self.sibling_with_idle().is_some();
        if has_to_wait {
            return None;
        }
        let slot = self.take_slot(Level::Warn, now).ok()?;
        Some(OwnDial { pool: Rc::clone(self), slot: Some(slot) })
    }
}

impl OwnDial {
    /// Where it is dialled from.
    pub fn source(&self) -> &SourcePorts {
        self.slot.as_ref().expect("taken at the end alone").source()
    }

    /// The connection was established at `now`.
    pub fn succeeded(mut self, stream: TcpStream, connect_time: Duration, now: Instant) -> Lease {
        let slot = self.slot.take().expect("taken at the end alone");
        self.pool.last_dial_failed.set(false);
        // It comes to no pool, and so is never too old for it.
        let connection = self.pool.connection(stream, Life::new(slot, now, connect_time, None));
        Lease::dialled(connection, Rc::clone(&self.pool))
    }

    /// It was not.
    pub fn failed(self, error: &ConnectError, now: Instant) {
        self.pool.last_dial_failed.set(true);
        if matches!(error, ConnectError::Local(Shortage::Descriptors)) {
            self.pool.want_descriptor(now);
        }
    }
}

impl Drop for OwnDial {
    fn drop(&mut self) {
        if self.slot.is_some() {
            transition(self.pool.counters(), State::Connecting, State::Absent);
        }
    }
}
