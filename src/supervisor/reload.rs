//! Another configuration for what runs: everything that can fail first, then all of it at once.

use super::Tokens;
use super::build::{self, Upstreams, Wanted, Workers};
use super::discovery::{self, Discovery};
use super::mender::Relapses;
use super::sockets::Held;
use super::sources::SourceMaker;
use super::team::{Allotment, Recruits, Team};
use crate::admin::{ReloadError, Reloaded};
use crate::config::diff::{self, Changes, Difference};
use crate::config::load::{self, Loaded};
use crate::config::model::Config;
use crate::listener::bind;
use crate::observe::logging;
use crate::registry::{Leaving, ListenerState, Registry, Running};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

/// Who changes what runs. One reload at a time: who comes second waits.
#[derive(Debug)]
pub struct Reloader {
    registry: Arc<Registry>,
    tokens: Tokens,
    file: Option<PathBuf>,
    /// What the process was started with: some of it stays so.
    started: Arc<Config>,
    discovery: Arc<Discovery>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    team: Team,
    sources: SourceMaker,
    relapses: Relapses,
}

/// The sockets of [`Running::listeners`], in their order, for as long as nobody drains.
pub(super) type AllHeld = Arc<Mutex<Vec<Held>>>;

/// What a reload needs, all there.
struct Prepared {
    wanted: Vec<Wanted>,
    going: Vec<Arc<ListenerState>>,
    states: Vec<Arc<ListenerState>>,
    held: Vec<Held>,
    /// What each listener had before, where it goes on.
    before: Vec<Option<Held>>,
    staying: Vec<usize>,
    recruits: Recruits,
    places: usize,
}

impl Reloader {
    pub(super) fn new(
        registry: Arc<Registry>,
        tokens: Tokens,
        file: Option<PathBuf>,
        team: Team,
        sources: SourceMaker,
        discovery: Arc<Discovery>,
    ) -> Self {
        let started = Arc::clone(&registry.running().config);
        let inner = Mutex::new(Inner { team, sources, relapses: Relapses::default() });
        Self { registry, tokens, file, started, discovery, inner }
    }

