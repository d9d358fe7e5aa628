//! Who looks after a pool.

use super::dial::spawn_dial;
use super::{GIFTS_LOOK, PORTS_LOOK, dial_if_possible, provide};
use crate::pool::Pool;
use crate::pool::connection::OpenSlot;
use crate::source::level::Level;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The longest time between two dials that keep `min_idle` warm: connections dialled apart expire
/// apart, so that they are not all replaced together.
const WARM_SPACING: Duration = Duration::from_millis(100);
/// How long a pool rests after a dial that failed or could not begin before it tries to keep itself warm
/// again.
const WARM_RETRY: Duration = Duration::from_secs(1);

/// Looks after one pool until it is dismissed or its worker ends.
pub(super) async fn keep(pool: Rc<Pool>) {
    let mut warm_at = Instant::now();
    while !pool.is_dismissed() {
        let next = attend(&pool, &mut warm_at, Instant::now(), spawn_dial);
        pool.called(next).await;
    }
}

/// What the keeper of a pool does when it is called: answers siblings, closes what was disturbed or has been
/// idle for too long, provides for those who wait, keeps `min_idle` warm, next at `warm_at`. `dial` begins to
/// dial. Returns when to do it again, if nobody calls before.
pub fn attend(
    pool: &Rc<Pool>,
    warm_at: &mut Instant,
    now: Instant,
    dial: impl Fn(&Rc<Pool>, OpenSlot),
) -> Option<Instant> {
    pool.look_after(now);
    let expiry = pool.expire(now);
    let ports = provide(pool, now, &dial).map(|_| now + PORTS_LOOK);
    let gift = pool.awaits_gift(now).then_some(now + GIFTS_LOOK);
    let descriptor = pool.awaits_descriptor(now);
    let warm = keep_warm(pool, warm_at, now, dial);
    [expiry, ports, gift, descriptor, warm].into_iter().flatten().min()
}

/// Dials one of those that are kept warm, if one is wanted and it is time to. Returns when it is time for the
/// next.
fn keep_warm(
    pool: &Rc<Pool>,
    warm_at: &mut Instant,
    now: Instant,
    dial: impl Fn(&Rc<Pool>, OpenSlot),
) -> Option<Instant> {
    if pool.cold() == 0 {
        return None;
    }
    if pool.expects_gifts(now) {
        *warm_at = (*warm_at).max(now + WARM_SPACING);
    } else if *warm_at <= now {
        let warmed = !pool.is_short_of_descriptors() && dial_if_possible(pool, Level::Warn, now, dial);
        *warm_at = now + if warmed { warm_spacing(pool) } else { WARM_RETRY };
    }
    Some(*warm_at)
}

fn warm_spacing(pool: &Pool) -> Duration {
    if pool.last_dial_failed() {
        return WARM_RETRY;
    }
    let warm = u32::try_from(pool.config().pool.min_idle).unwrap_or(u32::MAX).max(1);
    WARM_SPACING.min(pool.idle_timeout() / warm)
}
