//! Accepting and serving admin connections.

use super::bind::{AdminSocket, Bound, SocketFile};
use super::guard::Transport;
use super::{AdminState, routes};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// A request head, in bytes, and its fields.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;

/// From the moment a request could come until its head is read whole; also how long a connection
/// may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// After this long a connection is closed between two requests, so that a client that does not read
/// its answer holds its place for a bounded time only.
const MAX_AGE: Duration = Duration::from_secs(300);

/// What an answer may still take when its connection is closed for age or for the shutdown.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// After an error of accept(2), which most often is a want of descriptors that passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Serves until `shutdown` completes, then ends within about a second. Must be polled within a tokio
/// runtime with I/O and time. An error: the socket could not be given to the runtime.
pub async fn serve(
    socket: AdminSocket,
    state: Arc<AdminState>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = Listener::new(socket)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            // Takes finished tasks out of the set, which would keep them otherwise.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(&places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (state, closing, transport) = (state.clone(), closing.clone(), listener.transport());
                connections.spawn(async move {
                    connection(stream, transport, &state, &closing).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin server could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    closing.cancel();
    // What has not ended by then is cut when the set is dropped.
    let _ = timeout(2 * CLOSE_GRACE, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file on drop")] SocketFile),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener {
    fn new(socket: AdminSocket) -> io::Result<Self> {
        Ok(match socket.0 {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Unix(..) => Transport::Unix,
        }
    }

    /// Waits for a free place, then for a connection. Cancel-safe.
    async fn accept(&self, places: &Arc<Semaphore>) -> io::Result<(Box<dyn Stream>, OwnedSemaphorePermit)> {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let stream: Box<dyn Stream> = match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener, _) => Box::new(listener.accept().await?.0),
        };
        Ok((stream, place))
    }
}

async fn connection(
    stream: Box<dyn Stream>,
    transport: Transport,
    state: &Arc<AdminState>,
    closing: &CancellationToken,
) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<Response<_>, Infallible>(routes::answer(&request, transport, state))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        // An error is the client's: it left, or sent what is not HTTP and got its 4xx.
        _ = &mut serving => return,
        () = closing.cancelled() => {}
        () = sleep(MAX_AGE) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(CLOSE_GRACE, serving).await;
}

#[cfg(test)]
mod tests;
