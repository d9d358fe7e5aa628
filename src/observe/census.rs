//! The kernel's own view of our sockets, from a thread of its own: how many are in which state, of which
//! listener or endpoint; how deep the accept queues are; what can run out; what is in CLOSE_WAIT.
//!
//! It sees sockets from outside, and so does not believe what the rest of the process believes of
//! them. What it finds goes to whoever may act on it: ports to their budgets, stuck sockets to the
//! [`reaper`](super::reaper), and from there to the workers; and to the [`registry`](crate::registry) for
//! whoever reports it.

mod budgets;
mod queues;
pub mod tally;

use super::places::Places;
use super::reaper::{Reaper, Verdict};
use crate::addr::{Ends, plain};
use crate::command::{Command, Crew, Holding, Sender, Suspect};
use crate::metrics::census::{Since, Taken};
use crate::metrics::close_wait::{Owner, Stuck, StuckSocket};
use crate::registry::{EndpointState, Registry, Running};
use crate::sys::cpu::thread_time;
use crate::sys::limits;
use crate::sys::sock_diag::{self, Detail, Filter, TcpState, TcpStates, visit_detailed};
use budgets::Budgets;
use queues::Queues;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tally::Tally;

/// From one look at the listening sockets and the budgets to the next.
const SAMPLE: Duration = Duration::from_secs(1);

/// A look at all connections takes at most one part in so many of one core's time: the more there are,
/// the longer it is to the next. With the looks every second, less than 1 % are taken in all.
const REST: u32 = 150;

/// What is older than so many intervals says nothing of the present: the census has ended.
const STALE: u32 = 5;

