//! Reading a request head from the client.

use super::{End, HttpSession};
use crate::buffer::{Lent, LentHead};
use crate::config::model::{Balance, HashKey};
use crate::forward::client_ip::ClientIp;
use crate::forward::inbound::Inbound;
use crate::forward::record::Record;
use crate::forward::socket::poll_read;
use crate::http1::head::{HeadLimits, RequestContext, RequestHead, RequestParser};
use crate::reason::{CloseReason, RejectReason};
use crate::session::Phase;
use crate::timer::Timer;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Why no request head was read.
#[derive(Clone, Copy, Debug)]
enum HeadEnd {
    Fin,
    Aborted,
    Reset,
    Late,
    Reject(RejectReason),
}

/// A head being read.
struct HeadReader<'a> {
    stream: &'a mut TcpStream,
    timer: &'a Timer,
    /// How long the head may take from its first byte.
    timeout: Duration,
    timed: bool,
    parser: RequestParser,
    limits: HeadLimits,
    context: RequestContext<'a>,
}

impl HttpSession {
    /// Reads a request head and rewrites it into `bytes`; `None`: not a byte of one is there.
    pub(super) async fn read_head(
        &mut self,
        inbound: &mut Inbound,
        bytes: &mut LentHead,
    ) -> Result<Option<RequestHead>, End> {
        self.session.enter(Phase::ReadingHead);
        let config = &self.inlet.state.config;
        let upstream = &self.inlet.group.state().config;
        let client_ip = ClientIp::new(self.session.client().0.ip());
        let mut reader = HeadReader {
            stream: &mut self.stream,
            timer: &self.timer,
            timeout: config.timeout.header,
            timed: false,
            parser: RequestParser::default(),
            limits: HeadLimits {
                bytes: config.limit.header_bytes,
                fields: config.limit.headers,
                target: config.limit.target_bytes,
            },
            context: RequestContext {
                client_ip: client_ip.as_str(),
                scheme: "http",
                default_host: &upstream.name,
                hash_header: match &upstream.balance {
                    Balance::Hash(HashKey::Header(name)) => Some(name),
                    _ => None,
                },
            },
        };
        match poll_fn(|cx| reader.poll(cx, &mut inbound.input, bytes)).await {
            Ok(head) => {
                inbound.input.consume(head.map_or(0, |head| head.len));
                Ok(head)
            }
            Err(end) => Err(self.end_without_head(end, inbound).await),
        }
    }

    async fn end_without_head(&mut self, end: HeadEnd, inbound: &Inbound) -> End {
        let (reason, close) = match end {
            HeadEnd::Fin => return End::ended(CloseReason::ClientFin),
            HeadEnd::Aborted => return End::ended(CloseReason::ClientAborted),
            HeadEnd::Reset => return End::ended(CloseReason::ClientReset),
            HeadEnd::Late => (RejectReason::HeaderTimeout, CloseReason::HeaderTimeout),
            HeadEnd::Reject(reason) => (reason, CloseReason::BadRequest),
        };
        let mut record = Record::begin(&self.worker, b"", Instant::now());
        self.reject(&mut record, None, reason, false, inbound).await;
        End::open(close)
    }
}

impl HeadReader<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Lent,
        bytes: &mut LentHead,
    ) -> Poll<Result<Option<RequestHead>, HeadEnd>> {
        loop {
            if !input.is_empty() {
                match self.parser.parse(input.filled(), &self.limits, &self.context, bytes.bytes()) {
                    Ok(Some(head)) => return Poll::Ready(Ok(Some(head))),
                    Ok(None) => {}
                    Err(reason) => return Poll::Ready(Err(HeadEnd::Reject(reason))),
                }
            }
            if input.is_full() {
                let grown = (input.capacity() * 2).min(self.limits.bytes + 1);
                if !input.reserve(grown) {
                    return Poll::Ready(Err(HeadEnd::Reject(RejectReason::Memory)));
                }
            }
            match poll_read(self.stream, cx, input) {
                Poll::Ready(Ok(0)) if input.is_empty() => return Poll::Ready(Err(HeadEnd::Fin)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(HeadEnd::Aborted)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(HeadEnd::Reset)),
                Poll::Pending if input.is_empty() => return Poll::Ready(Ok(None)),
                Poll::Pending => return self.poll_deadline(cx),
            }
        }
    }

    fn poll_deadline(&mut self, cx: &Context<'_>) -> Poll<Result<Option<RequestHead>, HeadEnd>> {
        if !std::mem::replace(&mut self.timed, true) {
            self.timer.set(Instant::now() + self.timeout);
        }
        match self.timer.poll_expired(cx) {
            true => Poll::Ready(Err(HeadEnd::Late)),
            false => Poll::Pending,
        }
    }
}
