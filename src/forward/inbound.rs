//! What has come from a client and is not dealt with yet.

use crate::buffer::Lent;
use std::time::Instant;

/// A client's bytes, and whether its FIN has come behind them.
#[derive(Debug)]
pub struct Inbound {
    /// The bytes.
    pub input: Lent,
    /// Set when the FIN was seen: the time by which all is over.
    pub closed: Option<Instant>,
}

impl Inbound {
    /// Nothing has come yet; `input` is where the bytes will be.
    pub fn new(input: Lent) -> Self {
        Self { input, closed: None }
    }

    /// Whether there are bytes, or may be: the client has not closed.
    pub fn may_have_more(&self) -> bool {
        self.closed.is_none() || !self.input.is_empty()
    }
}
