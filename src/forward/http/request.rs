//! One request whose head was read: a connection, an exchange, its end.

use super::{End, HttpSession, Next};
use crate::buffer::LentHead;
use crate::close::policy::ClientState;
use crate::forward::acquire::Want;
use crate::forward::exchange::{Exchange, RequestSide, ResponseEnd, ResponseSide};
use crate::forward::failure::Failure;
use crate::forward::inbound::Inbound;
use crate::forward::lease::{self, Leased};
use crate::forward::record::Record;
use crate::forward::tunnel::{self, Tunnel};
use crate::forward::waiting::{Gone, Waiting};
use crate::http1::head::{Method, RequestHead, ResponseContext, Version};
use crate::pool::{Lease, Pool};
use crate::reason::{CloseReason, DiscardReason, RejectReason};
use crate::session::Phase;
use crate::session::Rated;
use std::rc::Rc;
use std::time::Instant;

/// The status of a request whose client left before there was one to send (as nginx logs it).
const LEFT: u16 = 499;

/// An exchange that failed, after its connection was closed.
#[derive(Debug)]
struct Failed {
    failure: Failure,
    pool: Rc<Pool>,
    may_retry: bool,
    /// Whether the client has seen a part of the response, and which status it began with.
    visible: Option<u16>,
}

impl HttpSession {
    /// Serves one request.
    pub(super) async fn serve_request(
        &mut self,
        head: RequestHead,
        bytes: LentHead,
        inbound: &mut Inbound,
    ) -> Next {
        let mut record = Record::begin(&self.worker, &bytes, Instant::now());
        let limit = self.inlet.state.config.limit.body_bytes;
        let mut request = match RequestSide::new(&head, bytes, limit, &mut inbound.input) {
            Ok(request) => request,
            Err(reason) => {
                self.reject(&mut record, Some(head.method), reason, false, inbound).await;
                return Next::End(End::open(CloseReason::BadRequest));
            }
        };
        let client = || self.session.client().0.ip();
        if let Some(wait) = self.inlet.state.over_rate(client, Rated::Requests, record.now) {
            let persist = Self::may_persist(&head, &request, inbound);
            return self.refuse_for_rate(&mut record, head.method, wait, persist, inbound).await;
        }
        self.pace.reset();
        let mut retried = false;
        loop {
            let want = if retried { Want::Fresh } else { Want::Any };
            let leased = match self.lease(&head, want, inbound, &mut record).await {
                Ok(Ok(leased)) => leased,
                Err(gone) => {
                    let reason = gone.close_reason();
                    record.end(&self.session, &self.inlet, LEFT, Some(reason.label()), Instant::now());
                    return Next::End(End::closed(reason));
                }
                Ok(Err(reason)) => {
                    let persist = Self::may_persist(&head, &request, inbound);
                    let close = CloseReason::Graceful;
                    return self
                        .answer_failure(&mut record, head.method, reason, close, persist, inbound)
                        .await;
                }
            };
            match self.exchange(&head, &mut request, leased, inbound, &mut record).await {
                Ok(next) => return next,
                Err(failed) if failed.may_retry && !retried && request.rewind() => {
                    retried = true;
                    failed.pool.counters().retries_total.inc();
                }
                Err(failed) => {
                    let persist = Self::may_persist(&head, &request, inbound);
                    return self.conclude(&mut record, &head, &failed, persist, inbound).await;
                }
            }
        }
    }

    /// A connection for the request, unless the client goes while it is awaited.
    async fn lease(
        &mut self,
        head: &RequestHead,
        want: Want,
        inbound: &mut Inbound,
        record: &mut Record,
    ) -> Result<Result<Leased, RejectReason>, Gone> {
        self.session.enter(Phase::Waiting);
        let key = head.hash.unwrap_or_else(|| lease::client_key(&self.inlet.group, &self.session));
        let client = Waiting {
            client: &mut self.stream,
            inbound,
            timer: &self.timer,
            half_close: self.inlet.state.config.timeout.half_close,
            // What is sent again may have reached an endpoint.
            abort_on_fin: self.inlet.aborts_on_fin() && (want == Want::Any || head.method.is_safe()),
        };
        lease::lease(&self.inlet.group, key, want, record, client).await
    }

    /// Runs the exchange on a leased connection.
    async fn exchange(
        &mut self,
        head: &RequestHead,
        request: &mut RequestSide,
        mut leased: Leased,
        inbound: &mut Inbound,
        record: &mut Record,
    ) -> Result<Next, Failed> {
        self.session.enter_with(Phase::Exchange, leased.lease.identity());
        let buffers = &self.worker.buffers;
        let context = ResponseContext {
            method: head.method,
            client: head.version,
            upgrade: head.upgrade,
            persist: head.keep_alive && inbound.may_have_more(),
        };
        let mut response =
            ResponseSide::new(context, buffers.lend(), buffers.lend_head(), record.is_logged());
        record.reused = Some(leased.lease.is_reused());
        let mut exchange = Exchange {
            client: &mut self.stream,
            inbound,
            endpoint: leased.lease.connection().stream(),
            request,
            response: &mut response,
            deadlines: self.inlet.deadlines(),
            pipes: &self.worker.pipes,
            timer: &self.timer,
            draining: self.inlet.door().says_close(),
            abort_on_fin: self.inlet.aborts_on_fin() && head.method.is_safe(),
        };
        let ended = exchange.run(record.now).await;
        record.exchanged(request, &response, leased.lease.pool());
        match ended {
            Ok(ResponseEnd::Complete) => Ok(self.complete(head, request, leased, &response, inbound, record)),
            Ok(ResponseEnd::Upgraded) => Ok(self.upgrade(leased, response, inbound, record).await),
            Err(failure) => Err(Failed::new(failure, leased.lease, &response)),
        }
    }

