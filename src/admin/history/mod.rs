//! `GET /history`: the last 15 minutes, one sample every 5 seconds, in bounded memory. Pure: the time
//! is an argument.
//!
//! A sample of a listener takes 32 bytes and one of an endpoint 44, so that 15 minutes of one of them
//! are 6 or 8 KB, and the most that is kept, with 200 of each, is 2.7 MB. The totals are those of all,
//! whether they have a series of their own or not.

mod column;
mod series;

use crate::observe::snapshot::{Endpoint, Listener, Snapshot, Upstream};
use column::{ENDPOINT, LISTENER};
use serde::Serialize;
use series::{Samples, Series};
use std::collections::VecDeque;
use std::time::Duration;

/// Between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// Samples that are kept: 15 minutes.
pub(super) const SAMPLES: usize = 180;

/// Listeners and endpoints with a series of their own: the first of the configuration, as many.
const SERIES_MAX: usize = 200;

/// What has been recorded.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Unix time in milliseconds, of each sample.
    times: VecDeque<u64>,
    /// Seconds since the start of the process, at the last sample.
    uptime_s: Option<f64>,
    listeners: Group<{ LISTENER.len() }>,
    endpoints: Group<{ ENDPOINT.len() }>,
}

/// All listeners, or all endpoints.
#[derive(Debug, Default)]
struct Group<const N: usize> {
    total: Series<N>,
    /// Each under the two names that tell it.
    each: Vec<([String; 2], Series<N>)>,
    left_out: usize,
}

/// The answer.
#[derive(Serialize)]
pub(super) struct Columns<'a> {
    /// Seconds between two samples.
    interval_s: u64,
    /// How long a sample is kept, in seconds.
    kept_s: u64,
    /// Unix time in milliseconds, of each sample.
    times_ms: Vec<u64>,
    listeners: Samples<'a, { LISTENER.len() }>,
    endpoints: Samples<'a, { ENDPOINT.len() }>,
}

impl History {
    /// Adds a sample, which was taken at this Unix time in milliseconds.
    pub(super) fn record(&mut self, snapshot: &Snapshot, at_ms: u64) {
        let elapsed = self.uptime_s.replace(snapshot.uptime_s).map(|before| snapshot.uptime_s - before);
        self.times.push_back(at_ms);
        if self.times.len() > SAMPLES {
            self.times.pop_front();
        }
        let of_listener = |listener: &Listener| {
            (
                [listener.name.clone(), listener.address.clone()],
                LISTENER.map(|column| (column.read)(listener)),
            )
        };
        let of_endpoint = |upstream: &Upstream, endpoint: &Endpoint| {
            (
                [upstream.name.clone(), endpoint.address.clone()],
                ENDPOINT.map(|column| (column.read)(endpoint)),
            )
        };
        let listeners = snapshot.listeners.iter().map(of_listener);
        let endpoints = snapshot.upstreams.iter().flat_map(|upstream| {
            upstream.endpoints.iter().map(move |endpoint| of_endpoint(upstream, endpoint))
        });
        self.listeners.record(listeners, &LISTENER.map(|column| column.shape), elapsed);
        self.endpoints.record(endpoints, &ENDPOINT.map(|column| column.shape), elapsed);
    }

    /// What was recorded after this Unix time in milliseconds.
    pub(super) fn after(&self, ms: u64) -> Columns<'_> {
        let times_ms: Vec<u64> = self.times.iter().copied().filter(|time| *time > ms).collect();
        let count = times_ms.len();
        Columns {
            interval_s: INTERVAL.as_secs(),
            kept_s: INTERVAL.as_secs() * SAMPLES as u64,
            times_ms,
            listeners: self.listeners.last(count, ["name", "address"], LISTENER.map(|column| column.name)),
            endpoints: self.endpoints.last(
                count,
                ["upstream", "address"],
                ENDPOINT.map(|column| column.name),
            ),
        }
    }
}

impl<const N: usize> Group<N> {
    /// `figures` are those of all members now. A series whose member is gone ends.
    fn record(
        &mut self,
        members: impl Iterator<Item = ([String; 2], [Option<f64>; N])>,
        shapes: &[column::Shape; N],
        elapsed: Option<f64>,
    ) {
        let mut before = std::mem::take(&mut self.each);
        let mut total = [None; N];
        self.left_out = 0;
        for (names, figures) in members {
            for ((sum, figure), shape) in total.iter_mut().zip(figures).zip(shapes) {
                *sum = shape.add(*sum, figure);
            }
            if self.each.len() == SERIES_MAX {
                self.left_out += 1;
                continue;
            }
            let known = before.iter().position(|(found, _)| *found == names);
            let (names, mut series) =
                known.map_or_else(|| (names, Series::default()), |at| before.swap_remove(at));
            series.record(figures, shapes, elapsed);
            self.each.push((names, series));
        }
        self.total.record(total, shapes, elapsed);
    }

    fn last(&self, count: usize, keys: [&'static str; 2], columns: [&'static str; N]) -> Samples<'_, N> {
        Samples { total: &self.total, each: &self.each, left_out: self.left_out, count, keys, columns }
    }
}

#[cfg(test)]
mod tests;
