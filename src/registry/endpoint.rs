//! One endpoint: its place in all that a reload keeps.

use super::PerWorker;
use crate::addr::EndpointAddr;
use crate::config::model;
use crate::metrics::counters::{Counter, EndpointCounters, Gauge};
use crate::metrics::tcp_states::StateCounts;
use crate::pool::handover::Handover;
use crate::source::level::Level;
use crate::source::ports::SourcePorts;
use crate::upstream::health::{Change, Health};
use crate::upstream::idle_learning::SharedIdleLearning;
use arc_swap::{ArcSwap, Guard};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The sources of an endpoint, each with the ports that are left towards it: one for each configured
/// address, or the one that the kernel chooses.
pub type Sources = Box<[Arc<SourcePorts>]>;

/// One endpoint of one upstream, for as long as an upstream of this name has it: a reload changes what
/// it is told, and keeps what is known of it.
#[derive(Debug)]
pub struct EndpointState {
    /// Where it listens.
    pub address: EndpointAddr,
    /// One entry a worker.
    pub workers: PerWorker<EndpointCounters>,
    /// Workers that share `max_idle` and `min_idle`.
    pub sharers: AtomicUsize,
    /// Connections open or being opened, all workers together; for `max_connections`.
    pub open: AtomicUsize,
    /// Workers that keep more than their share of `max_idle`. While there is none, no worker has to
    /// look at the others before it keeps a connection.
    pub over_share: AtomicUsize,
    /// The last `Keep-Alive: timeout=` that it announced, in milliseconds; 0: none.
    pub keep_alive_hint_ms: AtomicU32,
    /// What it keeps idle connections for, from when it closed some.
    pub idle_learning: SharedIdleLearning,
    /// The connections to it, whoever on this host has them, as the kernel sees them.
    pub tcp_states: StateCounts,
    /// Where the workers' pools help each other out.
    pub handover: Arc<Handover>,
    sources: ArcSwap<Sources>,
    seat: ArcSwap<Seat>,
}

/// Where an endpoint's health is.
#[derive(Debug)]
struct Seat {
    health: Arc<Health>,
    place: usize,
}

/// Where an endpoint's idle timeout comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleTimeoutFrom {
    /// `pool.idle_timeout`.
    Configured,
    /// The endpoint's own `Keep-Alive: timeout=`.
    Hint,
    /// When the endpoint closed idle connections, less a fifth.
    Learned,
    /// Nothing is known: [`EndpointState::DEFAULT_IDLE_TIMEOUT`].
    Default,
    /// `source.nat`, which forgets a connection earlier than the endpoint does.
    Nat,
}

impl IdleTimeoutFrom {
    /// The label used in JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Hint => "hint",
            Self::Learned => "learned",
            Self::Default => "default",
            Self::Nat => "nat",
        }
    }
}

impl EndpointState {
    /// How long a pooled connection may be idle when neither the configuration nor the endpoint says:
    /// less than the 5 s after which the common short-lived servers close (Node.js, Apache httpd).
    pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

    /// An endpoint without connections, whose health is at this place.
    pub fn new(
        address: SocketAddr,
        workers: usize,
        sources: Sources,
        (health, place): (&Arc<Health>, usize),
    ) -> Self {
        Self {
            address: EndpointAddr(address),
            workers: PerWorker::new(workers),
            sharers: AtomicUsize::new(workers),
            open: AtomicUsize::new(0),
            over_share: AtomicUsize::new(0),
            keep_alive_hint_ms: AtomicU32::new(0),
            idle_learning: SharedIdleLearning::default(),
            tcp_states: StateCounts::default(),
            handover: Arc::new(Handover::new(workers)),
            sources: ArcSwap::from_pointee(sources),
            seat: ArcSwap::from_pointee(Seat { health: Arc::clone(health), place }),
        }
    }

    /// Its sources.
    pub fn sources(&self) -> Guard<Arc<Sources>> {
        self.sources.load()
    }

    /// Connections are dialled from these sources from now on; those there are keep the port that they
    /// have.
    pub fn set_sources(&self, sources: Sources) {
        self.sources.store(Arc::new(sources));
    }

