//! Counters of the workers and their names outside.

pub mod counters;
