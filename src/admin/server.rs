//! Accepting and serving admin connections.

use super::AdminState;
use super::bind::{AdminSocket, Bound, SocketFile};
use super::feed::Pulse;
use super::guard::Transport;
use super::routes::{self, Visitor};
use super::site::Site;
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
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
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
/// its answer holds its place for a bounded time only. A stream goes on.
const MAX_AGE: Duration = Duration::from_secs(300);

/// A stream whose client has read nothing for this long is closed.
const STALL: Duration = Duration::from_secs(30);

/// Before a wrong token is answered: with [`MAX_CONNECTIONS`], it bounds how many can be tried.
const WRONG_TOKEN_PAUSE: Duration = Duration::from_millis(500);

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
    let closing = CancellationToken::new();
    let site = Arc::new(Site::new(state, socket.token, closing.clone()));
    let listener = Listener::new(socket.bound)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let (mut shutdown, mut ticking) = (pin!(shutdown), pin!(site.tick()));
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            never = &mut ticking => match never {},
            // Takes finished tasks out of the set, which would keep them otherwise.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(&places) => accepted,
        };
        match accepted {
            Ok(Accepted { stream, visitor, place }) => {
                let (site, closing) = (site.clone(), closing.clone());
                connections.spawn(async move {
                    connection(stream, &visitor, &site, &closing).await;
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

/// Serves one connection as those of a TCP socket without a token are, whatever carries it.
pub async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    state: Arc<AdminState>,
) {
    let closing = CancellationToken::new();
    let site = Site::new(state, None, closing.clone());
    let visitor = Visitor { transport: Transport::Tcp, peer: "memory".to_owned(), pulse: Arc::default() };
    connection(Box::new(stream), &visitor, &site, &closing).await;
}

struct Accepted {
    stream: Box<dyn Stream>,
    visitor: Visitor,
    place: OwnedSemaphorePermit,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file on drop")] SocketFile),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener {
    fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    /// Waits for a free place, then for a connection. Cancel-safe.
    async fn accept(&self, places: &Arc<Semaphore>) -> io::Result<Accepted> {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, transport, peer): (Box<dyn Stream>, _, _) = match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                (Box::new(stream), Transport::Tcp, peer.to_string())
            }
            Self::Unix(listener, _) => {
                (Box::new(listener.accept().await?.0), Transport::Unix, "unix".to_owned())
            }
        };
        Ok(Accepted { stream, visitor: Visitor { transport, peer, pulse: Arc::default() }, place })
    }
}

async fn connection(stream: Box<dyn Stream>, visitor: &Visitor, site: &Site, closing: &CancellationToken) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = routes::answer(&request, visitor, site);
        async move {
            if answer.wrong_token {
                if let Some(count) = site.failures.count(Instant::now()) {
                    tracing::warn!(
                        count,
                        last = visitor.peer,
                        "the admin server was asked with a wrong token"
                    );
                }
                sleep(WRONG_TOKEN_PAUSE).await;
            }
            Ok::<Response<_>, Infallible>(answer.reply().await)
        }
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
        () = outlived(&visitor.pulse) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(CLOSE_GRACE, serving).await;
}

/// Completes when a connection has had its time: [`MAX_AGE`], or with a stream on it, when that has
/// stalled.
async fn outlived(pulse: &Pulse) {
    let too_old = tokio::time::Instant::now() + MAX_AGE;
    let mut look_at = tokio::time::Instant::now() + STALL;
    loop {
        sleep_until(look_at).await;
        let end = pulse.last().map_or(too_old, |last| last + STALL);
        if end <= tokio::time::Instant::now() {
            return;
        }
        look_at = end.min(look_at + STALL);
    }
}

#[cfg(test)]
mod tests;
