//! What TCP knows of a connection, as people count it (pure).

use crate::command::Peer;
use crate::sys::sock_diag::{Socket, TcpState};
use crate::sys::tcp_info::TcpInfo;
use std::time::Duration;

/// Figures of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// Since a byte came or went.
    pub(super) idle: Option<Duration>,
    pub(super) received: Option<u64>,
    pub(super) sent: Option<u64>,
    pub(super) unread: u64,
    pub(super) unacknowledged: u64,
    pub(super) rtt: Option<Duration>,
    pub(super) retransmits: u64,
}

impl Figures {
    /// The kernel's counts without SYN and FIN, which take a sequence number each and so count as a byte
    /// there (RFC 9293 section 3.4): `tcp_rcv_nxt_update`, `tcp_snd_una_update` and `tcp_diag_get_info` in
    /// net/ipv4. `None` before the connection is established.
    pub(super) fn of(socket: &Socket, info: &TcpInfo, peer: Peer) -> Option<Self> {
        use TcpState::{CloseWait, Closing, FinWait1, FinWait2, LastAck, SynRecv, SynSent, TimeWait};
        let state = socket.state;
        if matches!(state, SynSent | SynRecv | TimeWait) {
            return None;
        }
        let fin_came = u64::from(matches!(state, CloseWait | LastAck | Closing));
        let fin_waits = u64::from(matches!(state, FinWait1 | LastAck | Closing));
        // Our own SYN was acknowledged where we dialled.
        let synchronised = u64::from(peer == Peer::Endpoint) + u64::from(state == FinWait2);
        Some(Self {
            idle: Some(info.last_data_recv.min(info.last_data_sent)),
            received: info.bytes_received.map(|bytes| bytes.saturating_sub(fin_came)),
            sent: info.bytes_acked.map(|bytes| bytes.saturating_sub(synchronised)),
            unread: u64::from(socket.rqueue).saturating_sub(fin_came),
            unacknowledged: u64::from(socket.wqueue).saturating_sub(fin_waits),
            rtt: info.rtt,
            retransmits: info.total_retrans.into(),
        })
    }
}

#[cfg(test)]
mod tests;
