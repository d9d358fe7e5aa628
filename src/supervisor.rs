//! Starts everything or nothing, and ends it in order: listeners first, then what runs, then the
//! rest.

mod sources;

use crate::admin::{self, AdminSocket, AdminState};
use crate::budget::Budget;
use crate::command;
use crate::config::model::{Config, Endpoint};
use crate::listener::bind::{self, BindError, Bound};
use crate::observe::access_log::AccessLog;
use crate::observe::census::Census;
use crate::pool::handover::Handover;
use crate::registry::{EndpointState, ListenerState, Registry, Running, UpstreamState};
use crate::sys::{limits, sockopt};
use crate::upstream::group::Shared;
use crate::upstream::health::Health;
use crate::worker;
use sources::Sources;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// A handle to the running proxy, which runs on threads of its own.
#[derive(Clone, Debug)]
pub struct Supervisor {
    registry: Arc<Registry>,
    admin_address: Option<SocketAddr>,
    tokens: Tokens,
    threads: Arc<Mutex<Option<Threads>>>,
}

#[derive(Debug)]
struct Threads {
    workers: Workers,
    census: Census,
    control: JoinHandle<()>,
}

/// What ends things.
#[derive(Clone, Debug)]
struct Tokens {
    registry: Arc<Registry>,
    drain: CancellationToken,
    stop: CancellationToken,
    /// Cancelled when the workers have ended.
    over: CancellationToken,
}

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Listeners that could not be bound; nothing is bound.
    #[error("{}", lines(.0))]
    Bind(Vec<BindError>),
    /// The admin server could not be bound.
    #[error("{0}")]
    Admin(admin::BindError),
    /// The access log could not be opened.
    #[error("access log: {0}")]
    AccessLog(io::Error),
    /// A thread or a runtime could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Sessions that were cut because `runtime.shutdown_timeout` passed, or by [`Supervisor::stop`].
    pub cut: usize,
}

impl Supervisor {
    /// Binds all listeners and the admin address, and starts the workers. On an error nothing is
    /// left bound or running.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let bound = bind::bind_all(&config).map_err(StartError::Bind)?;
        let socket = admin::bind(&config.admin).map_err(StartError::Admin)?;
        let access_log = AccessLog::open(&config.log).map_err(StartError::AccessLog)?;
        let budget = Arc::new(Budget::new(nofile(), fixed_descriptors(&config)));
        let config = Arc::new(config);
        let (running, sockets) = running(&config, bound);
        let upstreams = shared(&running, config.runtime.workers);
        let registry = Arc::new(Registry::new(running, budget));
        let tokens = Tokens::new(&registry);
        let admin_address = socket.address();
        let (workers, commands) = start_workers(&registry, sockets, &upstreams, access_log.clone(), &tokens)?;
        let census = Census::start(Arc::clone(&registry), commands.clone())
            .map_err(|error| tokens.stopped_for(error))?;
        let control = start_control(&config, socket, &registry, commands, access_log, &tokens)?;
        let threads = Arc::new(Mutex::new(Some(Threads { workers, census, control })));
        Ok(Self { registry, admin_address, tokens, threads })
    }

    /// What runs, and its counters.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Where the admin server listens; `None` for a Unix socket.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Begins the drain: the listeners close, what runs goes on until `runtime.shutdown_timeout`.
    pub fn drain(&self) {
        self.tokens.begin_drain();
    }

    /// Ends at once.
    pub fn stop(&self) {
        self.tokens.stop.cancel();
    }

    /// Waits until everything has ended. Only the first of several callers waits.
    pub fn wait(&self) -> DrainReport {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return DrainReport { cut: 0 } };
        let mut cut = 0;
        for worker in threads.workers {
            match worker.join() {
                Ok(Ok(left)) => cut += left,
                Ok(Err(error)) => tracing::error!(%error, "a worker ended"),
                Err(_) => tracing::error!("a worker panicked"),
            }
        }
        drop(threads.census);
        self.tokens.over.cancel();
        // The control thread has no result; if it panicked, there is nothing left to wait for.
        let _ = threads.control.join();
        DrainReport { cut }
    }
}

impl Tokens {
    fn new(registry: &Arc<Registry>) -> Self {
        Self {
            registry: Arc::clone(registry),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            over: CancellationToken::new(),
        }
    }

    fn begin_drain(&self) {
        self.registry.draining.store(true, Relaxed);
        self.drain.cancel();
    }

    /// The start has failed: what was started ends.
    fn stopped_for(&self, error: io::Error) -> StartError {
        self.stop.cancel();
        StartError::Thread(error)
    }
}