    /// The configuration file.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the configuration file again and goes on with what it says.
    ///
    /// # Errors
    /// See [`ReloadError`]; then everything is as it was.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let Some(file) = &self.file else { return Err(ReloadError::NoFile) };
        self.tokens.service.reloading();
        let mut inner = self.lock();
        let fingerprint = load::fingerprint(file);
        let reloaded = load::load(file, &load::process_variable)
            .map_err(ReloadError::from)
            .and_then(|loaded| self.run(&mut inner, loaded));
        self.note(&reloaded, fingerprint);
        self.tokens.service.ready();
        drop(inner);
        reloaded
    }

    fn note(&self, reloaded: &Result<Reloaded, ReloadError>, fingerprint: u64) {
        let log = &self.registry.reloads;
        match reloaded {
            Ok(done) => {
                log.succeeded(fingerprint, &done.warnings);
                say(done);
            }
            Err(ReloadError::Draining) => {}
            Err(error) => {
                log.failed(fingerprint, &error.diagnostics(), error.to_string());
                for line in error.to_string().lines() {
                    tracing::error!("the configuration is not reloaded: {line}");
                }
            }
        }
    }

    /// Goes on with this configuration.
    fn run(&self, inner: &mut Inner, loaded: Loaded) -> Result<Reloaded, ReloadError> {
        if self.registry.is_draining() {
            return Err(ReloadError::Draining);
        }
        let old = self.registry.running();
        let Loaded { config, warnings, .. } = loaded;
        let difference = Difference {
            needs_restart: diff::needs_restart(&self.started, &config),
            ..diff::diff(&old.config, &config)
        };
        let config = Arc::new(self.effective(config));
        let done = self.prepare_and_commit(inner, &config, &old, &difference.needs_restart);
        // The names of what runs count, whichever that is.
        self.discovery.adopt(&self.registry.running().config, &self.registry.discovery);
        let notes = done?;
        let generation = self.registry.running().generation;
        Ok(Reloaded { generation, difference, warnings, notes })
    }

    fn prepare_and_commit(
        &self,
        inner: &mut Inner,
        config: &Arc<Config>,
        old: &Running,
        needs_restart: &[String],
    ) -> Result<Vec<String>, ReloadError> {
        let prepared = inner.prepare(config, old, &self.tokens.held)?;
        let resolved = self.discovery.prepare(config)?;
        self.commit(inner, prepared, (config, &resolved), old, needs_restart)
    }

    /// Asks for names, for as long as it is polled.
    pub(super) async fn follow_names(self: &Arc<Self>) {
        self.discovery.follow(&self.registry.discovery, self).await;
    }

    /// Names stand for other endpoints: goes on with those.
    pub(super) fn rediscover(&self) {
        let mut inner = self.lock();
        let old = self.registry.running();
        let resolved = self.discovery.resolved(&old.config);
        if old.upstreams.iter().map(|state| &state.config).eq(&resolved.upstreams) {
            return;
        }
        if let Err(error) = self.renew_upstreams(&mut inner, &resolved, &old) {
            tracing::error!(%error, "a worker may go on with endpoints that are not there any more");
        }
    }

    /// Nothing but the endpoints is different.
    fn renew_upstreams(&self, inner: &mut Inner, resolved: &Config, old: &Running) -> io::Result<()> {
        let staying = inner.team.staying(old.config.runtime.workers);
        let places = inner.team.places();
        let orders = {
            let held = lock(&self.tokens.held);
            if self.registry.is_draining() {
                return Ok(());
            }
            let before: Vec<Option<Held>> = held.iter().cloned().map(Some).collect();
            allot(&staying, &held, &before)?
        };
        let workers = Workers { places, staying: staying.len() };
        inner.sources.refresh();
        let upstreams = Upstreams::of(resolved, Some(old), &mut inner.sources, workers);
        let (upstreams, leaving) = upstreams.begin(workers);
        let leaving = Leaving { upstreams: leaving, ..old.leaving.clone() };
        let running = Arc::new(Running { upstreams, leaving, ..old.clone() });
        let given = inner.team.give(orders, &running);
        self.registry.run(running);
        given.map_err(io::Error::other)
    }

    /// What is fixed when the process starts stays as it is.
    fn effective(&self, mut config: Config) -> Config {
        config.admin = self.started.admin.clone();
        config.runtime.user = self.started.runtime.user.clone();
        config.runtime.group = self.started.runtime.group.clone();
        config.log.format = self.started.log.format;
        config.log.access = self.started.log.access.clone();
        config
    }

    /// Nothing fails any more but what has to be told of.
    fn commit(
        &self,
        inner: &mut Inner,
        prepared: Prepared,
        (config, resolved): (&Arc<Config>, &Config),
        old: &Running,
        needs_restart: &[String],
    ) -> Result<Vec<String>, ReloadError> {
        let Prepared { wanted, going, states, held, before, staying, recruits, places } = prepared;
        let orders = allot(&staying, &held, &before)?;
        let workers = Workers { places, staying: staying.len() };
        let mut notes = Vec::new();
        let running = {
            let mut all_held = lock(&self.tokens.held);
            if self.registry.is_draining() {
                return Err(ReloadError::Draining);
            }
            inner.sources.refresh();
            let upstreams = Upstreams::of(resolved, Some(old), &mut inner.sources, workers);
            inner.team.join(recruits);
            states.iter().for_each(|state| state.workers.grow_to(places));
            adapt(&wanted, &held, &states, &mut notes);
            self.registry.budget.set_fixed(descriptors(&held, places) + discovery::descriptors(config));
            self.registry.buffers.set_limit(super::buffer_memory(config));
            *all_held = held;
            let (upstreams, leaving) = upstreams.begin(workers);
            let leaving =
                Leaving { listeners: [&old.leaving.listeners[..], &going].concat(), upstreams: leaving };
            Arc::new(Running {
                generation: old.generation + 1,
                loaded_at: SystemTime::now(),
                config: Arc::clone(config),
                listeners: states,
                upstreams,
                leaving,
                needs_restart: needs_restart.to_vec(),
            })
        };
        if let Err(error) = logging::set_level(&config.log.level) {
            notes.push(format!("log.level stays as it is: {error}"));
        }
        if let Err(missing) = inner.team.give(orders, &running) {
            notes.push(missing);
        }
        // Whoever sees the new generation may rely on it.
        self.registry.run(running);
        inner.team.dismiss_all_but(&staying, config.runtime.shutdown_timeout);
        Ok(notes)
    }

    /// Holds back every reload until what is returned is dropped; waits for one that is under way.
    pub(super) fn pause(&self) -> impl Drop + '_ {
        self.lock()
    }

    /// Whether a worker that has panicked is missed.
    pub(super) fn is_to_mend(&self) -> bool {
        !self.registry.is_draining() && !self.tokens.stop.is_cancelled()
    }

    /// A worker has panicked, or could not be started. Whether that happens too often.
    pub(super) fn has_relapsed(&self, now: Instant) -> bool {
        self.lock().relapses.note(now)
    }

    /// Drains, as workers panic too often.
    pub(super) fn fail(&self) {
        self.tokens.has_failed.store(true, Relaxed);
        self.tokens.begin_drain();
    }

    /// Starts another worker where one has panicked, with the listening sockets that it had.
    ///
    /// # Errors
    /// When there is no thread, no runtime or no descriptor for it.
    pub(super) fn replace(&self, worker: usize) -> io::Result<()> {
        let mut inner = self.lock();
        let orders = {
            let held = lock(&self.tokens.held);
            if !self.is_to_mend() {
                return Ok(());
            }
            allot(&[worker], &held, &vec![None; held.len()])?
        };
        if inner.team.replace(worker)? {
            // If it has panicked before it could, it is replaced itself.
            match inner.team.give(orders, &self.registry.running()) {
                Ok(()) => tracing::info!(worker, "a worker is started again"),
                Err(error) => {
                    tracing::error!(worker, %error, "a worker that was started again does not serve")
                }
            }
        }
        Ok(())
    }

    /// Takes what is over out of what is leaving.
    pub(super) fn tidy(&self) {
        let Ok(_one_at_a_time) = self.inner.try_lock() else { return };
        let running = self.registry.running();
        let still = build::still(&running.leaving);
        let count = |leaving: &Leaving| {
            let endpoints = leaving.upstreams.iter().map(|upstream| upstream.endpoints.len()).sum::<usize>();
            (leaving.listeners.len(), endpoints)
        };
        if count(&still) != count(&running.leaving) {
            self.registry.run(Arc::new(Running { leaving: still, ..(*running).clone() }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    /// Binds and starts what is missing.
    fn prepare(
        &mut self,
        config: &Arc<Config>,
        old: &Running,
        all: &AllHeld,
    ) -> Result<Prepared, ReloadError> {
        let count = config.runtime.workers;
        let recruits = self.team.recruit(count)?;
        let mut staying = self.team.staying(count);
        staying.extend(recruits.indices());
        staying.sort_unstable();
        let places = self.team.places_with(&recruits);
        let (wanted, going) = build::listeners(config, &old.listeners);
        let held_now = lock(all).clone();
        let of = |state: &Arc<ListenerState>| {
            let place = old.listeners.iter().position(|other| Arc::ptr_eq(other, state))?;
            held_now.get(place).cloned()
        };
        let missing = wanted.iter().filter(|wanted| wanted.sockets.is_none());
        let missing = missing.map(|wanted| (&wanted.config, wanted.bind));
        let ours: Vec<SocketAddr> = going.iter().map(|state| state.address.0).collect();
        let mut bound =
            bind::bind_addresses(missing, staying.len(), &ours).map_err(ReloadError::Bind)?.into_iter();
        let (mut states, mut held, mut before) = (Vec::new(), Vec::new(), Vec::new());
        for wanted in &wanted {
            let upstream = config.upstreams[wanted.config.upstream].name.clone();
            let (state, mut sockets, had) = match &wanted.sockets {
                None => {
                    let mut bound = bound.next().expect("whatever was missing is bound");
                    let sockets = Held::new(&mut bound);
                    (build::listener(bound, upstream, places), sockets, None)
                }
                Some(sockets) => {
                    // They are given up when a drain begins.
                    let had = of(sockets).ok_or(ReloadError::Draining)?;
                    let state = build::renewed(wanted, sockets, upstream, places);
                    match wanted.same {
                        Some(_) => (state, had.clone(), Some(had)),
                        None => (state, had.anew(), None),
                    }
                }
            };
            sockets.share(&staying, &state, &wanted.config)?;
            states.push(state);
            held.push(sockets);
            before.push(had);
        }
        Ok(Prepared { wanted, going, states, held, before, staying, recruits, places })
    }
}

/// Descriptors that are taken for good, as [`super::fixed_descriptors`] has them for a start: workers that
/// are leaving still have theirs, and no listening socket is closed for want of a worker.
fn descriptors(held: &[Held], places: usize) -> usize {
    held.iter().map(Held::descriptors).sum::<usize>() + 3 * (places + 1)
}

/// What each of these workers accepts on.
///
/// # Errors
/// When there is no descriptor.
pub(super) fn allot(workers: &[usize], held: &[Held], before: &[Option<Held>]) -> io::Result<Vec<Allotment>> {
    let allotment = |worker: &usize| {
        let each = held.iter().zip(before);
        let places = each.map(|(held, before)| held.places(*worker, before.as_ref()));
        Ok(Allotment { worker: *worker, places: places.collect::<io::Result<_>>()? })
    };
    workers.iter().map(allotment).collect()
}

/// Gives the sockets of listeners that go on the options that they have now, and their queues the workers.
fn adapt(wanted: &[Wanted], held: &[Held], states: &[Arc<ListenerState>], notes: &mut Vec<String>) {
    for ((wanted, held), state) in wanted.iter().zip(held).zip(states) {
        held.name_queues(&state.queues);
        let Some(before) = &wanted.sockets else { continue };
        if before.config.socket == wanted.config.socket && before.backlog == state.backlog {
            continue;
        }
        if let Err(error) = held.adapt(&wanted.config, state.backlog) {
            let (name, address) = (&wanted.config.name, state.address);
            notes.push(format!("listener \"{name}\": a socket option of {address} stays as it is: {error}"));
        }
    }
}

fn say(done: &Reloaded) {
    let Reloaded { generation, difference, warnings, notes } = done;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    for note in notes {
        tracing::error!("{note}");
    }
    let counts = |changes: &Changes| {
        let (added, removed) = (changes.added.len(), changes.removed.len());
        format!(
            "{added} added, {removed} removed, {} changed, {} kept",
            changes.changed.len(),
            changes.kept.len()
        )
    };
    tracing::info!(
        generation,
        listeners = counts(&difference.listeners),
        upstreams = counts(&difference.upstreams),
        endpoints = counts(&difference.endpoints),
        process = difference.process.join(", "),
        "the configuration is reloaded"
    );
    if !difference.needs_restart.is_empty() {
        tracing::warn!(
            keys = difference.needs_restart.join(", "),
            "these take effect when millpond is restarted"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic leaves behind is whole: it is replaced at once, or not at all.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
