//! The demo's clients. Each request ends with its answer or as a failure before a deadline, so that
//! a load always comes to its end.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// For one load as a whole; what has no answer by then has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// How a load went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Requests, failed ones included.
    pub(super) requests: usize,
    /// Requests without an answer of status 200.
    pub(super) failed: usize,
    /// From the first to the last.
    pub(super) elapsed: Duration,
}

/// Clients that send `each` requests on one connection.
pub(super) async fn keep_alive(proxy: SocketAddr, clients: usize, each: usize) -> Outcome {
    run(proxy, &vec![each; clients], Habit::Keep).await
}

/// Clients that share `requests` and open a connection for each.
pub(super) async fn reconnecting(proxy: SocketAddr, clients: usize, requests: usize) -> Outcome {
    let share = |client| requests / clients + usize::from(client < requests % clients);
    run(proxy, &(0..clients).map(share).collect::<Vec<_>>(), Habit::Reconnect).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Keep,
    Reconnect,
}

async fn run(proxy: SocketAddr, shares: &[usize], habit: Habit) -> Outcome {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for share in shares {
        clients.spawn(client(proxy, *share, habit, start + DEADLINE));
    }
    let requests: usize = shares.iter().sum();
    let answered: usize = clients.join_all().await.into_iter().sum();
    Outcome { requests, failed: requests - answered, elapsed: start.elapsed() }
}

/// Sends the requests one after another; returns how many were answered.
async fn client(proxy: SocketAddr, requests: usize, habit: Habit, deadline: Instant) -> usize {
    let mut connection = None;
    let mut answered = 0;
    for _ in 0..requests {
        match timeout_at(deadline, exchange(proxy, &mut connection)).await {
            Ok(Ok(())) => answered += 1,
            Ok(Err(_)) => connection = None,
            Err(_) => break,
        }
        if habit == Habit::Reconnect {
            connection = None;
        }
    }
    answered
}

type Connection = SendRequest<Empty<Bytes>>;

async fn exchange(
    proxy: SocketAddr,
    connection: &mut Option<Connection>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let sender = match connection {
        Some(sender) => sender,
        None => connection.insert(connect(proxy).await?),
    };
    sender.ready().await?;
    let request = Request::get("/").header(HOST, proxy.to_string()).body(Empty::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    if status == StatusCode::OK { Ok(()) } else { Err(status.to_string().into()) }
}

async fn connect(proxy: SocketAddr) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends, and closes the socket, when the sender is dropped; its errors reach the sender.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::origin;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn both_loads_come_to_their_end_at_the_origin() {
        let origin = origin::start().unwrap();
        let kept = block_on(keep_alive(origin, 3, 5));
        assert_eq!((kept.requests, kept.failed), (15, 0));
        let reconnected = block_on(reconnecting(origin, 3, 10));
        assert_eq!((reconnected.requests, reconnected.failed), (10, 0));
    }

    #[test]
    fn requests_that_nobody_answers_are_failures() {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = unused.local_addr().unwrap();
        drop(unused);
        let outcome = block_on(keep_alive(address, 2, 3));
        assert_eq!((outcome.requests, outcome.failed), (6, 6));
    }
}
