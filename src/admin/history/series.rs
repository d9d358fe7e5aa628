//! The samples of one listener or endpoint, and how they are written.

use super::SAMPLES;
use super::column::Shape;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use std::collections::VecDeque;

/// The newest samples, each with `N` figures, and the counters from which the next rates are taken.
#[derive(Debug)]
pub(super) struct Series<const N: usize> {
    samples: VecDeque<[Figure; N]>,
    before: [Option<f64>; N],
}

/// A number, or nothing (NaN), in four bytes. Counts beyond 16 million lose their last digits.
#[derive(Clone, Copy, Debug)]
struct Figure(f32);

impl<const N: usize> Default for Series<N> {
    fn default() -> Self {
        Self { samples: VecDeque::with_capacity(SAMPLES), before: [None; N] }
    }
}

impl<const N: usize> Series<N> {
    /// Adds a sample, `elapsed` seconds after the last one of all series.
    pub(super) fn record(&mut self, now: [Option<f64>; N], shapes: &[Shape; N], elapsed: Option<f64>) {
        let before = std::mem::replace(&mut self.before, now);
        let figure = |at: usize| match shapes[at] {
            Shape::Gauge | Shape::Least => now[at],
            Shape::Rate => rate(before[at], now[at], elapsed),
        };
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(std::array::from_fn(|at| Figure::from(figure(at))));
    }

    /// The last `count` figures of one column; what is older than the series is unknown.
    fn column(&self, at: usize, count: usize) -> impl Iterator<Item = Figure> + '_ {
        let missing = count.saturating_sub(self.samples.len());
        let skipped = self.samples.len().saturating_sub(count);
        let unknown = std::iter::repeat_n(Figure::from(None), missing);
        unknown.chain(self.samples.iter().skip(skipped).map(move |sample| sample[at]))
    }
}

/// Nothing, where there is no earlier count, or a greater one: then it is not the same that counts.
fn rate(before: Option<f64>, now: Option<f64>, elapsed: Option<f64>) -> Option<f64> {
    let (growth, elapsed) = (now? - before?, elapsed?);
    (growth >= 0.0 && elapsed > 0.0).then(|| (growth / elapsed * 100.0).round() / 100.0)
}

impl From<Option<f64>> for Figure {
    fn from(number: Option<f64>) -> Self {
        Self(number.map_or(f32::NAN, |number| number as f32))
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_nan() => to.serialize_none(),
            // "7" is shorter than "7.0", and most figures are counts.
            number if number.fract() == 0.0 && number.abs() < 1e15 => to.serialize_i64(number as i64),
            number => to.serialize_f32(number),
        }
    }
}

/// The last `count` samples of a group, as JSON.
pub(super) struct Samples<'a, const N: usize> {
    pub(super) total: &'a Series<N>,
    pub(super) each: &'a [([String; 2], Series<N>)],
    pub(super) left_out: usize,
    pub(super) count: usize,
    /// What the two names of a member are called.
    pub(super) keys: [&'static str; 2],
    pub(super) columns: [&'static str; N],
}

impl<const N: usize> Serialize for Samples<'_, N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let written = |names, series| Written { names, series, samples: self };
        let each: Vec<_> = self.each.iter().map(|(names, series)| written(Some(names), series)).collect();
        let mut group = to.serialize_struct("Samples", 3)?;
        group.serialize_field("total", &written(None, self.total))?;
        group.serialize_field("each", &each)?;
        group.serialize_field("left_out", &self.left_out)?;
        group.end()
    }
}

/// One series: its names, then its columns.
struct Written<'a, const N: usize> {
    names: Option<&'a [String; 2]>,
    series: &'a Series<N>,
    samples: &'a Samples<'a, N>,
}

impl<const N: usize> Serialize for Written<'_, N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (key, name) in self.samples.keys.iter().zip(self.names.into_iter().flatten()) {
            map.serialize_entry(key, name)?;
        }
        for (at, name) in self.samples.columns.iter().enumerate() {
            map.serialize_entry(name, &OneColumn { series: self.series, at, count: self.samples.count })?;
        }
        map.end()
    }
}

struct OneColumn<'a, const N: usize> {
    series: &'a Series<N>,
    at: usize,
    count: usize,
}

impl<const N: usize> Serialize for OneColumn<'_, N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut figures = to.serialize_seq(Some(self.count))?;
        for figure in self.series.column(self.at, self.count) {
            figures.serialize_element(&figure)?;
        }
        figures.end()
    }
}
