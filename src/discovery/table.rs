//! All names of a configuration, and what they stand for. Pure but for whom it asks.

use super::report::{self, Report};
use super::walk::{Memory, Outcome};
use super::watch::{Change, Watch};
use crate::config::model::{Config, DnsKind, DnsName, Endpoint, Upstream};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Names of one upstream.
pub type Key = (String, DnsName);

/// All names.
#[derive(Debug, Default)]
pub struct Table {
    entries: HashMap<Key, Entry>,
    seed: u64,
}

#[derive(Debug)]
struct Entry {
    watch: Watch,
    memory: Memory,
    is_asked: bool,
}

impl Table {
    /// No names yet. `seed` makes the jitter.
    pub fn new(seed: u64) -> Self {
        Self { entries: HashMap::new(), seed }
    }

    /// Adds the names of this configuration that are not there. What is known of the same name elsewhere
    /// counts for them until they are answered. Returns those of which nothing is known, as being asked for.
    pub fn add(&mut self, config: &Config, now: Instant) -> Vec<Key> {
        let mut unknown = Vec::new();
        for upstream in &config.upstreams {
            for name in &upstream.names {
                let key = (upstream.name.clone(), name.clone());
                if self.entries.contains_key(&key) {
                    continue;
                }
                let known = self.known_elsewhere(name);
                let policy = upstream.discovery.clone();
                let is_unknown = known.is_empty();
                self.seed = self.seed.wrapping_add(1);
                let watch = Watch::knowing(policy, known, self.seed, now);
                self.entries
                    .insert(key.clone(), Entry { watch, memory: Memory::default(), is_asked: is_unknown });
                if is_unknown {
                    unknown.push(key);
                }
            }
        }
        unknown
    }

    /// The names of this configuration count from now on, and no others.
    pub fn keep(&mut self, config: &Config, now: Instant) {
        let names = |upstream: &Arc<Upstream>| {
            let key = |name: &DnsName| (upstream.name.clone(), name.clone());
            upstream.names.iter().map(key).collect::<Vec<_>>()
        };
        let wanted: HashSet<Key> = config.upstreams.iter().flat_map(names).collect();
        self.entries.retain(|key, _| wanted.contains(key));
        for upstream in &config.upstreams {
            for name in &upstream.names {
                if let Some(entry) = self.entries.get_mut(&(upstream.name.clone(), name.clone())) {
                    entry.watch.set_policy(&upstream.discovery, now);
                }
            }
        }
    }

    /// The endpoints that a name stands for in another upstream, or with another port.
    fn known_elsewhere(&self, name: &DnsName) -> Vec<Endpoint> {
        let same = self.entries.iter().find(|((_, other), entry)| {
            let is_service = |name: &DnsName| name.kind == DnsKind::Services;
            other.name == name.name
                && is_service(other) == is_service(name)
                && !entry.watch.endpoints().is_empty()
        });
        let endpoints = same.map(|(_, entry)| entry.watch.endpoints()).unwrap_or_default();
        let moved = |endpoint: &Endpoint| match name.kind {
            DnsKind::Services => *endpoint,
            DnsKind::Addresses { port, weight } => {
                Endpoint { address: SocketAddr::new(endpoint.address.ip(), port), weight }
            }
        };
        endpoints.iter().map(moved).collect()
    }

    /// Up to so many names that are due, as being asked for.
    pub fn due(&mut self, now: Instant, most: usize) -> Vec<Key> {
        let due = self.entries.iter_mut().filter(|(_, entry)| !entry.is_asked && entry.watch.due() <= now);
        let taken = due.take(most).map(|(key, entry)| {
            entry.is_asked = true;
            key.clone()
        });
        taken.collect()
    }

