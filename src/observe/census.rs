//! The kernel's own view of our sockets, once a second, from a thread of its own: what is in
//! CLOSE_WAIT, and which ports towards the endpoints are held.
//!
//! It sees sockets from outside, and so does not believe what the rest of the process believes of
//! them. What it finds goes to whoever may act on it: ports to their budgets, stuck sockets to the
//! [`reaper`](super::reaper), and from there to the workers.

mod ports;

use super::reaper::{Places, Reaper, Verdict};
use crate::addr::Ends;
use crate::command::{Command, Holding, Sender, Suspect};
use crate::registry::{Registry, Running};
use crate::sys::limits;
use crate::sys::sock_diag::{self, Filter, TcpState, TcpStates};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// From one census to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the workers may take to answer; one that is busier is asked again by the next census.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread that takes the census; dropped, it ends.
#[derive(Debug)]
pub struct Census {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Census {
    /// Starts to count; `workers` are asked about what is stuck.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn start(registry: Arc<Registry>, workers: Vec<Sender>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut taker = Taker::new(registry, workers);
        let thread = thread::Builder::new().name("census".into()).spawn(move || {
            loop {
                let now = Instant::now();
                taker.take(now);
                let rest = INTERVAL.saturating_sub(now.elapsed());
                if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // Its figures are stale from now on, whether it ended or panicked before.
            let _ = thread.join();
        }
    }
}

/// Who takes the census.
#[derive(Debug)]
pub(crate) struct Taker {
    registry: Arc<Registry>,
    workers: Vec<Sender>,
    running: Arc<Running>,
    places: Places,
    reaper: Reaper,
    /// Whether the last census failed, so that this is said once.
    failed: [bool; 2],
}

impl Taker {
    pub(crate) fn new(registry: Arc<Registry>, workers: Vec<Sender>) -> Self {
        let running = registry.running();
        let places = Places::of(&running);
        Self { registry, workers, running, places, reaper: Reaper::default(), failed: [false; 2] }
    }

    /// Looks where our sockets are to be found after a reload.
    fn follow(&mut self) {
        let running = self.registry.running();
        if !Arc::ptr_eq(&running, &self.running) {
            self.places = Places::of(&running);
            self.running = running;
        }
    }

    /// Takes one census, at `now`.
    pub(crate) fn take(&mut self, now: Instant) {
        self.follow();
        let counted = self.count_close_wait(now);
        self.report(0, "CLOSE_WAIT", counted.as_ref().err());
        match counted {
            Ok(()) => {
                self.registry.close_wait.counted(self.reaper.stuck(now), now);
                self.reap(now);
            }
            Err(error) => self.registry.close_wait.failed(error.to_string()),
        }
        let counted = ports::count(&self.running, now);
        self.report(1, "ports", counted.as_ref().err());
    }

    fn count_close_wait(&mut self, now: Instant) -> io::Result<()> {
        let filter = Filter::states(TcpStates::of(&[TcpState::CloseWait]));
        let mut found = Vec::new();
        for family in self.places.families() {
            sock_diag::visit_family(family, &filter, |socket| found.push(socket))?;
        }
        self.reaper.note(&found, &self.places, now);
        if self.reaper.wants_inodes(now) {
            self.reaper.know_own(&limits::socket_inodes()?, now);
        }
        Ok(())
    }

    /// Puts what is overdue before the workers, and has closed what they cannot excuse.
    fn reap(&mut self, now: Instant) {
        let suspects: Arc<[Suspect]> = self.reaper.suspects(now).into();
        if suspects.is_empty() {
            return;
        }
        let Some(held) = self.ask(&suspects) else { return };
        for suspect in suspects.iter() {
            let mut holders = held.iter().filter(|(_, holding)| holding.socket == *suspect);
            match (holders.next(), holders.next()) {
                (None, _) => self.deny(suspect),
                (Some((worker, holding)), None) => self.judge(*worker, holding, now),
                // A client's address and port do not tell its connections to two of our addresses apart.
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// Which worker holds what; `None`: not all of them have answered.
    fn ask(&self, sockets: &Arc<[Suspect]>) -> Option<Vec<(usize, Holding)>> {
        let deadline = Instant::now() + PATIENCE;
        let mut held = Vec::new();
        let mut asked = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (answer, answered) = mpsc::channel();
            worker.try_send(Command::Find { sockets: Arc::clone(sockets), answer }).ok()?;
            asked.push(answered);
        }
        for (worker, answered) in asked.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            held.extend(answered.recv_timeout(left).ok()?.into_iter().map(|holding| (worker, holding)));
        }
        Some(held)
    }

    fn judge(&mut self, worker: usize, held: &Holding, now: Instant) {
        let other_unsent = held.other.map_or(0, unsent);
        if let Verdict::Reap(stuck) = self.reaper.judge(held, other_unsent, now) {
            // A worker whose queue is full is asked again by the next census.
            let _ = self.workers[worker].try_send(Command::Reap { socket: held.socket, stuck });
        }
    }

    fn deny(&mut self, suspect: &Suspect) {
        if self.reaper.denied(suspect) {
            tracing::error!(
                local = %suspect.ends.local, remote = %suspect.ends.remote,
                "a socket of this process is stuck in CLOSE_WAIT, and no worker knows it"
            );
        }
    }

    /// Says once that counting fails, and once that it does no more.
    fn report(&mut self, which: usize, what: &'static str, error: Option<&io::Error>) {
        let failed = std::mem::replace(&mut self.failed[which], error.is_some());
        match error {
            Some(error) if !failed => tracing::warn!(%error, what, "the census cannot count"),
            None if failed => tracing::info!(what, "the census counts again"),
            _ => {}
        }
    }
}

/// Bytes that the peer of one of our sockets has not acknowledged. The local address may be a wildcard.
fn unsent(ends: Ends) -> u32 {
    let filter = Filter {
        states: TcpStates::ALL,
        local_port: Some(ends.local.port()),
        remote_port: Some(ends.remote.port()),
    };
    let mut most = 0;
    // Without an answer there is no excuse: nothing is known to be outstanding.
    let _ = sock_diag::visit(&filter, |socket| {
        if socket.remote == ends.remote {
            most = most.max(socket.wqueue);
        }
    });
    most
}

#[cfg(test)]
mod tests;
