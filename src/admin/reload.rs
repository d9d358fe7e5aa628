//! What a reload answers: to whoever asks in this process, and as JSON.

use crate::config::diagnostic::{Diagnostic, Diagnostics, Position, Severity};
use crate::config::diff::Difference;
use crate::listener::bind::{self, BindError};
use crate::observe::snapshot;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::io;

/// A reload that succeeded.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The generation that runs now.
    pub generation: u64,
    /// What is different in it.
    pub difference: Difference,
    /// What has no effect in the configuration, or not the one that was meant.
    pub warnings: Vec<Diagnostic>,
    /// What could not be done as it should have been; empty but for rare errors of the kernel.
    pub notes: Vec<String>,
}

/// Why everything runs on as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is no file.
    #[error("millpond was started without a configuration file (--listen): there is nothing to reload")]
    NoFile,
    /// The process is about to end.
    #[error("millpond is draining: it runs its configuration to the end")]
    Draining,
    /// The configuration cannot be used.
    #[error("{0}")]
    Invalid(#[from] Diagnostics),
    /// Listeners that could not be bound.
    #[error("{}", bind::lines(.0))]
    Bind(Vec<BindError>),
    /// A listening socket, a thread or a runtime could not be had.
    #[error("cannot have what the configuration needs: {0}")]
    Io(#[from] io::Error),
}

impl ReloadError {
    /// Whether it was not even tried.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NoFile | Self::Draining)
    }

    /// What is wrong, one by one.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        match self {
            Self::NoFile | Self::Draining | Self::Io(_) => Vec::new(),
            Self::Invalid(Diagnostics(diagnostics)) => diagnostics.clone(),
            Self::Bind(errors) => errors.iter().map(of_bind).collect(),
        }
    }

    /// Where the request stands wrong: in the state of the process, or in the file.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoFile | Self::Draining => StatusCode::CONFLICT,
            Self::Invalid(_) | Self::Bind(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Io(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What the file says cannot be had on this host, now.
fn of_bind(error: &BindError) -> Diagnostic {
    let (message, fix) = match error.why.split_once(": ") {
        Some((message, fix)) => (message, fix),
        None => (error.why.as_str(), "see bind(2)"),
    };
    Diagnostic {
        severity: Severity::Error,
        position: Position::File(format!("listener {}", error.listener)),
        key: format!("listener.{}.bind", error.listener),
        message: format!("cannot bind {}: {message}", error.address),
        fix: fix.to_owned(),
    }
}

/// The JSON of `POST /reload` when it succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The generation that runs now.
    pub generation: u64,
    /// What is different in it.
    #[serde(flatten)]
    pub difference: Difference,
    /// What has no effect in the configuration, or not the one that was meant.
    pub warnings: Vec<snapshot::Diagnostic>,
    /// What could not be done as it should have been.
    pub notes: Vec<String>,
}

/// The JSON of `POST /reload` when nothing was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Why, in one text.
    pub error: String,
    /// What is wrong with the file, one by one.
    pub diagnostics: Vec<snapshot::Diagnostic>,
}

impl From<&Reloaded> for Answer {
    fn from(done: &Reloaded) -> Self {
        Self {
            generation: done.generation,
            difference: done.difference.clone(),
            warnings: done.warnings.iter().map(Into::into).collect(),
            notes: done.notes.clone(),
        }
    }
}

impl From<&ReloadError> for Failure {
    fn from(error: &ReloadError) -> Self {
        let diagnostics = error.diagnostics().iter().map(Into::into).collect();
        Self { error: error.to_string(), diagnostics }
    }
}
