//! One direction of a message: from a reader's buffer, through its body's framing, to a writer.

use super::socket::Socket;
use crate::buffer::{Buffer, LentHead};
use crate::http1::body::{ChunkedFilter, ChunkedOutput, LAST_CHUNK, chunk_head};
use crate::http1::head::{Delivery, RequestBody, ResponseBody};
use crate::reason::RejectReason;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The longest body part that is copied behind its head: send(2) of one piece is cheaper than
/// writev(2) of two, and copying so little costs next to nothing.
const COPIED: usize = 2048;

/// Bytes staged for a writer, in this order: the rest of the head, the front of the reader's
/// buffer, the tail. All that is there goes out in one system call.
#[derive(Debug)]
pub struct Outgoing {
    head: LentHead,
    head_sent: usize,
    /// Bytes at the front of the buffer that are to be sent.
    body: usize,
    /// Bytes behind them that are to be dropped then.
    skip: usize,
    tail: &'static [u8],
    /// Whether bytes of the buffer were sent, which are gone then.
    spilled: bool,
}

impl Outgoing {
    /// Nothing but what is in `head`.
    pub fn new(head: LentHead) -> Self {
        Self { head, head_sent: 0, body: 0, skip: 0, tail: b"", spilled: false }
    }

    /// Where a head is appended.
    pub fn head(&mut self) -> &mut Vec<u8> {
        if self.head_sent == self.head.len() {
            self.head.bytes().clear();
            self.head_sent = 0;
        }
        self.head.bytes()
    }

    /// Whether nothing is left to send or to drop.
    pub fn is_empty(&self) -> bool {
        self.head_sent == self.head.len() && self.body == 0 && self.skip == 0 && self.tail.is_empty()
    }

    /// Whether a byte was sent.
    pub fn has_sent(&self) -> bool {
        self.head_sent > 0 || self.spilled
    }

    /// Whether the buffer holds bytes that are staged.
    pub fn holds_buffer(&self) -> bool {
        self.body > 0 || self.skip > 0
    }

    /// Starts again from the head's first byte; `false` if more than the head was sent.
    pub fn rewind(&mut self) -> bool {
        if !self.spilled {
            self.head_sent = 0;
        }
        !self.spilled
    }

    /// Moves the staged part of `buffer` into the head, behind what is there.
    fn absorb(&mut self, buffer: &mut Buffer) {
        self.head.bytes().extend_from_slice(&buffer.filled()[..self.body]);
        buffer.consume(self.body + self.skip);
        (self.body, self.skip) = (0, 0);
    }

    /// The first `bytes` of the buffer, of which nothing is staged, are to be sent as they are.
    pub fn send_as_is(&mut self, bytes: usize) {
        self.body += bytes;
    }

    /// Bytes of the body went past the buffer, and are gone.
    pub fn note_bypassed(&mut self) {
        self.spilled = true;
    }

