//! Carrying out how a client's connection is closed.

use super::policy::{self, ClientClose, ClientFacts, ClientState};
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
    let plan = policy::client(ClientFacts {
        linger: listener.socket.linger,
        state,
        // A queue that cannot be read counts as one that holds something: that costs no more than time.
        unread: sockopt::unread(stream).unwrap_or(usize::MAX),
        unacknowledged: sockopt::unacknowledged(stream).unwrap_or(usize::MAX),
    });
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
