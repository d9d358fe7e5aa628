//! Taking over from the process that started this one.

use super::service::Service;
use crate::command::{Command, Crew, Sender};
use crate::config::model::Config;
use crate::pool::connection::{Detached, Life, OpenSlot};
use crate::registry::{self, EndpointState, Registry, UpstreamState};
use crate::source::lease::PortLease;
use crate::source::level::Level;
use crate::sys::fd_passing::FdSocket;
use crate::upgrade::{FromNew, FromOld, Link, LinkError, Moved, PROTOCOL, VARIABLE};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long the predecessor may take for each step; it looks after its pools meanwhile.
const STEP: Duration = Duration::from_secs(30);

/// How long it may have nothing to give. It drains: its end is what is waited for.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The process that this one takes over from.
#[derive(Debug)]
pub struct Predecessor {
    link: Link<FromNew, FromOld>,
    pid: u32,
    version: String,
}

/// Why nothing can be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The variable was set by somebody else.
    #[error(
        "{VARIABLE} is set, but standard input is not the connection to another millpond ({0}): unset it"
    )]
    NoConnection(io::Error),
    /// The conversation broke off.
    #[error("cannot take over: {0}")]
    Link(#[from] LinkError),
    /// The predecessor said something else than was its turn.
    #[error("cannot take over: the other process said something else: {0}")]
    Unexpected(String),
}

/// Sockets that listen already when the process starts.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    /// Those of each address of the configuration, in its order.
    pub(super) listeners: Vec<Vec<TcpListener>>,
    /// That of the admin server.
    pub(super) admin: Option<OwnedFd>,
    /// Whether the file of that one, if it has any, is not this process's to remove.
    pub(super) keeps_admin_file: bool,
    /// Whether another user has made them, so that there can be no others beside them: all workers share them.
    pub(super) is_shared: bool,
}

impl Inherited {
    /// How many there are for listeners.
    pub(super) fn count(&self) -> usize {
        self.listeners.iter().map(Vec::len).sum()
    }
}

