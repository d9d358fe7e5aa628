//! What all connections of the admin server share, and what happens every second.

use super::AdminState;
use super::connections::Lists;
use super::feed::Feed;
use super::guard::Failures;
use super::history::{self, History};
use super::token::Token;
use crate::metrics::host::Host;
use crate::observe::connections::Lister;
use crate::observe::snapshot::Snapshot;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Between two snapshots for `GET /events`.
const TICK: Duration = Duration::from_secs(1);

/// Ticks between two samples of the history.
const HISTORY_TICKS: u64 = history::INTERVAL.as_secs() / TICK.as_secs();

/// What the admin server serves.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) state: Arc<AdminState>,
    /// Without one, whoever reaches the server may use it.
    pub(super) token: Option<Token>,
    pub(super) failures: Failures,
    pub(super) feed: Feed,
    pub(super) lists: Lists,
    history: Mutex<History>,
}

impl Site {
    /// Its streams end when `closing` is cancelled.
    pub(super) fn new(state: Arc<AdminState>, token: Option<Token>, closing: CancellationToken) -> Self {
        let (failures, feed, history) = (Failures::default(), Feed::new(closing), Mutex::default());
        let lists = Lists::new(Lister::new(Arc::clone(&state.registry), state.workers.clone()));
        Self { state, token, failures, feed, lists, history }
    }

    /// Takes the snapshots for the feed and for the history. While nobody listens to the feed, only
    /// those for the history.
    pub(super) async fn tick(&self) -> Infallible {
        let mut seconds = interval(TICK);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0_u64;
        loop {
            tokio::select! {
                _ = seconds.tick() => {
                    self.look(ticks.is_multiple_of(HISTORY_TICKS));
                    ticks += 1;
                }
                // Who comes first need not wait for the next second.
                () = self.feed.first_subscriber() => {
                    self.look(false);
                }
            }
        }
    }

    /// Takes a snapshot, if it is for the history or anybody listens; returns whether it did.
    fn look(&self, record: bool) -> bool {
        let heard = self.feed.is_heard();
        if !heard && !record {
            return false;
        }
        // The history has no figure of the host, some of which take long to read.
        let host = if heard { Host::read() } else { Host::default() };
        let snapshot = Snapshot::take(&self.state.registry, host);
        if record {
            self.history().record(&snapshot, unix_ms());
        }
        if heard {
            self.feed.publish(&snapshot);
        }
        true
    }

    /// What was recorded so far.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970; a clock before that is one that was never set.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ReloadError;
    use crate::command::Crew;
    use crate::observe::fixture;

    #[test]
    fn nothing_is_looked_at_for_nobody() {
        let state = AdminState {
            registry: fixture::registry(),
            workers: Crew::default(),
            access_log: None,
            drain: Box::new(|| {}),
            reload: Box::new(|| Err(ReloadError::NoFile)),
            upgrade: Box::new(|| Err(crate::admin::UpgradeError::NoProgram)),
        };
        let site = Site::new(state.into(), None, CancellationToken::new());
        let samples =
            || serde_json::to_value(site.history().after(0)).unwrap()["times_ms"].as_array().unwrap().len();
        assert!(!site.look(false));
        assert!(site.look(true));
        assert_eq!(samples(), 1);
        let events = site.feed.subscribe(Arc::default());
        assert!(site.look(false));
        assert_eq!(samples(), 1);
        drop(events);
        assert!(!site.look(false));
    }
}
