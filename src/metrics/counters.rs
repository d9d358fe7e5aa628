//! Counters that one worker writes and anybody reads.
//!
//! A counter has exactly one writing thread, so that adding is a plain load and store and needs no
//! locked instruction. Readers see each counter whole, and the set of them at slightly different
//! instants.

use crate::reason::{CloseReason, DiscardReason, RejectReason};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows. One thread writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down. One thread writes.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    /// Takes one away.
    pub fn dec(&self) {
        let value = self.0.load(Relaxed);
        debug_assert!(value > 0, "a gauge went below zero");
        self.0.store(value.saturating_sub(1), Relaxed);
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One counter for each label of a reason.
#[derive(Debug)]
pub struct Labelled<const N: usize>([Counter; N]);

impl<const N: usize> Default for Labelled<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Labelled<N> {
    /// Counts one under the label with this index.
    pub fn inc(&self, index: usize) {
        self.0[index].inc();
    }

    /// The count under the label with this index.
    pub fn get(&self, index: usize) -> u64 {
        self.0[index].get()
    }
}

/// Upper bounds of the duration buckets, in microseconds: 1-2.5-5 steps from 100 µs to 60 s.
pub const DURATION_BUCKETS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Durations by bucket. The last bucket holds what is longer than every bound.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; DURATION_BUCKETS_US.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = DURATION_BUCKETS_US.iter().position(|bound| us <= *bound);
        self.buckets[bucket.unwrap_or(DURATION_BUCKETS_US.len())].inc();
        self.sum_us.add(us);
    }

    /// How many durations fell into each bucket (not cumulative), the unbounded one last.
    pub fn buckets(&self) -> [u64; DURATION_BUCKETS_US.len() + 1] {
        std::array::from_fn(|i| self.buckets[i].get())
    }

    /// The sum of all durations, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }
}

/// What one worker counts for one listener address.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerCounters {
    /// Sessions open now.
    pub sessions: Gauge,
    /// Sessions accepted.
    pub sessions_total: Counter,
    /// Requests answered, by the upstream or by millpond itself.
    pub requests_total: Counter,
    /// Errors of accept(2).
    pub accept_errors: Counter,
    /// Bytes read from clients.
    pub received_bytes: Counter,
    /// Bytes written to clients.
    pub sent_bytes: Counter,
    /// Responses by the first digit of their status, `[0]` for 1xx.
    pub responses: Labelled<5>,
    /// How sessions ended, by [`CloseReason::index`].
    pub closes: Labelled<{ CloseReason::COUNT }>,
    /// What millpond itself answered or refused, by [`RejectReason::index`].
    pub rejects: Labelled<{ RejectReason::COUNT }>,
    /// From the request head read whole to the response written whole.
    pub request_duration: Histogram,
}

/// What one worker counts for one endpoint.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointCounters {
    /// Pooled connections without work.
    pub idle: Gauge,
    /// Connections carrying an exchange or a tunnel.
    pub leased: Gauge,
    /// The part of `leased` that carries a tunnel, and will not come back.
    pub tunnels: Gauge,
    /// Connects under way.
    pub connecting: Gauge,
    /// Requests in the queue for a connection.
    pub waiting: Gauge,
    /// The part of `waiting` that may not dial because `max_connections` is reached or ports are
    /// scarce: what another worker's returned connection is handed to.
    pub starved: Gauge,
    /// Connections established.
    pub opened_total: Counter,
    /// Leases that were served by a connection used before.
    pub reused_total: Counter,
    /// Idle connections taken over from another worker, or from the process before this one.
    pub taken_over_total: Counter,
    /// Requests sent again on another connection.
    pub retries_total: Counter,
    /// Connects that failed or timed out, and were the endpoint's or the network's fault.
    pub connect_errors_total: Counter,
    /// Connects that failed for want of something local: descriptors, ports, memory.
    pub local_errors_total: Counter,
    /// Connections closed here by FIN before the endpoint closed: each leaves a TIME_WAIT here.
    pub time_wait_caused_total: Counter,
    /// Connections closed here by RST instead of FIN.
    pub time_wait_avoided_total: Counter,
    /// Why connections were closed, by [`DiscardReason::index`].
    pub discards: Labelled<{ DiscardReason::COUNT }>,
    /// Bytes written to the endpoint.
    pub sent_bytes: Counter,
    /// Bytes read from the endpoint.
    pub received_bytes: Counter,
}

impl EndpointCounters {
    /// Its worker is gone, and all that it had.
    pub fn nothing_is_left(&self) {
        let gauges =
            [&self.idle, &self.leased, &self.tunnels, &self.connecting, &self.waiting, &self.starved];
        gauges.into_iter().for_each(|gauge| gauge.set(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_bounds_them() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(100));
        histogram.record(Duration::from_micros(101));
        histogram.record(Duration::from_secs(3600));
        let buckets = histogram.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[DURATION_BUCKETS_US.len()]), (1, 1, 1));
        assert_eq!(histogram.sum_us(), 201 + 3_600_000_000);
    }
}
