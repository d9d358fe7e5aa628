//! What an upgrade answers: to whoever asks in this process, and as JSON.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// An upgrade that succeeded: another process serves. Also the JSON of `POST /upgrade` then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// The process that drains now.
    pub old: Instance,
    /// The process that serves now.
    pub new: Instance,
    /// Listening sockets that it has from the old one.
    pub listening_sockets: usize,
    /// Addresses that it has bound itself.
    pub bound: usize,
    /// Idle connections to endpoints that it has from the old one so far.
    pub connections: usize,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

/// Why the same process serves on.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// It is about to end.
    #[error("millpond is draining: it hands over to nobody any more")]
    Draining,
    /// Somebody else has asked first.
    #[error("an upgrade is under way already")]
    UnderWay,
    /// When it ends, the kernel ends every process beside it.
    #[error(
        "millpond is the first process of its container, which ends when it does: replace the container instead"
    )]
    FirstProcess,
    /// It does not know what to start: `millpond demo`.
    #[error("this instance cannot be upgraded: only `millpond run` can")]
    NoProgram,
    /// The new process could not be started.
    #[error("cannot start {}: {error}", program.display())]
    Start {
        /// The file.
        program: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
    /// The new process said why it cannot serve.
    #[error("the new process cannot serve: {0}")]
    Refused(String),
    /// It broke off.
    #[error("{step}: {why}")]
    Failed {
        /// At what.
        step: &'static str,
        /// What was wrong.
        why: String,
    },
}

/// The JSON of `POST /upgrade` when the same process serves on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Why.
    pub error: String,
}

impl UpgradeError {
    /// Where the request stands wrong: in the state of this process, or in the new program.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Draining | Self::UnderWay | Self::FirstProcess | Self::NoProgram => StatusCode::CONFLICT,
            Self::Start { .. } | Self::Refused(_) | Self::Failed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}
