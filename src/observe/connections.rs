//! The JSON of `GET /connections`: one line a socket of ours, client's or endpoint's.

use serde::{Deserialize, Serialize};

/// One connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// `client` or `upstream`.
    pub side: String,
    /// The listener that a client came to; `None`: an endpoint's connection without a client.
    pub listener: Option<String>,
    /// The upstream, where one is involved.
    pub upstream: Option<String>,
    /// The endpoint, likewise.
    pub endpoint: Option<String>,
    /// Our address.
    pub local: String,
    /// The peer's.
    pub peer: String,
    /// What its owner is doing: `idle`, `reading_head`, `waiting`, `exchange`, `tunnel`, `closing`.
    pub phase: String,
    /// Where TCP is, in lower case (`established`, `close_wait`); `None`: the kernel could not be asked.
    pub state: Option<String>,
    /// Since it was established or accepted, in seconds.
    pub age_s: f64,
    /// Since a byte came or went, in seconds.
    pub idle_s: Option<f64>,
    /// Bytes received from the peer.
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
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// At most `limit` of them.
    pub connections: Vec<Connection>,
    /// How many match, listed or not.
    pub matching: u64,
    /// Why figures are missing.
    pub notes: Vec<String>,
}
