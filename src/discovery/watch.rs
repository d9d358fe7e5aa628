//! What becomes of a name over time: which endpoints it stands for, and when it is asked for again (pure).

use super::walk::{Found, Outcome};
use crate::config::model::{Discovery, Endpoint};
use crate::upstream::balance::SplitMix;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How soon a name is asked for again whose first question failed; twice as long after each further one.
const RETRY: Duration = Duration::from_secs(1);
/// But no longer than this.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How soon a name is asked for again that has no endpoints, as somebody waits for them.
const EMPTY_RETRY: Duration = Duration::from_secs(5);

/// One name, and what it stands for.
#[derive(Debug)]
pub struct Watch {
    policy: Discovery,
    random: SplitMix,
    endpoints: Vec<Endpoint>,
    left_out: usize,
    due: Instant,
    answered: Option<Instant>,
    /// When it was first said to have no endpoints any more.
    empty_since: Option<Instant>,
    failures: u32,
    error: Option<String>,
    counts: Counts,
}

/// What became of all questions for one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered with endpoints.
    pub found: u64,
    /// Answered in part.
    pub partial: u64,
    /// Answered that there are none.
    pub empty: u64,
    /// Not answered.
    pub failed: u64,
}

/// What an outcome changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Endpoints that are new.
    pub added: Vec<SocketAddr>,
    /// Those that are not there any more.
    pub removed: Vec<SocketAddr>,
    /// Those that have another share.
    pub reweighted: Vec<SocketAddr>,
    /// How many were left out because of `max_endpoints`, if that is new.
    pub left_out: Option<usize>,
}

impl Watch {
    /// A name that nothing is known of yet, to be asked for at once. `seed` makes the jitter.
    pub fn new(policy: Discovery, seed: u64, now: Instant) -> Self {
        Self {
            policy,
            random: SplitMix::new(seed),
            endpoints: Vec::new(),
            left_out: 0,
            due: now,
            answered: None,
            empty_since: None,
            failures: 0,
            error: None,
            counts: Counts::default(),
        }
    }

    /// The same for a name of which another upstream, or another port, knows already.
    pub fn knowing(policy: Discovery, endpoints: Vec<Endpoint>, seed: u64, now: Instant) -> Self {
        Self { endpoints, ..Self::new(policy, seed, now) }
    }

    /// The endpoints that it stands for, by address.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// When it is to be asked for again.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// When it was last answered, with whatever.
    pub fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// Whether it was said to have no endpoints any more, and keeps them for its grace.
    pub fn is_in_grace(&self) -> bool {
        self.empty_since.is_some() && !self.endpoints.is_empty()
    }

    /// Questions in a row that were not answered, or not wholly.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What was wrong with the last answer.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// What became of all questions.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Another policy counts from the next answer on.
    pub fn set_policy(&mut self, policy: &Discovery, now: Instant) {
        if self.policy != *policy {
            self.policy = policy.clone();
            self.due = now;
        }
    }

    /// It was asked for. Returns what that changes.
    pub fn note(&mut self, outcome: Outcome, now: Instant) -> Change {
        match outcome {
            Outcome::Found(found) => self.found(found, now),
            Outcome::Empty { ttl, why } => self.empty(ttl, why, now),
            Outcome::Failed { why } => {
                // The last good answer stays, for as long as it takes.
                self.counts.failed += 1;
                self.failed(why);
                self.due = now + self.retry();
                Change::default()
            }
        }
    }

    fn found(&mut self, Found { endpoints, ttl, missing }: Found, now: Instant) -> Change {
        self.answered = Some(now);
        self.empty_since = None;
        let ttl = self.later(self.clamped(ttl));
        match missing {
            None => {
                self.counts.found += 1;
                self.failures = 0;
                self.error = None;
                self.due = now + ttl;
            }
            Some(missing) => {
                self.counts.partial += 1;
                self.failed(missing);
                self.due = now + ttl.min(self.retry());
            }
        }
        self.replace(endpoints)
    }

    /// A name that had endpoints and is said to have none keeps them for a while: a name server that lost
    /// its data says so too. After that, their addresses may belong to somebody else.
    fn empty(&mut self, ttl: Option<Duration>, why: String, now: Instant) -> Change {
        self.counts.empty += 1;
        self.answered = Some(now);
        self.failures = 0;
        self.error = Some(why);
        let ttl = self.clamped(ttl.unwrap_or(EMPTY_RETRY));
        if self.endpoints.is_empty() {
            self.due = now + self.later(ttl.min(EMPTY_RETRY).max(self.policy.ttl_min));
            return Change::default();
        }
        let since = *self.empty_since.get_or_insert(now);
        let left = (since + self.policy.grace).saturating_duration_since(now);
        if left.is_zero() {
            self.due = now + self.later(EMPTY_RETRY.max(self.policy.ttl_min));
            return self.replace(Vec::new());
        }
        self.due = now + self.later(ttl).min(left);
        Change::default()
    }

    fn failed(&mut self, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.error = Some(why);
    }

    /// What is there already stays, then the lowest addresses, up to `max_endpoints`.
    fn replace(&mut self, mut found: Vec<Endpoint>) -> Change {
        let most = self.policy.max_endpoints;
        let left_out = found.len().saturating_sub(most);
        if left_out > 0 {
            let known: HashSet<SocketAddr> = self.endpoints.iter().map(|e| e.address).collect();
            found.sort_by_key(|endpoint| (!known.contains(&endpoint.address), endpoint.address));
            found.truncate(most);
            found.sort_by_key(|endpoint| endpoint.address);
        }
        let before: HashMap<SocketAddr, u16> = self.endpoints.iter().map(|e| (e.address, e.weight)).collect();
        let after: HashSet<SocketAddr> = found.iter().map(|e| e.address).collect();
        let of = |is: &dyn Fn(&Endpoint) -> bool| {
            found.iter().filter(|e| is(e)).map(|e| e.address).collect::<Vec<_>>()
        };
        let gone = self.endpoints.iter().map(|e| e.address).filter(|address| !after.contains(address));
        let change = Change {
            added: of(&|e| !before.contains_key(&e.address)),
            reweighted: of(&|e| before.get(&e.address).is_some_and(|weight| *weight != e.weight)),
            removed: gone.collect(),
            left_out: (left_out > 0 && left_out != self.left_out).then_some(left_out),
        };
        self.left_out = left_out;
        self.endpoints = found;
        change
    }

    fn clamped(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.policy.ttl_min, self.policy.ttl_max)
    }

    /// After so many failures: twice as long each time, and half of it at random, so that those who all
    /// failed at once do not all come back at once.
    fn retry(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = RETRY_MAX.min(self.policy.ttl_max).max(RETRY);
        let wait = RETRY.saturating_mul(1 << doublings).min(longest);
        wait / 2 + self.random_part(wait / 2)
    }

    /// Up to a tenth later: the servers between are asked when their TTL is over, not just before, and not
    /// by everybody at once.
    fn later(&mut self, wait: Duration) -> Duration {
        wait + self.random_part(wait / 10)
    }

    fn random_part(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.below(most.saturating_add(1)))
    }
}

impl Change {
    /// Whether anything is different.
    pub fn is_none(&self) -> bool {
        let Self { added, removed, reweighted, left_out } = self;
        added.is_empty() && removed.is_empty() && reweighted.is_empty() && left_out.is_none()
    }

    /// Whether the endpoints are.
    pub fn is_of_endpoints(&self) -> bool {
        !(self.added.is_empty() && self.removed.is_empty() && self.reweighted.is_empty())
    }
}

#[cfg(test)]
mod tests;
