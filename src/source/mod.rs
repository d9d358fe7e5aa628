//! Where connections to the endpoints come from: local addresses, and the ports that are left.
//!
//! All of it is pure but for the clock that [`lease`] reads.

pub mod forecast;
pub mod kernel;
pub mod lease;
pub mod ledger;
pub mod level;
pub mod ports;
pub mod select;
