//! What a session is at.

/// Where a session is. An HTTP session goes through the first four for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Nothing of a request has come since the last one, or since accept.
    Idle,
    /// A request's head is coming.
    ReadingHead,
    /// An endpoint is chosen; a connection to it is dialled, or waited for in the queue.
    Waiting,
    /// A request and its response are on their way.
    Exchange,
    /// Bytes go both ways.
    Tunnel,
    /// The client's connection is being closed.
    Closing,
}

impl Phase {
    /// The name used in logs and JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::ReadingHead => "reading_head",
            Self::Waiting => "waiting",
            Self::Exchange => "exchange",
            Self::Tunnel => "tunnel",
            Self::Closing => "closing",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}
