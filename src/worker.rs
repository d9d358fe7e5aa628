//! One worker: a thread with its own runtime, listening sockets, sessions and pools. It shares
//! nothing that it would have to lock while it forwards.

mod commands;

use crate::buffer::BufferPool;
use crate::command;
use crate::forward::acquire;
use crate::forward::splice::Pipes;
use crate::listener::accept;
use crate::observe::access_log::AccessLog;
use crate::registry::{ListenerState, Registry};
use crate::session::SessionTable;
use crate::timer::Timers;
use crate::upstream::group::{Group, Shared};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use tokio::task::{JoinHandle, LocalSet};
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
    /// Deadlines.
    pub timers: Rc<Timers>,
    /// The clients that it serves.
    pub sessions: Rc<SessionTable>,
    /// Where finished exchanges are written down, if anywhere.
    pub access_log: Option<AccessLog>,
    draining: Cell<bool>,
    refused: Cell<usize>,
}

/// Refused clients whose last bytes a worker reads at once; more are closed without. Together with
/// the listening sockets they stay within the descriptors that the budget keeps back.
const MAX_REFUSED: usize = 16;

/// What a worker is made of, sent to its thread.
#[derive(Debug)]
pub struct Parts {
    /// Its place among the workers.
    pub index: usize,
    /// Everything that runs.
    pub registry: Arc<Registry>,
    /// Its listening sockets, with what they belong to.
    pub listeners: Vec<(Arc<ListenerState>, std::net::TcpListener)>,
    /// The upstreams, in the order of the configuration.
    pub upstreams: Vec<Arc<Shared>>,
    /// The access log.
    pub access_log: Option<AccessLog>,
    /// What the control side asks of it.
    pub commands: command::Receiver,
    /// When to begin to drain.
    pub drain: CancellationToken,
    /// When to end at once.
    pub stop: CancellationToken,
    /// Told once the worker accepts.
    pub ready: mpsc::Sender<()>,
}

impl Parts {
    /// Runs the worker on this thread until it has drained or is stopped; returns how many sessions
    /// were still open then.
    ///
    /// # Errors
    /// When the runtime cannot be built or a listening socket cannot be registered with it.
    pub fn run(self) -> std::io::Result<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        local.block_on(&runtime, self.serve())
    }

    async fn serve(self) -> std::io::Result<usize> {
        let worker = Rc::new(Worker::new(self.index, self.registry, self.access_log, Instant::now()));
        tokio::task::spawn_local(Rc::clone(&worker.timers).drive());
        let groups: Vec<Rc<Group>> =
            self.upstreams.iter().map(|upstream| worker.group(Arc::clone(upstream))).collect();
        tokio::task::spawn_local(commands::serve(Rc::clone(&worker), groups.clone(), self.commands));
        let accepting = accept::start(&worker, self.listeners, &groups, &self.drain)?;
        // Whoever started the worker waits for this, unless it gave up.
        let _ = self.ready.send(());
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.drain.cancelled() => worker.drain(accepting, &groups, &self.stop).await,
        }
        // Closed by the policy, not by being dropped: that would leave a TIME_WAIT for each.
        groups.iter().flat_map(|group| group.pools()).for_each(|pool| pool.shut());
        Ok(worker.sessions.len())
    }
}

impl Worker {
    fn new(index: usize, registry: Arc<Registry>, access_log: Option<AccessLog>, now: Instant) -> Self {
        let budget = &registry.budget;
        Self {
            index,
            buffers: Rc::default(),
            pipes: Pipes::new(Arc::clone(budget)),
            timers: Timers::new(now),
            sessions: SessionTable::new(index, Arc::clone(budget), now),
            access_log,
            draining: Cell::new(false),
            refused: Cell::new(0),
            registry,
        }
    }

    /// Whether sessions are to end after what they are doing.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The same, to be looked at again and again.
    pub fn draining(&self) -> &Cell<bool> {
        &self.draining
    }

    async fn drain(&self, accepting: Vec<JoinHandle<()>>, groups: &[Rc<Group>], stop: &CancellationToken) {
        // What waits in the accept queues is still served: closing the socket would reset it.
        for task in accepting {
            // An accept loop that panicked has nothing left to wait for.
            let _ = task.await;
        }
        // Requests that the kernel holds already are served too: the runtime hears of them in a turn.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        self.draining.set(true);
        groups.iter().flat_map(|group| group.pools()).for_each(|pool| pool.shut());
        self.timers.wake_all();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.sessions.emptied() => {}
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

    /// This worker's view of an upstream; what is to be kept warm is dialled from now on.
    fn group(&self, upstream: Arc<Shared>) -> Rc<Group> {
        let min_idle = upstream.state.config.pool.min_idle;
        let endpoints = upstream.handovers.len();
        let seed = random_seed();
        let registry = Arc::clone(&self.registry);
        let group = Rc::new(Group::new(upstream, registry, self.index, Rc::clone(&self.timers), seed));
        if min_idle > 0 {
            for endpoint in 0..endpoints {
                acquire::pool(&group, endpoint);
            }
        }
        group
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
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
