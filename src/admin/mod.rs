//! The admin server: statistics, metrics, health of the process itself, and the drain, over HTTP on
//! a loopback address or a Unix socket.
//!
//! It is for this host only and has no passwords, so it distrusts browsers: a page from elsewhere
//! can make a browser send requests to 127.0.0.1. A `Host` that is not this host (DNS rebinding) is
//! refused, and so is an `Origin` on anything that changes state; GET changes nothing.

mod bind;
mod config_view;
mod guard;
mod routes;
mod server;

pub use bind::{AdminSocket, BindError, bind};
pub use server::serve;

use crate::config::model::Config;
use crate::observe::access_log::AccessLog;
use crate::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// What the admin server reads, and the commands that it may give.
pub struct AdminState {
    /// The counters.
    pub registry: Arc<Registry>,
    /// The running configuration.
    pub config: Arc<Config>,
    /// The access log, for its lost lines.
    pub access_log: Option<AccessLog>,
    /// Begins the drain; called once for each `POST /drain`.
    pub drain: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").finish_non_exhaustive()
    }
}
