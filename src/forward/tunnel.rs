//! Two connections that became one: bytes both ways, each FIN passed on by itself.

use super::blocked::Source;
use super::half_close::HalfClose;
pub use super::half_close::Limits;
use super::socket::{Socket, look, poll_read};
use super::splice::{Bypass, Pipes};
use super::turn::{TURN, yield_turn};
use crate::buffer::Lent;
use crate::close::policy::{ClientState, FirstFin};
use crate::pool::Ending;
use crate::reason::{CloseReason, DiscardReason};
use crate::sys::tcp_info::tcp_state;
use crate::timer::Timer;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// The least idle time of an upgraded HTTP connection: its protocol has keep-alives of its own, or
/// none, and `listener.timeout.idle` is meant for the time between two requests.
pub const UPGRADED_IDLE: Duration = Duration::from_secs(3600);

/// A tunnel between a client and an endpoint.
#[derive(Debug)]
pub struct Tunnel<'a, C, U> {
    /// The client's socket.
    pub client: &'a mut C,
    /// The endpoint's socket.
    pub endpoint: &'a mut U,
    /// What wakes the task for a deadline.
    pub timer: &'a Timer,
    /// Where long flows find pipes.
    pub pipes: &'a Rc<Pipes>,
    /// The deadlines.
    pub limits: Limits,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug)]
pub struct TunnelEnd {
    /// Why.
    pub reason: CloseReason,
    /// Whether the endpoint's side was reset, or is to be: the failure is passed on.
    pub reset: bool,
    /// Bytes carried from the client to the endpoint.
    pub to_endpoint: u64,
    /// Bytes carried from the endpoint to the client.
    pub to_client: u64,
    client_closed: bool,
    endpoint_closed: bool,
    /// Whose FIN came first on the endpoint's side, if the client's was passed on to it.
    first_fin: Option<FirstFin>,
}

impl TunnelEnd {
    /// What the close policy needs to know of the client's side.
    pub fn client_state(&self) -> ClientState {
        let closed = self.client_closed;
        ClientState { peer_closed: closed, read_to_end: closed, cut: self.reset, ..ClientState::OPEN }
    }

    /// What it needs to know of the endpoint's side.
    pub fn ending(&self) -> Ending {
        Ending {
            reason: DiscardReason::Tunnel,
            wanted: self.reason == CloseReason::TunnelDone,
            reset: self.reset,
            // After a reset by the endpoint, nothing is left of either FIN.
            first_fin: self.first_fin.filter(|_| self.reason != CloseReason::Reset),
            peer_closed: self.endpoint_closed,
        }
    }
}

/// One direction.
#[derive(Debug)]
struct Flow {
    buffer: Lent,
    bypass: Bypass,
    ended: bool,
    finished: bool,
    bytes: u64,
    /// Whether it finds out whose FIN came first on the target's side, once the source's was passed on: two
    /// system calls.
    tells_first_fin: bool,
    first_fin: Option<FirstFin>,
}

/// Which socket failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl<C: Socket, U: Socket> Tunnel<'_, C, U> {
    /// Carries bytes until both sides have sent FIN, one fails, or a deadline passes. The arguments
    /// are what was read of each side already.
    pub async fn run(mut self, from_client: Lent, from_endpoint: Lent) -> TunnelEnd {
        let mut up = Flow { tells_first_fin: true, ..Flow::starting_with(from_client, self.pipes) };
        let mut down = Flow::starting_with(from_endpoint, self.pipes);
        let now = Instant::now();
        let mut half_close = HalfClose::new(self.limits, now);
        self.timer.set(half_close.wake_at(up.is_blocked() || down.is_blocked(), now));
        let (reason, reset) = poll_fn(|cx| self.poll(cx, &mut up, &mut down, &mut half_close)).await;
        TunnelEnd {
            reason,
            reset,
            to_endpoint: up.bytes,
            to_client: down.bytes,
            client_closed: up.ended,
            endpoint_closed: down.ended,
            first_fin: up.first_fin,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Flow,
        down: &mut Flow,
        half_close: &mut HalfClose,
    ) -> Poll<(CloseReason, bool)> {
        let before = (up.progress(), down.progress());
        if let Poll::Ready(Err(side)) = up.poll(cx, self.client, self.endpoint, down.finished) {
            return Poll::Ready(failed(side == Side::Source));
        }
        if let Poll::Ready(Err(side)) = down.poll(cx, self.endpoint, self.client, up.finished) {
            return Poll::Ready(failed(side == Side::Target));
        }
        if up.finished && down.finished {
            return Poll::Ready((CloseReason::TunnelDone, false));
        }
        let is_blocked = up.is_blocked() || down.is_blocked();
        if (up.progress(), down.progress()) != before {
            let now = Instant::now();
            half_close.moved(up.ended, down.ended, now);
            self.timer.set(half_close.wake_at(is_blocked, now));
        }
        while self.timer.poll_expired(cx) {
            let now = Instant::now();
            self.look(up, down, half_close, now);
            if half_close.due() <= now {
                return Poll::Ready((half_close.reason(), false));
            }
            self.timer.set(half_close.wake_at(is_blocked, now));
        }
        Poll::Pending
    }

    /// Finds out what happens to sockets that are not being read.
    fn look(&self, up: &Flow, down: &Flow, half_close: &mut HalfClose, now: Instant) {
        if up.is_blocked() {
            half_close.looked(Source::Client, look(&*self.client, Some(&*self.endpoint)), now);
        }
        if down.is_blocked() {
            half_close.looked(Source::Endpoint, look(&*self.endpoint, Some(&*self.client)), now);
        }
    }
}

