//! Two connections that became one: bytes both ways, each FIN passed on by itself.

use super::blocked::Source;
use super::half_close::HalfClose;
pub use super::half_close::Limits;
use super::socket::{Socket, look, poll_read};
use super::splice::{Bypass, Pipes};
use super::turn::{TURN, yield_turn};
use crate::buffer::Lent;
use crate::close::policy::{ClientState, FirstFin};
use crate::config::model::UpstreamSocket;
use crate::pool::Ending;
use crate::reason::{CloseReason, DiscardReason};
use crate::sys::sockopt::set_lasting;
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
    /// What the endpoint's socket is to be given once the tunnel has lasted.
    pub lasting: Option<Lasting<'a>>,
}

/// The [options](set_lasting) that only matter to a connection that lasts: a session of a few messages, which is
/// over before, is spared five of its 29 system calls.
#[derive(Clone, Copy, Debug)]
pub struct Lasting<'a> {
    /// When to set them.
    pub at: Instant,
    /// The configuration.
    pub options: &'a UpstreamSocket,
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
    /// Whether the client's socket failed: its connection is gone, and nothing is left to be closed.
    client_gone: bool,
    endpoint_closed: bool,
    /// Whose FIN came first on the endpoint's side, if the client's was passed on to it.
    first_fin: Option<FirstFin>,
}

