//! From a chosen endpoint to a leased connection: idle here, else with a sibling, else dialled.
//! The only place that joins the pools to the dialling.

use crate::pool::connection::{Life, NoSlot, OpenSlot};
use crate::pool::{Lease, Pool, Ticket};
use crate::reason::RejectReason;
use crate::source::level::Level;
use crate::source::ports::SourcePorts;
use crate::timer::Timer;
use crate::upstream::connect::{self, ConnectError, Shortage};
use crate::upstream::group::{self, Group};
use crate::worker::vital;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The longest time between two dials that keep `min_idle` warm: connections dialled apart expire
/// apart, so that they are not all replaced together.
const WARM_SPACING: Duration = Duration::from_millis(100);
/// How long a pool rests after a dial that failed or could not begin before it tries to keep itself warm
/// again.
const WARM_RETRY: Duration = Duration::from_secs(1);

/// How soon it is looked again whether ports have come back for those who wait for them.
const PORTS_LOOK: Duration = Duration::from_millis(100);

/// How soon it is looked again whether a predecessor has given a connection up, here or to a sibling.
const GIFTS_LOOK: Duration = Duration::from_millis(2);

/// Why there is no connection for a request.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcquireError {
    /// The dial failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// `pool.wait_queue` is full.
    #[error("pool.wait_queue is full")]
    QueueFull,
    /// No connection became free within `pool.wait_timeout`.
    #[error("no connection became free within pool.wait_timeout")]
    Timeout,
}

impl AcquireError {
    /// The label under which a request that failed for it is answered.
    pub fn reason(&self) -> RejectReason {
        match self {
            Self::Connect(error) => error.reason(),
            Self::QueueFull => RejectReason::PoolQueueFull,
            Self::Timeout => RejectReason::PoolTimeout,
        }
    }

    /// Whether another endpoint may do better: ports are counted by destination.
    pub fn may_differ_elsewhere(&self) -> bool {
        match self {
            Self::Connect(error) => !error.is_local() || error.unavailable().is_some(),
            Self::QueueFull | Self::Timeout => false,
        }
    }
}

/// What a request or session would have, where nothing is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Any connection.
    Any,
    /// One that nothing was sent on yet, for a request that a reused one has failed: what else is idle
    /// may be as stale.
    Fresh,
    /// One to keep: for a TCP session, none comes back.
    Own,
}

/// The pool of an endpoint, with its keeper running.
pub fn pool(group: &Group, endpoint: usize) -> Rc<Pool> {
    let pool = group.pool(endpoint);
    if pool.wants_keeper() {
        vital::spawn(keep(Rc::clone(pool)));
    }
    Rc::clone(pool)
}

/// An idle connection to the endpoint, if this worker has one.
pub fn idle(group: &Group, endpoint: usize, now: Instant) -> Option<Lease> {
    pool(group, endpoint).check_out(now)
}

/// A connection to the endpoint, as soon as there is one, where [`idle`] found none. `last`: no other
/// endpoint is left to try, so that it is worth waiting for one while this host has no port.
///
/// # Errors
/// See [`AcquireError`].
pub async fn acquire(group: &Group, endpoint: usize, want: Want, last: bool) -> Result<Lease, AcquireError> {
    let now = Instant::now();
    let pool = pool(group, endpoint);
    let mut ticket = pool.join();
    if want != Want::Any {
        ticket.insist();
    }
    if want == Want::Fresh {
        ticket.want_fresh();
        dial_if_possible(&pool, Level::ReuseOnly, now);
    }
    let short = provide(&pool, now);
    if short == Some(Level::Refuse) && (want == Want::Own || !last) {
        return Err(no_port(&pool, last));
    }
    // Only those for whom nothing is on its way are in the queue that is bounded.
    if pool.unprovided() > group.state().config.pool.wait_queue {
        return Err(AcquireError::QueueFull);
    }
    let config = &group.state().config;
    let patience = match pool.unprovided() {
        0 => config.timeout.connect + config.pool.wait_timeout,
        _ => config.pool.wait_timeout,
    };
    let timer = group.timers().timer();
    timer.set(now + patience);
    match wait(&mut ticket, &timer).await {
        Err(AcquireError::Timeout) if short.is_some() => {}
        Err(AcquireError::Timeout) if pool.awaits_descriptor(Instant::now()).is_some() => {
            pool.counters().local_errors_total.inc();
            return Err(AcquireError::Connect(ConnectError::Local(Shortage::Descriptors)));
        }
        waited => return waited,
    }
    // Nothing came back: it is dialled for, if there is a port at all.
    ticket.insist();
    let now = Instant::now();
    let short = provide(&pool, now);
    if !pool.is_coming() {
        return match ticket.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(given) => given.map_err(AcquireError::from),
            Poll::Pending => Err(short.map_or(AcquireError::Timeout, |_| no_port(&pool, true))),
        };
    }
    timer.set(now + config.timeout.connect);
    wait(&mut ticket, &timer).await
}

/// This host has no port for the endpoint; `counted`: as that is what the request fails for.
fn no_port(pool: &Pool, counted: bool) -> AcquireError {
    if counted {
        pool.counters().local_errors_total.inc();
    }
    AcquireError::Connect(ConnectError::Local(Shortage::SourcePorts))
}

async fn wait(ticket: &mut Ticket, timer: &Timer) -> Result<Lease, AcquireError> {
    poll_fn(|cx| {
        if let Poll::Ready(given) = ticket.poll(cx) {
            return Poll::Ready(given.map_err(AcquireError::from));
        }
        match timer.poll_expired(cx) {
            true => Poll::Ready(Err(AcquireError::Timeout)),
            false => Poll::Pending,
        }
    })
    .await
}

