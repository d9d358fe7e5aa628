//! The chunked transfer coding (RFC 9112 section 7.1), read strictly and rewritten in place.

use crate::reason::RejectReason;

/// What a [`ChunkedFilter`] leaves in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedOutput {
    /// Chunks in one canonical form: no extensions, no forbidden trailers.
    Chunks,
    /// The data alone, without trailers.
    Data,
}

/// What one call of [`ChunkedFilter::filter`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// `input[..output]` now holds what is to be sent.
    pub output: usize,
    /// `input[..consumed]` is dealt with; `input[consumed..]` must be given again with more behind it.
    pub consumed: usize,
    /// Bytes of body data among the output.
    pub data: u64,
    /// The body is over; `input[consumed..]` is not part of it.
    pub done: bool,
}

/// Reads a chunked body from a growing buffer.
#[derive(Debug)]
pub struct ChunkedFilter {}

impl ChunkedFilter {
    /// Unconsumed input never has to grow beyond this for the filter to go on: the longest chunk
    /// line or trailer line it accepts.
    pub const MAX_LINE: usize = 4096;

    /// A filter at the start of a body.
    pub fn new(_output: ChunkedOutput) -> Self {
        todo!()
    }

    /// Deals with as much of `input` as can be judged. An error means that nothing of `input` may
    /// be sent.
    pub fn filter(&mut self, _input: &mut [u8]) -> Result<Filtered, RejectReason> {
        todo!()
    }
}
