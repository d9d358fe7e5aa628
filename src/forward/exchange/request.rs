//! The request's way from the client to the endpoint.

use super::shortcut::Shortcut;
use crate::buffer::{Lent, LentHead, SMALL};
use crate::forward::failure::Failure;
use crate::forward::pump::{Body, Outgoing};
use crate::forward::socket::{Socket, poll_read};
use crate::forward::splice::Pipes;
use crate::forward::turn::{TURN, yield_turn};
use crate::http1::head::{RequestBody, RequestHead};
use crate::reason::RejectReason;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Small bodies are kept with the head until the response comes, so that the request can be sent
/// again and goes out in one write.
const REPLAYED: usize = SMALL / 2;

/// A request on its way.
#[derive(Debug)]
pub struct RequestSide {
    out: Outgoing,
    body: Body,
    shortcut: Shortcut,
    state: State,
    /// Whom it waited for when it was last polled.
    waits_for: WaitsFor,
    idempotent: bool,
    sent: u64,
    received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sending,
    Sent,
    /// The endpoint takes no more; its response may still be there.
    Refused,
}

/// The side that has to move next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WaitsFor {
    Client,
    Endpoint,
}

impl RequestSide {
    /// A request whose rewritten head is `bytes`; `input` has what the client has sent behind it.
    ///
    /// # Errors
    /// When what is there of the body breaks a rule or a limit.
    pub fn new(
        head: &RequestHead,
        bytes: LentHead,
        body_limit: u64,
        input: &mut Lent,
    ) -> Result<Self, RejectReason> {
        let limit = if body_limit == 0 { u64::MAX } else { body_limit };
        if matches!(head.body, RequestBody::Length(length) if length > limit) {
            return Err(RejectReason::BodyTooLarge);
        }
        let mut side = Self {
            out: Outgoing::new(bytes),
            body: Body::request(head.body, limit),
            shortcut: Shortcut::default(),
            state: State::Sending,
            waits_for: WaitsFor::Endpoint,
            idempotent: head.method.is_idempotent(),
            sent: 0,
            received: head.len as u64,
        };
        side.body.stage_replayable(input, &mut side.out, REPLAYED)?;
        Ok(side)
    }

    /// Whether the request was sent whole.
    pub fn is_sent(&self) -> bool {
        self.state == State::Sent
    }

    /// Whether the endpoint stopped taking it.
    pub fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    /// Whether the client has sent all of it, and nothing of it is left in the client's buffer.
    pub fn is_read(&self) -> bool {
        self.body.is_done() && !self.out.holds_buffer() && !self.shortcut.holds_bytes()
    }

    /// Whom it waits for.
    pub fn waits_for(&self) -> WaitsFor {
        self.waits_for
    }

    /// Bytes written to the endpoint, and read from the client for this request.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// Prepares it to be sent again, on another connection, if that is possible and safe: all of it
    /// is still here; and it is idempotent (RFC 9110 section 9.2.2), or nothing of it was written.
    pub fn rewind(&mut self) -> bool {
        let safe = self.idempotent || !self.out.has_sent();
        let again = safe && self.out.rewind();
        if again {
            self.state = State::Sending;
        }
        again
    }

    /// Moves the request on; ready when it was sent whole or the endpoint takes no more.
    ///
    /// # Errors
    /// A [`Failure`] of the client's.
    pub fn poll<C: Socket, U: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        input: &mut Lent,
        endpoint: &mut U,
        pipes: &Rc<Pipes>,
    ) -> Poll<Result<(), Failure>> {
        let turn_ends = self.sent + TURN;
        while self.state == State::Sending {
            self.waits_for = WaitsFor::Endpoint;
            let flushed = self.shortcut.poll_flush(cx, endpoint, input, &mut self.out, &mut self.sent);
            if ready!(flushed).is_err() {
                self.state = State::Refused;
            } else if self.body.is_done() {
                self.state = State::Sent;
            } else if self.sent >= turn_ends {
                return yield_turn(cx);
            } else {
                self.body.stage(input, &mut self.out).map_err(Failure::BadRequestBody)?;
                if self.out.is_empty() && !self.body.is_done() {
                    self.waits_for = WaitsFor::Client;
                    ready!(self.poll_more(cx, client, input, endpoint, pipes))?;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_more<C: Socket, U: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        input: &mut Lent,
        endpoint: &U,
        pipes: &Rc<Pipes>,
    ) -> Poll<Result<(), Failure>> {
        let way = (&*client, endpoint);
        let taken = ready!(self.shortcut.poll_take(cx, pipes, &mut self.body, way, input));
        let taken = taken.map_err(|_| Failure::ClientReset)?;
        if taken > 0 {
            self.received += taken as u64;
            self.out.note_bypassed();
            return Poll::Ready(Ok(()));
        }
        match ready!(poll_read(client, cx, input)) {
            Ok(0) => Poll::Ready(Err(Failure::ClientAborted)),
            Err(_) => Poll::Ready(Err(Failure::ClientReset)),
            Ok(read) => {
                self.received += read as u64;
                self.shortcut.saw(read);
                if input.is_full() && self.body.is_longer_than(input.len()) {
                    input.enlarge();
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}
