//! Starts everything or nothing, and ends it in order: listeners first, then what runs, then the
//! rest.

mod activation;
mod build;
mod discovery;
#[cfg(debug_assertions)]
mod fault;
mod mender;
mod reload;
mod rights;
mod service;
mod sockets;
mod sources;
mod start_error;
mod takeover;
mod team;
mod upgrade;
mod watch;

pub use activation::ActivationError;
pub use mender::{RELAPSE_TIME, RELAPSES};
pub use reload::Reloader;
pub use rights::{RightsError, UnknownAccount, account_of};
pub use service::Service;
pub use start_error::StartError;
pub use takeover::{Predecessor, TakeoverError};
pub use upgrade::{Program, Upgrader};

use crate::admin::{self, AdminSocket, AdminState};
use crate::budget::Budget;
use crate::command::Crew;
use crate::config::model::Config;
use crate::listener::bind::{self, Bound};
use crate::observe::access_log::AccessLog;
use crate::observe::census::Census;
use crate::registry::{Leaving, Registry, Running};
use crate::sys::{limits, memory};
use crate::worker;
use build::{Upstreams, Workers};
use discovery::Discovery;
use mender::Mender;
use reload::AllHeld;
use sockets::Held;
use sources::SourceMaker;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};
use takeover::Estate;
use team::Team;
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// A handle to the running proxy, which runs on threads of its own.
#[derive(Clone, Debug)]
pub struct Supervisor {
    registry: Arc<Registry>,
    admin_address: Option<SocketAddr>,
    tokens: Tokens,
    upgrader: Arc<Upgrader>,
    threads: Arc<Mutex<Option<Threads>>>,
}

#[derive(Debug)]
struct Threads {
    workers: team::Threads,
    census: Census,
    watch: Option<Watch>,
    follower: Option<JoinHandle<()>>,
    control: JoinHandle<()>,
}

/// How often what a reload has removed is looked at, whether it is over.
const TIDY: Duration = Duration::from_millis(250);

/// What ends things.
#[derive(Clone, Debug)]
struct Tokens {
    registry: Arc<Registry>,
    drain: CancellationToken,
    stop: CancellationToken,
    /// Cancelled when the workers have ended.
    over: CancellationToken,
    /// Cancelled when the admin server is to end: then, or when another process has it.
    admin: CancellationToken,
    /// The sockets that clients come to; none once a drain begins.
    held: AllHeld,
    /// Who replaces workers that have panicked, and whether they have too often.
    mender: Mender,
    has_failed: Arc<AtomicBool>,
    /// Who wants to hear of all this.
    service: Service,
}

/// What there may be to begin with, beside a configuration.
#[derive(Debug, Default)]
pub struct Beginning {
    /// The file that the configuration was loaded from, which [`Reloader::reload`] reads again, and its
    /// [`fingerprint`](crate::config::load::fingerprint) from before it was.
    pub file: Option<(PathBuf, u64)>,
    /// What [`Upgrader::upgrade`] starts.
    pub program: Option<Program>,
    /// The process that this one takes over from.
    pub predecessor: Option<Predecessor>,
    /// The service manager.
    pub service: Service,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Sessions that were cut because `runtime.shutdown_timeout` passed, or by [`Supervisor::stop`].
    pub cut: usize,
    /// It was begun because workers panicked [again and again](RELAPSES).
    pub has_failed: bool,
}