/// How long the workers may take to answer; one that is busier is asked again by the next census.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sockets in CLOSE_WAIT that are told of one by one.
const LISTED: usize = 20;

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
    pub fn start(registry: Arc<Registry>, workers: Crew) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut taker = Taker::new(registry, workers);
        let thread = thread::Builder::new().name("census".into()).spawn(move || {
            let (mut next_sample, mut next_census) = (Instant::now(), Instant::now());
            loop {
                let now = Instant::now();
                if now >= next_sample {
                    taker.sample(now);
                    next_sample = now + SAMPLE;
                }
                if now >= next_census {
                    next_census = now + taker.take(now);
                }
                let rest = next_sample.min(next_census).saturating_duration_since(Instant::now());
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
    workers: Crew,
    running: Arc<Running>,
    places: Places,
    reaper: Reaper,
    since: Arc<Since>,
    queues: Queues,
    budgets: Budgets,
    /// Whether the last look failed, so that this is said once.
    failed: [bool; 2],
}

impl Taker {
    pub(crate) fn new(registry: Arc<Registry>, workers: Crew) -> Self {
        let running = registry.running();
        Self {
            places: Places::of(&running),
            registry,
            workers,
            running,
            reaper: Reaper::default(),
            since: Arc::default(),
            queues: Queues::default(),
            budgets: Budgets::default(),
            failed: [false; 2],
        }
    }

    /// Looks where our sockets are to be found after a reload.
    fn follow(&mut self) {
        let running = self.registry.running();
        if !Arc::ptr_eq(&running, &self.running) {
            self.places = Places::of(&running);
            self.running = running;
        }
    }

    /// Looks at the listening sockets and the budgets, at `now`.
    fn sample(&mut self, now: Instant) {
        self.follow();
        let begun = thread_time().ok();
        let looked = self.queues.look(&self.places, now);
        self.report(0, "accept queues", looked.as_ref().err());
        match looked {
            Ok(()) => self.registry.census.queues.read((), now, SAMPLE * STALE),
            Err(error) => self.registry.census.queues.failed(error.to_string()),
        }
        self.budgets.read(&self.registry, now);
        self.registry.census.took(cpu_since(begun));
    }

    /// Takes one census, at `now`. Returns the time to the next.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        self.follow();
        let begun = thread_time().ok();
        let counted = self.count(now);
        self.report(1, "connections", counted.as_ref().err());
        let rest = match counted {
            Ok(tally) => self.publish(tally, begun, now),
            Err(error) => {
                self.registry.census.last.failed(error.to_string());
                self.registry.close_wait.stuck.failed(error.to_string());
                self.running.config.runtime.census_interval
            }
        };
        self.registry.census.took(cpu_since(begun));
        rest
    }

    fn count(&self, now: Instant) -> io::Result<Tally> {
        let mut tally = Tally::new(&self.places);
        let filter = Filter::states(TcpStates::of(&TcpState::CONNECTION));
        for (family, program) in self.places.questions() {
            visit_detailed(family, &filter, Some(&program), Detail::None, |socket, _| {
                tally.add(socket, &self.places, &self.since, now);
            })?;
        }
        Ok(tally)
    }

    /// Tells everybody what was counted.
    fn publish(&mut self, mut tally: Tally, begun: Option<Duration>, now: Instant) -> Duration {
        self.spread(&tally, now);
        self.reaper.note(&tally.close_wait, &self.places, now);
        // To list the descriptors of a busy process takes a while.
        if self.reaper.wants_inodes(now)
            && let Ok(inodes) = limits::socket_inodes()
        {
            self.reaper.know_own(&inodes, now);
        }
        self.since = Arc::new(std::mem::take(&mut tally.since));
        let cpu = cpu_since(begun);
        let interval = self.running.config.runtime.census_interval.max(cpu * REST);
        let good_for = interval * STALE;
        let taken = Taken { interval, sockets: tally.sockets, cpu };
        self.registry.census.taken(taken, Arc::clone(&self.since), now, good_for);
        let stuck = self.look_after(now);
        self.registry.close_wait.stuck.read(stuck, now, good_for);
        interval
    }

    /// Gives every listener, endpoint and source its counts.
    fn spread(&self, tally: &Tally, now: Instant) {
        for (listener, counts) in self.places.listeners().zip(&tally.listeners) {
            listener.tcp_states.set_connections(counts);
        }
        for endpoint in self.running.endpoints() {
            let Some(place) = self.places.endpoint(plain(endpoint.address.0)) else { continue };
            endpoint.tcp_states.set_connections(&tally.towards(place, None));
            // One that was never dialled has no ports to correct.
            if was_dialled(endpoint) {
                for source in endpoint.sources().iter() {
                    let counts = tally.towards(place, Some(source.source()));
                    source.note_census(tally::ports(&counts), now);
                }
            }
        }
    }

    /// Puts what is in CLOSE_WAIT before the workers, and has closed what is overdue and they cannot
    /// excuse. Returns what is to be told of it.
    fn look_after(&mut self, now: Instant) -> Stuck {
        let suspects = self.reaper.suspects(now);
        let listed = self.reaper.oldest(LISTED, now);
        let mut sockets = suspects.clone();
        sockets.extend(listed.iter().map(|(suspect, _)| suspect).filter(|socket| !suspects.contains(socket)));
        let held = if sockets.is_empty() { Some(Vec::new()) } else { self.ask(&sockets.into()) };
        let sockets = listed.iter().map(|(suspect, since)| self.described(suspect, *since, held.as_deref()));
        let (count, oldest) = self.reaper.stuck(now);
        let stuck = Stuck { count, oldest, sockets: sockets.collect() };
        if let Some(held) = held {
            self.reap(&suspects, &held, now);
        }
        stuck
    }

    fn described(
        &self,
        socket: &Suspect,
        since: Duration,
        held: Option<&[(Sender, Holding)]>,
    ) -> StuckSocket {
        let owner = match held.map(|held| held.iter().find(|(_, holding)| holding.socket == *socket)) {
            None => Owner::Unanswered,
            Some(None) => Owner::Nobody,
            Some(Some((_, holding))) => Owner::Known(holding.phase.label()),
        };
        let name = self.reaper.name(socket).unwrap_or_default().to_owned();
        StuckSocket { peer: socket.peer, name, ends: socket.ends, owner, since }
    }

    fn reap(&mut self, suspects: &[Suspect], held: &[(Sender, Holding)], now: Instant) {
        for suspect in suspects {
            let mut holders = held.iter().filter(|(_, holding)| holding.socket == *suspect);
            match (holders.next(), holders.next()) {
                (None, _) => self.deny(suspect),
                (Some((worker, holding)), None) => self.judge(worker, holding, now),
                // A client's address and port do not tell its connections to two of our addresses apart.
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// Which worker holds what; `None`: not all of them have answered.
    fn ask(&self, sockets: &Arc<[Suspect]>) -> Option<Vec<(Sender, Holding)>> {
        let deadline = Instant::now() + PATIENCE;
        let mut held = Vec::new();
        let workers = self.workers.senders();
        if workers.is_empty() {
            return None;
        }
        let mut asked = Vec::with_capacity(workers.len());
        for (_, worker) in workers {
            let (answer, answered) = mpsc::channel();
            worker.try_send(Command::Find { sockets: Arc::clone(sockets), answer }).ok()?;
            asked.push((worker, answered));
        }
        for (worker, answered) in asked {
            let left = deadline.saturating_duration_since(Instant::now());
            let holdings = answered.recv_timeout(left).ok()?.into_iter();
            held.extend(holdings.map(|holding| (worker.clone(), holding)));
        }
        Some(held)
    }

    fn judge(&mut self, worker: &Sender, held: &Holding, now: Instant) {
        let other_unsent = held.other.map_or(0, unsent);
        if let Verdict::Reap(stuck) = self.reaper.judge(held, other_unsent, now) {
            // A worker whose queue is full is asked again by the next census.
            let _ = worker.try_send(Command::Reap { socket: held.socket, stuck });
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

/// An endpoint that nothing was sent to yet.
fn was_dialled(endpoint: &EndpointState) -> bool {
    endpoint.workers.iter().any(|worker| {
        let dials = [&worker.opened_total, &worker.connect_errors_total, &worker.local_errors_total];
        dials.iter().any(|counter| counter.get() > 0)
    })
}

/// CPU time of this thread since then; zero where it cannot be told.
fn cpu_since(begun: Option<Duration>) -> Duration {
    begun.and_then(|begun| thread_time().ok()?.checked_sub(begun)).unwrap_or_default()
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