    /// The client has its whole response: decides what becomes of both connections.
    fn complete(
        &mut self,
        head: &RequestHead,
        request: &RequestSide,
        leased: Leased,
        response: &ResponseSide,
        inbound: &Inbound,
        record: &mut Record,
    ) -> Next {
        let now = Instant::now();
        let answered = response.head().expect("a complete response has a head");
        let lease = leased.lease;
        if let Some(timeout) = answered.keep_alive_timeout {
            lease.pool().note_keep_alive(timeout);
        }
        if response.has_excess() {
            lease.discard(DiscardReason::UnexpectedBytes);
        } else if !request.is_sent() {
            lease.discard(DiscardReason::EarlyResponse);
        } else if !answered.keep_alive {
            lease.discard(DiscardReason::NotReusable);
        } else {
            lease.release(now);
        }
        record.end(&self.session, &self.inlet, answered.status, None, now);
        if !inbound.may_have_more() {
            return Next::End(End::closed(CloseReason::ClientFin));
        }
        if answered.persist {
            self.timer.set(now + self.inlet.state.config.timeout.idle);
            return Next::Persist;
        }
        let announced_last = !head.keep_alive && request.is_sent() && inbound.input.is_empty();
        let end = End::open(CloseReason::Graceful);
        Next::End(End { state: ClientState { announced_last, ..end.state }, ..end })
    }

    /// The endpoint agreed to an Upgrade: both connections go on as a tunnel.
    async fn upgrade(
        &mut self,
        mut leased: Leased,
        response: ResponseSide,
        inbound: &mut Inbound,
        record: &mut Record,
    ) -> Next {
        leased.lease.become_tunnel();
        self.session.enter_with(Phase::Tunnel, leased.lease.identity());
        let mut limits = self.inlet.tunnel_limits().after_fin(inbound.closed, Instant::now());
        limits.idle = limits.idle.max(tunnel::UPGRADED_IDLE);
        let tunnel = Tunnel {
            client: &mut self.stream,
            endpoint: leased.lease.connection().stream(),
            timer: &self.timer,
            pipes: &self.worker.pipes,
            limits,
            lasting: None,
        };
        let waiting = std::mem::replace(&mut inbound.input, self.worker.buffers.lend());
        let ended = tunnel.run(waiting, response.into_input()).await;
        record.tunnelled(&ended, leased.lease.pool());
        leased.lease.discard(ended.ending());
        record.end(&self.session, &self.inlet, 101, None, Instant::now());
        Next::End(End { reason: ended.reason, state: ended.client_state() })
    }

    /// The exchange failed: the client is told so, if it has not seen a part of a response.
    async fn conclude(
        &mut self,
        record: &mut Record,
        head: &RequestHead,
        failed: &Failed,
        persist: bool,
        inbound: &Inbound,
    ) -> Next {
        let verdict = failed.failure.verdict();
        if let (Some(reason), None) = (verdict.answer, failed.visible) {
            return self.answer_failure(record, head.method, reason, verdict.close, persist, inbound).await;
        }
        let label = verdict.answer.map_or(verdict.close.label(), RejectReason::label);
        let status = failed.visible.unwrap_or(LEFT);
        record.end(&self.session, &self.inlet, status, Some(label), Instant::now());
        let end = Self::end(verdict.close, inbound);
        let cut = failed.visible.is_some() && head.version == Version::Http10;
        Next::End(End { state: ClientState { cut, ..end.state }, ..end })
    }

    /// Answers a request that failed.
    async fn answer_failure(
        &mut self,
        record: &mut Record,
        method: Method,
        reason: RejectReason,
        close: CloseReason,
        persist: bool,
        inbound: &Inbound,
    ) -> Next {
        self.reject(record, Some(method), reason, persist, inbound).await;
        match persist {
            true => Next::Persist,
            false => Next::End(Self::end(close, inbound)),
        }
    }

    fn end(reason: CloseReason, inbound: &Inbound) -> End {
        if inbound.closed.is_some() { End::closed(reason) } else { End::open(reason) }
    }

    /// Whether the client's connection may go on after a request that failed: only if it was read
    /// whole, so that what follows is the next one.
    fn may_persist(head: &RequestHead, request: &RequestSide, inbound: &Inbound) -> bool {
        head.keep_alive && request.is_read() && inbound.may_have_more()
    }
}

impl Failed {
    /// Closes the connection; its exchange failed.
    fn new(failure: Failure, lease: Lease, response: &ResponseSide) -> Self {
        let verdict = failure.verdict();
        let failed = Self {
            failure,
            pool: Rc::clone(lease.pool()),
            may_retry: verdict.maybe_stale && lease.is_reused() && !response.has_byte(),
            visible: response.head().filter(|_| response.is_visible()).map(|head| head.status),
        };
        if failed.may_retry {
            lease.note_stale(Instant::now());
        }
        lease.discard(verdict.discard);
        failed
    }
}
