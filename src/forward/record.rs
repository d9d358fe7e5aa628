//! What is remembered of one request, or of one TCP session, while it runs, and written down when it
//! is over.

use super::exchange::{RequestSide, ResponseSide};
use super::tunnel::TunnelEnd;
use crate::addr::EndpointAddr;
use crate::listener::inlet::Inlet;
use crate::observe::access_log::{AccessLog, Entry};
use crate::pool::{Lease, Pool};
use crate::session::Session;
use crate::worker::Worker;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// One request's times and bytes.
#[derive(Debug)]
pub struct Record {
    /// When the head had been read whole.
    started: Instant,
    /// A recent reading of the clock: where nothing was waited for, the time is the same.
    pub now: Instant,
    /// Where it was sent, last.
    pub endpoint: Option<EndpointAddr>,
    /// Whether the connection had been used before.
    pub reused: Option<bool>,
    /// How long the client is asked to wait, where it came too early.
    pub retry_after: Option<Duration>,
    /// Bytes sent to the client, and received from it.
    pub sent: u64,
    received: u64,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    line: Option<Line>,
}

/// What only the access log needs.
#[derive(Debug)]
struct Line {
    log: AccessLog,
    time: SystemTime,
    /// As they were sent on.
    method: Vec<u8>,
    target: Vec<u8>,
}

impl Record {
    /// A request whose rewritten head is `bytes`; a TCP session has none.
    pub fn begin(worker: &Worker, bytes: &[u8], now: Instant) -> Self {
        let line = worker.access_log.as_ref().map(|log| {
            let (method, target) = request_line(bytes);
            Line { log: log.clone(), time: SystemTime::now(), method: method.into(), target: target.into() }
        });
        Self {
            started: now,
            now,
            endpoint: None,
            reused: None,
            retry_after: None,
            sent: 0,
            received: 0,
            connect: None,
            first_byte: None,
            line,
        }
    }

    /// Whether it will be written to the access log.
    pub fn is_logged(&self) -> bool {
        self.line.is_some()
    }

    /// It got a connection that was not idle: how long was it connected for?
    pub fn connected(&mut self, lease: &Lease) {
        if !lease.is_reused() {
            self.connect = Some(lease.connect_time());
        }
    }

    /// Its exchange ended, in whatever way.
    pub fn exchanged(&mut self, request: &RequestSide, response: &ResponseSide, pool: &Pool) {
        let (to_endpoint, from_client) = request.bytes();
        let (to_client, from_endpoint) = response.bytes();
        pool.counters().sent_bytes.add(to_endpoint);
        pool.counters().received_bytes.add(from_endpoint);
        self.sent = to_client;
        self.received = from_client;
        self.first_byte = response.first_byte().map(|at| at.saturating_duration_since(self.started));
    }

    /// It became a tunnel, which has ended.
    pub fn tunnelled(&mut self, ended: &TunnelEnd, pool: &Pool) {
        pool.counters().sent_bytes.add(ended.to_endpoint);
        pool.counters().received_bytes.add(ended.to_client);
        self.sent += ended.to_client;
        self.received += ended.to_endpoint;
    }

    /// It is over: counts it, and writes it down.
    pub fn end(
        &mut self,
        session: &Session,
        inlet: &Inlet,
        status: u16,
        reason: Option<&'static str>,
        now: Instant,
    ) {
        let counters = session.counters();
        counters.requests_total.inc();
        counters.request_duration.record(now.saturating_duration_since(self.started));
        counters.responses.inc(usize::from(status / 100).clamp(1, 5) - 1);
        self.end_session(session, inlet, status, reason, now);
    }

    /// A TCP session is over, or what `end` does of a request is done: counts its bytes, and writes it
    /// down.
    pub fn end_session(
        &mut self,
        session: &Session,
        inlet: &Inlet,
        status: u16,
        reason: Option<&'static str>,
        now: Instant,
    ) {
        session.counters().sent_bytes.add(self.sent);
        session.counters().received_bytes.add(self.received);
        let Some(line) = self.line.take() else { return };
        line.log.record(Entry {
            time: line.time,
            client: session.client().0,
            listener: Arc::clone(&inlet.state.config),
            upstream: Arc::clone(&inlet.group.state().config),
            endpoint: self.endpoint.map(|endpoint| endpoint.0),
            method: line.method,
            target: line.target,
            status,
            bytes_in: self.received,
            bytes_out: self.sent,
            total: now.saturating_duration_since(self.started),
            connect: self.connect,
            first_byte: self.first_byte,
            reused: self.reused,
            reason,
        });
    }
}

/// The method and the target of a rewritten head.
fn request_line(head: &[u8]) -> (&[u8], &[u8]) {
    let mut words = head.split(|byte| *byte == b' ');
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}
