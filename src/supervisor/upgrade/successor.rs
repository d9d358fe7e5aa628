//! The new process, as the old one has it: a child, and a conversation with it.

use super::Program;
use crate::admin::upgrade::{Instance, UpgradeError};
use crate::registry::Registry;
use crate::sys::fd_passing::FdSocket;
use crate::upgrade::{FromNew, FromOld, Link, LinkError, PROTOCOL};
use std::os::fd::BorrowedFd;
use std::process::Child;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the new process may take for each step.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// What its end takes, once it has closed the connection, until that it is killed.
const END: Duration = Duration::from_secs(1);

pub(super) struct Successor {
    child: Child,
    link: Link<FromOld, FromNew>,
    registry: Arc<Registry>,
    version: String,
    has_ended: bool,
}

impl Successor {
    pub(super) fn start(program: &Program, registry: Arc<Registry>) -> Result<Self, UpgradeError> {
        let failed = |error| UpgradeError::Start { program: program.path().to_owned(), error };
        let (here, there) = FdSocket::pair().map_err(failed)?;
        let child = program.start(there.into_stdin()).map_err(failed)?;
        Ok(Self { child, link: Link::new(here), registry, version: String::new(), has_ended: false })
    }

    pub(super) fn link(&self) -> &Link<FromOld, FromNew> {
        &self.link
    }

    pub(super) fn instance(&self) -> Instance {
        Instance { pid: self.child.id(), version: self.version.clone() }
    }

    pub(super) fn greet(&mut self) -> Result<(), UpgradeError> {
        const GREETING: &str = "waiting for its greeting";
        let (protocols, version, pid) = match self.hear(GREETING)? {
            FromNew::Greeting { protocols, version, pid } => (protocols, version, pid),
            other => return Err(unexpected(GREETING, &other)),
        };
        let failed = |why| UpgradeError::Failed { step: GREETING, why };
        if !protocols.contains(&PROTOCOL) {
            return Err(failed(format!(
                "millpond {version} speaks other versions of the protocol ({protocols:?}) than this one \
                 ({PROTOCOL}): restart instead"
            )));
        }
        if pid != self.child.id() {
            // It could not be ended for sure, should it fail.
            return Err(failed(format!(
                "it says that it is process {pid}, but {} was started: let the script that starts it end with \
                 `exec`",
                self.child.id()
            )));
        }
        self.version = version;
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        self.say("greeting it", &FromOld::Greeting { protocol: PROTOCOL, version, pid }, &[])
    }

    pub(super) fn hear(&self, step: &'static str) -> Result<FromNew, UpgradeError> {
        match self.link.hear(STEP, &|| self.registry.is_draining()) {
            Ok((FromNew::Failed { why }, _)) => Err(UpgradeError::Refused(why)),
            Ok((message, _)) => Ok(message),
            Err(LinkError::GivenUp) => Err(UpgradeError::Draining),
            Err(error) => Err(failed(step, &error)),
        }
    }

    pub(super) fn say(
        &self,
        step: &'static str,
        message: &FromOld,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), UpgradeError> {
        self.link.say(message, descriptors, STEP).map_err(|error| failed(step, &error))
    }

    /// Ends it, and only then the conversation: it must not take that for the end of this process. Returns the
    /// error with what else there is to say.
    pub(super) fn end(mut self, error: UpgradeError) -> UpgradeError {
        let end = Instant::now() + END;
        let has_ended_itself = matches!(&error, UpgradeError::Failed { .. } | UpgradeError::Refused(_));
        let mut status = None;
        while has_ended_itself && self.is_gone(&error) && status.is_none() && Instant::now() < end {
            status = self.child.try_wait().ok().flatten();
            thread::sleep(Duration::from_millis(10));
        }
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
        match (error, status) {
            (UpgradeError::Failed { step, why }, Some(status)) => UpgradeError::Failed {
                step,
                why: format!("{why} ({status}; it may have said why in the log)"),
            },
            (error, _) => error,
        }
    }

    fn is_gone(&self, error: &UpgradeError) -> bool {
        let gone = LinkError::Gone.to_string();
        matches!(error, UpgradeError::Refused(_))
            || matches!(error, UpgradeError::Failed { why, .. } if *why == gone)
    }

    /// Says so if it has ended, which nobody expects.
    pub(super) fn look(&mut self) {
        if let (false, Ok(Some(status))) = (self.has_ended, self.child.try_wait()) {
            self.has_ended = true;
            tracing::error!(%status, "the new process has ended while this one drains: start millpond again");
        }
    }
}

pub(super) fn failed(step: &'static str, error: &LinkError) -> UpgradeError {
    UpgradeError::Failed { step, why: error.to_string() }
}

pub(super) fn unexpected(step: &'static str, message: &FromNew) -> UpgradeError {
    UpgradeError::Failed { step, why: format!("the new process said something else: {message:?}") }
}
