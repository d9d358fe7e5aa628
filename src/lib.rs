//! millpond: a connection-pooling TCP and HTTP reverse proxy.

pub mod addr;
pub mod admin;
pub mod budget;
pub mod buffer;
pub mod cli;
pub mod close;
pub mod config;
pub mod forward;
pub mod http1;
pub mod listener;
pub mod metrics;
pub mod observe;
pub mod pool;
pub mod reason;
pub mod registry;
pub mod session;
pub mod supervisor;
pub mod sys;
pub mod timer;
pub mod upstream;
pub mod worker;
