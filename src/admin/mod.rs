//! The admin server: statistics, metrics, health of the process itself, the dashboard, the drain
//! and the upgrade, over HTTP.
//!
//! Without a token it is for this host only: on a loopback address or a Unix socket. With one
//! (`admin.token_file`), every request has to carry it, wherever it comes from, except for what holds
//! nothing of this instance but one bit: the probes, and the empty page of the dashboard, which asks
//! for the token itself.
//!
//! Either way it distrusts browsers, because a page from elsewhere can make one send requests to here.
//! What another page asked for is refused (`Sec-Fetch-Site`, `Origin`), and so is any `Origin` on what
//! changes state; GET changes nothing. Without a token, so is a `Host` that is not this host (DNS
//! rebinding).

mod bind;
mod connections;
mod feed;
mod guard;
mod history;
mod page;
pub mod reload;
mod reply;
mod routes;
mod server;
mod site;
mod token;
pub mod upgrade;

pub use bind::{AdminHandle, AdminSocket, BindError, adopt, bind, name};
pub use reload::{ReloadError, Reloaded};
pub use server::{serve, serve_connection};
pub use token::{Token, TokenError};
pub use upgrade::{UpgradeError, Upgraded};

use crate::command::Crew;
use crate::observe::access_log::AccessLog;
use crate::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// Reads the configuration again.
pub type Reload = Box<dyn Fn() -> Result<Reloaded, ReloadError> + Send + Sync>;

/// Lets another process take over.
pub type Upgrade = Box<dyn Fn() -> Result<Upgraded, UpgradeError> + Send + Sync>;

/// What the admin server reads, and the commands that it may give.
pub struct AdminState {
    /// The counters.
    pub registry: Arc<Registry>,
    /// The ways to the workers, each at its place.
    pub workers: Crew,
    /// The access log, for its lost lines.
    pub access_log: Option<AccessLog>,
    /// Begins the drain; called once for each `POST /drain`.
    pub drain: Box<dyn Fn() + Send + Sync>,
    /// Reads the configuration again; called for each `POST /reload`, on a thread that may wait.
    pub reload: Reload,
    /// Lets another process take over; called for each `POST /upgrade`, on a thread that may wait.
    pub upgrade: Upgrade,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").finish_non_exhaustive()
    }
}
