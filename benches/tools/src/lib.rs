//! What the programs in `src/bin` share.
//!
//! They are yardsticks: std and libc only, one epoll loop a thread, nothing that a reader of a
//! measurement would have to take on trust. All of them speak to loopback addresses alone and end by
//! themselves.

pub mod args;
pub mod http;
pub mod latency;
pub mod serve;
pub mod sys;