fn failed(client: bool) -> (CloseReason, bool) {
    if client { (CloseReason::ClientReset, true) } else { (CloseReason::Reset, true) }
}

impl Flow {
    fn starting_with(buffer: Lent, pipes: &Rc<Pipes>) -> Self {
        Self {
            buffer,
            bypass: Bypass::new(pipes),
            ended: false,
            finished: false,
            bytes: 0,
            tells_first_fin: false,
            first_fin: None,
        }
    }

    /// What changes when something moves: bytes written, bytes read where there were none, FIN.
    fn progress(&self) -> (u64, bool, bool) {
        (self.bytes, self.is_blocked(), self.ended)
    }

    /// Whether bytes wait for the target, so that the source is not read.
    fn is_blocked(&self) -> bool {
        !self.buffer.is_empty() || self.bypass.holds_bytes()
    }

    /// Moves bytes on; ready when the source's FIN has been passed on, or, if it is the `last` of the two
    /// directions, when nothing but that is left: the close that follows at once sends it. Holds a buffer or
    /// a pipe only while it has bytes.
    fn poll<S: Socket, T: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        target: &mut T,
        last: bool,
    ) -> Poll<Result<(), Side>> {
        let turn_ends = self.bytes + TURN;
        while !self.finished {
            ready!(self.poll_flush(cx, target)).map_err(|_| Side::Target)?;
            if self.ended {
                self.buffer.rest();
                self.first_fin = match last {
                    true => Some(FirstFin::Endpoints),
                    false => {
                        ready!(poll_shutdown(target, cx, self.tells_first_fin)).map_err(|_| Side::Target)?
                    }
                };
                self.finished = true;
            } else if self.bytes >= turn_ends {
                return yield_turn(cx);
            } else {
                self.ended = ready!(self.poll_take(cx, source)).map_err(|_| Side::Source)? == 0;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was read.
    fn poll_flush<T: Socket>(&mut self, cx: &mut Context<'_>, target: &mut T) -> Poll<io::Result<()>> {
        loop {
            while !self.buffer.is_empty() {
                match ready!(Pin::new(&mut *target).poll_write(cx, self.buffer.filled()))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => {
                        self.buffer.consume(count);
                        self.bytes += count as u64;
                    }
                }
            }
            if !self.bypass.holds_bytes() {
                return Poll::Ready(Ok(()));
            }
            self.bytes += ready!(self.bypass.poll_drain(cx, target.tcp(), &mut self.buffer))? as u64;
        }
    }

    /// Reads, when nothing is left to be written; ready with the count of bytes, 0 for FIN.
    fn poll_take<S: Socket>(&mut self, cx: &mut Context<'_>, source: &mut S) -> Poll<io::Result<usize>> {
        if self.bypass.is_wanted()
            && let Some(tcp) = source.tcp()
        {
            self.buffer.rest();
            ready!(tcp.poll_read_ready(cx))?;
            let bytes = self.bypass.fill(tcp, usize::MAX)?;
            if bytes > 0 {
                return Poll::Ready(Ok(bytes));
            }
        }
        let read = ready!(poll_read(source, cx, &mut self.buffer))?;
        self.bypass.saw(read);
        if self.buffer.is_full() {
            self.buffer.enlarge();
        }
        Poll::Ready(Ok(read))
    }
}

/// Sends FIN; ready with whose came first, if that is asked and the kernel tells.
fn poll_shutdown<T: Socket>(
    target: &mut T,
    cx: &mut Context<'_>,
    ask: bool,
) -> Poll<io::Result<Option<FirstFin>>> {
    let state = |target: &T| target.tcp().filter(|_| ask).and_then(|tcp| tcp_state(tcp).ok());
    let before = state(target);
    match ready!(Pin::new(&mut *target).poll_shutdown(cx)) {
        Ok(()) => {
            let first = before.zip(state(target)).map(|(before, after)| FirstFin::of(before, after));
            Poll::Ready(Ok(first))
        }
        // The other side is gone altogether: there is nobody left to tell.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(None)),
        Err(error) => Poll::Ready(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::buffer::BufferPool;
    use crate::forward::socket::Peek;
    use std::sync::Arc;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};

    /// A socket whose bytes no descriptor has.
    struct InMemory(DuplexStream);

    impl AsyncRead for InMemory {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for InMemory {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    impl Socket for InMemory {
        fn poll_peek(&mut self, _: &mut Context<'_>) -> Poll<Peek> {
            Poll::Pending
        }
    }

    /// What is in a pipe when splice(2) turns out not to work for the target is copied out of it.
    #[tokio::test]
    async fn a_target_that_cannot_be_spliced_to_gets_every_byte() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut source, _) = listener.accept().await.unwrap();
        let (target, mut end) = tokio::io::duplex(3000);
        let mut target = InMemory(target);

        let budget = Arc::new(Budget::new(1000, 0));
        let (buffers, pipes) = (Rc::new(BufferPool::default()), Pipes::new(Arc::clone(&budget)));
        let mut flow = Flow::starting_with(buffers.lend(), &pipes);
        let sent: Vec<u8> = (0..4 << 20).map(|at| (at % 251) as u8).collect();
        let carry = poll_fn(|cx| flow.poll(cx, &mut source, &mut target, false));
        let mut received = Vec::new();
        let (carried, written, read) = tokio::join!(
            carry,
            async {
                client.write_all(&sent).await?;
                client.shutdown().await
            },
            end.read_to_end(&mut received),
        );
        carried.unwrap();
        written.unwrap();
        read.unwrap();
        assert!(received == sent);
        assert_eq!(flow.bytes, sent.len() as u64);
        assert_eq!(budget.pipes(), 2, "it was tried once");
    }
}
