//! One worker: a thread with its own runtime, listening sockets, sessions and pools. It shares
//! nothing that it would have to lock while it forwards.

mod commands;
mod shed;
mod stage;
pub mod vital;

use crate::buffer::BufferPool;
use crate::command;
use crate::forward::http::Runners;
use crate::forward::splice::Pipes;
use crate::observe::access_log::AccessLog;
use crate::registry::Registry;
use crate::session::{HeldUp, SessionTable};
use crate::timer::Timers;
use stage::Stage;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

/// What the sessions of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// Its place among the workers.
    pub index: usize,
    /// Everything that runs.
    pub registry: Arc<Registry>,
    /// Free buffers.
    pub buffers: Rc<BufferPool>,
    /// Pipes for long flows.
    pub pipes: Rc<Pipes>,
    /// Where requests are served.
    pub runners: Runners,
    /// Deadlines.
    pub timers: Rc<Timers>,
    /// The clients that it serves.
    pub sessions: Rc<SessionTable>,
    /// Where finished exchanges are written down, if anywhere.
    pub access_log: Option<AccessLog>,
    stage: Stage,
    drain: CancellationToken,
    refused: Cell<usize>,
}

/// What a worker that leaves gives idle clients, after their time is over, to be closed by the policy.
const LAST_CLOSES: Duration = Duration::from_secs(2);

/// What idle clients of a process that another has taken over from are given, at most.
const FAREWELL: Duration = Duration::from_secs(5);

/// Refused clients whose last bytes a worker reads at once; more are closed without. Together with
/// the listening sockets they stay within the descriptors that the budget keeps back.
const MAX_REFUSED: usize = 16;

/// Kinds of sessions that are told of when they are cut.
const CUT_TOLD: usize = 8;

/// What a worker is made of, sent to its thread.
#[derive(Debug)]
pub struct Parts {
    /// Its place among the workers.
    pub index: usize,
    /// Everything that runs.
    pub registry: Arc<Registry>,
    /// The access log.
    pub access_log: Option<AccessLog>,
    /// What the control side asks of it.
    pub commands: command::Receiver,
    /// When to begin to drain.
    pub drain: CancellationToken,
    /// When to end at once.
    pub stop: CancellationToken,
    /// Told once the worker hears commands, the first of which says what it is to run.
    pub ready: mpsc::Sender<()>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was told to.
    Told {
        /// Sessions that were still open.
        cut: usize,
    },
    /// One of its [vital] tasks panicked.
    Panicked {
        /// Sessions that were open.
        lost: usize,
    },
}

impl Parts {
    /// Runs the worker on this thread until it has drained, is stopped, or panics. When this returns, all that
    /// it had is given back.
    ///
    /// # Errors
    /// When the runtime cannot be built.
    pub fn run(self) -> std::io::Result<Ended> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        let Self { index, registry, access_log, commands, drain, stop, ready } = self;
        let worker = Rc::new(Worker::new(index, registry, access_log, drain, Instant::now()));
        let serve = Rc::clone(&worker).serve(commands, ready, stop);
        // As a task of its own: what a runtime blocks on is polled whenever any task was woken, and to ask each of
        // the tokens that this waits for took 800 instructions, a tenth of a round trip of a TCP client.
        let serve = async { tokio::task::spawn_local(serve).await };
        let ended = panic::catch_unwind(AssertUnwindSafe(|| local.block_on(&runtime, serve)));
        Ok(ended.ok().and_then(Result::ok).unwrap_or_else(|| worker.lose_everything()))
    }
}