fn lines(errors: &[BindError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// RLIMIT_NOFILE, raised to what the administrator allows; where that fails, the 1,024 that Linux
/// starts processes with.
fn nofile() -> usize {
    match limits::raise_nofile() {
        Ok((_, now)) => usize::try_from(now).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!(%error, "RLIMIT_NOFILE cannot be raised");
            1024
        }
    }
}

/// Descriptors that are taken for good: a listening socket for each address and worker, and three for
/// each runtime (epoll, its waker, its signal pipe), the control thread's included.
pub fn fixed_descriptors(config: &Config) -> usize {
    let addresses: usize = config.listeners.iter().map(|listener| listener.bind.len()).sum();
    addresses * config.runtime.workers + 3 * (config.runtime.workers + 1)
}

type Sockets = Vec<(Arc<ListenerState>, Vec<std::net::TcpListener>)>;

fn running(config: &Arc<Config>, bound: Vec<Bound>) -> (Running, Sockets) {
    let workers = config.runtime.workers;
    let mut sockets = Sockets::new();
    for bound in bound {
        let state = ListenerState {
            address: bound.address,
            config: bound.config,
            backlog: bound.backlog,
            workers: (0..workers).map(|_| Default::default()).collect(),
            clients: Default::default(),
            queues: Default::default(),
            tcp_states: Default::default(),
        };
        sockets.push((Arc::new(state), bound.sockets));
    }
    let mut sources = Sources::new();
    let upstreams = config.upstreams.iter().map(|config| {
        sources.check(config);
        let endpoint = |endpoint: &Endpoint| {
            EndpointState::new(*endpoint, workers, sources.towards(endpoint.address, config))
        };
        Arc::new(UpstreamState {
            health: Health::new(config.endpoints.len(), &config.passive),
            endpoints: config.endpoints.iter().map(endpoint).map(Arc::new).collect(),
            config: Arc::clone(config),
        })
    });
    let running = Running {
        generation: 1,
        loaded_at: SystemTime::now(),
        config: Arc::clone(config),
        listeners: sockets.iter().map(|(state, _)| Arc::clone(state)).collect(),
        upstreams: upstreams.collect(),
    };
    (running, sockets)
}

fn shared(running: &Running, workers: usize) -> Vec<Arc<Shared>> {
    let share = |state: &Arc<UpstreamState>| {
        let handovers = state.endpoints.iter().map(|_| Arc::new(Handover::new(workers)));
        Arc::new(Shared { state: Arc::clone(state), handovers: handovers.collect() })
    };
    running.upstreams.iter().map(share).collect()
}

type Workers = Vec<JoinHandle<io::Result<usize>>>;

/// Starts one thread a worker, with the way to it; each reports when it serves, or everything is stopped again.
fn start_workers(
    registry: &Arc<Registry>,
    mut sockets: Sockets,
    upstreams: &[Arc<Shared>],
    access_log: Option<AccessLog>,
    tokens: &Tokens,
) -> Result<(Workers, Vec<command::Sender>), StartError> {
    let count = sockets.iter().map(|(_, sockets)| sockets.len()).max().unwrap_or(0);
    let (mut threads, mut senders) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (ready, is_ready) = mpsc::channel();
    for index in 0..count {
        let (sender, commands) = command::channel();
        senders.push(sender);
        let parts = worker::Parts {
            index,
            registry: Arc::clone(registry),
            listeners: take_one_each(&mut sockets, index),
            upstreams: upstreams.to_vec(),
            access_log: access_log.clone(),
            commands,
            drain: tokens.drain.clone(),
            stop: tokens.stop.clone(),
            ready: ready.clone(),
        };
        let name = format!("worker-{index}");
        match thread::Builder::new().name(name).spawn(move || parts.run()) {
            Ok(thread) => threads.push(thread),
            Err(error) => return Err(abandon(threads, tokens, error)),
        }
    }
    drop(ready);
    let started = is_ready.iter().take(count).count();
    if started < count {
        return Err(abandon(threads, tokens, io::Error::other("a worker did not start")));
    }
    Ok((threads, senders))
}

fn take_one_each(sockets: &mut Sockets, worker: usize) -> Vec<(Arc<ListenerState>, std::net::TcpListener)> {
    let mut taken = Vec::with_capacity(sockets.len());
    for (state, sockets) in sockets {
        let Some(socket) = sockets.pop() else { continue };
        // Without an inode, which it always has, its queue is not told of.
        if let Ok(inode) = sockopt::inode(&socket) {
            state.queues.belongs(inode, worker);
        }
        taken.push((Arc::clone(state), socket));
    }
    taken
}

/// Stops what was started, and returns the worker's own error where there is one.
fn abandon(threads: Workers, tokens: &Tokens, error: io::Error) -> StartError {
    tokens.stop.cancel();
    let ended = threads.into_iter().filter_map(|thread| thread.join().ok()?.err());
    StartError::Thread(ended.last().unwrap_or(error))
}

/// Starts the thread of the admin server, which also ends an overlong drain.
fn start_control(
    config: &Config,
    socket: AdminSocket,
    registry: &Arc<Registry>,
    workers: Vec<command::Sender>,
    access_log: Option<AccessLog>,
    tokens: &Tokens,
) -> Result<JoinHandle<()>, StartError> {
    let timeout = config.runtime.shutdown_timeout;
    let drain = tokens.clone();
    let state = Arc::new(AdminState {
        registry: Arc::clone(registry),
        workers,
        access_log,
        drain: Box::new(move || drain.begin_drain()),
    });
    let tokens_there = tokens.clone();
    let started = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        thread::Builder::new().name("control".into()).spawn(move || {
            runtime.block_on(control(socket, state, tokens_there, timeout));
        })
    });
    started.map_err(|error| tokens.stopped_for(error))
}

async fn control(socket: AdminSocket, state: Arc<AdminState>, tokens: Tokens, timeout: Duration) {
    let (drain, stop, over) = (tokens.drain.clone(), tokens.stop.clone(), tokens.over.clone());
    let registry = Arc::clone(&tokens.registry);
    let end_drain = async move {
        drain.cancelled().await;
        tokio::time::sleep(timeout).await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = admin::serve(socket, state, over.cancelled()) => {
            if let Err(error) = ended {
                tracing::error!(%error, "the admin server has ended");
            }
        }
        () = end_drain => {}
        () = sources::follow(registry) => {}
    }
}
