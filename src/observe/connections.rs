//! `GET /connections`: one line a socket of ours, client's or endpoint's, with its owner.
//!
//! The kernel lists the sockets ([`sock_diag`](crate::sys::sock_diag)), the workers tell what they hold
//! ([`Command::List`](crate::command::Command::List)), and both are joined by addresses. What nobody holds
//! (TIME_WAIT, what was closed and waits for its peer, what is not accepted yet) is attributed by its
//! addresses alone.

mod figures;
mod join;
mod places;
mod query;
mod select;
mod take;

pub use query::{Query, STATE_GROUPS, Sort, WrongQuery};
pub use take::{Lister, Listing};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One connection. Times and counts that are not known are `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// `client` or `upstream`.
    pub side: String,
    /// The listener that a client came to; `None`: an endpoint's connection without a client.
    pub listener: Option<String>,
    /// The upstream, where one is involved; `None` too where several have the endpoint and nobody holds
    /// the connection.
    pub upstream: Option<String>,
    /// The endpoint, likewise.
    pub endpoint: Option<String>,
    /// Our address.
    pub local: String,
    /// The peer's.
    pub peer: String,
    /// The client whose session has an endpoint's connection.
    pub client: Option<String>,
    /// What its owner is doing: `idle`, `reading_head`, `waiting`, `exchange`, `tunnel`, `closing`, and
    /// `connecting` for a dial; `None`: no worker has it.
    pub phase: Option<String>,
    /// Where TCP is, in lower case (`established`, `close_wait`); `None`: the kernel could not be asked.
    pub state: Option<String>,
    /// Since it was established or accepted, in seconds.
    pub age_s: Option<f64>,
    /// For how long it has been in its state, in seconds.
    pub state_age_s: Option<f64>,
    /// Since a byte came or went, in seconds.
    pub idle_s: Option<f64>,
    /// Bytes received from the peer, read or not.
    pub received_bytes: Option<u64>,
    /// Bytes that the peer has acknowledged.
    pub sent_bytes: Option<u64>,
    /// Bytes received and not read.
    pub unread_bytes: Option<u64>,
    /// Bytes written and not acknowledged.
    pub unacknowledged_bytes: Option<u64>,
    /// Smoothed round-trip time, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Segments sent again.
    pub retransmits: Option<u64>,
    /// Exchanges begun on it, for an endpoint's connection.
    pub uses: Option<u64>,
    /// The worker that has it, from 0.
    pub worker: Option<usize>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// At most `limit` of them.
    pub connections: Vec<Connection>,
    /// How many match, listed or not.
    pub matching: u64,
    /// The same by state, where that is known.
    pub tcp_states: BTreeMap<String, u64>,
    /// Why figures or owners are missing.
    pub notes: Vec<String>,
}
