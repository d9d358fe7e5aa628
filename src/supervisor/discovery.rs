//! Asking for the endpoints behind names: before the start and before a reload, and then again and again.

use super::reload::Reloader;
use crate::config::model::Config;
use crate::discovery::report::Reports;
use crate::discovery::servers::Servers;
use crate::discovery::table::{Key, Table};
use crate::discovery::walk::{self, Memory, Outcome};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};

/// How long a start or a reload waits for names of which nothing is known.
const PATIENCE: Duration = Duration::from_secs(5);
/// Names asked for at once.
const AT_ONCE: usize = 8;
/// Descriptors that they take at the most: two servers are asked at once, and one may be asked by TCP.
const DESCRIPTORS: usize = 3 * AT_ONCE;
/// How soon it is looked again, where nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Who asks for names, and what is known of them.
#[derive(Debug)]
pub(super) struct Discovery {
    known: Mutex<Known>,
    /// There are other names.
    changed: Notify,
    /// What is known has changed, and does not run yet.
    is_new: AtomicBool,
}

#[derive(Debug)]
struct Known {
    table: Table,
    servers: Servers,
    /// The configuration whose names count.
    config: Arc<Config>,
}

/// What became of a name.
type Asked = (Outcome, Memory);

/// Descriptors to be kept for it.
pub(super) fn descriptors(config: &Config) -> usize {
    let has_names = config.upstreams.iter().any(|upstream| !upstream.names.is_empty());
    if has_names { DESCRIPTORS } else { 0 }
}

impl Discovery {
    /// Nothing is known yet of the names of this configuration. `seed` makes the jitter.
    pub(super) fn new(config: &Arc<Config>, seed: u64) -> Self {
        let servers = Servers::new(config.resolver.clone());
        let known = Known { table: Table::new(seed), servers, config: Arc::clone(config) };
        Self { known: Mutex::new(known), changed: Notify::new(), is_new: AtomicBool::new(false) }
    }

    /// Asks for the names of this configuration of which nothing is known, on this thread, and returns the
    /// configuration with the endpoints behind all of its names. What is not answered for by the end of
    /// patience has none yet. The names of the one that runs still count.
    ///
    /// # Errors
    /// When there is no runtime.
    pub(super) fn prepare(&self, config: &Config) -> io::Result<Config> {
        let unknown = {
            let mut known = self.lock();
            known.servers.configure(&config.resolver);
            known.table.add(config, Instant::now())
        };
        if !unknown.is_empty() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.ask_for(config, unknown));
            // What it has opened belongs to that runtime.
            self.lock().servers.forget();
        }
        Ok(self.lock().table.resolved(config))
    }

    async fn ask_for(&self, config: &Config, mut unknown: Vec<Key>) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let (mut asking, mut keys) = (JoinSet::new(), HashMap::new());
        loop {
            while asking.len() < AT_ONCE
                && let Some(key) = unknown.pop()
            {
                self.ask(config, key, &mut asking, &mut keys);
            }
            match tokio::time::timeout_at(deadline, asking.join_next_with_id()).await {
                Ok(Some(ended)) => _ = self.note(ended, &mut keys),
                Ok(None) => return,
                Err(_) => break,
            }
        }
        for key in unknown.into_iter().chain(keys.into_values()) {
            let why = format!("no answer in {PATIENCE:?}");
            self.note_outcome(&key, (Outcome::Failed { why }, Memory::default()));
        }
    }

    /// The names of this configuration count from now on, as it runs.
    pub(super) fn adopt(&self, config: &Arc<Config>, reports: &Reports) {
        {
            let mut known = self.lock();
            known.servers.configure(&config.resolver);
            known.table.keep(config, Instant::now());
            known.config = Arc::clone(config);
            reports.replace(known.table.reports(config));
        }
        self.changed.notify_one();
    }

    /// The configuration with the endpoints behind its names as they are known now.
    pub(super) fn resolved(&self, config: &Config) -> Config {
        self.is_new.store(false, Release);
        self.lock().table.resolved(config)
    }

    /// Asks whenever it is time to, and has what is new run, for as long as it is polled.
    pub(super) async fn follow(&self, reports: &Reports, reloader: &Arc<Reloader>) {
        let (mut asking, mut keys) = (JoinSet::new(), HashMap::new());
        loop {
            let config = Arc::clone(&self.lock().config);
            let due = self.lock().table.due(Instant::now(), AT_ONCE - asking.len());
            for key in due {
                self.ask(&config, key, &mut asking, &mut keys);
            }
            let next = match asking.len() {
                AT_ONCE.. => Instant::now() + IDLE,
                _ => self.lock().table.next_due().unwrap_or_else(|| Instant::now() + IDLE),
            };
            tokio::select! {
                Some(ended) = asking.join_next_with_id() => {
                    let is_changed = self.note(ended, &mut keys);
                    let known = self.lock();
                    reports.replace(known.table.reports(&known.config));
                    if is_changed {
                        self.have_it_run(reloader);
                    }
                }
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// It blocks until the workers go on with it; what comes in the meantime goes along, or begins anew.
    fn have_it_run(&self, reloader: &Arc<Reloader>) {
        if !self.is_new.swap(true, AcqRel) {
            let reloader = Arc::clone(reloader);
            tokio::task::spawn_blocking(move || reloader.rediscover());
        }
    }

    fn ask(&self, config: &Config, key: Key, asking: &mut JoinSet<Asked>, keys: &mut HashMap<Id, Key>) {
        let (memory, open) = {
            let mut known = self.lock();
            (known.table.memory(&key), known.servers.open())
        };
        let policy = config.upstreams.iter().find(|upstream| upstream.name == key.0);
        let Some(policy) = policy.map(|upstream| upstream.discovery.clone()) else { return };
        let name = key.1.clone();
        let task = asking.spawn(async move {
            let mut memory = memory;
            let outcome = match open {
                Ok(open) => walk::resolve(&name, &policy, open.search(), &mut memory, &*open).await,
                Err(why) => Outcome::Failed { why },
            };
            (outcome, memory)
        });
        keys.insert(task.id(), key);
    }

    /// Returns whether its name stands for other endpoints.
    fn note(&self, ended: Result<(Id, Asked), tokio::task::JoinError>, keys: &mut HashMap<Id, Key>) -> bool {
        let (id, asked) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let why = format!("asking broke off: {error}");
                (error.id(), (Outcome::Failed { why }, Memory::default()))
            }
        };
        keys.remove(&id).is_some_and(|key| self.note_outcome(&key, asked))
    }

    fn note_outcome(&self, key: &Key, (outcome, memory): Asked) -> bool {
        let mut known = self.lock();
        if matches!(outcome, Outcome::Failed { .. }) {
            known.servers.forget();
        }
        let Some(noted) = known.table.note(key, outcome, memory, Instant::now()) else { return false };
        drop(known);
        noted.log(key);
        noted.change.is_of_endpoints()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
