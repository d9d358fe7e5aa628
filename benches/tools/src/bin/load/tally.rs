//! What a load came to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bench_tools::latency::Latencies;

/// After so many errors there is nothing left to measure, and the run ends.
const MAX_ERRORS: u64 = 1000;

pub(crate) struct Tally {
    began: Instant,
    seconds: f64,
    /// Requests answered as they should be.
    answered: u64,
    opened: u64,
    errors: BTreeMap<&'static str, u64>,
    latencies: Latencies,
    /// How long after they were due requests were sent, in an open loop.
    delays: Latencies,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            seconds: 0.0,
            answered: 0,
            opened: 0,
            errors: BTreeMap::new(),
            latencies: Latencies::default(),
            delays: Latencies::default(),
        }
    }

    pub(crate) fn count_answer(&mut self, latency: Duration) {
        self.answered += 1;
        self.latencies.record(latency);
    }

    pub(crate) fn count_delay(&mut self, delay: Duration) {
        self.delays.record(delay);
    }

    pub(crate) fn count_connection(&mut self) {
        self.opened += 1;
    }

    pub(crate) fn count_error(&mut self, kind: &'static str) {
        *self.errors.entry(kind).or_default() += 1;
    }

    /// Stops the clock.
    pub(crate) fn end(&mut self) {
        self.seconds = self.began.elapsed().as_secs_f64();
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn is_hopeless(&self) -> bool {
        self.errors() >= MAX_ERRORS
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.errors() == 0 && self.answered > 0
    }

    pub(crate) fn json(&self) -> String {
        let kinds: Vec<String> =
            self.errors.iter().map(|(kind, count)| format!("\"{kind}\": {count}")).collect();
        format!(
            "{{\"requests\": {}, \"errors\": {}, \"error_kinds\": {{{}}}, \"aborted\": {}, \
             \"seconds\": {:.3}, \"requests_per_s\": {:.0}, \"p50_us\": {}, \"p90_us\": {}, \
             \"p99_us\": {}, \"p999_us\": {}, \"max_us\": {}, \"late_p99_us\": {}, \
             \"connections_opened\": {}}}",
            self.answered,
            self.errors(),
            kinds.join(", "),
            self.is_hopeless(),
            self.seconds,
            self.answered as f64 / self.seconds.max(1e-9),
            self.latencies.percentile(50.0),
            self.latencies.percentile(90.0),
            self.latencies.percentile(99.0),
            self.latencies.percentile(99.9),
            self.latencies.max(),
            self.delays.percentile(99.0),
            self.opened,
        )
    }

    fn errors(&self) -> u64 {
        self.errors.values().sum()
    }
}
