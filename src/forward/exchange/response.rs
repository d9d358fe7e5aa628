//! The response's way from the endpoint to the client.

use super::request::WaitsFor;
use super::shortcut::Shortcut;
use crate::buffer::{Lent, LentHead};
use crate::forward::failure::Failure;
use crate::forward::pump::{Body, Outgoing};
use crate::forward::socket::{Socket, poll_read};
use crate::forward::splice::Pipes;
use crate::forward::turn::{TURN, yield_turn};
use crate::http1::head::{Delivery, HeadLimits, ResponseBody, ResponseContext, ResponseHead, ResponseParser};
use crate::reason::RejectReason;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// Bounds of a response head: the largest that common servers send, with room.
const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 256, target: 0 };
/// Interim responses (1xx) passed on before one final response.
const MAX_INTERIM: u32 = 32;

/// A response on its way.
#[derive(Debug)]
pub struct ResponseSide {
    parser: ResponseParser,
    context: ResponseContext,
    input: Lent,
    out: Outgoing,
    /// The final head, once it was read.
    head: Option<ResponseHead>,
    body: Body,
    shortcut: Shortcut,
    interim: u32,
    interim_bytes: u64,
    waits_for: WaitsFor,
    sent: u64,
    received: u64,
    /// When the first byte came, if that is asked for.
    first_byte: Option<Instant>,
    timed: bool,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseEnd {
    /// The client has all of it.
    Complete,
    /// It was 101: both sides go on as a tunnel.
    Upgraded,
}

impl ResponseSide {
    /// A response not begun; `input` and `out` are empty. `timed`: the time of its first byte is
    /// wanted, which costs a reading of the clock.
    pub fn new(context: ResponseContext, input: Lent, out: LentHead, timed: bool) -> Self {
        Self {
            parser: ResponseParser::default(),
            context,
            input,
            out: Outgoing::new(out),
            head: None,
            body: Body::response(ResponseBody::None, Delivery::AsIs),
            shortcut: Shortcut::default(),
            interim: 0,
            interim_bytes: 0,
            waits_for: WaitsFor::Endpoint,
            sent: 0,
            received: 0,
            first_byte: None,
            timed,
        }
    }

    /// The final head, if it was read.
    pub fn head(&self) -> Option<&ResponseHead> {
        self.head.as_ref()
    }

    /// Whether the final response has begun to come.
    pub fn has_begun(&self) -> bool {
        self.head.is_some()
    }

    /// Whether the endpoint has sent a byte.
    pub fn has_byte(&self) -> bool {
        self.received > 0
    }

    /// Whether the client was sent a byte of the final response.
    pub fn is_visible(&self) -> bool {
        self.sent > self.interim_bytes
    }

    /// Whom it waits for.
    pub fn waits_for(&self) -> WaitsFor {
        self.waits_for
    }

    /// When its first byte came, if it was timed.
    pub fn first_byte(&self) -> Option<Instant> {
        self.first_byte
    }

    /// Bytes written to the client, and read from the endpoint.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// Whether the endpoint sent bytes that belong to no response.
    pub fn has_excess(&self) -> bool {
        !self.input.is_empty()
    }

    /// What the endpoint sent behind a 101.
    pub fn into_input(self) -> Lent {
        self.input
    }

    /// Moves the response on; ready when the client has all of it. `may_persist` counts when its head
    /// comes: while the request is not sent whole, it is the client's last, because what the client
    /// still sends belongs to no request.
    ///
    /// # Errors
    /// A [`Failure`] of either side.
    pub fn poll<C: Socket, U: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        endpoint: &mut U,
        client: &mut C,
        pipes: &Rc<Pipes>,
        may_persist: bool,
    ) -> Poll<Result<ResponseEnd, Failure>> {
        let turn_ends = self.sent + TURN;
        loop {
            if self.out.is_empty() && !self.shortcut.holds_bytes() {
                self.stage(may_persist)?;
            }
            self.waits_for = WaitsFor::Client;
            let (input, out) = (&mut self.input, &mut self.out);
            let flushed = self.shortcut.poll_flush(cx, client, input, out, &mut self.sent);
            ready!(flushed).map_err(|_| Failure::ClientReset)?;
            if let Some(head) = self.head.filter(|_| self.body.is_done()) {
                let upgraded = head.status == 101;
                return Poll::Ready(Ok(if upgraded { ResponseEnd::Upgraded } else { ResponseEnd::Complete }));
            }
            if self.sent >= turn_ends {
                return yield_turn(cx);
            }
            self.waits_for = WaitsFor::Endpoint;
            let way = (&*endpoint, &*client);
            let taken = ready!(self.shortcut.poll_take(cx, pipes, &mut self.body, way, &mut self.input));
            match taken.map_err(|_| Failure::ResponseCut)? {
                0 => ready!(self.poll_more(cx, endpoint))?,
                taken => self.received += taken as u64,
            }
        }
    }

    /// Stages as much as the input holds: heads, then the front of the body in the same write.
    fn stage(&mut self, may_persist: bool) -> Result<(), Failure> {
        let context = ResponseContext { persist: self.context.persist && may_persist, ..self.context };
        while self.head.is_none() && !self.input.is_empty() {
            let mark = self.out.head().len();
            let parsed = self.parser.parse(self.input.filled(), &LIMITS, &context, self.out.head());
            let Some(head) = parsed.map_err(Failure::BadResponse)? else { return Ok(()) };
            self.input.consume(head.len);
            if head.status >= 200 || head.status == 101 {
                self.body = Body::response(head.body, head.delivery);
                self.head = Some(head);
            } else {
                self.interim += 1;
                self.interim_bytes += (self.out.head().len() - mark) as u64;
                if self.interim > MAX_INTERIM {
                    return Err(Failure::BadResponse(RejectReason::BadResponse));
                }
            }
        }
        self.body
            .stage(&mut self.input, &mut self.out)
            .map_err(|_| Failure::BadResponse(RejectReason::BadResponse))
    }

    fn poll_more<U: Socket>(&mut self, cx: &mut Context<'_>, endpoint: &mut U) -> Poll<Result<(), Failure>> {
        if self.input.is_full() {
            // Only a head can fill a buffer without anything to stage; the parser bounds it.
            let grown = (self.input.capacity() * 2).min(LIMITS.bytes + 1);
            if !self.input.reserve(grown) {
                return Poll::Ready(Err(Failure::BadResponse(RejectReason::Memory)));
            }
        }
        match ready!(poll_read(endpoint, cx, &mut self.input)) {
            Ok(0) if self.head.is_none() => Poll::Ready(Err(self.closed_early(Failure::EndpointClosed))),
            Ok(0) if self.body.finish(&mut self.out) => Poll::Ready(Ok(())),
            Ok(0) => Poll::Ready(Err(Failure::ResponseCut)),
            Err(_) if self.head.is_none() => Poll::Ready(Err(self.closed_early(Failure::EndpointReset))),
            Err(_) => Poll::Ready(Err(Failure::ResponseCut)),
            Ok(read) => {
                if self.timed && self.first_byte.is_none() {
                    self.first_byte = Some(Instant::now());
                }
                self.received += read as u64;
                self.shortcut.saw(read);
                if self.head.is_some() && self.input.is_full() && self.body.is_longer_than(read) {
                    self.input.enlarge();
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    fn closed_early(&self, failure: Failure) -> Failure {
        if self.received == 0 { failure } else { Failure::ResponseCut }
    }
}
