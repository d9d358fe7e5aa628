//! The port budget of one source address towards one destination, for one upstream (pure).

use super::forecast::Trend;
use super::kernel::PortSettings;
use super::ledger::{Ledger, Rates, Taken};
use super::level::{Level, Thresholds};
use crate::addr::SourceAddr;
use crate::config::model;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use super::ledger::{KernelPorts, Left};

/// The local ports of one source address towards one destination, within the limits of one upstream.
/// The ledger behind it is shared with all workers, and with every upstream that has this endpoint and
/// this source. It is touched when a connection is dialled or closed and when it is looked at, never by
/// a request on a pooled connection.
#[derive(Debug)]
pub struct SourcePorts {
    upstream: String,
    source: Mutex<IpAddr>,
    is_bound: bool,
    destination: SocketAddr,
    sources: u32,
    range: Option<RangeInclusive<u16>>,
    nat: Option<model::Nat>,
    thresholds: Thresholds,
    ledger: Arc<Mutex<Ledger>>,
    capacity: AtomicU32,
    /// As of the last change or look, under the ledger's lock.
    level: AtomicU8,
    told: Mutex<Told>,
    unavailable_total: AtomicU64,
}

/// From where to where connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The local address; unspecified as long as the kernel has not said which it chooses.
    pub source: IpAddr,
    /// Whether sockets are bound to it; else the kernel chooses at each connect(2).
    pub is_bound: bool,
    /// The endpoint.
    pub destination: SocketAddr,
    /// Of how many sources towards the endpoint this is one: a NAT's ports are for all of them.
    pub sources: u32,
}

/// Why the kernel gave no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// EADDRNOTAVAIL at connect(2): all are taken.
    Ports,
    /// EADDRNOTAVAIL at bind(2): the source is not an address of this host.
    Address,
}

/// What is known of the ports at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// The local address.
    pub source: IpAddr,
    /// Ports there are.
    pub capacity: u32,
    /// Ports of open connections, others' included.
    pub used: u32,
    /// Ports of closed connections that are held still, by TIME_WAIT or a NAT.
    pub time_wait: u32,
    /// Ports left.
    pub free: u32,
    /// Connections opened a second.
    pub opens_per_s: f64,
    /// Seconds until none is left at this rate; `None`: never, or not within an hour.
    pub exhausts_in_s: Option<f64>,
    /// What is allowed.
    pub level: Level,
}

/// What was said of the level last.
#[derive(Debug, Default)]
struct Told {
    level: Level,
    /// Since when it is below that.
    lower_since: Option<Instant>,
}

