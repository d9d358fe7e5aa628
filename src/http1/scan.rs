//! Where a head ends, found while it grows: no byte is looked at twice, however slowly it drips.

use super::head::{HeadLimits, MAX_FIELDS};
use memchr::{memchr, memchr_iter};

/// Bytes of empty lines that may come before a request line (RFC 9112 section 2.2 asks for one line).
const MAX_LEADING: usize = 8;

/// How far a growing head has been looked through.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Bytes looked at.
    seen: usize,
    /// Where the line under way begins.
    line: usize,
    /// Where the first line that is not empty begins.
    start: usize,
    /// Where that line ends, once it has come whole.
    first_end: usize,
    /// Lines that have come whole, without the empty ones before the first.
    lines: usize,
}

/// Why a head cannot be one, judged by its line ends alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanError {
    /// LF without CR (RFC 9112 section 2.2 lets a recipient accept it; two that differ disagree about
    /// where a head ends), or too many empty lines before the first.
    LineEnd,
    /// More fields than the limit.
    Fields,
    /// No end within the limit.
    Bytes,
}

impl HeadScan {
    /// Looks through what is new in `input` and returns the length of the head once its end is there,
    /// the empty lines before it included.
    pub(super) fn advance(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Option<usize>, ScanError> {
        let window = &input[..input.len().min(limits.bytes)];
        let seen = self.seen.min(window.len());
        for feed in memchr_iter(b'\n', &window[seen..]).map(|offset| seen + offset) {
            if feed == self.line || window[feed - 1] != b'\r' {
                return Err(ScanError::LineEnd);
            }
            match (feed - 1 == self.line, self.lines) {
                (true, 0) if feed >= MAX_LEADING => return Err(ScanError::LineEnd),
                (true, 0) => self.start = feed + 1,
                (true, _) => return Ok(Some(feed + 1)),
                (false, lines) if lines > limits.fields.min(MAX_FIELDS) => return Err(ScanError::Fields),
                (false, 0) => (self.lines, self.first_end) = (1, feed + 1),
                (false, _) => self.lines += 1,
            }
            self.line = feed + 1;
        }
        self.seen = window.len();
        if input.len() >= limits.bytes { Err(ScanError::Bytes) } else { Ok(None) }
    }

    /// Where the first line begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// The first line with its CRLF, once it has come whole.
    pub(super) fn first_line<'a>(&self, input: &'a [u8]) -> Option<&'a [u8]> {
        (self.lines > 0).then(|| &input[self.start..self.first_end])
    }
}

/// The first line of a whole head, without its CRLF.
pub(super) fn first_line(head: &[u8]) -> &[u8] {
    let end = memchr(b'\n', head).unwrap_or_default();
    head.get(..end.saturating_sub(1)).unwrap_or_default()
}