/// Sees to it that something is on its way for everybody who waits: a question to a sibling that
/// has something idle, else a dial. A returned connection may still come first.
///
/// Returns how scarce ports are if that keeps somebody waiting; then it is to be done again before long.
/// TIME_WAITs end without a word.
fn provide(pool: &Rc<Pool>, now: Instant) -> Option<Level> {
    let mut asked = false;
    while pool.unprovided() > 0 {
        // A sibling's counter is a little old: one question, then a dial.
        let sibling = if asked { None } else { pool.sibling_with_idle() };
        if let Some(sibling) = sibling {
            asked = true;
            pool.ask(sibling);
            continue;
        }
        if pool.awaits_gift(now) {
            pool.call_by(now + GIFTS_LOOK);
            break;
        }
        if pool.awaits_descriptor(now).is_some() {
            break;
        }
        match begin_dial(pool, now) {
            Ok(slot) => spawn_dial(pool, slot),
            Err(NoSlot::MaxConnections) => break,
            Err(NoSlot::Ports(level)) if pool.expects_returns() => {
                pool.call_by(now + PORTS_LOOK);
                return Some(level);
            }
            // What is idle elsewhere gives way.
            Err(NoSlot::Descriptors) => pool.want_descriptor(now),
            Err(NoSlot::Ports(_)) => {
                pool.counters().local_errors_total.inc();
                pool.fail_one(ConnectError::Local(Shortage::SourcePorts));
            }
        }
    }
    None
}

/// A slot for a dial. When few ports are left, only for somebody who does not wait for a connection that
/// comes back, or if none can.
fn begin_dial(pool: &Pool, now: Instant) -> Result<OpenSlot, NoSlot> {
    match pool.begin_dial(Level::Warn, now) {
        Err(NoSlot::Ports(Level::ReuseOnly)) if pool.insists() || !pool.expects_returns() => {
            pool.begin_dial(Level::ReuseOnly, now)
        }
        begun => begun,
    }
}

/// Dials beyond what is waited for, and tells whether it could.
fn dial_if_possible(pool: &Rc<Pool>, most: Level, now: Instant) -> bool {
    pool.begin_dial(most, now).map(|slot| spawn_dial(pool, slot)).is_ok()
}

fn spawn_dial(pool: &Rc<Pool>, slot: OpenSlot) {
    vital::spawn(dial(Rc::clone(pool), slot));
}

/// Dials, and gives what comes of it to the pool. It goes on when the request that wanted it is
/// served otherwise: the connection is then kept.
async fn dial(pool: Rc<Pool>, slot: OpenSlot) {
    let config = Arc::clone(&pool.config());
    let started = Instant::now();
    let timer = pool.timers().timer();
    timer.set(started + config.timeout.connect);
    let source = slot.source();
    let result = connect::connect(pool.endpoint().address, &config.socket, source, &timer).await;
    let now = Instant::now();
    match &result {
        Ok(_) => group::report(&pool, true, now),
        Err(error) => note_failure(&pool, source, error, now),
    }
    let connected = match result {
        Ok(stream) => {
            let retire_at = connect::retire_at(config.pool.max_age, now, random(started));
            Ok((stream, Life::new(slot, now, now - started, retire_at)))
        }
        Err(error) => {
            // Given back before anybody is provided for anew.
            drop(slot);
            Err(error)
        }
    };
    pool.dial_ended(connected);
    provide(&pool, now);
}

fn note_failure(pool: &Pool, source: &SourcePorts, error: &ConnectError, now: Instant) {
    let config = pool.config();
    let (upstream, address) = (&config.name, pool.endpoint().address);
    if let Some(unavailable) = error.unavailable() {
        // This source counts as full from now on: it is dialled from another, or whoever has no
        // connection for it is counted.
        source.note_unavailable(unavailable, now);
    } else if error.is_local() {
        pool.counters().local_errors_total.inc();
        tracing::warn!(%upstream, endpoint = %address, %error, "cannot dial");
    } else {
        pool.counters().connect_errors_total.inc();
        tracing::debug!(%upstream, endpoint = %address, %error, "connect failed");
        group::report(pool, false, now);
    }
}

/// Looks after one pool until it is dismissed or its worker ends: answers siblings, closes what was disturbed or
/// has been idle for too long, provides for those who wait, keeps `min_idle` warm.
async fn keep(pool: Rc<Pool>) {
    let mut warm_at = Instant::now();
    while !pool.is_dismissed() {
        let now = Instant::now();
        pool.look_after(now);
        let mut next = pool.expire(now);
        if provide(&pool, now).is_some() {
            next = Some(next.map_or(now + PORTS_LOOK, |next| next.min(now + PORTS_LOOK)));
        }
        if pool.awaits_gift(now) {
            next = Some(next.map_or(now + GIFTS_LOOK, |next| next.min(now + GIFTS_LOOK)));
        }
        if let Some(at) = pool.awaits_descriptor(now) {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        if pool.cold() > 0 {
            if pool.expects_gifts(now) {
                warm_at = warm_at.max(now + WARM_SPACING);
            } else if warm_at <= now {
                let warmed = !pool.is_short_of_descriptors() && dial_if_possible(&pool, Level::Warn, now);
                warm_at = now + if warmed { warm_spacing(&pool) } else { WARM_RETRY };
            }
            next = Some(next.map_or(warm_at, |next| next.min(warm_at)));
        }
        pool.called(next).await;
    }
}

fn warm_spacing(pool: &Pool) -> Duration {
    if pool.last_dial_failed() {
        return WARM_RETRY;
    }
    let warm = u32::try_from(pool.config().pool.min_idle).unwrap_or(u32::MAX).max(1);
    WARM_SPACING.min(pool.idle_timeout() / warm)
}

/// Enough randomness for jitter.
fn random(now: Instant) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(now)
}
