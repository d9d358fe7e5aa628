//! The accept loop: never spins, never dies, and refuses with an answer.

use super::backoff::{AcceptError, Backoff, classify};
use crate::addr::ClientAddr;
use crate::config::model::Linger;
use crate::forward::dispatch;
use crate::listener::inlet::Inlet;
use crate::worker::{Worker, vital};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A listening socket on which a worker accepts.
#[derive(Debug)]
pub struct Accepting {
    id: u64,
    leave: CancellationToken,
    ended: CancellationToken,
}

impl Accepting {
    /// Which of its listener's sockets it is.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Accepts nobody more. Others have the socket, too, and so what waits in its queue.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Waits until nobody is accepted any more.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// Starts accepting on a socket, until [`Accepting::leave`], or until `closing` is cancelled and the
/// accept queue is empty.
///
/// # Errors
/// When the socket cannot be registered with the runtime.
pub fn start(
    worker: &Rc<Worker>,
    inlet: &Rc<Inlet>,
    id: u64,
    socket: std::net::TcpListener,
    closing: &CancellationToken,
) -> io::Result<Accepting> {
    let accepting = Accepting { id, leave: CancellationToken::new(), ended: CancellationToken::new() };
    let socket = TcpListener::from_std(socket)?;
    let (leave, closing, ended) = (accepting.leave.clone(), closing.clone(), accepting.ended.clone());
    let (worker, inlet) = (Rc::clone(worker), Rc::clone(inlet));
    vital::spawn(async move {
        // Whether it ends or panics.
        let _ended = ended.drop_guard();
        accept(worker, inlet, socket, leave, closing).await;
    });
    Ok(accepting)
}

async fn accept(
    worker: Rc<Worker>,
    mut inlet: Rc<Inlet>,
    socket: TcpListener,
    leave: CancellationToken,
    closing: CancellationToken,
) {
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = leave.cancelled() => return,
            accepted = socket.accept() => accepted,
            () = closing.cancelled() => break,
        };
        if let Some(newer) = inlet.newer() {
            inlet = newer;
        }
        match accepted {
            Ok((stream, client)) => {
                backoff.succeeded();
                admit(&worker, &inlet, stream, client);
            }
            Err(error) => recover(&worker, &inlet, &mut backoff, &error).await,
        }
    }
    if !worker.registry.succession.has_given_away(inlet.state.address.0) {
        empty_queue(&worker, &inlet, socket);
    }
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
        Ok(session) => dispatch::dispatch(worker, inlet, stream, session),
        Err(refusal) => dispatch::refuse(worker, inlet, stream, refusal),
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
