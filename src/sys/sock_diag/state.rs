//! The states of TCP, as the kernel numbers them (include/net/tcp_states.h).

/// Where a TCP socket is (RFC 9293 section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Both directions are open.
    Established = 1,
    /// SYN is sent, nothing has come back.
    SynSent,
    /// SYN came, SYN-ACK is sent.
    SynRecv,
    /// FIN is sent and not acknowledged.
    FinWait1,
    /// FIN is acknowledged; the peer has not sent its own.
    FinWait2,
    /// Both FINs were sent, by this side first; the address pair rests.
    TimeWait,
    /// No connection.
    Closed,
    /// The peer sent FIN; this side has not.
    CloseWait,
    /// The peer sent FIN first, this side sent its own, which is not acknowledged.
    LastAck,
    /// Waits for connections.
    Listen,
    /// Both FINs crossed; this side's is not acknowledged.
    Closing,
}

impl TcpState {
    /// Every state, in the kernel's order.
    pub const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Closed,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    /// Those that a connection can be in, from its SYN to the end of TIME_WAIT.
    pub const CONNECTION: [Self; 9] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::CloseWait,
        Self::LastAck,
        Self::Closing,
    ];

    /// The state that the kernel means by this number. Its two states of its own are mapped:
    /// NEW_SYN_RECV (a SYN that has no socket yet) to SYN_RECV, BOUND_INACTIVE to CLOSED.
    pub fn from_kernel(number: u8) -> Option<Self> {
        const NEW_SYN_RECV: u8 = 12;
        const BOUND_INACTIVE: u8 = 13;
        match number {
            NEW_SYN_RECV => Some(Self::SynRecv),
            BOUND_INACTIVE => Some(Self::Closed),
            _ => Self::ALL.get(usize::from(number).checked_sub(1)?).copied(),
        }
    }

    /// The name used in metrics and JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::Closed => "closed",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }

    /// The state's place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }
}

/// A set of states: the bit mask that the kernel filters by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpStates(u32);

impl TcpStates {
    /// Every state.
    pub const ALL: Self = Self::of(&TcpState::ALL);

    /// These states.
    pub const fn of(states: &[TcpState]) -> Self {
        let mut bits = 0;
        let mut next = 0;
        while next < states.len() {
            bits |= 1 << states[next] as u8;
            next += 1;
        }
        Self(bits)
    }

    /// Whether a state is among them.
    pub const fn contains(self, state: TcpState) -> bool {
        self.0 & 1 << state as u8 != 0
    }

    /// One bit a state, by the kernel's number; asking for SYN_RECV includes NEW_SYN_RECV.
    pub(super) const fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        for (index, state) in TcpState::ALL.into_iter().enumerate() {
            assert_eq!(state.index(), index);
            assert_eq!(TcpState::from_kernel(index as u8 + 1), Some(state));
        }
        assert_eq!(TcpState::Listen as u8, 10);
        assert_eq!(TcpState::TimeWait as u8, 6);
        assert_eq!(TcpState::from_kernel(12), Some(TcpState::SynRecv));
        assert_eq!(TcpState::from_kernel(13), Some(TcpState::Closed));
        assert!((14..=255).chain([0]).all(|number| TcpState::from_kernel(number).is_none()));
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = TcpStates::of(&[TcpState::Listen, TcpState::TimeWait]);
        for state in TcpState::ALL {
            assert!(TcpStates::ALL.contains(state));
            assert_eq!(set.contains(state), matches!(state, TcpState::Listen | TcpState::TimeWait));
        }
        assert_eq!(set.bits(), 1 << 10 | 1 << 6);
    }
}
