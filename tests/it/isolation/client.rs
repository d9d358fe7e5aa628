//! Clients that know what each of their answers has to be.

use super::Hall;
use super::plan::{Leaving, Method, Plan};
use super::wire::Wire;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer, an error or an end comes within this time: longer than any deadline of the proxy's.
const DEADLINE: Duration = Duration::from_secs(120);

/// One client, with the connection that it has.
#[derive(Debug)]
pub(super) struct Client {
    proxy: SocketAddr,
    hall: Rc<Hall>,
    wire: Option<Wire>,
}

/// What became of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// With the whole response.
    Answered,
    /// By millpond itself, for this reason.
    Refused(String),
    /// The connection ended before, or in the midst of, the response.
    Cut,
    /// The client has left, as planned.
    Left,
}

impl Client {
    pub(super) fn new(proxy: SocketAddr, hall: Rc<Hall>) -> Self {
        Self { proxy, hall, wire: None }
    }

    /// Asks for all of these, one after the other or, now and then, two at once.
    pub(super) async fn ask(&mut self, ids: std::ops::Range<u64>) {
        let mut ids = ids;
        while let Some(id) = ids.next() {
            let plan = Plan::of(self.hall.seed, id);
            let mut plans = vec![plan];
            if id % 16 == 0 && plans[0].client == Leaving::Never {
                plans.extend(ids.next().map(|id| Plan::of(self.hall.seed, id)));
            }
            let asked = timeout(DEADLINE, self.exchange(&plans)).await;
            if asked.is_err() {
                self.hall.violated(format!("neither an answer nor an end for {plans:?}"));
                self.wire = None;
            }
        }
    }

    async fn exchange(&mut self, plans: &[Plan]) {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::new(TcpStream::connect(self.proxy).await.expect("the proxy accepts")),
        };
        let requests: Vec<u8> = plans.iter().flat_map(Plan::request).collect();
        if let [Plan { client: Leaving::InRequest(at), .. }] = plans {
            let _ = wire.send(&requests[..*at]).await;
            wire.reset_on_close();
            return self.hall.note(Outcome::Left);
        }
        // It may be answered, and closed, before it is sent.
        let sent = wire.send(&requests).await;
        let mut goes_on = sent.is_ok();
        for (at, plan) in plans.iter().enumerate() {
            let Ok((outcome, persists)) = self.answer(&mut wire, plan).await else {
                (at..plans.len()).for_each(|_| self.hall.note(Outcome::Cut));
                return;
            };
            let has_left = outcome == Outcome::Left;
            self.hall.note(outcome);
            goes_on &= persists && !has_left;
            if has_left {
                break;
            }
            if !persists {
                (at + 1..plans.len()).for_each(|_| self.hall.note(Outcome::Cut));
                break;
            }
        }
        if goes_on && !wire.buffer.is_empty() {
            self.hall.violated(format!("behind {plans:?} came {}", wire.buffer.escape_ascii()));
        } else if goes_on {
            self.wire = Some(wire);
        }
    }

    /// Reads one answer, which is this request's, an error of millpond's, or an end; returns whether the
    /// connection goes on.
    async fn answer(&self, wire: &mut Wire, plan: &Plan) -> io::Result<(Outcome, bool)> {
        let head = loop {
            let head = wire.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if head.status() >= 200 {
                break head;
            }
        };
        let persists = !head.says_close();
        if let Some(reason) = head.reason() {
            if plan.method != Method::Head {
                wire.body(&head, |_| {}).await?;
            }
            return Ok((Outcome::Refused(reason.to_owned()), persists));
        }
        if head.field("x-id") != Some(&format!("{:016x}", plan.id)) {
            self.hall.violated(format!("{plan:?} was answered with {head:?}"));
        }
        if let Leaving::InResponse(_) = plan.client {
            wire.reset_on_close();
            return Ok((Outcome::Left, false));
        }
        let mut got = 0;
        if plan.method != Method::Head && head.status() != 204 {
            let own = format!("{:016x} ", plan.id).into_bytes();
            let mut is_own = true;
            let read = wire.body(&head, |part| {
                is_own &= part.iter().enumerate().all(|(at, byte)| *byte == own[(got + at) % own.len()]);
                got += part.len();
            });
            let read = read.await;
            if !is_own {
                self.hall.violated(format!("{plan:?} has bytes of another in its body"));
            }
            read?;
        }
        if plan.body().is_some_and(|length| length != got) {
            self.hall.violated(format!("{plan:?} has a body of {got} bytes that looks whole"));
        }
        Ok((Outcome::Answered, persists))
    }
}
