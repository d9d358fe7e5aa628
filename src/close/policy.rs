//! Which way to close a connection (pure): facts in, a plan out. Data that somebody still wants is not
//! destroyed, but by configuration; a connection to an endpoint leaves no TIME_WAIT here where that can
//! be had without loss.

use crate::config::model::{Linger, UpstreamClose};
use crate::reason::CloseReason;
use crate::sys::sock_diag::TcpState;
use std::time::Duration;

/// How a client's connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClose {
    /// close(2): the kernel sends what is queued and FIN. Right when nothing can come from the client
    /// that would provoke an RST over our last bytes.
    Close,
    /// FIN, then read and drop until the client's FIN or `timeout.linger`, then close (lingering
    /// close, RFC 9112 section 9.6).
    Drain,
    /// FIN, then wait until all is acknowledged; RST after this time (what SO_LINGER with a time
    /// means, without blocking the worker in close(2)).
    Acknowledge(Duration),
    /// RST, as nothing is on its way that it would destroy.
    Reset,
    /// RST when all is acknowledged. What is not by `timeout.linger` is left to the kernel, with a FIN
    /// behind it; unless it is `cut`, which FIN would hide.
    ResetOnceAcknowledged {
        /// Whether the client must learn that it did not get everything.
        cut: bool,
    },
}

impl ClientClose {
    /// Why the session ended, in view of how: one that would have been closed gracefully was not, if
    /// the configuration says RST.
    pub fn reason(self, reason: CloseReason) -> CloseReason {
        match (self, reason) {
            (
                Self::Reset | Self::ResetOnceAcknowledged { .. },
                CloseReason::Graceful | CloseReason::IdleTimeout | CloseReason::TunnelDone,
            ) => CloseReason::Reset,
            _ => reason,
        }
    }
}

/// What its session knows of a client's connection that is about to be closed.
#[derive(Clone, Copy, Debug)]
pub struct ClientState {
    /// The client's FIN was seen: nothing more can come from it but what is here already.
    pub peer_closed: bool,
    /// That FIN was read, or a reset: what was here already was read before it.
    pub read_to_end: bool,
    /// The last request was read whole and the client announced that it was the last.
    pub announced_last: bool,
    /// What the client was being sent is cut short, and only RST tells it so: a response that ends
    /// with the connection, or a tunnel whose other side was reset.
    pub cut: bool,
}

impl ClientState {
    /// Nothing is known but that the client may still be sending.
    pub const OPEN: Self = Self { peer_closed: false, read_to_end: false, announced_last: false, cut: false };
    /// A read has found the end.
    pub const ENDED: Self = Self { peer_closed: true, read_to_end: true, ..Self::OPEN };
}

/// Decides how to close a client's connection, by its listener's configuration and what its session knows.
/// `unread` bytes are received and not read: close(2) would answer them with RST. `unacknowledged` bytes are
/// sent. Either costs a system call, and is asked for only where it decides.
pub fn client(
    linger: Linger,
    state: ClientState,
    unread: impl FnOnce() -> usize,
    unacknowledged: impl FnOnce() -> usize,
) -> ClientClose {
    match linger {
        _ if state.cut || linger == Linger::Reset => match unacknowledged() {
            0 => ClientClose::Reset,
            _ => ClientClose::ResetOnceAcknowledged { cut: state.cut },
        },
        Linger::Timed(time) => ClientClose::Acknowledge(time),
        _ if state.read_to_end => ClientClose::Close,
        _ if (state.peer_closed || state.announced_last) && unread() == 0 => ClientClose::Close,
        _ => ClientClose::Drain,
    }
}

/// How far a connection to an endpoint is closed already. TIME_WAIT is where the first FIN came from
/// (RFC 9293 section 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has sent FIN.
    Open,
    /// The endpoint sent FIN first: TIME_WAIT will be there, whatever we do.
    EndpointFirst,
    /// We sent FIN first. The endpoint's is awaited, for `tcp_fin_timeout` after close(2), and when it
    /// comes TIME_WAIT is here: the port is held either way.
    WeFirst,
    /// We sent FIN first and the endpoint's has come: TIME_WAIT is here already.
    TimeWait,
    /// It was reset: nothing is left of it.
    Gone,
}