impl TunnelEnd {
    /// What the close policy needs to know of the client's side.
    pub fn client_state(&self) -> ClientState {
        if self.client_gone {
            return ClientState::ENDED;
        }
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

/// A socket that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed {
    side: Side,
    /// Whether there is no connection any more.
    is_gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl Side {
    /// It failed with this error.
    fn failed(self, error: &io::Error) -> Failed {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
        Failed { side: self, is_gone: matches!(error.kind(), BrokenPipe | ConnectionReset | TimedOut) }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
struct End {
    reason: CloseReason,
    reset: bool,
    client_gone: bool,
}

impl End {
    fn by(reason: CloseReason) -> Self {
        Self { reason, reset: false, client_gone: false }
    }

    /// One of the sockets failed.
    fn failed(failed: Failed, client: Side) -> Self {
        let is_client = failed.side == client;
        let reason = if is_client { CloseReason::ClientReset } else { CloseReason::Reset };
        Self { reason, reset: true, client_gone: is_client && failed.is_gone }
    }
}

impl<C: Socket, U: Socket> Tunnel<'_, C, U> {
    /// Carries bytes until both sides have sent FIN, one fails, or a deadline passes. The arguments
    /// are what was read of each side already.
    pub async fn run(mut self, from_client: Lent, from_endpoint: Lent) -> TunnelEnd {
        let mut up = Flow { tells_first_fin: true, ..Flow::starting_with(from_client, self.pipes) };
        let mut down = Flow::starting_with(from_endpoint, self.pipes);
        let now = Instant::now();
        let mut half_close = HalfClose::new(self.limits, now);
        self.set_timer(&mut half_close, up.is_blocked() || down.is_blocked(), now);
        let End { reason, reset, client_gone } =
            poll_fn(|cx| self.poll(cx, &mut up, &mut down, &mut half_close)).await;
        TunnelEnd {
            reason,
            reset,
            to_endpoint: up.bytes,
            to_client: down.bytes,
            client_closed: up.ended,
            client_gone,
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
    ) -> Poll<End> {
        let before = (up.progress(), down.progress());
        if let Poll::Ready(Err(failed)) = up.poll(cx, self.client, self.endpoint, down.finished) {
            return Poll::Ready(End::failed(failed, Side::Source));
        }
        if let Poll::Ready(Err(failed)) = down.poll(cx, self.endpoint, self.client, up.finished) {
            return Poll::Ready(End::failed(failed, Side::Target));
        }
        if up.finished && down.finished {
            return Poll::Ready(End::by(CloseReason::TunnelDone));
        }
        let is_blocked = up.is_blocked() || down.is_blocked();
        if (up.progress(), down.progress()) != before {
            let now = Instant::now();
            half_close.moved(up.ended, down.ended, now);
            self.set_timer(half_close, is_blocked, now);
        }
        while self.timer.poll_expired(cx) {
            let now = Instant::now();
            self.set_what_lasts(now);
            self.look(up, down, half_close, now);
            if half_close.due() <= now {
                return Poll::Ready(End::by(half_close.reason()));
            }
            self.set_timer(half_close, is_blocked, now);
        }
        Poll::Pending
    }

    fn set_timer(&self, half_close: &mut HalfClose, is_blocked: bool, now: Instant) {
        let at = half_close.wake_at(is_blocked, now);
        self.timer.set(self.lasting.map_or(at, |lasting| lasting.at.min(at)));
    }

    /// Sets the options of a connection that lasts, once it does.
    fn set_what_lasts(&mut self, now: Instant) {
        let due = self.lasting.take_if(|lasting| lasting.at <= now);
        if let Some((lasting, tcp)) = due.zip(self.endpoint.tcp())
            && let Err(error) = set_lasting(tcp, lasting.options)
        {
            tracing::warn!(%error, "socket.user_timeout and socket.tcp_keepalive could not be set");
        }
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
    ) -> Poll<Result<(), Failed>> {
        let turn_ends = self.bytes + TURN;
        while !self.finished {
            ready!(self.poll_flush(cx, target)).map_err(|error| Side::Target.failed(&error))?;
            if self.ended {
                self.buffer.rest();
                self.first_fin = match last {
                    true => Some(FirstFin::Endpoints),
                    false => ready!(poll_shutdown(target, cx, self.tells_first_fin))
                        .map_err(|error| Side::Target.failed(&error))?,
                };
                self.finished = true;
            } else if self.bytes >= turn_ends {
                return yield_turn(cx);
            } else {
                self.ended =
                    ready!(self.poll_take(cx, source)).map_err(|error| Side::Source.failed(&error))? == 0;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was read.
    fn poll_flush<T: Socket>(&mut self, cx: &mut Context<'_>, target: &mut T) -> Poll<io::Result<()>> {
        loop {
            while !self.buffer.is_empty() {
                match ready!(target.poll_send(cx, self.buffer.filled()))? {
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
    use crate::config::load::parse_str;
    use crate::forward::socket::Peek;
    use crate::timer::Timers;
    use socket2::SockRef;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;

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

    /// A session that is over before is spared the system calls.
    #[tokio::test]
    async fn a_connection_that_lasts_is_given_the_options_for_that() {
        let text = "[[listener]]\nbind = \"127.0.0.1:0\"\nupstream = \"app\"\n[[upstream]]\nname = \"app\"\n\
                    endpoints = [\"127.0.0.1:1\"]\n";
        let config = Arc::clone(&parse_str("test.toml", text).unwrap().config.upstreams[0]);
        let lasts = async |lasting: Duration, patience: Duration| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut endpoint, _) = listener.accept().await.unwrap();
            let socket = endpoint.as_fd().try_clone_to_owned().unwrap();
            let timers = Timers::new(Instant::now());
            tokio::task::spawn_local(Rc::clone(&timers).drive());
            let hour = Duration::from_secs(3600);
            let tunnel = Tunnel {
                client: &mut client,
                endpoint: &mut endpoint,
                timer: &timers.timer(),
                pipes: &Pipes::new(Arc::new(Budget::new(1000, 0))),
                limits: Limits { idle: hour, client_half_close: hour, endpoint_half_close: hour },
                lasting: Some(Lasting { at: Instant::now() + lasting, options: &config.socket }),
            };
            let buffers = Rc::new(BufferPool::default());
            let run = tunnel.run(buffers.lend(), buffers.lend());
            let has_options = || SockRef::from(&socket).keepalive().unwrap();
            let seen = async {
                let until = Instant::now() + patience;
                while !has_options() && Instant::now() < until {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                has_options()
            };
            tokio::select! {
                _ = run => panic!("nobody has ended it"),
                seen = seen => seen,
            }
        };
        let (soon, late) = (Duration::from_millis(100), Duration::from_secs(3600));
        let both = async { (lasts(soon, late).await, lasts(late, soon).await) };
        assert_eq!(LocalSet::new().run_until(both).await, (true, false));
    }
}
