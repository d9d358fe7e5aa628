//! From a chosen endpoint to a leased connection: idle here, else with a sibling, else dialled.
//! The only place that joins the pools to the dialling.

mod dial;
mod keeper;

pub use dial::dialled;
pub use keeper::attend;

use crate::config::model;
use crate::pool::connection::{NoSlot, OpenSlot};
use crate::pool::{Lease, Pool, Ticket};
use crate::reason::RejectReason;
use crate::source::level::Level;
use crate::timer::Timer;
use crate::upstream::connect::{ConnectError, Shortage};
use crate::upstream::group::Group;
use crate::worker::vital;
use dial::spawn_dial;
use keeper::keep;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

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
    let pool = pool(group, endpoint);
    if want == Want::Own
        && let Some(dial) = pool.begin_own_dial(Instant::now())
    {
        match Box::pin(dial::own(&pool, dial)).await {
            // Another source may have a port, or something may give way.
            Err(error) if error.may_pass() => {}
            ended => return Ok(ended?),
        }
    }
    queued(group, &pool, want, last).await
}

/// The same for those who have to wait for their turn.
async fn queued(group: &Group, pool: &Rc<Pool>, want: Want, last: bool) -> Result<Lease, AcquireError> {
    let now = Instant::now();
    let config = &group.state().config;
    let Queued { mut ticket, patience, is_short } = queue(pool, config, want, last, now, spawn_dial)?;
    let timer = group.timers().timer();
    timer.set(now + patience);
    match wait(&mut ticket, &timer).await {
        Err(AcquireError::Timeout) if is_short => {}
        Err(AcquireError::Timeout) if pool.awaits_descriptor(Instant::now()).is_some() => {
            pool.counters().local_errors_total.inc();
            return Err(AcquireError::Connect(ConnectError::Local(Shortage::Descriptors)));
        }
        waited => return waited,
    }
    // Nothing came back: it is dialled for, if there is a port at all.
    ticket.insist();
    let now = Instant::now();
    let short = provide(pool, now, spawn_dial);
    if !pool.is_coming() {
        return match ticket.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(given) => given.map_err(AcquireError::from),
            Poll::Pending => Err(short.map_or(AcquireError::Timeout, |_| no_port(pool, true))),
        };
    }
    timer.set(now + config.timeout.connect);
    wait(&mut ticket, &timer).await
}

/// A place in the queue for a connection.
#[derive(Debug)]
pub struct Queued {
    /// The place.
    pub ticket: Ticket,
    /// For how long it is worth waiting.
    pub patience: Duration,
    /// Whether nothing is dialled for want of ports: whoever has waited in vain insists, and is provided
    /// for once more.
    pub is_short: bool,
}

/// Queues for a connection to the endpoint of `pool`, and sees to it that one is on its way; `dial` begins to
/// dial. `last`: see [`acquire`].
///
/// # Errors
/// See [`AcquireError`].
pub fn queue(
    pool: &Rc<Pool>,
    config: &model::Upstream,
    want: Want,
    last: bool,
    now: Instant,
    dial: impl Fn(&Rc<Pool>, OpenSlot),
) -> Result<Queued, AcquireError> {
    let ticket = pool.join();
    if want != Want::Any {
        ticket.insist();
    }
    if want == Want::Fresh {
        ticket.want_fresh();
        dial_if_possible(pool, Level::ReuseOnly, now, &dial);
    }
    let short = provide(pool, now, dial);
    if short == Some(Level::Refuse) && (want == Want::Own || !last) {
        return Err(no_port(pool, last));
    }
    // Only those for whom nothing is on its way are in the queue that is bounded.
    if pool.unprovided() > config.pool.wait_queue {
        return Err(AcquireError::QueueFull);
    }
    let patience = match pool.unprovided() {
        0 => config.timeout.connect + config.pool.wait_timeout,
        _ => config.pool.wait_timeout,
    };
    Ok(Queued { ticket, patience, is_short: short.is_some() })
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
/// TIME_WAITs end without a word. `dial` begins to dial.
pub fn provide(pool: &Rc<Pool>, now: Instant, dial: impl Fn(&Rc<Pool>, OpenSlot)) -> Option<Level> {
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
            Ok(slot) => dial(pool, slot),
            Err(NoSlot::MaxConnections) => {
                // The one that was asked in vain is not the only sibling. For others who wait this is done again
                // when the answer has come.
                pool.sibling_with_idle().into_iter().for_each(|sibling| pool.ask(sibling));
                break;
            }
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
fn dial_if_possible(pool: &Rc<Pool>, most: Level, now: Instant, dial: impl Fn(&Rc<Pool>, OpenSlot)) -> bool {
    pool.begin_dial(most, now).map(|slot| dial(pool, slot)).is_ok()
}
