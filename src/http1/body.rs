//! The chunked transfer coding (RFC 9112 section 7.1), read strictly and rewritten in place.

use super::chunk_line::{self, SizeLine, Trailer};
use crate::reason::RejectReason;
use memchr::memchr;
use std::ops::Range;

/// The most bytes of chunk extensions in one body. They are stripped; without a bound a body could be
/// made of them, and cost work without end for no data.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// The most bytes of trailers in one body, the dropped ones included.
const MAX_TRAILERS: usize = 32 * 1024;
/// The most trailer fields in one body.
const MAX_TRAILER_FIELDS: usize = 100;

/// The chunk that ends a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the line that goes before a chunk of `len` bytes (which must not be 0: that chunk is the
/// last). The data and a CRLF follow it.
pub fn chunk_head(len: u64, buffer: &mut [u8; 18]) -> &[u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    buffer[16..].copy_from_slice(b"\r\n");
    let (mut start, mut rest) = (16, len);
    loop {
        start -= 1;
        buffer[start] = DIGITS[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            return &buffer[start..];
        }
    }
}

/// What a [`ChunkedFilter`] leaves in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedOutput {
    /// Chunks in one canonical form: no extensions, no forbidden trailers, no leading zeros.
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
pub struct ChunkedFilter {
    output: ChunkedOutput,
    state: State,
    /// Bytes of the unconsumed line that have been looked through.
    scanned: usize,
    /// Bytes of extensions so far.
    extensions: usize,
    /// Bytes of trailers so far.
    trailers: usize,
    trailer_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At a chunk-size line: then data, or the trailers after the last chunk.
    Size,
    /// In chunk data, with this much to come: then its CRLF.
    Data(u64),
    /// At the CRLF behind chunk data: then the next size line.
    DataEnd,
    /// At a trailer line, or the empty line: then over.
    Trailers,
    Over,
}

impl ChunkedFilter {
    /// Unconsumed input never has to grow beyond this for the filter to go on: the longest chunk
    /// line or trailer line it accepts, in bytes with its CRLF.
    pub const MAX_LINE: usize = 4096;

    /// A filter at the start of a body.
    pub fn new(output: ChunkedOutput) -> Self {
        Self { output, state: State::Size, scanned: 0, extensions: 0, trailers: 0, trailer_fields: 0 }
    }

    /// Deals with as much of `input` as can be judged. An error, which is always
    /// [`RejectReason::BadChunk`], means that nothing of `input` may be sent.
    ///
    /// However the input is split over the calls, the outputs joined are the same. Strict where
    /// recipients differ: CRLF alone ends a line, a size is at most 16 digits of which 15 count, blanks
    /// stand only where `chunk-ext` has them, and trailers are fields or nothing.
    pub fn filter(&mut self, input: &mut [u8]) -> Result<Filtered, RejectReason> {
        let mut moved = InPlace { buffer: input, read: 0, written: 0 };
        let mut data = 0;
        while self.state != State::Over {
            let progress = match self.state {
                State::Data(left) => {
                    let part = left.min(moved.rest().len() as u64);
                    // `part` is no longer than the buffer.
                    moved.keep(0..part as usize);
                    moved.read += part as usize;
                    data += part;
                    self.state = if part == left { State::DataEnd } else { State::Data(left - part) };
                    part == left
                }
                State::DataEnd => self.data_end(&mut moved)?,
                _ => match self.line(moved.rest())? {
                    Some(len) => self.take_line(len, &mut moved)?,
                    None => false,
                },
            };
            if !progress {
                break;
            }
        }
        let done = self.state == State::Over;
        Ok(Filtered { output: moved.written, consumed: moved.read, data, done })
    }

    /// The CRLF behind chunk data.
    fn data_end(&mut self, moved: &mut InPlace<'_>) -> Result<bool, RejectReason> {
        match moved.rest() {
            [b'\r', b'\n', ..] => {
                self.framing(0..2, moved);
                moved.read += 2;
                self.state = State::Size;
                Ok(true)
            }
            [] | [b'\r'] => Ok(false),
            _ => Err(RejectReason::BadChunk),
        }
    }

    /// The length of the line in front, with its CRLF, once it is whole. Each byte is looked at once,
    /// and what no line may hold is refused before the line is whole.
    fn line(&mut self, rest: &[u8]) -> Result<Option<usize>, RejectReason> {
        if self.state == State::Size && rest.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
            return Err(RejectReason::BadChunk);
        }
        let window = &rest[..rest.len().min(Self::MAX_LINE)];
        let unseen = window.get(self.scanned..).unwrap_or_default();
        if let Some(offset) = memchr(b'\n', unseen) {
            let feed = self.scanned + offset;
            self.scanned = 0;
            let ends_well = feed > 0 && window[feed - 1] == b'\r';
            return if ends_well { Ok(Some(feed + 1)) } else { Err(RejectReason::BadChunk) };
        }
        // A CR may be the line's last byte but one: it stays unseen until the next has come.
        let settled = unseen.strip_suffix(b"\r").unwrap_or(unseen);
        let is_stray = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        if window.len() == Self::MAX_LINE || settled.iter().any(is_stray) {
            return Err(RejectReason::BadChunk);
        }
        self.scanned += settled.len();
        Ok(None)
    }

    /// A size line or a trailer line of `len` bytes.
    fn take_line(&mut self, len: usize, moved: &mut InPlace<'_>) -> Result<bool, RejectReason> {
        let line = &moved.rest()[..len - 2];
        let end = len - 2..len;
        if self.state == State::Size {
            let SizeLine { size, digits } = chunk_line::size(line).ok_or(RejectReason::BadChunk)?;
            self.extensions += line.len() - digits.end;
            if self.extensions > MAX_EXTENSIONS {
                return Err(RejectReason::BadChunk);
            }
            self.framing(digits, moved);
            self.framing(end, moved);
            self.state = if size == 0 { State::Trailers } else { State::Data(size) };
        } else if line.is_empty() {
            self.framing(end, moved);
            self.state = State::Over;
        } else {
            self.trailers += len;
            self.trailer_fields += 1;
            if self.trailers > MAX_TRAILERS || self.trailer_fields > MAX_TRAILER_FIELDS {
                return Err(RejectReason::BadChunk);
            }
            if chunk_line::trailer(line).ok_or(RejectReason::BadChunk)? == Trailer::Forwarded {
                self.framing(0..len, moved);
            }
        }
        moved.read += len;
        Ok(true)
    }

    /// Keeps a part of the framing, if the output has any.
    fn framing(&self, part: Range<usize>, moved: &mut InPlace<'_>) {
        if self.output == ChunkedOutput::Chunks {
            moved.keep(part);
        }
    }
}

/// A buffer that is read and, never ahead of that, written.
struct InPlace<'a> {
    buffer: &'a mut [u8],
    read: usize,
    written: usize,
}

impl InPlace<'_> {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.read..]
    }

    /// Adds a part of [`Self::rest`] to what is written.
    fn keep(&mut self, part: Range<usize>) {
        let from = self.read + part.start;
        if from != self.written {
            self.buffer.copy_within(from..self.read + part.end, self.written);
        }
        self.written += part.len();
    }
}