impl SourcePorts {
    /// The budget of an upstream with this configuration.
    pub fn new(
        config: &model::Upstream,
        route: Route,
        settings: &PortSettings,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Self {
        let ports = Self {
            upstream: config.name.clone(),
            source: Mutex::new(route.source),
            is_bound: route.is_bound,
            destination: route.destination,
            sources: route.sources.max(1),
            range: config.source.ports.clone(),
            nat: config.source.nat,
            thresholds: Thresholds::new(&config.source),
            ledger,
            capacity: AtomicU32::new(0),
            level: AtomicU8::new(Level::Ok as u8),
            told: Mutex::default(),
            unavailable_total: AtomicU64::new(0),
        };
        ports.set_capacity(settings);
        ports
    }

    /// The local address; unspecified as long as the kernel has not said which it chooses.
    pub fn source(&self) -> IpAddr {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The address that a dialling socket is bound to; `None`: the kernel's choice.
    pub fn bind_to(&self) -> Option<SourceAddr> {
        self.is_bound.then(|| SourceAddr(self.source()))
    }

    /// The ports that a dialling socket may be given; `None`: all of the host's.
    pub fn range(&self) -> Option<&RangeInclusive<u16>> {
        self.range.as_ref()
    }

    /// Counts on from where another budget of the same source is.
    pub fn go_on_from(&self, other: &Self) {
        self.unavailable_total.store(other.unavailable_total(), Relaxed);
    }

    /// How often the kernel has given no port.
    pub fn unavailable_total(&self) -> u64 {
        self.unavailable_total.load(Relaxed)
    }

    /// The level as it was when somebody last dialled, closed or looked.
    pub fn level(&self) -> Level {
        Level::ALL[usize::from(self.level.load(Relaxed))]
    }

    /// How many more may be taken.
    pub fn room(&self, now: Instant) -> u32 {
        let taken = self.ledger().taken(self.nat.is_some(), now);
        self.thresholds.room(self.counted(taken), self.capacity())
    }

    /// Takes a port, if the level is `most` or below. Even at [`Level::Refuse`], which is left later
    /// than it is entered, one that has come back is there for [`Level::ReuseOnly`].
    ///
    /// # Errors
    /// The level for which there is none.
    pub(super) fn reserve(&self, now: Instant, most: Level) -> Result<(), Level> {
        self.change(now, |ledger| {
            let taken = self.counted(ledger.taken(self.nat.is_some(), now));
            if self.thresholds.refuses(taken, self.capacity()) {
                return Err(Level::Refuse);
            }
            let level = self.thresholds.level(taken, self.capacity(), self.level()).min(Level::ReuseOnly);
            if level > most {
                return Err(level);
            }
            ledger.open();
            Ok(())
        })
    }

    /// A connection comes with its port, whatever the level: another process had it.
    pub(super) fn adopt(&self, now: Instant) {
        self.change(now, Ledger::open);
    }

    /// The connection on a reserved port is established.
    pub(super) fn note_connected(&self, now: Instant) {
        self.ledger().connected(now);
    }

    /// The connection on a reserved port is over.
    pub(super) fn release(&self, left: Left, now: Instant) {
        self.change(now, |ledger| ledger.close(left, self.nat.map(|nat| nat.time_wait), now));
    }

    /// The kernel gave no port. That is believed for a while.
    pub fn note_unavailable(&self, why: Unavailable, now: Instant) {
        self.unavailable_total.fetch_add(1, Relaxed);
        let (source, destination, upstream) = (self.source(), self.destination, &self.upstream);
        match why {
            Unavailable::Address => {
                self.change(now, |ledger| ledger.note_full(now + NO_ADDRESS_REST));
                tracing::error!(%upstream, %source, "this address of source.addresses is not one of this host");
            }
            Unavailable::Ports => {
                let capacity = self.capacity();
                let blamed = self.change(now, |ledger| {
                    let blamed = ledger.blame_time_waits(capacity, now);
                    ledger.note_full(now + NO_PORTS_REST);
                    blamed
                });
                if blamed {
                    tracing::warn!(
                        %upstream, %source, %destination,
                        "TIME_WAITs hold their ports although net.ipv4.tcp_tw_reuse is on: the endpoint \
                         does not use TCP timestamps"
                    );
                }
            }
        }
    }

    /// The kernel's own count, begun at `now`.
    pub fn note_census(&self, kernel: KernelPorts, now: Instant) {
        self.change(now, |ledger| ledger.note_census(kernel, now));
    }

    /// The kernel's settings have changed.
    pub fn note_settings(&self, settings: &PortSettings, now: Instant) {
        let hold = settings.hold(self.source(), self.destination);
        self.set_capacity(settings);
        self.change(now, |ledger| ledger.set_hold(hold));
    }

    /// The kernel chooses this source now.
    pub fn note_source(&self, source: IpAddr) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }

    /// What is known at `now`.
    pub fn figures(&self, now: Instant) -> Figures {
        let figures = self.change(now, |ledger| {
            let taken = ledger.taken(self.nat.is_some(), now);
            self.describe(taken, ledger.rates(now))
        });
        Figures { level: self.level(), ..figures }
    }

    /// Changes the ledger, and says if the level is another because of that, or of time.
    fn change<T>(&self, now: Instant, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger();
        let result = change(&mut ledger);
        let taken = ledger.taken(self.nat.is_some(), now);
        let level = self.thresholds.level(self.counted(taken), self.capacity(), self.level());
        self.level.store(level as u8, Relaxed);
        let before = self.told.lock().unwrap_or_else(PoisonError::into_inner).change(level, now);
        let figures = before.map(|before| (before, self.describe(taken, ledger.rates(now))));
        drop(ledger);
        if let Some((before, figures)) = figures {
            self.log(before, &figures);
        }
        result
    }

    fn describe(&self, taken: Taken, rates: Rates) -> Figures {
        let capacity = self.capacity();
        let time_wait = taken.held;
        let used = if taken.is_all { taken.open.max(capacity.saturating_sub(time_wait)) } else { taken.open };
        let trend = |holds_per_s: f64, hold: Duration, returns: Vec<(f64, u32)>| Trend {
            capacity,
            used,
            held: time_wait,
            returns,
            growth: rates.opens - rates.closes,
            holds_per_s,
            hold,
        };
        let by_kernel = trend(rates.time_waits, rates.hold, rates.time_wait_returns).exhausts_in_s();
        let by_nat = self.nat.map(|nat| trend(rates.closes, nat.time_wait, rates.nat_returns));
        let by_nat = by_nat.and_then(|trend| trend.exhausts_in_s());
        Figures {
            source: self.source(),
            capacity,
            used,
            time_wait,
            free: capacity.saturating_sub(used.saturating_add(time_wait)),
            opens_per_s: rates.opens,
            exhausts_in_s: [by_kernel, by_nat].into_iter().flatten().min_by(f64::total_cmp),
            level: self.level(),
        }
    }

    fn log(&self, before: Level, figures: &Figures) {
        let Self { upstream, destination, .. } = self;
        let Figures { source, capacity, used, time_wait, free, .. } = *figures;
        let (level, opens_per_s) = (figures.level.label(), figures.opens_per_s.round());
        if figures.level < before {
            tracing::info!(
                %upstream, %source, %destination, level, capacity, used, time_wait, free, opens_per_s,
                "source ports have come back"
            );
            return;
        }
        let effect = match figures.level {
            Level::Ok | Level::Warn => "source ports are running low",
            Level::ReuseOnly => "few source ports are left: requests wait for pooled connections",
            Level::Refuse => "hardly a source port is left: nothing more is dialled",
        };
        tracing::warn!(
            %upstream, %source, %destination, level, capacity, used, time_wait, free, opens_per_s,
            "{effect}; {}", self.remedy(figures)
        );
    }

    fn remedy(&self, figures: &Figures) -> &'static str {
        match self.nat {
            Some(_) => "give the NAT more addresses, or the upstream more endpoints",
            None if figures.time_wait > figures.used => {
                "most are in TIME_WAIT, which net.ipv4.tcp_tw_reuse = 1 ends after a second; or add \
                 source.addresses or endpoints"
            }
            None => "add source.addresses or endpoints, or widen net.ipv4.ip_local_port_range",
        }
    }

