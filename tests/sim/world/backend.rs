//! A backend: what it does with connections, and what the kernels between it and us hold of them.

use super::setup::SourceSetup;
use millpond::registry::EndpointState;
use millpond::source::ports::SourcePorts;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Accepts,
    Refuses,
    Silent,
}

pub(super) struct Backend {
    pub(super) state: Arc<EndpointState>,
    pub(super) sources: Vec<Arc<SourcePorts>>,
    pub(super) setup: SourceSetup,
    pub(super) mode: Mode,
    /// After how long it closes an idle connection.
    pub(super) keeps_for: Option<Duration>,
    /// Its ends of the connections, by their names.
    pub(super) ends: BTreeMap<u64, End>,
    /// Until when our closes may hold their ports, at the least.
    pub(super) time_waits: Vec<Instant>,
    /// Of them, those that the counters tell of.
    pub(super) time_waits_told: u64,
    /// Ports of other programs on this host.
    pub(super) others: u32,
    /// Whether other programs ever had one: our ledger is then as good as the last census.
    pub(super) had_others: bool,
    /// When its ports were scarce last.
    pub(super) short_at: Option<Instant>,
    pub(super) health: HealthModel,
    /// At what age it closed connections that were used, and when.
    pub(super) closed: Vec<(Instant, Duration)>,
}

/// The backend's end of a connection.
pub(super) struct End {
    socket: UnixStream,
    pub(super) source: IpAddr,
    pub(super) uses: u64,
    pub(super) is_leased: bool,
    pub(super) idle_since: Instant,
    /// Something was sent on it while nobody had asked, FIN or bytes; and the runtime was told.
    pub(super) disturbed: Option<Disturbed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbed {
    Sent,
    Told,
}

/// What passive health should come to.
#[derive(Clone, Debug)]
pub(super) struct HealthModel {
    pub(super) failures_allowed: u32,
    /// The shortest of all configurations: a wait that began under one goes on under the next.
    pub(super) retry_after: Duration,
    pub(super) failures: u32,
    pub(super) is_down: bool,
    /// Before this nobody may try it again.
    pub(super) no_trial_before: Option<Instant>,
}

impl End {
    pub(super) fn new(socket: UnixStream, source: IpAddr, now: Instant) -> Self {
        Self { socket, source, uses: 0, is_leased: false, idle_since: now, disturbed: None }
    }

    pub(super) fn send_fin(&mut self) {
        self.socket.shutdown(std::net::Shutdown::Write).expect("FIN");
        self.disturbed.get_or_insert(Disturbed::Sent);
    }

    pub(super) fn send_byte(&mut self) {
        use std::io::Write;
        // Nobody is there to read it if our side has closed meanwhile.
        let _ = self.socket.write(b"!");
        self.disturbed.get_or_insert(Disturbed::Sent);
    }

    /// Whether our side has closed it.
    pub(super) fn is_over(&mut self) -> bool {
        match self.socket.read(&mut [0; 16]) {
            Ok(0) => true,
            Ok(_) => panic!("nobody writes in this world"),
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

impl HealthModel {
    pub(super) fn heard(&mut self, succeeded: bool, now: Instant) {
        if self.failures_allowed == 0 {
            return;
        }
        if succeeded {
            (self.failures, self.is_down, self.no_trial_before) = (0, false, None);
            return;
        }
        self.failures += 1;
        if !self.is_down && self.failures >= self.failures_allowed {
            self.is_down = true;
            self.no_trial_before = Some(now + self.retry_after);
        }
    }
}

impl Backend {
    /// The connections that our side has open.
    pub(super) fn open(&self) -> usize {
        self.ends.len()
    }

    /// Takes out the ends that our side has closed, and notes what they leave of their ports.
    pub(super) fn reap(&mut self, now: Instant) {
        self.ends.retain(|_, end| !end.is_over());
        let told = self.state.total(|w| &w.time_wait_caused_total);
        let until = now + self.setup.hold_at_least;
        (self.time_waits_told..told).for_each(|_| self.time_waits.push(until));
        self.time_waits_told = told;
    }

    /// Ports that our closes hold for certain, and those that they may hold.
    pub(super) fn held(&self, now: Instant) -> (u32, u32) {
        let late = self.setup.hold_at_most - self.setup.hold_at_least;
        let count = |more: Duration| self.time_waits.iter().filter(|until| **until + more > now).count();
        (count(Duration::ZERO) as u32, count(late) as u32)
    }
}
