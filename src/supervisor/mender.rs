//! A worker that has panicked, and another in its place: on a thread and with a runtime of its own, and on the
//! same listening sockets, in whose queues clients wait meanwhile.

use super::Reloader;
use crate::registry::Registry;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// So many panics of workers within [`RELAPSE_TIME`] are one too many: the cause is still there, and another
/// worker would not get further than those before it.
pub const RELAPSES: usize = 5;

/// See [`RELAPSES`].
pub const RELAPSE_TIME: Duration = Duration::from_secs(60);

/// After a worker that could not be started.
const RETRY: Duration = Duration::from_secs(1);

/// What the threads of workers know of whoever replaces them.
#[derive(Clone, Debug, Default)]
pub(super) struct Mender(Arc<OnceLock<Weak<Reloader>>>);

/// The panics of the last time (pure).
#[derive(Debug, Default)]
pub(super) struct Relapses(VecDeque<Instant>);

impl Mender {
    /// It is this one from now on.
    pub(super) fn is(&self, reloader: &Arc<Reloader>) {
        // There is one.
        let _ = self.0.set(Arc::downgrade(reloader));
    }

    /// The worker at this place has panicked, and all that it had is given back. Called on its thread, whose end
    /// is waited for: there is never a moment at which no worker's end is.
    pub(super) fn mend(&self, registry: &Registry, worker: usize, lost: usize) {
        registry.restarts.panicked(worker);
        bury(registry, worker);
        tracing::error!(worker, sessions_lost = lost, "a worker has panicked");
        let Some(reloader) = self.0.get().and_then(Weak::upgrade) else { return };
        while reloader.is_to_mend() {
            if reloader.has_relapsed(Instant::now()) {
                tracing::error!(
                    panics = RELAPSES,
                    within = ?RELAPSE_TIME,
                    "workers panic again and again: this process drains and ends with status 1"
                );
                return reloader.fail();
            }
            match reloader.replace(worker) {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(worker, %error, again_in = ?RETRY, "a worker cannot be started again");
                    thread::sleep(RETRY);
                }
            }
        }
    }
}

impl Relapses {
    /// One more. Whether that is too many.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        self.0.push_back(now);
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= RELAPSE_TIME) {
            self.0.pop_front();
        }
        self.0.len() >= RELAPSES
    }
}

/// Nothing is there at the place of this worker any more, whatever it had no time to say.
fn bury(registry: &Registry, worker: usize) {
    let running = registry.running();
    // What was leaving before it came has no place for it.
    for listener in running.all_listeners().filter(|listener| worker < listener.workers.len()) {
        listener.workers[worker].sessions.set(0);
    }
    for endpoint in running.endpoints().filter(|endpoint| worker < endpoint.workers.len()) {
        endpoint.workers[worker].nothing_is_left();
        endpoint.handover.abandon(worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_panics_within_a_minute_are_too_many() {
        let (mut relapses, start) = (Relapses::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let noted = [0, 10, 20, 30].map(|seconds| relapses.note(at(seconds)));
        assert_eq!(noted, [false; 4]);
        assert!(!relapses.note(at(60)), "the first is a minute ago");
        assert!(relapses.note(at(69)));
        assert!(!relapses.note(at(300)));
    }
}
