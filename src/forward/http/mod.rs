//! An HTTP client's session: requests one after the other, each through an exchange.

mod rate;
mod read;
mod request;
mod runner;

pub use runner::Runners;

use super::failure;
use super::inbound::Inbound;
use super::record::Record;
use super::respond::{self, Answer};
use crate::close::linger;
use crate::close::policy::ClientState;
use crate::http1::head::Method;
use crate::listener::inlet::Inlet;
use crate::reason::{CloseReason, RejectReason};
use crate::session::{Phase, Session};
use crate::sys::sockopt;
use crate::timer::Timer;
use crate::worker::Worker;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// One client's session. While it is idle, this is all that it holds.
#[derive(Debug)]
pub struct HttpSession {
    worker: Rc<Worker>,
    inlet: Rc<Inlet>,
    stream: TcpStream,
    session: Session,
    timer: Timer,
    greeting: Greeting,
    pace: rate::Pace,
}

/// Whether a client that connected has sent anything yet. When a drain begins, one that has not is
/// given a moment: its first request may be on its way, and no client sends that twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeting {
    Awaited,
    AwaitedBriefly,
    Heard,
}

/// How long a drain waits for the first request on a new connection.
const GRACE: Duration = Duration::from_secs(1);

/// Within this time the runtime hears of what the kernel has.
const LATE_NEWS: Duration = Duration::from_secs(1);

/// How a session ends.
#[derive(Clone, Copy, Debug)]
struct End {
    reason: CloseReason,
    state: ClientState,
}

/// What follows a request.
#[derive(Debug)]
enum Next {
    /// Another request may follow.
    Persist,
    End(End),
}

impl HttpSession {
    /// A session that has not begun.
    pub fn new(worker: Rc<Worker>, inlet: Rc<Inlet>, stream: TcpStream, session: Session) -> Self {
        let timer = worker.timers.timer();
        // The first request's head is due from accept on.
        timer.set(Instant::now() + inlet.state.config.timeout.header);
        session.entry().ends_by(&timer);
        Self {
            worker,
            inlet,
            stream,
            session,
            timer,
            greeting: Greeting::Awaited,
            pace: rate::Pace::default(),
        }
    }

    /// Serves the client until the session ends. The session is on the heap, and so is whatever it does: a
    /// task is aligned to 128 bytes, and what is in it would take up to as much again.
    pub fn serve(self) -> impl Future<Output = ()> {
        let mut session = Box::new(self);
        async move {
            let end = loop {
                if let Some(end) = poll_fn(|cx| session.poll_wait(cx)).await {
                    break end;
                }
                let end;
                (session, end) = Runners::serve(session).await;
                if let Some(end) = end {
                    break end;
                }
                session.session.enter(Phase::Idle);
            };
            Box::pin(session.close(end)).await;
        }
    }

    /// Ready when a request begins, or the session ends without one; until then it holds no buffer.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        if self.stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(None);
        }
        if self.inlet.door().ends_idle() && self.greeting == Greeting::Heard {
            return Poll::Ready(Some(End::open(CloseReason::Drain)));
        }
        if self.inlet.door().ends_idle() && self.greeting == Greeting::Awaited {
            self.greeting = Greeting::AwaitedBriefly;
            self.timer.set(Instant::now() + GRACE);
        }
        match self.timer.poll_expired(cx) {
            true if self.inlet.door().ends_idle() => Poll::Ready(Some(End::open(CloseReason::Drain))),
            // This process stood still, and the runtime is about to hear of what has come meanwhile.
            true if sockopt::unread(&self.stream).is_ok_and(|bytes| bytes > 0) => {
                self.timer.set(Instant::now() + LATE_NEWS);
                self.timer.poll_expired(cx);
                Poll::Pending
            }
            true => Poll::Ready(Some(End::open(CloseReason::IdleTimeout))),
            false => Poll::Pending,
        }
    }

    /// Serves what the client has sent; `None`: it may send another request, and has not begun to.
    async fn serve_requests(&mut self) -> Option<End> {
        let mut inbound = Inbound::new(self.worker.buffers.lend());
        loop {
            // A request is served by one configuration from here to its end.
            if let Some(newer) = self.inlet.newer() {
                self.inlet = newer;
            }
            let mut bytes = self.worker.buffers.lend_head();
            let head = match self.read_head(&mut inbound, &mut bytes).await {
                Ok(Some(head)) => head,
                Ok(None) => return None,
                Err(end) => return Some(end),
            };
            self.greeting = Greeting::Heard;
            if let Next::End(end) = self.serve_request(head, bytes, &mut inbound).await {
                return Some(end);
            }
            // Nearly always; to look for another request first would cost 4 % of the instructions.
            if inbound.input.is_empty() {
                return None;
            }
        }
    }

    /// Answers a request itself and writes it down.
    async fn reject(
        &mut self,
        record: &mut Record,
        method: Option<Method>,
        reason: RejectReason,
        persist: bool,
        inbound: &Inbound,
    ) {
        let answer = Answer { reason, method, persist, retry_after: record.retry_after };
        record.sent = self.answer(answer, inbound.closed).await;
        record.end(
            &self.session,
            &self.inlet,
            failure::status(reason).0,
            Some(reason.label()),
            Instant::now(),
        );
    }

    /// Sends millpond's own answer, within `timeout.body`, and before all is to be over; returns its
    /// length in bytes.
    async fn answer(&mut self, answer: Answer, over: Option<Instant>) -> u64 {
        self.session.counters().rejects.inc(answer.reason.index());
        let mut out = self.worker.buffers.lend_head();
        answer.write_to(out.bytes());
        let timeout = &self.inlet.state.config.timeout;
        let due = Instant::now() + timeout.body;
        self.timer.set(over.map_or(due, |over| over.min(due)));
        tokio::select! {
            biased;
            // A client that is gone needs no answer; the session is about to notice.
            _ = respond::send(&mut self.stream, &out) => {}
            () = self.timer.expired() => {}
        }
        self.timer.set(Instant::now() + timeout.idle);
        out.len() as u64
    }

    async fn close(&mut self, end: End) {
        self.session.enter(Phase::Closing);
        let (listener, buffers) = (&self.inlet.state.config, &self.worker.buffers);
        let done = linger::close(&mut self.stream, end.state, listener, &self.timer, buffers).await;
        self.session.ends(done.reason(end.reason));
    }
}

impl End {
    /// The client may still be sending.
    fn open(reason: CloseReason) -> Self {
        Self { reason, state: ClientState::OPEN }
    }

    /// A read has found the client's end.
    fn ended(reason: CloseReason) -> Self {
        Self { reason, state: ClientState::ENDED }
    }

    /// The client has closed.
    fn closed(reason: CloseReason) -> Self {
        Self { reason, state: ClientState { peer_closed: true, ..ClientState::OPEN } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    /// The runtime adds 104 bytes and rounds up to a multiple of 128. The allocator has blocks of 64 and of
    /// 80 bytes, and none between them.
    #[test]
    fn an_idle_session_is_small() {
        let task = size_of_output(HttpSession::serve);
        assert!(task <= 24, "an idle session's task takes {task} bytes");
        let session = size_of::<HttpSession>();
        assert!(session <= 80, "an idle session takes {session} bytes");
    }
}
