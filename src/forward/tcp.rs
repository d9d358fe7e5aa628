//! A TCP client's session: one connection to an endpoint, and a tunnel.

use super::acquire::Want;
use super::client_ip::hash_ip;
use super::lease::{Leased, lease};
use super::record::Record;
use super::tunnel::{Tunnel, TunnelEnd};
use crate::close::linger;
use crate::close::policy::ClientState;
use crate::listener::accept::Inlet;
use crate::reason::CloseReason;
use crate::session::Session;
use crate::timer::Timer;
use crate::worker::{Counted, Worker};
use std::rc::Rc;
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
    _counted: Counted,
}

impl TcpSession {
    /// A session that has not begun.
    pub fn new(worker: Rc<Worker>, inlet: Rc<Inlet>, stream: TcpStream, session: Session) -> Self {
        let (timer, counted) = (worker.timers.timer(), worker.count_session());
        Self { worker, inlet, stream, session, timer, _counted: counted }
    }

    /// Connects the client to an endpoint until either is done.
    pub async fn serve(mut self) {
        let mut record = Record::begin(&self.worker, b"", Instant::now());
        let key = hash_ip(self.session.client().0.ip());
        let (reason, label, state) =
            match Box::pin(lease(&self.inlet.group, key, Want::Own, &mut record)).await {
                Ok(leased) => {
                    let ended = self.tunnel(leased, &mut record).await;
                    (ended.reason, ended.reason.label(), ended.client_state())
                }
                Err(reason) => {
                    self.session.counters().rejects.inc(reason.index());
                    (CloseReason::UpstreamFailed, reason.label(), ClientState::OPEN)
                }
            };
        record.end_session(&self.session, &self.inlet, 0, Some(label), Instant::now());
        Box::pin(self.close(reason, state)).await;
    }

    async fn tunnel(&mut self, mut leased: Leased, record: &mut Record) -> TunnelEnd {
        leased.lease.become_tunnel();
        let tunnel = Tunnel {
            client: &mut self.stream,
            endpoint: leased.lease.connection().stream(),
            timer: &self.timer,
            pipes: &self.worker.pipes,
            limits: self.inlet.tunnel_limits(),
        };
        let buffers = &self.worker.buffers;
        let ended = tunnel.run(buffers.lend(), buffers.lend()).await;
        record.tunnelled(&ended, leased.lease.pool());
        leased.lease.end_tunnel(ended.reset);
        ended
    }

    async fn close(&mut self, reason: CloseReason, state: ClientState) {
        let (listener, buffers) = (&self.inlet.state.config, &self.worker.buffers);
        let done = linger::close(&mut self.stream, state, listener, &self.timer, buffers).await;
        self.session.ends(done.reason(reason));
    }
}
