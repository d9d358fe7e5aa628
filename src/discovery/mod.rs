//! From names to endpoints: who is asked what, and what becomes of the answers.
//!
//! [`walk`] leads from a name to an [`walk::Outcome`], through the domains of [`search`] and the records of
//! services; whom it asks is behind [`record::Ask`], which [`servers`] is for real. [`watch`] decides what
//! an outcome changes, and when it is asked again, and [`table`] has all names of a configuration. [`report`]
//! is what `/stats` and the metrics tell of them.

pub mod record;
pub mod report;
mod runtime;
pub mod search;
pub mod servers;
pub mod table;
pub mod walk;
pub mod watch;

#[cfg(test)]
mod tests;
