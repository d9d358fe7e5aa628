//! Counters of the workers, the figures of the host beside them, and their names outside.

pub mod counters;
pub mod host;
pub mod names;
pub mod render;
