//! The rate of a client's requests.

use super::{End, HttpSession, Next};
use crate::forward::record::Record;
use crate::http1::head::Method;
use crate::reason::{CloseReason, RejectReason};
use crate::session::Rated;
use std::time::{Duration, Instant};

impl HttpSession {
    /// How long the client has to wait before another of its requests is served; `None`: this one is.
    pub(super) fn over_rate(&self, now: Instant) -> Option<Duration> {
        let (state, client) = (&self.inlet.state, self.session.client().0.ip());
        let rate = state.config.limit.request_rate.as_ref()?;
        if state.config.limit.exempts(client) {
            return None;
        }
        state.clients.admit(client, Rated::Requests, rate, now).err()
    }

    /// Answers a request that came too early. The connection goes on where it can: another would cost
    /// both sides more.
    pub(super) async fn refuse_for_rate(
        &mut self,
        record: &mut Record,
        method: Method,
        wait: Duration,
        persist: bool,
    ) -> Next {
        record.retry_after = Some(wait);
        self.reject(record, Some(method), RejectReason::RequestRate, persist).await;
        match persist {
            true => Next::Persist,
            false => Next::End(End::open(CloseReason::Graceful)),
        }
    }
}
