//! Idle connections that go to another process.

use super::Ending;
use super::connection::Detached;
use crate::config::model;
use crate::metrics::counters::EndpointCounters;
use crate::reason::DiscardReason;
use crate::registry::EndpointState;
use crate::sys::sock_diag::TcpState;
use crate::sys::tcp_info::TcpInfo;
use crate::upgrade::Moved;
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Where connections go that are to be another process's.
pub type Heir = mpsc::Sender<Lent>;

/// For how long nobody here has wanted a connection before it is given away, while this process drains: its
/// last sessions would dial others in its place.
pub const IDLE_BEFORE_GIVEN: Duration = Duration::from_millis(5);

/// A connection that is out of its pool and has not been closed, for another process to take over. Nothing is
/// written on it meanwhile.
#[derive(Debug)]
pub struct Lent {
    endpoint: Arc<EndpointState>,
    upstream: Arc<model::Upstream>,
    worker: usize,
    connection: Detached,
    traffic: Option<Traffic>,
}

/// What the kernel has counted on a connection: segments with data, in and out.
type Traffic = (u32, u32);

impl Lent {
    /// A connection out of this worker's pool.
    pub fn new(
        endpoint: &Arc<EndpointState>,
        upstream: &Arc<model::Upstream>,
        worker: usize,
        connection: Detached,
    ) -> Self {
        let traffic = traffic(connection.stream());
        Self { endpoint: Arc::clone(endpoint), upstream: Arc::clone(upstream), worker, connection, traffic }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.connection.stream()
    }

    /// What the other process is told of it.
    pub fn describe(&self, now: Instant) -> Moved {
        let life = self.connection.life();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Moved {
            upstream: self.upstream.name.clone(),
            endpoint: self.endpoint.address.0,
            age_ms: millis(now.saturating_duration_since(life.established)),
            uses: life.uses,
            idle_ms: millis(now.saturating_duration_since(life.idle_since)),
            retire_in_ms: life.retire_at.map(|at| millis(at.saturating_duration_since(now))),
            connect_us: u64::try_from(life.connect_time.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// The other process has it: lets go of it, which is not a close.
    pub fn let_go(self) {
        self.connection.let_go();
    }

    /// The other process does not take it, or has gone: as it was, for its pool; closed, if anything has been
    /// sent or received on it since it was taken out.
    pub fn take_back(self) -> Option<(Arc<EndpointState>, Detached)> {
        if self.traffic.is_none() || traffic(self.stream()) != self.traffic {
            self.close(DiscardReason::Aborted);
            return None;
        }
        Some((self.endpoint, self.connection))
    }

    /// Closes it by the close policy.
    pub fn close(self, reason: DiscardReason) {
        let counters: &EndpointCounters = &self.endpoint.workers[self.worker];
        self.connection.close(Ending::from(reason), self.upstream.socket.close, counters);
    }
}

/// `None`: the kernel does not tell, or the connection is not open both ways any more.
fn traffic(stream: &TcpStream) -> Option<Traffic> {
    let info = TcpInfo::of(stream).ok().filter(|info| info.state == TcpState::Established)?;
    Some((info.data_segs_in?, info.data_segs_out?))
}
