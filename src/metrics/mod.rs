//! Counters of the workers, the figures of the host and of the census beside them, and their names
//! outside.

pub mod accept_queue;
pub mod budgets;
pub mod census;
pub mod close_wait;
pub mod counters;
pub mod host;
pub mod names;
pub mod reading;
pub mod render;
pub mod restarts;
pub mod tcp_states;
