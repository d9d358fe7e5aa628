//! Counters of the workers, the figures of the host beside them, and their names outside.

pub mod close_wait;
pub mod counters;
pub mod host;
pub mod names;
pub mod render;
