//! The rate of a client's requests.

use super::{End, HttpSession, Next};
use crate::forward::inbound::Inbound;
use crate::forward::record::Record;
use crate::http1::head::Method;
use crate::reason::{CloseReason, RejectReason};
use crate::timer::RESOLUTION;
use std::time::{Duration, Instant};

/// How long a session pauses behind a refusal: the longer, the more have been refused in a row. Who sends on
/// regardless is answered four times a second in the end. Without, 2,000 connections of such took what time the
/// workers had, and the p99 of others rose from 0.27 to 2.32 ms (`benches/attack.py`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    refused: u8,
}

impl Pace {
    /// Refusals up to which the pause doubles.
    const SLOWEST: u8 = 4;

    /// A request was not refused.
    pub(super) fn reset(&mut self) {
        self.refused = 0;
    }

    /// One more was; what to wait for before the next is read.
    fn pause(&mut self) -> Duration {
        let pause = RESOLUTION * (1 << self.refused);
        self.refused = (self.refused + 1).min(Self::SLOWEST);
        pause
    }
}

impl HttpSession {
    /// Answers a request that came too early, and reads the next only after a pause. The connection goes on where
    /// it can: another would cost both sides more.
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
        if !persist {
            return Next::End(End::open(CloseReason::Graceful));
        }
        self.timer.set(Instant::now() + self.pace.pause());
        self.timer.expired().await;
        self.timer.set(Instant::now() + self.inlet.state.config.timeout.idle);
        Next::Persist
    }
}
