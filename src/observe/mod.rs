//! What millpond tells of itself: statistics, the log and the access log.

pub mod access_log;
pub mod budget;
pub mod census;
pub mod connections;
#[cfg(test)]
pub(crate) mod fixture;
pub mod logging;
pub mod places;
pub mod reaper;
pub mod snapshot;