impl Worker {
    async fn serve(
        self: Rc<Self>,
        commands: command::Receiver,
        ready: mpsc::Sender<()>,
        stop: CancellationToken,
    ) -> Ended {
        vital::spawn(Rc::clone(&self.timers).drive());
        vital::spawn(shed::serve(Rc::clone(&self)));
        let mut commands = vital::spawn(commands::serve(Rc::clone(&self), commands));
        // Whoever started the worker waits for this, unless it gave up.
        let _ = ready.send(());
        let told = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.drain.cancelled() => self.drain(&stop).await,
                left = &mut commands => {
                    if let Ok(Some(patience)) = left {
                        self.leave(patience, &stop).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = vital::broken() => return self.lose_everything(),
            () = told => {}
        }
        self.tell_what_is_cut(Instant::now());
        // Closed by the policy, not by being dropped: that would leave a TIME_WAIT for each.
        self.stage.pools().iter().for_each(|pool| pool.dismiss());
        Ended::Told { cut: self.sessions.len() }
    }

    /// After a panic: whoever is there is lost, and what is idle is closed, as far as that can be done with what
    /// the panic has left.
    fn lose_everything(&self) -> Ended {
        self.sessions.lose_all();
        for pool in self.stage.pools() {
            // What one pool cannot do must not keep the others from it.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| pool.dismiss()));
        }
        Ended::Panicked { lost: self.sessions.len() }
    }

    fn new(
        index: usize,
        registry: Arc<Registry>,
        access_log: Option<AccessLog>,
        drain: CancellationToken,
        now: Instant,
    ) -> Self {
        let budget = &registry.budget;
        Self {
            index,
            buffers: Rc::new(BufferPool::new(Arc::clone(&registry.buffers))),
            pipes: Pipes::new(Arc::clone(budget)),
            runners: Runners::default(),
            timers: Timers::new(now),
            sessions: SessionTable::new(index, Arc::clone(budget), now),
            access_log,
            stage: Stage::default(),
            drain,
            refused: Cell::new(0),
            registry,
        }
    }

    /// Says who is still there, now that they are cut, and what they are at.
    fn tell_what_is_cut(&self, now: Instant) {
        let all = self.sessions.held_up(now);
        for HeldUp { listener, phase, endpoint, sessions, oldest, client } in all.iter().take(CUT_TOLD) {
            let endpoint = endpoint.map(tracing::field::display);
            tracing::warn!(
                listener, %phase, endpoint, sessions, ?oldest, %client,
                "cut, as they have not ended in time; the client is that of the oldest"
            );
        }
        let rest: usize = all.iter().skip(CUT_TOLD).map(|held| held.sessions).sum();
        if rest > 0 {
            tracing::warn!(sessions = rest, "cut like those before");
        }
    }

    async fn drain(&self, stop: &CancellationToken) {
        // What waits in the accept queues is still served: closing the socket would reset it.
        self.stage.close().await;
        self.stage.pools().iter().for_each(|pool| pool.shut());
        let patience = self.patience();
        if !patience.is_zero() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.sessions.emptied() => return,
                () = tokio::time::sleep(patience) => {}
            }
        }
        self.stage.end_idle();
        self.timers.wake_all();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.sessions.emptied() => {}
        }
    }

    /// How long a drain leaves clients that are idle their connections, to be told with their next response
    /// that it is the last: a close might cross a request. When nobody takes over from this process, not at all.
    fn patience(&self) -> Duration {
        match self.registry.succession.is_handed_over() {
            true => (self.registry.running().config.runtime.shutdown_timeout / 2).min(FAREWELL),
            false => Duration::ZERO,
        }
    }

    /// Serves its clients until they have gone: each is told with its next response. Who is still there
    /// in the end is cut.
    async fn leave(&self, patience: Duration, stop: &CancellationToken) {
        self.stage.leave();
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.sessions.emptied() => return,
            () = self.drain.cancelled() => {}
            () = tokio::time::sleep(patience) => {}
        }
        self.stage.end_idle();
        self.timers.wake_all();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.sessions.emptied() => {}
            () = tokio::time::sleep(LAST_CLOSES), if !self.drain.is_cancelled() => {}
        }
    }

    /// Counts a refused client until the guard is dropped; `None` when there are too many already.
    pub fn count_refused(self: &Rc<Self>) -> Option<Refused> {
        let refused = self.refused.get();
        (refused < MAX_REFUSED).then(|| {
            self.refused.set(refused + 1);
            Refused(Rc::clone(self))
        })
    }
}

/// A refused client that is being closed.
#[derive(Debug)]
pub struct Refused(Rc<Worker>);

impl Drop for Refused {
    fn drop(&mut self) {
        self.0.refused.set(self.0.refused.get() - 1);
    }
}

/// A number that differs from worker to worker and from run to run.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
