//! Dials, for whoever waits in a pool's queue or for oneself, and what becomes of them.

use super::provide;
use crate::pool::connection::{Life, OpenSlot};
use crate::pool::{Lease, OwnDial, Pool};
use crate::source::ports::SourcePorts;
use crate::sys::sockopt::set_lasting;
use crate::upstream::connect::{self, ConnectError};
use crate::upstream::group;
use crate::worker::vital;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;

/// Begins to dial in a task of its own.
pub(super) fn spawn_dial(pool: &Rc<Pool>, slot: OpenSlot) {
    vital::spawn(connect(Rc::clone(pool), slot));
}

/// Dials, and gives what comes of it to the pool. It goes on when the request that wanted it is
/// served otherwise: the connection is then kept.
async fn connect(pool: Rc<Pool>, slot: OpenSlot) {
    let config = Arc::clone(&pool.config());
    let started = Instant::now();
    let timer = pool.timers().timer();
    timer.set(started + config.timeout.connect);
    let connected = connect::connect(pool.endpoint().address, &config.socket, slot.source(), &timer).await;
    let result = connected.and_then(|stream| {
        set_lasting(&stream, &config.socket)?;
        Ok(stream)
    });
    dialled(&pool, slot, result, started, Instant::now(), random(started), spawn_dial);
}

/// A dial begun at `started` came to this at `now`: what it says of the endpoint and of the source is noted, and
/// the pool has what came of it. `random` spreads the ages at which connections retire; `dial` begins to dial for
/// whoever is to be provided for anew.
pub fn dialled(
    pool: &Rc<Pool>,
    slot: OpenSlot,
    result: Result<TcpStream, ConnectError>,
    started: Instant,
    now: Instant,
    random: u64,
    dial: impl Fn(&Rc<Pool>, OpenSlot),
) {
    match &result {
        Ok(_) => group::report(pool, true, now),
        Err(error) => note_failure(pool, slot.source(), error, now),
    }
    let connected = match result {
        Ok(stream) => {
            let retire_at = connect::retire_at(pool.config().pool.max_age, now, random);
            Ok((stream, Life::new(slot, now, now - started, retire_at)))
        }
        Err(error) => {
            // Given back before anybody is provided for anew.
            drop(slot);
            Err(error)
        }
    };
    pool.dial_ended(connected, now);
    provide(pool, now, dial);
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

/// Dials for a session that keeps the connection, and ends with it. There is no task beside the session's, no place
/// in the queue and no second timer: of 19,500 instructions that a session of one message took in user space, 15,600
/// are left, by callgrind, with its task's future boxed ([`crate::forward::dispatch`]).
///
/// # Errors
/// See [`ConnectError`].
pub(super) async fn own(pool: &Rc<Pool>, dial: OwnDial) -> Result<Lease, ConnectError> {
    let config = Arc::clone(&pool.config());
    let started = Instant::now();
    let timer = pool.timers().timer();
    timer.set(started + config.timeout.connect);
    let endpoint = pool.endpoint().address;
    let result = connect::connect(endpoint, &config.socket, dial.source(), &timer).await;
    let now = Instant::now();
    match result {
        Ok(stream) => {
            group::report(pool, true, now);
            Ok(dial.succeeded(stream, now - started, now))
        }
        Err(error) => {
            note_failure(pool, dial.source(), &error, now);
            dial.failed(&error, now);
            Err(error)
        }
    }
}

/// Enough randomness for jitter.
fn random(now: Instant) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(now)
}
