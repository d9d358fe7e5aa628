//! Which way to close a connection (pure). Data that a client may still read is never destroyed;
//! a pooled connection leaves no TIME_WAIT here where that can be had without loss.

use crate::config::model::{Linger, UpstreamClose};
use crate::reason::CloseReason;
use std::time::Duration;

/// How a client's connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClose {
    /// close(2): the kernel sends what is queued and FIN. Right when the client can send nothing
    /// more that would provoke an RST over our last bytes.
    Close,
    /// FIN, then read and drop until the client's FIN or `timeout.linger`, then close (lingering
    /// close, RFC 9112 section 9.6).
    Drain,
    /// FIN, then wait until all is acknowledged; RST after this time (what SO_LINGER with a time
    /// means, without blocking the worker in close(2)).
    Acknowledge(Duration),
    /// RST.
    Reset,
}

impl ClientClose {
    /// Why the session ended, in view of how: one that would have been closed gracefully was not, if
    /// the configuration says RST.
    pub fn reason(self, reason: CloseReason) -> CloseReason {
        match (self, reason) {
            (Self::Reset, CloseReason::Graceful | CloseReason::IdleTimeout | CloseReason::TunnelDone) => {
                CloseReason::Reset
            }
            _ => reason,
        }
    }
}

/// What is known of a client's connection that is about to be closed.
#[derive(Clone, Copy, Debug)]
pub struct ClientState {
    /// The client's FIN was read: nothing can come from it.
    pub peer_closed: bool,
    /// The last request was read whole and the client announced that it was the last.
    pub announced_last: bool,
    /// What the client was being sent is cut short, and only RST tells it so: a response that ends
    /// with the connection, or a tunnel whose other side was reset.
    pub cut: bool,
}

impl ClientState {
    /// Nothing is known but that the client may still be sending.
    pub const OPEN: Self = Self { peer_closed: false, announced_last: false, cut: false };
}

/// Decides how to close a client's connection.
pub fn client(linger: Linger, state: ClientState) -> ClientClose {
    match linger {
        Linger::Reset => ClientClose::Reset,
        _ if state.cut => ClientClose::Reset,
        Linger::Timed(time) => ClientClose::Acknowledge(time),
        Linger::Graceful if state.peer_closed || state.announced_last => ClientClose::Close,
        Linger::Graceful => ClientClose::Drain,
    }
}

/// How a connection to an endpoint is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointClose {
    /// FIN. `time_wait`: the endpoint has not sent its own, so TIME_WAIT will be here.
    Fin {
        /// Whether this close leaves a TIME_WAIT on this host.
        time_wait: bool,
    },
    /// RST. `instead`: a FIN would have left a TIME_WAIT here.
    Reset {
        /// Whether this close saved a TIME_WAIT on this host.
        instead: bool,
    },
}

/// Decides how to close a connection to an endpoint. `unacknowledged`: bytes of ours that the
/// endpoint has not acknowledged; RST would destroy them.
pub fn endpoint(close: UpstreamClose, peer_closed: bool, unacknowledged: usize) -> EndpointClose {
    match close {
        UpstreamClose::Reset => EndpointClose::Reset { instead: !peer_closed },
        UpstreamClose::Auto if !peer_closed && unacknowledged == 0 => EndpointClose::Reset { instead: true },
        UpstreamClose::Auto | UpstreamClose::Graceful => EndpointClose::Fin { time_wait: !peer_closed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: ClientState = ClientState::OPEN;

    #[test]
    fn a_client_that_may_still_send_is_drained() {
        assert_eq!(client(Linger::Graceful, OPEN), ClientClose::Drain);
        assert_eq!(client(Linger::Graceful, ClientState { peer_closed: true, ..OPEN }), ClientClose::Close);
        assert_eq!(
            client(Linger::Graceful, ClientState { announced_last: true, ..OPEN }),
            ClientClose::Close
        );
    }

    #[test]
    fn configuration_and_truncation_come_first() {
        let time = Duration::from_secs(1);
        assert_eq!(client(Linger::Reset, OPEN), ClientClose::Reset);
        assert_eq!(client(Linger::Timed(time), OPEN), ClientClose::Acknowledge(time));
        for linger in [Linger::Graceful, Linger::Timed(time)] {
            let cut = ClientState { cut: true, ..OPEN };
            assert_eq!(client(linger, cut), ClientClose::Reset);
        }
    }

    #[test]
    fn auto_resets_only_where_nothing_is_lost_and_something_is_saved() {
        use EndpointClose::{Fin, Reset};
        let cases = [
            (UpstreamClose::Auto, false, 0, Reset { instead: true }),
            (UpstreamClose::Auto, false, 1, Fin { time_wait: true }),
            (UpstreamClose::Auto, true, 0, Fin { time_wait: false }),
            (UpstreamClose::Auto, true, 1, Fin { time_wait: false }),
            (UpstreamClose::Graceful, false, 0, Fin { time_wait: true }),
            (UpstreamClose::Graceful, true, 0, Fin { time_wait: false }),
            (UpstreamClose::Reset, false, 1, Reset { instead: true }),
            (UpstreamClose::Reset, true, 0, Reset { instead: false }),
        ];
        for (close, peer_closed, unacknowledged, expected) in cases {
            assert_eq!(endpoint(close, peer_closed, unacknowledged), expected);
        }
    }
}
