//! The accept loop: never spins, never dies, and refuses with an answer.

use super::backoff::{AcceptError, Backoff, classify};
use crate::addr::ClientAddr;
use crate::config::model::{ClientFin, Linger};
use crate::forward::dispatch;
use crate::forward::exchange::Deadlines;
use crate::forward::half_close::Limits;
use crate::registry::ListenerState;
use crate::upstream::group::Group;
use crate::worker::Worker;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One listening address in one worker.
#[derive(Debug)]
pub struct Inlet {
    /// The address, its configuration and its counters.
    pub state: Arc<ListenerState>,
    /// Where its sessions go.
    pub group: Rc<Group>,
}

impl Inlet {
    /// How long each side of an exchange may keep the other waiting.
    pub fn deadlines(&self) -> Deadlines {
        let (client, endpoint) = (&self.state.config.timeout, &self.group.state().config.timeout);
        Deadlines {
            client_body: client.body,
            client_half_close: client.half_close,
            response_head: endpoint.response_header,
            endpoint_body: endpoint.body,
            endpoint_half_close: endpoint.half_close,
        }
    }

    /// Whether a client's FIN before its answer is taken for leaving, where that is safe.
    pub fn aborts_on_fin(&self) -> bool {
        self.state.config.client_fin == ClientFin::Abort
    }

    /// The deadlines of a tunnel.
    pub fn tunnel_limits(&self) -> Limits {
        let client = &self.state.config.timeout;
        Limits {
            idle: client.idle,
            client_half_close: client.half_close,
            endpoint_half_close: self.group.state().config.timeout.half_close,
        }
    }
}

/// Starts accepting on each socket. The tasks end when `drain` is cancelled and the accept queues
/// are empty.
///
/// # Errors
/// When a socket cannot be registered with the runtime.
pub fn start(
    worker: &Rc<Worker>,
    listeners: Vec<(Arc<ListenerState>, std::net::TcpListener)>,
    groups: &[Rc<Group>],
    drain: &CancellationToken,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::with_capacity(listeners.len());
    for (state, socket) in listeners {
        let group = Rc::clone(&groups[state.config.upstream]);
        let inlet = Rc::new(Inlet { state, group });
        let socket = TcpListener::from_std(socket)?;
        tasks.push(tokio::task::spawn_local(accept(Rc::clone(worker), inlet, socket, drain.clone())));
    }
    Ok(tasks)
}

async fn accept(worker: Rc<Worker>, inlet: Rc<Inlet>, socket: TcpListener, drain: CancellationToken) {
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = drain.cancelled() => break,
        };
        match accepted {
            Ok((stream, client)) => {
                backoff.succeeded();
                admit(&worker, &inlet, stream, client);
            }
            Err(error) => recover(&worker, &inlet, &mut backoff, &error).await,
        }
    }
    empty_queue(&worker, &inlet, socket);
}

/// Admits whoever the kernel has accepted already: closing the listening socket would reset them. The
/// kernel is asked itself, because the runtime may not have heard of the last ones.
fn empty_queue(worker: &Rc<Worker>, inlet: &Rc<Inlet>, socket: TcpListener) {
    let Ok(socket) = socket.into_std() else { return };
    while let Ok((stream, client)) = socket.accept() {
        let registered = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = registered {
            admit(worker, inlet, stream, client);
        }
    }
}

/// Opens a session for the client, or refuses it with an answer.
fn admit(worker: &Rc<Worker>, inlet: &Rc<Inlet>, stream: TcpStream, client: SocketAddr) {
    let client = ClientAddr(client);
    if matches!(inlet.state.config.socket.linger, Linger::Timed(_)) {
        // Inherited from the listening socket, it would make close(2) wait, and the worker with it,
        // even on a non-blocking socket. `close::linger` does what it stands for. Should this fail,
        // only that time is lost.
        let _ = SockRef::from(&stream).set_linger(None);
    }
    match worker.sessions.open(&inlet.state, client, Instant::now()) {
        Some(session) => dispatch::dispatch(worker, inlet, stream, session),
        None => dispatch::refuse(worker, inlet, stream),
    }
}

/// After an error of accept(2): goes on at once when only that connection was lost, rests when the
/// process or the kernel is out of something.
async fn recover(worker: &Rc<Worker>, inlet: &Rc<Inlet>, backoff: &mut Backoff, error: &io::Error) {
    inlet.state.workers[worker.index].accept_errors.inc();
    match classify(error) {
        AcceptError::Connection => {}
        AcceptError::Exhausted | AcceptError::Fatal => {
            let pause = backoff.failed();
            let listener = &inlet.state.config.name;
            tracing::warn!(%listener, %error, ?pause, "cannot accept");
            let timer = worker.timers.timer();
            timer.set(Instant::now() + pause);
            timer.expired().await;
        }
    }
}