impl Supervisor {
    /// Binds all listeners and the admin address, and starts the workers. On an error nothing is
    /// left bound or running. There is no file to reload.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::begin(config, Beginning::default())
    }

    /// The same with what else there is to begin with.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn begin(config: Config, beginning: Beginning) -> Result<Self, StartError> {
        let Beginning { file, program, predecessor, service } = beginning;
        let result = Self::try_begin(config, file, program, predecessor.as_ref(), service);
        let (supervisor, estate) = result.inspect_err(|error| {
            if let Some(predecessor) = &predecessor {
                predecessor.fail(error.to_string());
            }
        })?;
        let Tokens { over, service, .. } = &supervisor.tokens;
        match predecessor {
            Some(predecessor) => predecessor.relieve(estate, over.clone(), service),
            None => service.ready(),
        }
        Ok(supervisor)
    }

    fn try_begin(
        config: Config,
        file: Option<(PathBuf, u64)>,
        program: Option<Program>,
        predecessor: Option<&Predecessor>,
        service: Service,
    ) -> Result<(Self, Estate), StartError> {
        let mut inherited = match predecessor {
            Some(predecessor) => predecessor.sockets(&config, admin::name(&config.admin.listen))?,
            None => activation::sockets(&config)?,
        };
        let count = inherited.count();
        let inherited_places: Vec<bool> =
            inherited.listeners.iter().map(|sockets| !sockets.is_empty()).collect();
        let bound = bind::bind_missing(&config, std::mem::take(&mut inherited.listeners))?;
        rights::settle(&config)?;
        let newly_bound = bound.iter().filter(|bound| !bound.is_inherited).count();
        let socket = match inherited.admin.take() {
            Some(descriptor) => admin::adopt(&config.admin, descriptor)?,
            None => admin::bind(&config.admin)?,
        };
        let admin_handle =
            socket.handle(&config.admin, inherited.keeps_admin_file).map_err(StartError::Thread)?;
        let access_log = AccessLog::open(&config.log).map_err(StartError::AccessLog)?;
        let budget = Arc::new(Budget::new(nofile(), fixed_descriptors(&config)));
        let mut sources = SourceMaker::new();
        let config = Arc::new(config);
        let discovery = Arc::new(Discovery::new(&config, worker::random_seed()));
        let resolved = discovery.prepare(&config).map_err(StartError::Thread)?;
        let (running, mut held) = running(&config, &resolved, bound, &mut sources);
        if inherited.is_shared {
            held.iter_mut()
                .zip(&inherited_places)
                .filter(|(_, there)| **there)
                .for_each(|(held, _)| held.share_all());
        }
        let registry = Arc::new(Registry::new(running, budget));
        registry.buffers.set_limit(buffer_memory(&config));
        discovery.adopt(&config, &registry.discovery);
        let file = file.map(|(path, fingerprint)| {
            registry.reloads.loaded_from(path.display().to_string(), fingerprint);
            path
        });
        let tokens = Tokens::new(&registry, held, service);
        let admin_address = socket.address();
        let workers = team::Threads::default();
        let stopped = |error: StartError| tokens.stopped_for(&workers, error);
        let io_stopped = |error| tokens.stopped_for(&workers, StartError::Thread(error));
        let (team, crew) =
            start_workers(&registry, access_log.clone(), &tokens, &workers).map_err(io_stopped)?;
        let mut estate = Estate::new(Arc::clone(&registry), crew.clone());
        if let Some(predecessor) = predecessor {
            team.idle(&registry.running()).map_err(io_stopped)?;
            predecessor
                .wait_for_word(&mut estate, count, newly_bound)
                .map_err(|error| stopped(error.into()))?;
        }
        open(&team, &tokens, &registry.running(), count > 0).map_err(io_stopped)?;
        let reloader = Reloader::new(Arc::clone(&registry), tokens.clone(), file, team, sources, discovery);
        let reloader = Arc::new(reloader);
        tokens.mender.is(&reloader);
        let census = Census::start(Arc::clone(&registry), crew.clone()).map_err(io_stopped)?;
        let watch = reloader.file().map(|file| Watch::start(file, &registry, &reloader));
        let watch = watch.transpose().map_err(io_stopped)?;
        if !inherited.keeps_admin_file {
            admin_handle.own_file();
        }
        let upgrader = Arc::new(Upgrader::new(&reloader, &tokens, crew, admin_handle, program));
        let follower = tokens.service.follow(&tokens, upgrader.crew()).map_err(io_stopped)?;
        let control = start_control(socket, access_log, &upgrader, &tokens).map_err(io_stopped)?;
        let threads = Arc::new(Mutex::new(Some(Threads { workers, census, watch, follower, control })));
        Ok((Self { registry, admin_address, tokens, upgrader, threads }, estate))
    }

    /// Who lets another process take over.
    pub fn upgrader(&self) -> &Arc<Upgrader> {
        &self.upgrader
    }

    /// Who reads the configuration again.
    pub fn reloader(&self) -> &Arc<Reloader> {
        self.upgrader.reloader()
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
        let Some(threads) = threads else { return self.report(0) };
        let mut cut = 0;
        // A reload may add to them until the last has ended.
        while let Some(worker) = threads.next_worker() {
            match worker.join() {
                Ok(Ok(left)) => cut += left,
                Ok(Err(error)) => tracing::error!(%error, "a worker ended"),
                Err(_) => tracing::error!("a worker panicked"),
            }
        }
        drop(threads.census);
        drop(threads.watch);
        self.upgrader.finish();
        self.tokens.over.cancel();
        if let Some(follower) = threads.follower {
            // It has no result.
            let _ = follower.join();
        }
        // The control thread has no result; if it panicked, there is nothing left to wait for.
        let _ = threads.control.join();
        self.report(cut)
    }

    fn report(&self, cut: usize) -> DrainReport {
        DrainReport { cut, has_failed: self.tokens.has_failed.load(Relaxed) }
    }
}

