//! Carrying out how a client's connection is closed.

use super::policy::{self, ClientClose, ClientState};
use crate::buffer::BufferPool;
use crate::config::model::Listener;
use crate::sys::sock_diag::TcpState;
use crate::sys::sockopt;
use crate::sys::tcp_info::tcp_state;
use crate::timer::{RESOLUTION, Timer};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Prepares a client's connection for close(2), which follows at once, as the policy decides by its
/// listener's configuration and `state`; returns what was done.
pub async fn close(
    stream: &mut TcpStream,
    state: ClientState,
    listener: &Listener,
    timer: &Timer,
    buffers: &Rc<BufferPool>,
) -> ClientClose {
    // A queue that cannot be read counts as one that holds something: that costs no more than time.
    let unread = || sockopt::unread(stream).unwrap_or(usize::MAX);
    let unacknowledged = || sockopt::unacknowledged(stream).unwrap_or(usize::MAX);
    let plan = policy::client(listener.socket.linger, state, unread, unacknowledged);
    match plan {
        ClientClose::Close => {}
        ClientClose::Reset => reset(stream),
        ClientClose::ResetOnceAcknowledged { cut } => {
            let deadline = Instant::now() + listener.timeout.linger;
            if !acknowledged(stream, deadline, timer).await && !cut {
                return ClientClose::Close;
            }
            reset(stream);
        }
        ClientClose::Drain => {
            timer.set(Instant::now() + listener.timeout.linger);
            if shutdown(stream).await {
                read_to_end(stream, timer, buffers).await;
            }
        }
        ClientClose::Acknowledge(time) => {
            let deadline = Instant::now() + time;
            if shutdown(stream).await && !acknowledged(stream, deadline, timer).await {
                reset(stream);
            }
        }
    }
    plan
}

fn reset(stream: &TcpStream) {
    // On failure close(2) sends FIN: the connection is over in any case.
    let _ = sockopt::reset_on_close(stream);
}

/// Sends FIN; `false` if the connection is gone already.
async fn shutdown(stream: &mut TcpStream) -> bool {
    poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await.is_ok()
}

/// Reads and drops what the peer sends until its FIN, its reset, or the deadline.
async fn read_to_end(stream: &mut TcpStream, timer: &Timer, buffers: &Rc<BufferPool>) {
    poll_fn(|cx| {
        if timer.poll_expired(cx) {
            return Poll::Ready(());
        }
        let mut scrap = buffers.lend();
        loop {
            let mut into = ReadBuf::new(scrap.space());
            match Pin::new(&mut *stream).poll_read(cx, &mut into) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// Whether the peer acknowledged everything, FIN included, before the deadline, or is gone. The kernel
/// reports this by no event, so the queue is looked at from time to time.
async fn acknowledged(stream: &TcpStream, deadline: Instant, timer: &Timer) -> bool {
    loop {
        if sockopt::unacknowledged(stream).is_ok_and(|bytes| bytes == 0) || is_gone(stream) {
            return true;
        }
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        timer.set((now + RESOLUTION).min(deadline));
        timer.expired().await;
    }
}

/// Whether nobody is there any more to acknowledge anything; the queue does not tell.
fn is_gone(stream: &TcpStream) -> bool {
    tcp_state(stream).is_ok_and(|state| state == TcpState::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse_str;
    use crate::timer::Timers;
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::{LocalSet, spawn_local};

    fn listener(linger: &str) -> Arc<Listener> {
        let text = format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\nupstream = \"app\"\nsocket.linger = \"{linger}\"\n\
             timeout.linger = \"5s\"\n[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:1\"]\n"
        );
        Arc::clone(&parse_str("test.toml", &text).unwrap().config.listeners[0])
    }

    /// The proxy's end and the client's.
    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let acceptor = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = std::net::TcpStream::connect(acceptor.local_addr().unwrap()).unwrap();
        (acceptor.accept().await.unwrap().0, client)
    }

    /// Closes a connection of a listener with this configuration; returns what was done, and the time it
    /// took.
    async fn closed(mut stream: TcpStream, state: ClientState, linger: &str) -> (ClientClose, Duration) {
        let closing = async {
            let timers = Timers::new(Instant::now());
            spawn_local(Rc::clone(&timers).drive());
            let start = Instant::now();
            let listener = listener(linger);
            let done = close(&mut stream, state, &listener, &timers.timer(), &Rc::default()).await;
            (done, start.elapsed())
        };
        LocalSet::new().run_until(closing).await
    }

    /// Bytes came behind the last request and were not read: close(2) alone would be an RST.
    #[tokio::test]
    async fn what_was_not_read_is_read_before_the_close() {
        let (mut stream, mut client) = pair().await;
        client.write_all(b"unread").unwrap();
        stream.readable().await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        let reading = std::thread::spawn(move || {
            let mut answer = String::new();
            client.read_to_string(&mut answer).map(|_| answer)
        });
        let last = ClientState { announced_last: true, ..ClientState::OPEN };
        let (done, took) = closed(stream, last, "graceful").await;
        assert_eq!(done, ClientClose::Drain);
        assert_eq!(reading.join().unwrap().unwrap(), "answer");
        assert!(took < Duration::from_secs(4), "it waits for the client's FIN alone");
    }

    /// What a client that is gone has not acknowledged, nobody will.
    #[tokio::test]
    async fn nobody_waits_for_a_client_that_has_reset() {
        let (stream, client) = pair().await;
        while stream.try_write(&[0; 65_536]).is_ok() {}
        sockopt::reset_on_close(&client).unwrap();
        drop(client);
        while !is_gone(&stream) {
            tokio::task::yield_now().await;
        }
        let (done, took) = closed(stream, ClientState { cut: true, ..ClientState::OPEN }, "graceful").await;
        assert_eq!(done, ClientClose::ResetOnceAcknowledged { cut: true });
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}
