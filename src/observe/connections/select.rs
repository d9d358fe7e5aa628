//! Which of the connections are listed, and in which order (pure).

use super::join::Row;
use super::places::Places;
use super::query::{Query, Sort, Target, WrongQuery, unknown};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Those that match, as far as they will be listed. It holds twice as many as the limit at the most.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    query: &'a Query,
    listener: Option<Named<'a>>,
    upstream: Option<Named<'a>>,
    rows: Vec<Row>,
    matching: u64,
    states: BTreeMap<&'static str, u64>,
}

/// A name or an address.
#[derive(Clone, Copy, Debug)]
struct Named<'a> {
    name: &'a str,
    address: Option<Target>,
}

impl<'a> Selection<'a> {
    /// Nothing yet.
    ///
    /// # Errors
    /// When a listener, an upstream or an endpoint is asked for that does not exist.
    pub(super) fn new(query: &'a Query, places: &Places) -> Result<Self, WrongQuery> {
        let (listener, upstream) =
            (query.listener.as_deref().map(named), query.upstream.as_deref().map(named));
        if let Some(wanted) = listener
            && !places.listeners().any(|l| wanted.is(&l.config.name, Some(l.address.0)))
        {
            let names: BTreeSet<&str> = places.listeners().map(|l| l.config.name.as_str()).collect();
            return Err(unknown("listener", wanted.name, &Vec::from_iter(names)));
        }
        let leads = |target: Target| places.endpoints().any(|address| target.is(address));
        if let Some(wanted) = upstream
            && !places.upstreams().contains(wanted.name)
            && !wanted.address.is_some_and(leads)
        {
            return Err(unknown("upstream", wanted.name, &Vec::from_iter(places.upstreams())));
        }
        if let Some(target) = query.endpoint
            && !leads(target)
        {
            let mut known: Vec<String> = places.endpoints().map(|address| address.to_string()).collect();
            known.sort_unstable();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(unknown("endpoint", &target.to_string(), &known));
        }
        let (rows, states) = (Vec::new(), BTreeMap::new());
        Ok(Self { query, listener, upstream, rows, matching: 0, states })
    }

    /// Takes a connection, if it matches.
    pub(super) fn offer(&mut self, row: Row) {
        if !self.matches(&row) {
            return;
        }
        self.matching += 1;
        if let Some(state) = row.state {
            *self.states.entry(state.label()).or_default() += 1;
        }
        let limit = self.query.limit;
        if limit > 0 {
            self.rows.push(row);
            if self.rows.len() >= 2 * limit {
                let sort = self.query.sort;
                self.rows.select_nth_unstable_by(limit - 1, |a, b| order(sort, a, b));
                self.rows.truncate(limit);
            }
        }
    }

    /// What is listed, in order; how many match; and how many of these are in which state.
    pub(super) fn finish(mut self) -> (Vec<Row>, u64, BTreeMap<&'static str, u64>) {
        let sort = self.query.sort;
        self.rows.sort_unstable_by(|a, b| order(sort, a, b));
        self.rows.truncate(self.query.limit);
        (self.rows, self.matching, self.states)
    }

    fn matches(&self, row: &Row) -> bool {
        let query = self.query;
        let of_listener = |wanted: Named<'_>| {
            row.listener.as_ref().is_some_and(|l| wanted.is(&l.config.name, Some(l.address.0)))
        };
        let of_upstream = |wanted: Named<'_>| match &row.upstream {
            Some(upstream) => wanted.is(&upstream.name, row.endpoint),
            None => wanted.is_at(row.endpoint),
        };
        query.side.is_none_or(|side| side == row.peer)
            && query.states.is_none_or(|states| row.state.is_some_and(|state| states.contains(state)))
            && query.phase.is_none_or(|phase| phase == row.phase)
            && query.endpoint.is_none_or(|target| row.endpoint.is_some_and(|address| target.is(address)))
            && self.listener.is_none_or(of_listener)
            && self.upstream.is_none_or(of_upstream)
            && query.older_than.is_none_or(|least| time_of(row).is_some_and(|age| age > least))
    }
}

/// What `older_than` is compared with: the time in its state, or where that is not known, all its time.
fn time_of(row: &Row) -> Option<Duration> {
    row.state_age.or(row.age)
}

/// The largest first, what is not known last. Where two are equal, addresses decide, so that an answer can be
/// compared with the next.
fn order(sort: Sort, a: &Row, b: &Row) -> std::cmp::Ordering {
    let key = |row: &Row| {
        let figures = row.figures.as_ref();
        match sort {
            Sort::Age => row.age.map(|time| time.as_nanos()),
            Sort::Idle => figures.and_then(|f| f.idle).map(|time| time.as_nanos()),
            Sort::StateAge => row.state_age.map(|time| time.as_nanos()),
            Sort::Bytes => {
                let bytes = figures.and_then(|f| f.received.zip(f.sent));
                bytes.map(|(received, sent)| u128::from(received) + u128::from(sent))
            }
            Sort::Rtt => figures.and_then(|f| f.rtt).map(|time| time.as_nanos()),
        }
    };
    let ends = |row: &Row| (row.ends.local, row.ends.remote);
    // `None` is less than anything.
    key(b).cmp(&key(a)).then_with(|| ends(a).cmp(&ends(b)))
}

fn named(name: &str) -> Named<'_> {
    Named { name, address: Target::parse(name) }
}

impl Named<'_> {
    fn is(self, name: &str, address: Option<SocketAddr>) -> bool {
        self.name == name || self.is_at(address)
    }

    fn is_at(self, address: Option<SocketAddr>) -> bool {
        self.address.zip(address).is_some_and(|(wanted, address)| wanted.is(address))
    }
}

#[cfg(test)]
mod tests;
