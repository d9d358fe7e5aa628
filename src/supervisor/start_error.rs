//! Why nothing runs.

use super::{ActivationError, RightsError, TakeoverError};
use crate::admin;
use crate::listener::bind::{self, BindError};
use std::io;

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Listeners that could not be bound; nothing is bound.
    #[error("{}", bind::lines(.0))]
    Bind(Vec<BindError>),
    /// The admin server could not be bound.
    #[error("{0}")]
    Admin(#[from] admin::BindError),
    /// The process that was to be taken over from is gone, or does not play its part.
    #[error("{0}")]
    Takeover(#[from] TakeoverError),
    /// It cannot become the user that it is to run as.
    #[error("{0}")]
    Rights(#[from] RightsError),
    /// A socket that the service manager has opened is of no use.
    #[error("{0}")]
    Activation(#[from] ActivationError),
    /// The access log could not be opened.
    #[error("access log: {0}")]
    AccessLog(io::Error),
    /// A thread or a runtime could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl From<Vec<BindError>> for StartError {
    fn from(errors: Vec<BindError>) -> Self {
        Self::Bind(errors)
    }
}
