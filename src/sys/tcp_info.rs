//! What the kernel knows of one TCP connection (TCP_INFO, tcp(7)).

use super::sock_diag::TcpState;
use super::sockopt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// A part of `struct tcp_info` (linux/tcp.h). The kernel appends fields to it: those that came after
/// the first edition are `None` where it is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Where TCP is.
    pub state: TcpState,
    /// Timeouts in a row without an acknowledgement.
    pub retransmits: u8,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Since data was last sent, in whole milliseconds.
    pub last_data_sent: Duration,
    /// Since data was last received, in whole milliseconds.
    pub last_data_recv: Duration,
    /// The smoothed round-trip time; `None` before it was measured.
    pub rtt: Option<Duration>,
    /// Segments sent again, in all.
    pub total_retrans: u32,
    /// Bytes that the peer has acknowledged (Linux 4.1).
    pub bytes_acked: Option<u64>,
    /// Bytes received in order, read or not (Linux 4.1).
    pub bytes_received: Option<u64>,
    /// Bytes written that wait to be sent (Linux 4.6).
    pub notsent_bytes: Option<u32>,
    /// Segments received that carried data (Linux 4.6).
    pub data_segs_in: Option<u32>,
    /// Segments sent that carried data (Linux 4.6).
    pub data_segs_out: Option<u32>,
}

impl TcpInfo {
    /// The part of `struct tcp_info` that is read, in bytes.
    const SIZE: usize = 160;

    /// What the kernel knows of this socket.
    ///
    /// # Errors
    /// The kernel's own; `InvalidData` for an answer that is too short or has an unknown state.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let mut answer = [0; Self::SIZE];
        let size = sockopt::get(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut answer)?;
        Self::parse(&answer[..size]).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "TCP_INFO: an answer that makes no sense")
        })
    }

    /// Reads the kernel's answer, whose numbers are in this machine's byte order.
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        let u32_at = |at| answer.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let u64_at = |at| answer.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        let millis_at = |at| u32_at(at).map(|ms: u32| Duration::from_millis(ms.into()));
        let rtt = u32_at(68)?;
        Some(Self {
            state: TcpState::from_kernel(*answer.first()?)?,
            retransmits: *answer.get(2)?,
            unacked: u32_at(24)?,
            last_data_sent: millis_at(44)?,
            last_data_recv: millis_at(52)?,
            rtt: (rtt > 0).then(|| Duration::from_micros(rtt.into())),
            total_retrans: u32_at(100)?,
            bytes_acked: u64_at(120),
            bytes_received: u64_at(128),
            notsent_bytes: u32_at(144),
            data_segs_in: u32_at(152),
            data_segs_out: u32_at(156),
        })
    }
}

/// The state that TCP is in on this socket.
///
/// # Errors
/// The kernel's own; `InvalidData` for a state that is unknown.
pub fn tcp_state(socket: &impl AsFd) -> io::Result<TcpState> {
    // The state is the first byte of tcp_info, and the kernel cuts its answer to what was asked for.
    let mut answer = [0; 1];
    sockopt::get(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut answer)?;
    TcpState::from_kernel(answer[0]).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("TCP_INFO: unknown TCP state {}", answer[0]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sockopt::tests::{eventually, pair};
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};

    #[test]
    fn the_state_follows_both_directions_of_a_close() {
        let (client, server) = pair();
        assert_eq!(tcp_state(&client).unwrap(), TcpState::Established);
        client.shutdown(Shutdown::Write).unwrap();
        eventually("FIN is acknowledged", || tcp_state(&client).unwrap() == TcpState::FinWait2);
        eventually("FIN arrives", || tcp_state(&server).unwrap() == TcpState::CloseWait);
        server.shutdown(Shutdown::Write).unwrap();
        eventually("both are closed", || tcp_state(&server).unwrap() == TcpState::Closed);
    }

    /// A FIN shows in the state although bytes before it were not read.
    #[test]
    fn a_fin_shows_behind_unread_bytes() {
        let (mut client, server) = pair();
        client.write_all(b"unread").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        eventually("FIN arrives", || TcpInfo::of(&server).unwrap().state == TcpState::CloseWait);
        assert_eq!(TcpInfo::of(&server).unwrap().bytes_received, Some(7), "the kernel counts the FIN");
    }

    #[test]
    fn bytes_and_segments_are_counted_on_both_sides() {
        let (mut client, mut server) = pair();
        let before = TcpInfo::of(&client).unwrap().bytes_acked.unwrap();
        for _ in 0..3 {
            client.write_all(b"12345").unwrap();
            server.read_exact(&mut [0; 5]).unwrap();
        }
        eventually("all is acknowledged", || TcpInfo::of(&client).unwrap().unacked == 0);
        let (sent, received) = (TcpInfo::of(&client).unwrap(), TcpInfo::of(&server).unwrap());
        assert_eq!((sent.bytes_acked, sent.data_segs_out), (Some(before + 15), Some(3)));
        assert_eq!((received.bytes_received, received.data_segs_in), (Some(15), Some(3)));
        assert_eq!((sent.retransmits, sent.total_retrans, sent.notsent_bytes), (0, 0, Some(0)));
        assert!(sent.rtt.is_some_and(|rtt| rtt < Duration::from_secs(1)), "{sent:?}");
        assert!(received.last_data_recv < Duration::from_secs(5), "{received:?}");
    }

    #[test]
    fn an_older_kernel_tells_less() {
        let mut answer = [0; TcpInfo::SIZE];
        answer[0] = TcpState::CloseWait as u8;
        answer[68..72].copy_from_slice(&1500_u32.to_ne_bytes());
        answer[120..128].copy_from_slice(&7_u64.to_ne_bytes());
        answer[152..156].copy_from_slice(&9_u32.to_ne_bytes());
        let whole = TcpInfo::parse(&answer).unwrap();
        assert_eq!((whole.state, whole.rtt), (TcpState::CloseWait, Some(Duration::from_micros(1500))));
        assert_eq!((whole.bytes_acked, whole.data_segs_in), (Some(7), Some(9)));

        let older = TcpInfo::parse(&answer[..104]).unwrap();
        assert_eq!(older.rtt, whole.rtt);
        assert_eq!((older.bytes_acked, older.notsent_bytes, older.data_segs_out), (None, None, None));
        assert_eq!(TcpInfo::parse(&answer[..103]), None);
        answer[0] = 99;
        assert_eq!(TcpInfo::parse(&answer), None);
    }

    #[test]
    fn what_is_no_connection_has_a_state_or_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(tcp_state(&listener).unwrap(), TcpState::Listen);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(tcp_state(&file).is_err() && TcpInfo::of(&file).is_err());
    }
}