    /// When the next name is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| !entry.is_asked).map(|entry| entry.watch.due()).min()
    }

    /// What is remembered of a name that is asked for.
    pub fn memory(&mut self, key: &Key) -> Memory {
        self.entries.get_mut(key).map(|entry| std::mem::take(&mut entry.memory)).unwrap_or_default()
    }

    /// A name was asked for. `None`: it is not here any more.
    pub fn note(&mut self, key: &Key, outcome: Outcome, memory: Memory, now: Instant) -> Option<Noted> {
        let entry = self.entries.get_mut(key)?;
        entry.is_asked = false;
        entry.memory = memory;
        let before = State::of(&entry.watch);
        let change = entry.watch.note(outcome, now);
        let error = entry.watch.error().map(str::to_owned);
        Some(Noted { change, before, now: State::of(&entry.watch), error })
    }

    /// The configuration with the endpoints that its names stand for.
    pub fn resolved(&self, config: &Config) -> Config {
        let mut config = config.clone();
        for upstream in config.upstreams.iter_mut().filter(|upstream| !upstream.names.is_empty()) {
            let endpoints = self.endpoints(upstream);
            Arc::make_mut(upstream).endpoints = endpoints;
        }
        config
    }

    /// Those that are listed, then those of its names, each once.
    fn endpoints(&self, upstream: &Upstream) -> Vec<Endpoint> {
        let of_name = |name: &DnsName| {
            let entry = self.entries.get(&(upstream.name.clone(), name.clone()));
            entry.map(|entry| entry.watch.endpoints()).unwrap_or_default().iter().copied()
        };
        let mut seen = HashSet::new();
        let all = upstream.endpoints.iter().copied().chain(upstream.names.iter().flat_map(of_name));
        all.filter(|endpoint| seen.insert(endpoint.address)).collect()
    }

    /// What is known of all names of a configuration.
    pub fn reports(&self, config: &Config) -> HashMap<String, Vec<Report>> {
        let of = |upstream: &Arc<Upstream>| {
            let of_name = |name: &DnsName| {
                let entry = self.entries.get(&(upstream.name.clone(), name.clone()))?;
                Some(Report::new(name, &entry.watch))
            };
            let reports: Vec<Report> = upstream.names.iter().filter_map(of_name).collect();
            (upstream.name.clone(), reports)
        };
        config.upstreams.iter().filter(|upstream| !upstream.names.is_empty()).map(of).collect()
    }
}

/// What became of asking for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// What it changes.
    pub change: Change,
    before: State,
    now: State,
    error: Option<String>,
}

/// What is worth a word when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    is_answered: bool,
    is_failing: bool,
    is_in_grace: bool,
    endpoints: usize,
}

impl State {
    fn of(watch: &Watch) -> Self {
        Self {
            is_answered: watch.answered().is_some(),
            is_failing: watch.failures() > 0,
            is_in_grace: watch.is_in_grace(),
            endpoints: watch.endpoints().len(),
        }
    }
}

impl Noted {
    /// Says what is new of it: each change, each beginning and each end of trouble once.
    pub fn log(&self, (upstream, name): &Key) {
        let name = report::written(name);
        let Self { before, now, .. } = self;
        let (error, endpoints) = (self.error.as_deref().unwrap_or_default(), now.endpoints);
        match (before.is_failing, now.is_failing) {
            (false, true) => {
                tracing::warn!(%upstream, %name, error, endpoints, "a name is not answered for, and keeps its endpoints");
            }
            (true, false) => tracing::info!(%upstream, %name, "a name is answered for again"),
            _ => {}
        }
        if now.is_in_grace && !before.is_in_grace {
            tracing::warn!(%upstream, %name, error, endpoints, "a name keeps its endpoints for discovery.grace");
        }
        self.log_change(upstream, &name);
        let is_first = !before.is_answered && now.is_answered;
        if endpoints == 0 && (before.endpoints > 0 || is_first) {
            tracing::warn!(%upstream, %name, error, "a name stands for no endpoint");
        }
    }

    fn log_change(&self, upstream: &str, name: &str) {
        let Change { added, removed, reweighted, left_out } = &self.change;
        if self.change.is_of_endpoints() {
            let list = |addresses: &[SocketAddr]| {
                addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let (added, removed, reweighted) = (list(added), list(removed), list(reweighted));
            let endpoints = self.now.endpoints;
            tracing::info!(
                upstream,
                name,
                added,
                removed,
                reweighted,
                endpoints,
                "a name stands for other endpoints"
            );
        }
        if let Some(left_out) = left_out {
            tracing::warn!(
                upstream,
                name,
                left_out,
                "a name has more endpoints than discovery.max_endpoints"
            );
        }
    }
}

#[cfg(test)]
mod tests;