/// Whose FIN came first on a connection of which we have closed our half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FirstFin {
    Ours,
    Endpoints,
}

impl FirstFin {
    /// By the states just before and just after our shutdown(2). Before alone would miss an
    /// endpoint's FIN that crossed it; after alone says CLOSED when all was acknowledged at once,
    /// whoever was first.
    pub fn of(before: TcpState, after: TcpState) -> Self {
        match (before, after) {
            (TcpState::CloseWait | TcpState::LastAck, _) | (_, TcpState::LastAck) => Self::Endpoints,
            _ => Self::Ours,
        }
    }
}

impl Stage {
    /// Where both FINs have come, and `first` was the first.
    pub fn closed(first: FirstFin) -> Self {
        match first {
            FirstFin::Ours => Self::TimeWait,
            FirstFin::Endpoints => Self::EndpointFirst,
        }
    }

    /// By the present state. `first`: whose FIN came first, if we have closed our half before; without
    /// it, CLOSED cannot be told from a reset.
    pub fn of(state: TcpState, first: Option<FirstFin>) -> Self {
        match (state, first) {
            (TcpState::Established, _) => Self::Open,
            (TcpState::CloseWait | TcpState::LastAck, _) => Self::EndpointFirst,
            (TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing, _) => Self::WeFirst,
            // The kernel takes TIME_WAIT from the socket, which is CLOSED then.
            (TcpState::TimeWait, _) | (TcpState::Closed, Some(FirstFin::Ours)) => Self::TimeWait,
            (TcpState::Closed, Some(FirstFin::Endpoints)) => Self::EndpointFirst,
            (TcpState::Closed | TcpState::SynSent | TcpState::SynRecv | TcpState::Listen, _) => Self::Gone,
        }
    }
}

/// All that decides how a connection to an endpoint is closed.
#[derive(Clone, Copy, Debug)]
pub struct EndpointFacts {
    /// The configuration.
    pub close: UpstreamClose,
    /// How far it is closed already.
    pub stage: Stage,
    /// Bytes of ours that the endpoint has not acknowledged; RST would destroy them.
    pub outstanding: usize,
    /// Bytes of the endpoint's that nobody has read: close(2) answers them with RST, whatever we would
    /// like it to do (RFC 1122 section 4.2.2.13).
    pub unread: usize,
    /// Whether anybody wants those bytes delivered.
    pub wanted: bool,
    /// Whether the source ports towards this endpoint are running out.
    pub port_pressure: bool,
}

/// How a connection to an endpoint is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointClose {
    /// By RST, instead of by close(2), which sends FIN if none was sent.
    pub reset: bool,
    /// What that means for this host's ports.
    pub time_wait: TimeWait,
}

/// Whether the end of a connection leaves a TIME_WAIT on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWait {
    /// It does: the port is not free yet.
    Left,
    /// FIN would have left one, RST does not.
    Avoided,
    /// None was at stake: the endpoint closed first, or the connection is gone.
    NotHere,
}

/// Decides how to close a connection to an endpoint.
pub fn endpoint(facts: EndpointFacts) -> EndpointClose {
    let at_stake = matches!(facts.stage, Stage::Open | Stage::WeFirst);
    let reset = match facts.close {
        // RST would reach nobody.
        _ if matches!(facts.stage, Stage::TimeWait | Stage::Gone) => false,
        _ if facts.unread > 0 => true,
        UpstreamClose::Reset => true,
        UpstreamClose::Auto => at_stake && !(facts.wanted && facts.outstanding > 0),
        // A TIME_WAIT for each connection would be the end of a service that is short of ports.
        UpstreamClose::Graceful => at_stake && facts.port_pressure && facts.outstanding == 0,
    };
    let time_wait = match facts.stage {
        Stage::TimeWait => TimeWait::Left,
        Stage::Open | Stage::WeFirst if reset => TimeWait::Avoided,
        Stage::Open | Stage::WeFirst => TimeWait::Left,
        Stage::EndpointFirst | Stage::Gone => TimeWait::NotHere,
    };
    EndpointClose { reset, time_wait }
}

#[cfg(test)]
mod tests;
