//! A TCP client's session: one connection to an endpoint, and a tunnel.

use super::acquire;
use super::client_ip::hash_ip;
use super::record::Record;
use super::tunnel::{Tunnel, TunnelEnd};
use crate::close::linger;
use crate::close::policy::{self, ClientState};
use crate::listener::accept::Inlet;
use crate::pool::Lease;
use crate::reason::{CloseReason, RejectReason};
use crate::session::Session;
use crate::timer::Timer;
use crate::upstream::group::Choice;
use crate::worker::{Counted, Worker};
use std::rc::Rc;
use std::time::Instant;
use tokio::net::TcpStream;

/// Endpoints tried for one session.
const MAX_CONNECT_TRIES: usize = 3;

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
        let (reason, label, state) = match Box::pin(self.connect(&mut record)).await {
            Ok((lease, choice)) => {
                let ended = self.tunnel(lease, &mut record).await;
                drop(choice);
                (ended.reason, ended.reason.label(), ended.client_state())
            }
            Err(reason) => {
                self.session.counters().rejects.inc(reason.index());
                let state = ClientState { peer_closed: false, announced_last: false, cut: false };
                (CloseReason::UpstreamFailed, reason.label(), state)
            }
        };
        record.end_session(&self.session, &self.inlet, 0, Some(label), Instant::now());
        Box::pin(self.close(reason, state)).await;
    }

    async fn connect(&mut self, record: &mut Record) -> Result<(Lease, Choice), RejectReason> {
        let group = &self.inlet.group;
        let key = hash_ip(self.session.client().0.ip());
        let tries = MAX_CONNECT_TRIES.min(group.state().endpoints.len());
        let (mut avoid, mut tried) = (None, 1);
        loop {
            let now = Instant::now();
            let choice = group.choose(key, avoid, now);
            record.endpoint = Some(group.state().endpoints[choice.endpoint()].address);
            if let Some(lease) = acquire::idle(group, choice.endpoint(), now) {
                return Ok((lease, choice));
            }
            match acquire::acquire(group, choice.endpoint(), false).await {
                Ok(lease) => {
                    record.connected(&lease);
                    return Ok((lease, choice));
                }
                Err(error) if error.is_endpoints_fault() && tried < tries => {
                    avoid = Some(choice.endpoint());
                    tried += 1;
                }
                Err(error) => {
                    let endpoint = group.state().endpoints[choice.endpoint()].address;
                    tracing::debug!(%endpoint, %error, "no connection for a session");
                    return Err(error.reason());
                }
            }
        }
    }

    async fn tunnel(&mut self, mut lease: Lease, record: &mut Record) -> TunnelEnd {
        let tunnel = Tunnel {
            client: &mut self.stream,
            endpoint: lease.connection().stream(),
            timer: &self.timer,
            pipes: &self.worker.pipes,
            limits: self.inlet.tunnel_limits(),
        };
        let buffers = &self.worker.buffers;
        let ended = tunnel.run(buffers.lend(), buffers.lend()).await;
        record.tunnelled(&ended, lease.pool());
        lease.end_tunnel(ended.reset);
        ended
    }

    async fn close(&mut self, reason: CloseReason, state: ClientState) {
        let config = &self.inlet.state.config;
        let plan = policy::client(config.socket.linger, state);
        let (stream, drain) = (&mut self.stream, config.timeout.linger);
        linger::close(stream, plan, drain, &self.timer, &self.worker.buffers).await;
        self.session.ends(plan.reason(reason));
    }
}
