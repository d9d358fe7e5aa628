//! Questions to name servers, and what comes back.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// An absolute name, lower-case, without the dot at its end.
    pub name: String,
    /// The type of record.
    pub kind: Kind,
}

/// A type of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 addresses (RFC 1035 section 3.4.1).
    A,
    /// IPv6 addresses (RFC 3596).
    Aaaa,
    /// Services (RFC 2782).
    Srv,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Srv => "SRV",
        };
        write!(f, "{kind} {}", self.name)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Of kind A or AAAA.
    Address(IpAddr),
    /// Of kind SRV.
    Service(Service),
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Clients have to take the lowest.
    pub priority: u16,
    /// A host: an absolute name, lower-case, without the dot at its end. Empty: there is no such service.
    pub target: String,
    /// Of the service on that host.
    pub port: u16,
    /// The share of the requests.
    pub weight: u16,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// There are such records.
    Records {
        /// At least one.
        records: Vec<Record>,
        /// Addresses of hosts that came along.
        others: Vec<(String, IpAddr)>,
        /// How long all of it may be kept.
        ttl: Duration,
    },
    /// There are none, says who knows.
    None {
        /// Whether there is the name, with other records.
        exists: bool,
        /// How long that may be kept (RFC 2308 section 5), if it was said.
        ttl: Option<Duration>,
    },
    /// Nobody knows.
    Failed(Failure),
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// No answer came in time: the next question would end likewise.
    pub is_timeout: bool,
    /// For people.
    pub why: String,
}

/// Whoever can be asked.
pub trait Ask: Sync {
    /// Asks.
    fn ask(&self, question: &Question) -> impl Future<Output = Reply> + Send;

    /// Addresses that this host itself has for a name as it is written, whatever name servers say.
    fn hosts(&self, name: &str) -> Vec<IpAddr>;
}
