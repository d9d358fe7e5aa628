//! From a chosen endpoint to a leased connection: idle here, else with a sibling, else dialled.
//! The only place that joins the pools to the dialling.

use crate::pool::connection::{Life, NoSlot, OpenSlot};
use crate::pool::{Lease, Pool, Ticket};
use crate::reason::RejectReason;
use crate::timer::Timer;
use crate::upstream::connect::{self, ConnectError, Shortage};
use crate::upstream::group::Group;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

/// The longest time between two dials that keep `min_idle` warm: connections dialled apart expire
/// apart, so that they are not all replaced together.
const WARM_SPACING: Duration = Duration::from_millis(100);
/// How long a pool rests after a failed dial before it tries to keep itself warm again.
const WARM_RETRY: Duration = Duration::from_secs(1);

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

    /// Whether another endpoint may do better.
    pub fn is_endpoints_fault(&self) -> bool {
        matches!(self, Self::Connect(error) if !error.is_local())
    }
}

/// The pool of an endpoint, with its keeper running.
pub fn pool(group: &Rc<Group>, endpoint: usize) -> Rc<Pool> {
    let (pool, new) = group.pool(endpoint);
    if new {
        tokio::task::spawn_local(keep(Rc::clone(group), endpoint, Rc::clone(pool)));
    }
    Rc::clone(pool)
}

/// An idle connection to the endpoint, if this worker has one.
pub fn idle(group: &Rc<Group>, endpoint: usize, now: Instant) -> Option<Lease> {
    pool(group, endpoint).check_out(now)
}

/// A connection to the endpoint, as soon as there is one, where [`idle`] found none. `fresh`: one that nothing was sent on
/// yet, for a request that a reused one has failed: what else is idle may be as stale.
///
/// # Errors
/// See [`AcquireError`].
pub async fn acquire(group: &Rc<Group>, endpoint: usize, fresh: bool) -> Result<Lease, AcquireError> {
    let now = Instant::now();
    let pool = pool(group, endpoint);
    let mut ticket = pool.join();
    if fresh {
        dial_if_possible(group, endpoint, &pool);
    }
    provide(group, endpoint, &pool);
    // Only those for whom nothing is on its way are in the queue that is bounded.
    if pool.unprovided() > pool.config().pool.wait_queue {
        return Err(AcquireError::QueueFull);
    }
    let timeout = &pool.config().timeout;
    let patience = match pool.unprovided() {
        0 => timeout.connect + pool.config().pool.wait_timeout,
        _ => pool.config().pool.wait_timeout,
    };
    let timer = group.timers().timer();
    timer.set(now + patience);
    wait(&mut ticket, &timer).await
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
fn provide(group: &Rc<Group>, endpoint: usize, pool: &Rc<Pool>) {
    let mut asked = false;
    while pool.unprovided() > 0 {
        // A sibling's counter is a little old: one question, then a dial.
        let sibling = if asked { None } else { pool.sibling_with_idle() };
        if let Some(sibling) = sibling {
            asked = true;
            pool.ask(sibling);
            continue;
        }
        match pool.begin_dial() {
            Ok(slot) => spawn_dial(group, endpoint, pool, slot),
            Err(NoSlot::MaxConnections) => break,
            // What is open comes back, or gives its descriptor back, and either is noticed.
            Err(NoSlot::Descriptors) if pool.endpoint().open.load(Relaxed) > 0 => break,
            Err(NoSlot::Descriptors) => {
                pool.counters().local_errors_total.inc();
                pool.fail_one(ConnectError::Local(Shortage::Descriptors));
            }
        }
    }
}

fn dial_if_possible(group: &Rc<Group>, endpoint: usize, pool: &Rc<Pool>) {
    if let Ok(slot) = pool.begin_dial() {
        spawn_dial(group, endpoint, pool, slot);
    }
}

fn spawn_dial(group: &Rc<Group>, endpoint: usize, pool: &Rc<Pool>, slot: OpenSlot) {
    tokio::task::spawn_local(dial(Rc::clone(group), endpoint, Rc::clone(pool), slot));
}

/// Dials, and gives what comes of it to the pool. It goes on when the request that wanted it is
/// served otherwise: the connection is then kept.
async fn dial(group: Rc<Group>, endpoint: usize, pool: Rc<Pool>, slot: OpenSlot) {
    let config = pool.config();
    let started = Instant::now();
    let timer = group.timers().timer();
    timer.set(started + config.timeout.connect);
    let source = group.next_source(endpoint);
    let result = connect::connect(pool.endpoint().address, &config.socket, source, &timer).await;
    let now = Instant::now();
    match &result {
        Ok(_) => group.report(endpoint, true, now),
        Err(error) if error.is_local() => {
            pool.counters().local_errors_total.inc();
            tracing::warn!(upstream = %config.name, endpoint = %pool.endpoint().address, %error, "cannot dial");
        }
        Err(error) => {
            pool.counters().connect_errors_total.inc();
            tracing::debug!(upstream = %config.name, endpoint = %pool.endpoint().address, %error, "connect failed");
            group.report(endpoint, false, now);
        }
    }
    pool.dial_ended(result.map(|stream| {
        let retire_at = connect::retire_at(config.pool.max_age, now, random(started));
        (stream, Life::new(slot, now, now - started, retire_at))
    }));
    provide(&group, endpoint, &pool);
}

/// Looks after one pool as long as its worker runs: answers siblings, closes what was disturbed or
/// has been idle for too long, provides for those who wait, keeps `min_idle` warm.
async fn keep(group: Rc<Group>, endpoint: usize, pool: Rc<Pool>) {
    let mut warm_at = Instant::now();
    loop {
        let now = Instant::now();
        pool.look_after(now);
        let mut next = pool.expire(now);
        provide(&group, endpoint, &pool);
        if pool.cold() > 0 {
            if warm_at <= now {
                warm_at = now + warm_spacing(&pool);
                dial_if_possible(&group, endpoint, &pool);
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
