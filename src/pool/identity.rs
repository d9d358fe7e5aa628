//! What a connection to an endpoint is called, by whoever has it and whoever asks.

use super::connection::Life;
use crate::addr::plain;
use crate::config::model;
use crate::registry::EndpointState;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;

/// The name of one connection in one worker, shared by the connection and by the session that has
/// leased it: it costs a request two counts of references, and no question to the kernel.
#[derive(Debug)]
pub struct Identity {
    /// The upstream.
    pub upstream: Arc<model::Upstream>,
    /// The endpoint.
    pub endpoint: Arc<EndpointState>,
    /// The connection's local address, [`plain`].
    pub local: SocketAddr,
    /// When it was established.
    pub established: Instant,
    uses: Cell<u64>,
    condemned: Cell<bool>,
}

impl Identity {
    /// The name of a connection just established, or taken over from another worker.
    pub fn new(
        upstream: &Arc<model::Upstream>,
        endpoint: &Arc<EndpointState>,
        stream: &TcpStream,
        life: &Life,
    ) -> Rc<Self> {
        // getsockname(2) fails for want of memory only, and then nobody finds the connection.
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Rc::new(Self {
            upstream: Arc::clone(upstream),
            endpoint: Arc::clone(endpoint),
            local: stream.local_addr().map_or(nowhere, plain),
            established: life.established,
            uses: Cell::new(life.uses),
            condemned: Cell::new(false),
        })
    }

    /// Exchanges begun on it.
    pub fn uses(&self) -> u64 {
        self.uses.get()
    }

    /// So many exchanges were begun on it by now.
    pub(super) fn used(&self, uses: u64) {
        self.uses.set(uses);
    }

    /// The reaper has chosen this connection: it is to be closed when its session is ended.
    pub fn condemn(&self) {
        self.condemned.set(true);
    }

    /// Whether the reaper has chosen it.
    pub fn is_condemned(&self) -> bool {
        self.condemned.get()
    }
}
