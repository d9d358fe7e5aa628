//! Whole exchanges over sockets in memory: whatever a client and its backends send, and however it is split on
//! both sides, each request that is accepted is one request to its backend, and each answer is one answer.
//!
//! The input is 12 bytes that steer, then what the client sends, then what each backend answers, separated by
//! two bytes of 0xff.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::budget::Budget;
use millpond::buffer::{BufferPool, LentHead};
use millpond::forward::exchange::{Deadlines, Exchange, RequestSide, ResponseEnd, ResponseSide};
use millpond::forward::failure::Failure;
use millpond::forward::inbound::Inbound;
use millpond::forward::socket::poll_read;
use millpond::forward::splice::Pipes;
use millpond::http1::{HeadLimits, Method, RequestContext, RequestHead, RequestParser, ResponseContext};
use millpond::timer::{Timer, Timers};
use millpond_fuzz::judge::{self, Framing, Message, Read};
use millpond_fuzz::memory::End;
use millpond_fuzz::{Splits, Steering};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 32, target: 1024 };
const CLIENT: RequestContext<'_> =
    RequestContext { client_ip: "192.0.2.17", scheme: "http", default_host: "app", hash_header: None };
const BODY_LIMIT: u64 = 1 << 20;
const NEVER: Duration = Duration::from_secs(3600);

/// What became of one request.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The backend got this, and the client that.
    Answered(Plain, Plain),
    /// The backend got this, and the connection is a tunnel.
    Upgraded(Plain),
    /// The client is told that it is none.
    Refused,
    /// The backend, or its answer, is.
    Failed,
    /// Something is still to come.
    Waiting,
}

/// A message without what depends on how it was read.
type Plain = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, Framing, Vec<u8>);

/// How it goes.
#[derive(Clone, Debug)]
struct Ways {
    from_client: Splits,
    to_client: Splits,
    from_backend: Splits,
    to_backend: Splits,
    backend_closes: bool,
    /// The client sends FIN behind what it sends.
    client_closes: bool,
    /// The backend answers without having read the request.
    is_early: bool,
}

fuzz_target!(|input: &[u8]| {
    let (mut steering, sent) = Steering::split(input, 12);
    let flags = steering.byte();
    let mut splits = || Splits::new(&mut steering, 2);
    let split = Ways {
        from_client: splits(),
        to_client: splits(),
        from_backend: splits(),
        to_backend: splits(),
        backend_closes: flags & 1 != 0,
        client_closes: flags & 2 != 0,
        is_early: flags & 4 != 0,
    };
    let sent = sections(sent);
    let in_pieces = Session::new(sent[0], split.clone()).serve(&sent[1..]);
    if split.is_early || split.client_closes {
        // What comes first decides: nothing is to be compared.
        return;
    }
    let none = Splits::none;
    let whole =
        Ways { from_client: none(), to_client: none(), from_backend: none(), to_backend: none(), ..split };
    let at_once = Session::new(sent[0], whole).serve(&sent[1..]);
    assert_eq!(in_pieces, at_once, "a split changes what comes of it");
});

/// The parts of an input: the client's, then each backend's.
fn sections(input: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), input);
    while let Some(at) = rest.windows(2).position(|two| two == b"\xff\xff") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts
}

/// A client's session, as forward::http has it, over a socket in memory.
struct Session {
    client: End,
    ways: Ways,
    inbound: Inbound,
    buffers: Rc<BufferPool>,
    timer: Timer,
    /// Which sockets in memory have no use for.
    pipes: Rc<Pipes>,
}

impl Session {
    fn new(sent: &[u8], ways: Ways) -> Self {
        let client = End::new(ways.from_client.clone(), ways.to_client.clone());
        client.sends(sent, ways.client_closes);
        let buffers = Rc::new(BufferPool::default());
        Self {
            client,
            ways,
            inbound: Inbound::new(buffers.lend()),
            timer: Timers::new(Instant::now()).timer(),
            pipes: Pipes::new(Arc::new(Budget::new(1000, 0))),
            buffers,
        }
    }

    /// Serves every request, each from the next backend.
    fn serve(mut self, backends: &[&[u8]]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        loop {
            let mut bytes = self.buffers.lend_head();
            let head = match self.read_head(&mut bytes) {
                Ok(head) => head,
                Err(outcome) => {
                    outcomes.push(outcome);
                    return outcomes;
                }
            };
            let answer = backends.get(outcomes.len()).copied().unwrap_or_default();
            let (outcome, persists) = self.exchange(&head, bytes, answer);
            outcomes.push(outcome);
            if !persists {
                return outcomes;
            }
        }
    }

