//! How the use of a connection ended: what its close depends on, beside what the kernel knows.

use crate::close::policy::FirstFin;
use crate::reason::DiscardReason;

/// Why a connection is closed, and what that means for how.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Why.
    pub reason: DiscardReason,
    /// Whether somebody wants the bytes delivered that the endpoint has not acknowledged.
    pub wanted: bool,
    /// Whether it is reset whatever the configuration says, to pass on that its other side was.
    pub reset: bool,
    /// Whose FIN came first, if ours was sent already.
    pub first_fin: Option<FirstFin>,
    /// Whether the endpoint's FIN was read, and everything before it.
    pub peer_closed: bool,
}

impl From<DiscardReason> for Ending {
    /// The end of a connection that we have not sent FIN on. Where an exchange was complete but the
    /// connection cannot be kept, the endpoint may not have seen all of the request; else the bytes are
    /// those of an exchange that was given up, or there are none.
    fn from(reason: DiscardReason) -> Self {
        let wanted = reason == DiscardReason::NotReusable;
        Self { reason, wanted, reset: false, first_fin: None, peer_closed: false }
    }
}
