//! Latencies in fixed memory: buckets that grow with the value, exact to 1.6 %.

use std::time::Duration;

/// Values under it have a bucket each; every further power of two has half as many, so that a bucket
/// is never wider than 1/64 of its values.
const STEPS: u64 = 128;
/// Enough for an hour in microseconds, which is under 2^32.
const BUCKETS: usize = STEPS as usize * 27;

/// A histogram of microseconds.
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Latencies {
    /// Counts one latency; those past an hour count as an hour.
    pub fn record(&mut self, latency: Duration) {
        let microseconds = latency.as_micros().min(3_600_000_000) as u64;
        self.buckets[bucket(microseconds)] += 1;
        self.count += 1;
        self.max = self.max.max(microseconds);
    }

    /// The latency in microseconds that `percent` of all do not exceed; 0 where there are none.
    pub fn percentile(&self, percent: f64) -> u64 {
        let rank = (self.count as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return upper_edge(index).min(self.max);
            }
        }
        0
    }

    /// The longest, in microseconds.
    pub fn max(&self) -> u64 {
        self.max
    }
}

fn bucket(value: u64) -> usize {
    let shift = (value / STEPS).checked_ilog2().map_or(0, |power| power + 1);
    (u64::from(shift) * STEPS + (value >> shift)) as usize
}

fn upper_edge(index: usize) -> u64 {
    let (shift, step) = (index as u64 / STEPS, index as u64 % STEPS);
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_64th() {
        let mut latencies = Latencies::default();
        for microseconds in 1..=10_000 {
            latencies.record(Duration::from_micros(microseconds));
        }
        for percent in [1.0, 50.0, 90.0, 99.0, 100.0] {
            let (got, exact) = (latencies.percentile(percent) as f64, percent * 100.0);
            assert!(got >= exact && got <= exact * (1.0 + 1.0 / 64.0), "p{percent}: {got}");
        }
        assert_eq!(latencies.max(), 10_000);
    }

    #[test]
    fn buckets_cover_every_value() {
        for value in (0..5000).chain([1 << 20, 3_600_000_000]) {
            assert!(bucket(value) < BUCKETS);
            assert!(upper_edge(bucket(value)) >= value);
        }
        assert_eq!(Latencies::default().percentile(50.0), 0);
    }
}
