//! `[listener.limit]`

use crate::addr::Network;
use std::net::IpAddr;
use std::time::Duration;

/// `[listener.limit]`; 0 is "no limit of its own" for the connection counts and `body_bytes`.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerLimit {
    /// Sessions at once; 0: what the descriptor budget allows.
    pub connections: usize,
    /// Sessions at once of one client; 0: no such limit.
    pub connections_per_client: usize,
    /// Connections of one client; `None`: as many as it opens.
    pub connection_rate: Option<Rate>,
    /// Requests of one client; `None`: as many as it sends.
    pub request_rate: Option<Rate>,
    /// Clients that no limit a client is for.
    pub exempt_clients: Vec<Network>,
    /// A request head, in bytes.
    pub header_bytes: usize,
    /// Header fields in a request.
    pub headers: usize,
    /// A request target, in bytes.
    pub target_bytes: usize,
    /// A request body, in bytes; 0: no limit.
    pub body_bytes: u64,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often in each period, in the long run; 1 to 1,000,000.
    pub count: u32,
    /// The period.
    pub period: Period,
    /// How much of it may happen at once, after a time without; 1 to 1,000,000.
    pub burst: u32,
}

/// What a rate is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Period {
    Second,
    Minute,
    Hour,
}

impl ListenerLimit {
    /// Whether no limit a client is for this one.
    pub fn exempts(&self, client: IpAddr) -> bool {
        self.exempt_clients.iter().any(|network| network.contains(client))
    }
}

impl Rate {
    /// From one to the next, in the long run; a microsecond at the least.
    pub fn interval(&self) -> Duration {
        self.period.duration() / self.count
    }
}

impl Period {
    /// Every one, from the shortest.
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// How long it is.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }

    /// As it is written behind the slash of a rate.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }
}