impl Predecessor {
    /// The process that started this one for an upgrade; `None`: nobody did.
    ///
    /// # Errors
    /// When the environment says that one did, and none answers.
    pub fn from_environment() -> Result<Option<Self>, TakeoverError> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let socket = FdSocket::from_stdin().map_err(TakeoverError::NoConnection)?;
        let link = Link::new(socket);
        let (version, own) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        link.say(&FromNew::Greeting { protocols: vec![PROTOCOL], version, pid: own }, &[], STEP)?;
        match link.hear(STEP, &|| false)?.0 {
            FromOld::Greeting { version, pid, .. } => Ok(Some(Self { link, pid, version })),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells it why this process cannot serve.
    pub fn fail(&self, why: String) {
        /// Of many mistakes, the first.
        const MOST: usize = 8 * 1024;
        let why = match why.char_indices().nth(MOST) {
            Some((end, _)) => why[..end].to_owned(),
            None => why,
        };
        // It hears of the end of this process all the same.
        let _ = self.link.say(&FromNew::Failed { why }, &[], STEP);
    }

    /// What it has of the sockets of this configuration. `admin` is the name of the admin server's address.
    pub(super) fn sockets(&self, config: &Config, admin: String) -> Result<Inherited, TakeoverError> {
        let listeners: Vec<SocketAddr> =
            config.listeners.iter().flat_map(|listener| &listener.bind).copied().collect();
        let mut inherited = Inherited::default();
        inherited.listeners.resize_with(listeners.len(), Vec::new);
        self.link.say(&FromNew::Wants { listeners, admin }, &[], STEP)?;
        loop {
            let (message, descriptors) = self.link.hear(STEP, &|| false)?;
            match message {
                FromOld::Listener { place } if place < inherited.listeners.len() => {
                    inherited.listeners[place].extend(descriptors.into_iter().map(TcpListener::from));
                }
                FromOld::Admin { keeps_file } => {
                    inherited.admin = descriptors.into_iter().next();
                    inherited.keeps_admin_file = keeps_file;
                }
                FromOld::EndOfSockets => return Ok(inherited),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// All is there; takes idle connections until it is told to serve. When the predecessor is gone, nobody
    /// else is left to serve: it ends this process before it closes the connection.
    pub(super) fn wait_for_word(
        &self,
        estate: &mut Estate,
        listening_sockets: usize,
        bound: usize,
    ) -> Result<(), TakeoverError> {
        let predecessor = registry::Predecessor {
            pid: self.pid,
            version: self.version.clone(),
            listening_sockets,
            has_ended: false,
        };
        estate.registry.succession.took_over_from(predecessor);
        self.link.say(&FromNew::Ready { bound }, &[], STEP)?;
        loop {
            match self.link.hear(STEP, &|| false) {
                Ok((FromOld::Connections { connections }, descriptors)) => {
                    let refused = estate.take(connections, descriptors);
                    self.link.say(&FromNew::Taken { refused }, &[], STEP)?;
                }
                Ok((FromOld::Serve, _)) => {
                    estate.expect_more();
                    return Ok(());
                }
                Ok((other, _)) => return Err(unexpected(&other)),
                Err(LinkError::Gone) => {
                    tracing::error!(
                        pid = self.pid,
                        "the predecessor has ended before its time: serving alone"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says that this process serves, and takes what the predecessor gives up while it drains, on a thread that
    /// ends with it. Returns when the predecessor has let go.
    pub(super) fn relieve(self, mut estate: Estate, over: CancellationToken, service: &Service) {
        // One that is gone need not know.
        let _ = self.link.say(&FromNew::Serving, &[], STEP);
        if let Ok((FromOld::Succeeded, _)) = self.link.hear(STEP, &|| over.is_cancelled()) {
            estate.expect_more();
        }
        service.ready();
        let take = move || {
            while let Ok((FromOld::Connections { connections }, descriptors)) =
                self.link.hear(PATIENCE, &|| over.is_cancelled())
            {
                let refused = estate.take(connections, descriptors);
                if self.link.say(&FromNew::Taken { refused }, &[], STEP).is_err() {
                    break;
                }
            }
            estate.close(self.pid);
        };
        if let Err(error) = thread::Builder::new().name("takeover".into()).spawn(take) {
            tracing::error!(%error, "no thread for what the predecessor gives up: it is closed");
        }
    }
}

/// Where the connections go that come from a predecessor.
#[derive(Debug)]
pub(super) struct Estate {
    registry: Arc<Registry>,
    crew: Crew,
    turn: usize,
}

impl Estate {
    pub(super) fn new(registry: Arc<Registry>, crew: Crew) -> Self {
        Self { registry, crew, turn: 0 }
    }

    /// Gives connections to the workers; returns the places of those that are of no use here, which are closed
    /// without a word to the endpoint, as the predecessor has them, too.
    fn take(&mut self, connections: Vec<Moved>, descriptors: Vec<OwnedFd>) -> Vec<usize> {
        let now = Instant::now();
        let workers = self.crew.senders();
        let mut shares: Vec<Vec<(Arc<EndpointState>, Detached)>> = Vec::new();
        shares.resize_with(workers.len(), Vec::new);
        let count = connections.len();
        let mut refused: Vec<usize> = (descriptors.len()..count).collect();
        for (place, (moved, descriptor)) in connections.into_iter().zip(descriptors).enumerate() {
            let adopted = self.adopt(&moved, TcpStream::from(descriptor), now);
            match adopted.filter(|_| !workers.is_empty()) {
                Some((endpoint, connection)) => {
                    endpoint.handover.expect_gifts(now);
                    let worker = self.worker_for(&endpoint, &workers);
                    shares[worker].push((endpoint, connection));
                }
                None => refused.push(place),
            }
        }
        self.registry.succession.count_connections(count - refused.len());
        for ((_, worker), share) in workers.iter().zip(shares).filter(|(_, share)| !share.is_empty()) {
            // One that has ended closes them.
            let _ = worker.blocking_send(Command::Adopt(share));
        }
        refused
    }

    /// Counts a connection as one of this process.
    fn adopt(
        &self,
        moved: &Moved,
        stream: TcpStream,
        now: Instant,
    ) -> Option<(Arc<EndpointState>, Detached)> {
        let running = self.registry.running();
        let named = |upstream: &&Arc<UpstreamState>| upstream.config.name == moved.upstream;
        let upstream = running.upstreams.iter().find(named)?;
        let endpoint = upstream.endpoints.iter().find(|endpoint| endpoint.address.0 == moved.endpoint)?;
        let is_there = stream.peer_addr().is_ok_and(|peer| peer == moved.endpoint);
        let local = stream.local_addr().ok().filter(|_| is_there)?.ip();
        stream.set_nonblocking(true).ok()?;
        let (budget, most) = (&self.registry.budget, upstream.config.pool.max_connections);
        let port = || PortLease::adopt(&endpoint.sources(), local, now).ok_or(Level::Refuse);
        let slot = OpenSlot::take(endpoint, budget, &endpoint.handover, most, port).ok()?;
        Some((Arc::clone(endpoint), Detached::new(stream, Life::going_on(slot, moved, now))))
    }

    /// A worker in which somebody waits for such a connection, or else the next one.
    fn worker_for(&mut self, endpoint: &EndpointState, workers: &[(usize, Sender)]) -> usize {
        self.turn += 1;
        let starved = workers.iter().position(|(place, _)| endpoint.workers[*place].starved.get() > 0);
        starved.unwrap_or(self.turn % workers.len())
    }

    fn expect_more(&self) {
        let now = Instant::now();
        self.registry.running().endpoints().for_each(|endpoint| endpoint.handover.expect_gifts(now));
    }

    /// The predecessor has ended.
    fn close(&self, pid: u32) {
        let now = Instant::now();
        self.registry.running().endpoints().for_each(|endpoint| endpoint.handover.expect_last_gifts(now));
        self.registry.succession.predecessor_ended();
        let connections = self.registry.succession.connections();
        tracing::info!(pid, connections, "the predecessor has ended");
    }
}

fn unexpected(message: &FromOld) -> TakeoverError {
    TakeoverError::Unexpected(format!("{message:?}"))
}
