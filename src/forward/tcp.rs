//! A TCP client's session: one connection to an endpoint, and a tunnel.

use super::acquire::Want;
use super::inbound::Inbound;
use super::lease::{self, Leased};
use super::record::Record;
use super::tunnel::{Lasting, Tunnel, TunnelEnd};
use super::waiting::{Gone, Waiting};
use crate::close::linger;
use crate::close::policy::ClientState;
use crate::listener::inlet::Inlet;
use crate::reason::{CloseReason, RejectReason};
use crate::session::{Phase, Session};
use crate::timer::Timer;
use crate::worker::Worker;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;

/// One client's session.
#[derive(Debug)]
pub struct TcpSession {
    worker: Rc<Worker>,
    inlet: Rc<Inlet>,
    stream: TcpStream,
    session: Session,
    timer: Timer,
}

impl TcpSession {
    /// A session that has not begun.
    pub fn new(worker: Rc<Worker>, inlet: Rc<Inlet>, stream: TcpStream, session: Session) -> Self {
        let timer = worker.timers.timer();
        session.entry().ends_by(&timer);
        Self { worker, inlet, stream, session, timer }
    }

    /// Connects the client to an endpoint until either is done.
    pub async fn serve(mut self) {
        self.session.enter(Phase::Waiting);
        let mut record = Record::begin(&self.worker, b"", Instant::now());
        let mut inbound = Inbound::new(self.worker.buffers.lend());
        let leased = Box::pin(self.lease(&mut inbound, &mut record)).await;
        let (reason, label, state) = match leased {
            Ok(Ok(leased)) => {
                let ended = self.tunnel(leased, inbound, &mut record).await;
                (ended.reason, ended.reason.label(), ended.client_state())
            }
            Ok(Err(reason)) => {
                self.session.counters().rejects.inc(reason.index());
                (CloseReason::UpstreamFailed, reason.label(), ClientState::OPEN)
            }
            Err(gone) => {
                let reason = gone.close_reason();
                (reason, reason.label(), ClientState { peer_closed: true, ..ClientState::OPEN })
            }
        };
        record.end_session(&self.session, &self.inlet, 0, Some(label), Instant::now());
        Box::pin(self.close(reason, state)).await;
    }

    /// A connection for the client, whose first bytes, and FIN, may come before it.
    async fn lease(
        &mut self,
        inbound: &mut Inbound,
        record: &mut Record,
    ) -> Result<Result<Leased, RejectReason>, Gone> {
        let key = lease::client_key(&self.inlet.group, &self.session);
        let client = Waiting {
            client: &mut self.stream,
            inbound,
            timer: &self.timer,
            half_close: self.inlet.state.config.timeout.half_close,
            abort_on_fin: false,
        };
        lease::lease(&self.inlet.group, key, Want::Own, record, client).await
    }

    async fn tunnel(&mut self, mut leased: Leased, inbound: Inbound, record: &mut Record) -> TunnelEnd {
        leased.lease.become_tunnel();
        self.session.enter_with(Phase::Tunnel, leased.lease.identity());
        let config = Arc::clone(&leased.lease.pool().config());
        let lasting = leased.lease.lasting_by().map(|at| Lasting { at, options: &config.socket });
        let tunnel = Tunnel {
            client: &mut self.stream,
            endpoint: leased.lease.connection().stream(),
            timer: &self.timer,
            pipes: &self.worker.pipes,
            limits: self.inlet.tunnel_limits().after_fin(inbound.closed, Instant::now()),
            lasting,
        };
        let ended = tunnel.run(inbound.input, self.worker.buffers.lend()).await;
        record.tunnelled(&ended, leased.lease.pool());
        leased.lease.discard(ended.ending());
        ended
    }

    async fn close(&mut self, reason: CloseReason, state: ClientState) {
        self.session.enter(Phase::Closing);
        let (listener, buffers) = (&self.inlet.state.config, &self.worker.buffers);
        let done = linger::close(&mut self.stream, state, listener, &self.timer, buffers).await;
        self.session.ends(done.reason(reason));
    }
}