    /// Its health is at this place from now on.
    pub fn set_health(&self, health: &Arc<Health>, place: usize) {
        self.seat.store(Arc::new(Seat { health: Arc::clone(health), place }));
    }

    /// Where its health is.
    pub fn health(&self) -> (Arc<Health>, usize) {
        let seat = self.seat.load();
        (Arc::clone(&seat.health), seat.place)
    }

    /// Whether it may be chosen.
    pub fn is_up(&self) -> bool {
        let seat = self.seat.load();
        seat.health.is_up(seat.place)
    }

    /// A connect to it succeeded or failed.
    pub fn report(&self, succeeded: bool, now: Instant) -> Change {
        let Seat { health, place } = &**self.seat.load();
        if succeeded { health.succeeded(*place) } else { health.failed(*place, now) }
    }

    /// This many workers, counted from 0, may have connections to it from now on, and so many of them
    /// share what is kept.
    pub fn set_workers(&self, places: usize, sharers: usize) {
        self.workers.grow_to(places);
        self.handover.grow_to(places);
        self.sharers.store(sharers, Relaxed);
    }

    /// Whether a request is not dialled for at once, from whatever source, as far as is known without
    /// looking.
    pub fn is_short_of_ports(&self) -> bool {
        self.sources().iter().all(|source| source.level() >= Level::ReuseOnly)
    }

    /// How long a pooled connection may be idle, and who says so: the configuration, or else the
    /// shortest of what is known.
    pub fn idle_timeout(&self, upstream: &model::Upstream) -> (Duration, IdleTimeoutFrom) {
        if let Some(configured) = upstream.pool.idle_timeout {
            return (configured, IdleTimeoutFrom::Configured);
        }
        let unlearned = self.unlearned_idle_timeout();
        let learned = self.idle_learning.timeout().map(|timeout| (timeout, IdleTimeoutFrom::Learned));
        let nat = upstream.source.nat.map(|nat| (nat.pool_idle_max(), IdleTimeoutFrom::Nat));
        let shorter = |one: (Duration, _), other: (Duration, _)| if other.0 < one.0 { other } else { one };
        learned.into_iter().chain(nat).fold(unlearned, shorter)
    }

    /// The same at `now`, for what was learned is forgotten with time.
    pub fn idle_timeout_at(&self, upstream: &model::Upstream, now: Instant) -> (Duration, IdleTimeoutFrom) {
        self.forget_idle(now);
        self.idle_timeout(upstream)
    }

    /// The same from the endpoint's hint alone, or by default. A hint is undercut by a second, or by
    /// half where it is shorter than two, so that we close before the endpoint does.
    fn unlearned_idle_timeout(&self) -> (Duration, IdleTimeoutFrom) {
        let hint = Duration::from_millis(self.keep_alive_hint_ms.load(Relaxed).into());
        match hint.is_zero() {
            true => (Self::DEFAULT_IDLE_TIMEOUT, IdleTimeoutFrom::Default),
            false => (hint - (hint / 2).min(Duration::from_secs(1)), IdleTimeoutFrom::Hint),
        }
    }

    /// The endpoint closed a connection that had been idle for `age`. Whether pooled connections are to
    /// be closed sooner from now on.
    pub fn closed_idle(&self, age: Duration, now: Instant) -> bool {
        self.idle_learning.closed(age, self.unlearned_idle_timeout().0, now)
    }

    /// Forgets what was learned of its idle timeout, as far as it is time to.
    pub fn forget_idle(&self, now: Instant) {
        self.idle_learning.forget(self.unlearned_idle_timeout().0, now);
    }

    /// Whether no worker has a connection to it, or waits for one.
    pub fn is_over(&self) -> bool {
        self.open.load(Relaxed) == 0 && self.gauge(|w| &w.waiting) == 0
    }

    /// The sum of one gauge over the workers.
    pub fn gauge(&self, pick: impl Fn(&EndpointCounters) -> &Gauge) -> u64 {
        self.workers.iter().map(|w| pick(w).get()).sum()
    }

    /// The sum of one counter over the workers.
    pub fn total(&self, pick: impl Fn(&EndpointCounters) -> &Counter) -> u64 {
        self.workers.iter().map(|w| pick(w).get()).sum()
    }
}
