//! Faults that tests ask for. No release has this.

use super::Supervisor;
use crate::command::{Command, Fault};

impl Supervisor {
    /// Has this worker wait or panic, for a test. `false`: there is none at this place now.
    pub fn inject(&self, worker: usize, fault: impl FnOnce() + Send + 'static) -> bool {
        let crew = self.upgrader.crew().senders();
        let sender = crew.into_iter().find(|(index, _)| *index == worker);
        let fault = Command::Fault(Fault(Box::new(fault)));
        sender.is_some_and(|(_, sender)| sender.blocking_send(fault).is_ok())
    }
}
