//! The rate of a client's requests.

use super::{End, HttpSession, Next};
use crate::forward::inbound::Inbound;
use crate::forward::record::Record;
use crate::http1::head::Method;
use crate::reason::{CloseReason, RejectReason};
use std::time::Duration;

impl HttpSession {
    /// Answers a request that came too early. The connection goes on where it can: another would cost
    /// both sides more.
    pub(super) async fn refuse_for_rate(
        &mut self,
        record: &mut Record,
        method: Method,
        wait: Duration,
        persist: bool,
        inbound: &Inbound,
    ) -> Next {
        record.retry_after = Some(wait);
        self.reject(record, Some(method), RejectReason::RequestRate, persist, inbound).await;
        // Who sends thousands at once is answered one in each turn of the worker, and holds up nobody else.
        tokio::task::yield_now().await;
        match persist {
            true => Next::Persist,
            false => Next::End(End::open(CloseReason::Graceful)),
        }
    }
}