impl Threads {
    fn next_worker(&self) -> Option<JoinHandle<io::Result<usize>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Tokens {
    fn new(registry: &Arc<Registry>, held: Vec<Held>, service: Service) -> Self {
        let over = CancellationToken::new();
        Self {
            registry: Arc::clone(registry),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            admin: over.child_token(),
            over,
            held: Arc::new(Mutex::new(held)),
            mender: Mender::default(),
            has_failed: Arc::default(),
            service,
        }
    }

    fn begin_drain(&self) {
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            self.registry.draining.store(true, Relaxed);
            held.clear();
        }
        if !self.registry.succession.is_handed_over() {
            self.service.stopping();
        }
        self.drain.cancel();
    }

    /// The start has failed: what was started ends. A worker's own error says more.
    fn stopped_for(&self, workers: &team::Threads, error: StartError) -> StartError {
        self.stop.cancel();
        let workers = std::mem::take(&mut *workers.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = workers.into_iter().filter_map(|worker| worker.join().ok()?.err());
        ended.last().map_or(error, StartError::Thread)
    }
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

/// What buffers may take, in bytes: `runtime.buffer_memory`, or a quarter of what there is.
fn buffer_memory(config: &Config) -> usize {
    /// Where the kernel does not tell how much there is.
    const UNKNOWN: u64 = 256 * 1024 * 1024;
    let auto = || memory::available().map_or(UNKNOWN, |bytes| bytes / 4);
    usize::try_from(config.runtime.buffer_memory.unwrap_or_else(auto)).unwrap_or(usize::MAX)
}

/// Descriptors that are taken for good: a listening socket for each address and worker, once for the
/// worker and once to be kept when workers change, and three for each runtime (epoll, its waker, its
/// signal pipe), the control thread's included; and what asking for names takes.
pub fn fixed_descriptors(config: &Config) -> usize {
    let workers = config.runtime.workers;
    let listening = config.listeners.iter().map(|listener| {
        let sockets = if listener.socket.reuse_port { workers } else { 1 };
        listener.bind.len() * (workers + sockets)
    });
    listening.sum::<usize>() + 3 * (workers + 1) + discovery::descriptors(config)
}

/// What a configuration runs with at the start, with the endpoints behind its names, and the sockets of its
/// listeners.
fn running(
    config: &Arc<Config>,
    resolved: &Config,
    bound: Vec<Bound>,
    sources: &mut SourceMaker,
) -> (Running, Vec<Held>) {
    let (mut listeners, mut held) = (Vec::new(), Vec::new());
    let workers = Workers { places: config.runtime.workers, staying: config.runtime.workers };
    for mut bound in bound {
        held.push(Held::new(&mut bound));
        let upstream = config.upstreams[bound.config.upstream].name.clone();
        listeners.push(build::listener(bound, upstream, workers.places));
    }
    let (upstreams, _) = Upstreams::of(resolved, None, sources, workers).begin(workers);
    let running = Running {
        generation: 1,
        loaded_at: SystemTime::now(),
        config: Arc::clone(config),
        listeners,
        upstreams,
        leaving: Leaving::default(),
        needs_restart: Vec::new(),
    };
    (running, held)
}

/// Starts the workers; when one of them cannot, everything is stopped again.
fn start_workers(
    registry: &Arc<Registry>,
    access_log: Option<AccessLog>,
    tokens: &Tokens,
    threads: &team::Threads,
) -> io::Result<(Team, Crew)> {
    let running = registry.running();
    let (drain, stop, mender) = (tokens.drain.clone(), tokens.stop.clone(), tokens.mender.clone());
    let start = team::Start { registry: Arc::clone(registry), access_log, drain, stop, mender };
    let crew = Crew::default();
    let mut team = Team::new(start, crew.clone(), Arc::clone(threads));
    let recruits = team.recruit(running.config.runtime.workers)?;
    team.join(recruits);
    Ok((team, crew))
}

/// Has the workers accept. `adapt`: the sockets were made by another process, with its options.
fn open(team: &Team, tokens: &Tokens, running: &Arc<Running>, adapt: bool) -> io::Result<()> {
    let workers = team.staying(running.config.runtime.workers);
    let allotments = {
        let mut held = tokens.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (held, state) in held.iter_mut().zip(&running.listeners) {
            if adapt && let Err(error) = held.adapt(&state.config, state.backlog) {
                let (listener, address) = (&state.config.name, state.address);
                tracing::error!(listener, %address, %error, "a socket option stays as it was");
            }
            held.share(&workers, state, &state.config)?;
            held.name_queues(&state.queues);
        }
        let before = vec![None; held.len()];
        reload::allot(&workers, &held, &before)?
    };
    team.give(allotments, running).map_err(io::Error::other)
}

/// Starts the thread of the admin server, which also ends an overlong drain.
fn start_control(
    socket: AdminSocket,
    access_log: Option<AccessLog>,
    upgrader: &Arc<Upgrader>,
    tokens: &Tokens,
) -> io::Result<JoinHandle<()>> {
    let (drain, reload, upgrade) = (tokens.clone(), Arc::clone(upgrader.reloader()), Arc::clone(upgrader));
    let reloader = Arc::clone(upgrader.reloader());
    let state = Arc::new(AdminState {
        registry: Arc::clone(&tokens.registry),
        workers: upgrader.crew().clone(),
        access_log,
        drain: Box::new(move || drain.begin_drain()),
        reload: Box::new(move || reload.reload()),
        upgrade: Box::new(move || upgrade.upgrade()),
    });
    let tokens = tokens.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("control".into()).spawn(move || {
        runtime.block_on(control(socket, state, tokens, reloader));
    })
}

async fn control(socket: AdminSocket, state: Arc<AdminState>, tokens: Tokens, reloader: Arc<Reloader>) {
    let (drain, stop, over) = (tokens.drain.clone(), tokens.stop.clone(), tokens.over.clone());
    let registry = Arc::clone(&tokens.registry);
    let end_drain = async {
        drain.cancelled().await;
        tokio::time::sleep(registry.running().config.runtime.shutdown_timeout).await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let tidy = async {
        loop {
            tokio::time::sleep(TIDY).await;
            reloader.tidy();
        }
    };
    let serve = async {
        if let Err(error) = admin::serve(socket, state, tokens.admin.cancelled()).await {
            tracing::error!(%error, "the admin server has ended");
        }
        over.cancelled().await;
    };
    tokio::select! {
        () = serve => {}
        () = end_drain => {}
        () = tidy => {}
        () = sources::follow(Arc::clone(&registry)) => {}
        () = reloader.follow_names() => {}
    }
}
