//! What the control side asks of a worker: the only way in which it touches sessions and pools.
//!
//! Commands wait in a queue that is bounded and never waited for: a worker that does not take them
//! has trouble of its own.

use crate::addr::Ends;
use crate::config::model;
use crate::pool::connection::Detached;
use crate::pool::heir::Heir;
use crate::registry::{EndpointState, ListenerState, Running};
use crate::session::Phase;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Commands that wait for one worker at the most.
const QUEUE: usize = 16;

/// Where commands to one worker go.
pub type Sender = tokio::sync::mpsc::Sender<Command>;
/// Where it finds them.
pub type Receiver = tokio::sync::mpsc::Receiver<Command>;

/// The way to one worker.
pub fn channel() -> (Sender, Receiver) {
    tokio::sync::mpsc::channel(QUEUE)
}

/// Something that a worker is to do. Nobody may be left to hear the answer: that is no error.
#[derive(Debug)]
pub enum Command {
    /// Go on with another configuration.
    Run(Orders),
    /// Leave listening sockets and endpoints to the others, and end when the last session has, or when
    /// this much time has passed.
    Leave(Duration),
    /// Say that you live.
    Ping(mpsc::Sender<()>),
    /// Do this, so that a test can see what becomes of it. No release has this.
    #[cfg(debug_assertions)]
    Fault(Fault),
    /// Take in these idle connections, each to its endpoint.
    Adopt(Vec<(Arc<EndpointState>, Detached)>),
    /// Give away what has been idle for at least this long.
    Lend {
        /// For how long.
        idle_for: Duration,
        /// Where to. Dropped when that is all.
        to: Heir,
    },
    /// Tell which of these sockets are yours.
    Find {
        /// The sockets.
        sockets: Arc<[Suspect]>,
        /// The answer: those that are.
        answer: mpsc::Sender<Vec<Holding>>,
    },
    /// Close this socket, if it is yours, whatever it is at.
    Reap {
        /// The socket.
        socket: Suspect,
        /// For how long it has been stuck, for the log.
        stuck: Duration,
    },
    /// Tell of every connection that you hold.
    List {
        /// The answer, a page after the other; an empty one is the end.
        answer: mpsc::Sender<Vec<Held>>,
    },
}

/// What a test has a worker do between two turns of its sessions: wait, or panic.
#[cfg(debug_assertions)]
pub struct Fault(pub Box<dyn FnOnce() + Send>);

#[cfg(debug_assertions)]
impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fault")
    }
}

/// What a worker holds: as many of these as it has descriptors for connections, at the most.
#[derive(Clone, Debug)]
pub enum Held {
    /// A client's session, with its connection to an endpoint, if it has one.
    Session {
        /// The address that the client came to.
        listener: Arc<ListenerState>,
        /// The client.
        client: SocketAddr,
        /// What the session is at.
        phase: Phase,
        /// When it was opened, to a tenth of a second.
        opened: Instant,
        /// The connection that it has leased. Apart, because idle clients are many.
        link: Option<Box<Link>>,
    },
    /// A connection that is idle in a pool.
    Idle(Box<Link>),
}

/// A connection to an endpoint.
#[derive(Clone, Debug)]
pub struct Link {
    /// The upstream.
    pub upstream: Arc<model::Upstream>,
    /// The endpoint.
    pub endpoint: Arc<EndpointState>,
    /// Our address.
    pub local: SocketAddr,
    /// When it was established.
    pub established: Instant,
    /// Exchanges begun on it.
    pub uses: u64,
}

/// What one worker is to run.
#[derive(Debug)]
pub struct Orders {
    /// What runs.
    pub running: Arc<Running>,
    /// For each listener in turn, the sockets on which this worker accepts; on no others.
    pub places: Vec<Vec<Place>>,
    /// Told when it is done, or why not all of it is.
    pub answer: mpsc::Sender<io::Result<()>>,
}

/// A listening socket on which a worker accepts.
#[derive(Debug)]
pub struct Place {
    /// Its name among the sockets of its listener.
    pub id: u64,
    /// The socket, non-blocking; `None`: the worker has it already.
    pub socket: Option<TcpListener>,
}

/// The workers that may be asked, which a reload may change.
#[derive(Clone, Debug, Default)]
pub struct Crew(Arc<Mutex<Vec<(usize, Sender)>>>);

impl Crew {
    /// These workers, each with its place.
    pub fn new(workers: Vec<(usize, Sender)>) -> Self {
        Self(Arc::new(Mutex::new(workers)))
    }

    /// The places of those that run, and the way to each.
    pub fn senders(&self) -> Vec<(usize, Sender)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, worker)| !worker.is_closed()).cloned().collect()
    }

    /// One more works, at this place.
    pub fn join(&self, place: usize, worker: Sender) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((place, worker));
    }

    /// Forgets those that have ended.
    pub fn forget_ended(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, worker)| !worker.is_closed());
    }
}

/// A socket in CLOSE_WAIT that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suspect {
    /// Its addresses.
    pub ends: Ends,
    /// Who its peer is.
    pub peer: Peer,
}

/// Who the peer of one of our sockets is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A client.
    Client,
    /// An endpoint.
    Endpoint,
}

impl Peer {
    /// The side of ours that has such a peer, as it is called in JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Endpoint => "upstream",
        }
    }
}

/// What a worker knows of a socket that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The socket.
    pub socket: Suspect,
    /// What its session is at; an idle connection of a pool is idle.
    pub phase: Phase,
    /// Whether it has a session with a deadline that is still to come.
    pub has_deadline: bool,
    /// The session's other socket, if it has one. Its local address may be a wildcard.
    pub other: Option<Ends>,
}