    /// Sends everything staged; ready with the count of bytes sent by this call.
    pub fn poll_flush<W: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        buffer: &mut Buffer,
        sent: &mut u64,
    ) -> Poll<io::Result<()>> {
        if self.head_sent < self.head.len() && (1..=COPIED).contains(&self.body) {
            self.absorb(buffer);
        }
        while !self.is_empty() {
            let head = &self.head[self.head_sent..];
            let body = &buffer.filled()[..self.body];
            if head.len() + body.len() + self.tail.len() > 0 {
                let count = ready!(poll_write(writer, cx, [head, body, self.tail]))?;
                *sent += count as u64;
                self.advance(count, buffer);
            }
            if self.body == 0 {
                buffer.consume(std::mem::take(&mut self.skip));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize, buffer: &mut Buffer) {
        let head = count.min(self.head.len() - self.head_sent);
        let body = (count - head).min(self.body);
        self.head_sent += head;
        self.body -= body;
        self.spilled |= body > 0;
        buffer.consume(body);
        self.tail = &self.tail[count - head - body..];
    }
}

fn poll_write<W: Socket>(writer: &mut W, cx: &mut Context<'_>, parts: [&[u8]; 3]) -> Poll<io::Result<usize>> {
    let mut slices = parts.iter().filter(|part| !part.is_empty());
    let written = match (slices.next(), slices.next()) {
        (Some(only), None) => ready!(writer.poll_send(cx, only))?,
        _ => ready!(Pin::new(writer).poll_write_vectored(cx, &parts.map(IoSlice::new)))?,
    };
    match written {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

/// A body being read from a buffer.
#[derive(Debug)]
pub struct Body {
    coding: Coding,
    data: u64,
    limit: u64,
}

#[derive(Debug)]
enum Coding {
    Done,
    Length(u64),
    Chunked(ChunkedFilter),
    UntilClose,
    /// Until close, to be sent in chunks.
    ToChunks,
}

impl Body {
    /// A request's body of at most `limit` bytes.
    pub fn request(framing: RequestBody, limit: u64) -> Self {
        let coding = match framing {
            RequestBody::None | RequestBody::Length(0) => Coding::Done,
            RequestBody::Length(length) => Coding::Length(length),
            RequestBody::Chunked => Coding::Chunked(ChunkedFilter::new(ChunkedOutput::Chunks)),
        };
        Self { coding, data: 0, limit }
    }

    /// A response's body.
    pub fn response(framing: ResponseBody, delivery: Delivery) -> Self {
        let coding = match (framing, delivery) {
            (ResponseBody::None | ResponseBody::Length(0), _) => Coding::Done,
            (ResponseBody::Length(length), _) => Coding::Length(length),
            (ResponseBody::Chunked, Delivery::Unchunk) => {
                Coding::Chunked(ChunkedFilter::new(ChunkedOutput::Data))
            }
            (ResponseBody::Chunked, _) => Coding::Chunked(ChunkedFilter::new(ChunkedOutput::Chunks)),
            (ResponseBody::UntilClose, Delivery::Chunk) => Coding::ToChunks,
            (ResponseBody::UntilClose, _) => Coding::UntilClose,
        };
        Self { coding, data: 0, limit: u64::MAX }
    }

    /// Whether the body's last byte has been staged.
    pub fn is_done(&self) -> bool {
        matches!(self.coding, Coding::Done)
    }

    /// Whether the body goes on for more than `bytes`, or for nobody knows how long.
    pub fn is_longer_than(&self, bytes: usize) -> bool {
        match self.coding {
            Coding::Done => false,
            Coding::Length(left) => left > bytes as u64,
            Coding::Chunked(_) | Coding::UntilClose | Coding::ToChunks => true,
        }
    }

    /// How much is left of a body that may go as it comes, without being looked at.
    pub fn plain_rest(&self) -> usize {
        match self.coding {
            Coding::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// So many bytes of [`Self::plain_rest`] have come, past the buffer.
    pub fn bypassed(&mut self, bytes: usize) {
        if let Coding::Length(left) = &mut self.coding {
            *left -= bytes as u64;
            self.data += bytes as u64;
            if *left == 0 {
                self.coding = Coding::Done;
            }
        }
    }

    /// Stages what `buffer` holds of the body, when nothing is staged yet.
    ///
    /// # Errors
    /// When the body is malformed or too long; nothing of the buffer may be sent then.
    pub fn stage(&mut self, buffer: &mut Buffer, out: &mut Outgoing) -> Result<(), RejectReason> {
        debug_assert!(out.body == 0 && out.skip == 0, "staged over what was not sent yet");
        let available = buffer.len();
        match &mut self.coding {
            Coding::Done => {}
            Coding::Length(left) => {
                out.body = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                *left -= out.body as u64;
                self.data += out.body as u64;
                if *left == 0 {
                    self.coding = Coding::Done;
                }
            }
            Coding::Chunked(filter) => {
                let filtered = filter.filter(buffer.filled_mut())?;
                out.body = filtered.output;
                out.skip = filtered.consumed - filtered.output;
                self.data += filtered.data;
                if filtered.done {
                    self.coding = Coding::Done;
                }
            }
            Coding::UntilClose => out.body = available,
            Coding::ToChunks if available > 0 => {
                out.head().extend_from_slice(chunk_head(available as u64, &mut [0; 18]));
                out.body = available;
                out.tail = b"\r\n";
            }
            Coding::ToChunks => {}
        }
        if self.data > self.limit { Err(RejectReason::BodyTooLarge) } else { Ok(()) }
    }

    /// Stages the whole body into the head if the buffer holds all of it and it is small, so that
    /// the request can be sent again.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn stage_replayable(
        &mut self,
        buffer: &mut Buffer,
        out: &mut Outgoing,
        at_most: usize,
    ) -> Result<(), RejectReason> {
        self.stage(buffer, out)?;
        if self.is_done() && out.body <= at_most {
            out.absorb(buffer);
        }
        Ok(())
    }

    /// The reader's side ended. `false`: in the middle of the body.
    pub fn finish(&mut self, out: &mut Outgoing) -> bool {
        match self.coding {
            Coding::Done => true,
            Coding::UntilClose => {
                self.coding = Coding::Done;
                true
            }
            Coding::ToChunks => {
                out.head().extend_from_slice(LAST_CHUNK);
                self.coding = Coding::Done;
                true
            }
            Coding::Length(_) | Coding::Chunked(_) => false,
        }
    }
}