    fn set_capacity(&self, settings: &PortSettings) {
        let ports = settings.ports(self.range.as_ref());
        let capacity = self.nat.map_or(ports, |nat| ports.min(nat.ports / self.sources));
        self.capacity.store(capacity, Relaxed);
    }

    fn capacity(&self) -> u32 {
        self.capacity.load(Relaxed)
    }

    /// How many ports count as taken, open or held.
    fn counted(&self, taken: Taken) -> u32 {
        let counted = taken.open.saturating_add(taken.held);
        if taken.is_all { counted.max(self.capacity()) } else { counted }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// What was said before, if it is to be said that the level is this one now: at once when it is
    /// higher, and when it has been lower for a while. Ports that come back are taken again under load,
    /// many times a second.
    fn change(&mut self, level: Level, now: Instant) -> Option<Level> {
        if level == self.level {
            self.lower_since = None;
            return None;
        }
        let is_settled = match level < self.level {
            true => now.saturating_duration_since(*self.lower_since.get_or_insert(now)) >= SETTLED,
            false => true,
        };
        is_settled.then(|| {
            self.lower_since = None;
            std::mem::replace(&mut self.level, level)
        })
    }
}

/// For how long the level has been lower when that is said.
const SETTLED: Duration = Duration::from_secs(5);
/// For how long nothing is dialled after EADDRNOTAVAIL at connect(2), for which the kernel has looked at
/// every port. By then, or a census later, it is known who has them.
const NO_PORTS_REST: Duration = Duration::from_secs(1);
/// The same when the address is not there. Somebody has to add it.
const NO_ADDRESS_REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
