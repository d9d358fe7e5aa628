//! A client's session, from accept to close: what it takes, what it gives back, its one reason; and
//! the table of a worker's sessions, in which whoever asks sees them.

mod clients;
mod gcra;
mod held_up;
mod phase;
mod table;

pub use clients::{ClientTable, Rated};
pub use held_up::HeldUp;
pub use phase::Phase;
pub use table::{Entry, Page, Refusal, SessionTable};

use crate::addr::ClientAddr;
use crate::metrics::counters::ListenerCounters;
use crate::pool::Identity;
use crate::reason::CloseReason;
use std::rc::Rc;

/// One open session, made by [`SessionTable::open`]. Dropped, it leaves the table, gives back what it
/// took and counts why it ended.
#[derive(Debug)]
pub struct Session(Rc<Entry>);

impl Session {
    /// The client.
    pub fn client(&self) -> ClientAddr {
        self.0.client()
    }

    /// The listener's counters of this worker.
    pub fn counters(&self) -> &ListenerCounters {
        self.0.counters()
    }

    /// What others see of it.
    pub fn entry(&self) -> &Rc<Entry> {
        &self.0
    }

    /// It goes on to a phase in which it has no connection to an endpoint.
    pub fn enter(&self, phase: Phase) {
        self.0.set_phase(phase, None);
    }

    /// It goes on to a phase in which it has this connection.
    pub fn enter_with(&self, phase: Phase, connection: &Rc<Identity>) {
        self.0.set_phase(phase, Some(Rc::clone(connection)));
    }

    /// Why the session ends, now that it does.
    pub fn ends(&mut self, reason: CloseReason) {
        self.0.set_reason(reason);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.ends(CloseReason::Panicked);
        }
        self.0.leave();
    }
}