    fn read_head(&mut self, bytes: &mut LentHead) -> Result<RequestHead, Outcome> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut parser = RequestParser::default();
        loop {
            if !self.inbound.input.is_empty() {
                match parser.parse(self.inbound.input.filled(), &LIMITS, &CLIENT, bytes.bytes()) {
                    Ok(Some(head)) => {
                        self.inbound.input.consume(head.len);
                        return Ok(head);
                    }
                    Ok(None) => {}
                    Err(_) => return Err(Outcome::Refused),
                }
            }
            match poll_read(&mut self.client, &mut cx, &mut self.inbound.input) {
                Poll::Ready(Ok(0)) => return Err(Outcome::Waiting),
                Poll::Ready(read) => drop(read.expect("memory does not fail")),
                Poll::Pending if self.client.advance() => {}
                Poll::Pending => return Err(Outcome::Waiting),
            }
        }
    }

    /// One request; returns whether another may follow.
    fn exchange(&mut self, head: &RequestHead, bytes: LentHead, answer: &[u8]) -> (Outcome, bool) {
        let Ok(mut request) = RequestSide::new(head, bytes, BODY_LIMIT, &mut self.inbound.input) else {
            return (Outcome::Refused, false);
        };
        let context = ResponseContext {
            method: head.method,
            client: head.version,
            upgrade: head.upgrade,
            persist: head.keep_alive,
        };
        let mut response = ResponseSide::new(context, self.buffers.lend(), self.buffers.lend_head(), false);
        let mut endpoint = End::new(self.ways.from_backend.clone(), self.ways.to_backend.clone());
        let (before, watched) = (self.client.received().len(), endpoint.clone());
        let mut client = self.client.clone();
        let mut backend = Backend { end: watched, answer: Some(answer), ways: &self.ways };
        let draining = Cell::new(false);
        let ended = {
            let mut exchange = Exchange {
                client: &mut client,
                inbound: &mut self.inbound,
                endpoint: &mut endpoint,
                request: &mut request,
                response: &mut response,
                deadlines: deadlines(),
                timer: &self.timer,
                pipes: &self.pipes,
                draining: &draining,
                abort_on_fin: head.method.is_safe(),
            };
            backend.run(pin!(exchange.run(Instant::now())), &self.client)
        };
        let got = self.client.received().split_off(before);
        let persists = response.head().is_some_and(|head| head.persist);
        let outcome = match ended {
            None => Outcome::Waiting,
            Some(Err(Failure::BadRequestBody(_))) => Outcome::Refused,
            Some(Err(_)) => Outcome::Failed,
            Some(Ok(end)) => self.ended(end, head, &backend, request.is_sent(), &got, persists),
        };
        if !matches!(outcome, Outcome::Answered(..) | Outcome::Upgraded(_)) {
            let begun = self.answer(&got, head, false);
            assert!(
                !matches!(begun, Read::Whole(_)) || matches!(outcome, Outcome::Waiting) || self.ways.is_early
            );
        }
        let goes_on = persists && matches!(outcome, Outcome::Answered(..)) && self.inbound.closed.is_none();
        (outcome, goes_on)
    }

    /// The client has a whole answer.
    fn ended(
        &self,
        end: ResponseEnd,
        head: &RequestHead,
        backend: &Backend<'_>,
        is_sent: bool,
        got: &[u8],
        persists: bool,
    ) -> Outcome {
        let request = match backend.request() {
            Read::Whole(request) => plain(request),
            Read::Partial => {
                assert!(!is_sent, "sent whole, and the backend waits for more");
                assert!(!persists, "what the client still sends would be taken for a request");
                (Vec::new(), Vec::new(), Framing::None, Vec::new())
            }
        };
        if end == ResponseEnd::Upgraded {
            assert!(head.upgrade, "nobody asked for a tunnel");
            return Outcome::Upgraded(request);
        }
        let Read::Whole(answer) = self.answer(got, head, !persists) else {
            panic!("the answer is not whole: {}", got.escape_ascii());
        };
        assert_eq!(answer.len, got.len(), "something follows the answer: {}", got.escape_ascii());
        Outcome::Answered(request, plain(answer))
    }

    /// What the client has been sent for one request: interim heads and one answer.
    fn answer(&self, got: &[u8], head: &RequestHead, closed: bool) -> Read<Message> {
        let method = if head.method == Method::Head { &b"HEAD"[..] } else { b"GET" };
        let mut at = 0;
        loop {
            let read = judge::response(&got[at..], method, closed)
                .unwrap_or_else(|wrong| panic!("to the client, {wrong}: {}", got.escape_ascii()));
            match read {
                Read::Whole(message) if message.line.starts_with(b"HTTP/1.1 1") => {
                    assert_eq!(
                        head.version,
                        millpond::http1::Version::Http11,
                        "an interim answer to HTTP/1.0"
                    );
                    at += message.len;
                    if message.line.starts_with(b"HTTP/1.1 101") {
                        return Read::Partial;
                    }
                }
                Read::Whole(message) => return Read::Whole(Message { len: at + message.len, ..message }),
                Read::Partial => return Read::Partial,
            }
        }
    }
}

/// The backend of one exchange.
struct Backend<'a> {
    end: End,
    /// What it has not sent yet.
    answer: Option<&'a [u8]>,
    ways: &'a Ways,
}

impl Backend<'_> {
    /// Polls until it is over; `None`: nothing more will come.
    fn run<F: Future>(&mut self, mut exchange: std::pin::Pin<&mut F>, client: &End) -> Option<F::Output> {
        let mut cx = Context::from_waker(Waker::noop());
        if self.ways.is_early {
            self.send();
        }
        loop {
            let polled = exchange.as_mut().poll(&mut cx);
            let request = self.request();
            if let Poll::Ready(output) = polled {
                return Some(output);
            }
            let mut goes_on = matches!(request, Read::Whole(_)) && self.send();
            goes_on |= client.advance();
            goes_on |= self.end.advance();
            if !goes_on {
                return None;
            }
        }
    }

    fn send(&mut self) -> bool {
        let Some(answer) = self.answer.take() else { return false };
        self.end.sends(answer, self.ways.backend_closes);
        true
    }

    /// What it has received, which is one request or a part of one.
    fn request(&self) -> Read<Message> {
        let received = self.end.received();
        let read = judge::request(&received)
            .unwrap_or_else(|wrong| panic!("to the backend, {wrong}: {}", received.escape_ascii()));
        if let Read::Whole(request) = &read {
            assert_eq!(request.len, received.len(), "something follows: {}", received.escape_ascii());
        }
        read
    }
}

fn plain(message: Message) -> Plain {
    (message.line, message.fields, message.framing, message.body)
}

fn deadlines() -> Deadlines {
    Deadlines {
        client_body: NEVER,
        client_half_close: NEVER,
        response_head: NEVER,
        endpoint_body: NEVER,
        endpoint_half_close: NEVER,
    }
}
