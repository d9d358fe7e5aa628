//! One connection to an endpoint, from connect to close.

use super::ending::Ending;
use super::handover::Handover;
use super::identity::Identity;
use super::watch::{IdleWatch, WatchQueue};
use crate::budget::Budget;
use crate::close::policy::{self, EndpointClose, EndpointFacts, Stage, TimeWait};
use crate::config::model::UpstreamClose;
use crate::metrics::counters::EndpointCounters;
use crate::reason::DiscardReason;
use crate::registry::EndpointState;
use crate::source::lease::PortLease;
use crate::source::level::Level;
use crate::source::ports::{Left, SourcePorts};
use crate::sys::sock_diag::TcpState;
use crate::sys::sockopt;
use crate::sys::tcp_info::tcp_state;
use crate::upgrade::Moved;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// An established connection to an endpoint. On the heap, because it moves between the pool and its
/// users at each request: inline, those moves were a tenth of a request's instructions.
#[derive(Debug)]
pub struct Connection(Box<Parts>);

#[derive(Debug)]
struct Parts {
    stream: TcpStream,
    life: Life,
    identity: Rc<Identity>,
    watch: IdleWatch,
}

/// What stays with a connection when it goes to another worker.
#[derive(Debug)]
pub struct Life {
    /// How long connect(2) took.
    pub connect_time: Duration,
    /// When it was established.
    pub established: Instant,
    /// When `pool.max_age` ends it.
    pub retire_at: Option<Instant>,
    /// Exchanges begun on it.
    pub uses: u64,
    /// Since when it is idle, or was, before its lease.
    pub idle_since: Instant,
    /// Since when it is leased, if it is.
    pub leased_at: Instant,
    slot: OpenSlot,
}

/// A connection on its way from one worker to another.
#[derive(Debug)]
pub struct Detached {
    stream: std::net::TcpStream,
    life: Box<Life>,
}

/// What an idle connection is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Nothing has arrived.
    Yes,
    /// Something has: the connection must not be used again.
    No(DiscardReason),
}

impl Quiet {
    /// By what a read answers that does not wait.
    fn by(read: &io::Result<usize>) -> Self {
        match read {
            Ok(0) => Self::No(DiscardReason::EndpointClosed),
            Ok(_) => Self::No(DiscardReason::UnexpectedBytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::Yes,
            Err(_) => Self::No(DiscardReason::EndpointReset),
        }
    }
}

impl Connection {
    /// A connection just established; what happens to it while idle is reported to `queue`.
    pub fn new(stream: TcpStream, life: Life, identity: Rc<Identity>, queue: &Arc<WatchQueue>) -> Self {
        Self(Box::new(Parts { stream, life, identity, watch: IdleWatch::new(Arc::clone(queue)) }))
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.0.stream
    }

    /// Its name.
    pub fn identity(&self) -> &Rc<Identity> {
        &self.0.identity
    }

    /// Its history.
    pub fn life(&self) -> &Life {
        &self.0.life
    }

    /// Its history, to be written.
    pub fn life_mut(&mut self) -> &mut Life {
        &mut self.0.life
    }

    /// An exchange begins on it. Whether one did before.
    pub fn begin_use(&mut self) -> bool {
        let Parts { life, identity, .. } = &mut *self.0;
        life.uses += 1;
        identity.used(life.uses);
        life.uses > 1
    }

    /// Whether anything happened while it was idle, as far as the runtime has heard.
    pub fn was_disturbed(&self) -> bool {
        self.0.watch.has_fired()
    }

    /// Watches the idle connection as `key`, and tells whether anything is there already.
    pub fn watch_idle(&self, key: usize) -> Quiet {
        let waker = self.0.watch.arm(key);
        let mut cx = Context::from_waker(waker);
        while self.0.stream.poll_read_ready(&mut cx).is_ready() {
            if let Quiet::No(reason) = self.look() {
                return Quiet::No(reason);
            }
        }
        Quiet::Yes
    }

    /// Asks the kernel whether anything has arrived. A byte is taken: the connection is condemned.
    fn look(&self) -> Quiet {
        Quiet::by(&self.0.stream.try_read(&mut [0; 1]))
    }

    /// Why it must not be used any more at this instant, apart from what has arrived on it.
    pub fn retired(&self, now: Instant, max_requests: u64) -> Option<DiscardReason> {
        if self.0.life.retire_at.is_some_and(|at| at <= now) {
            return Some(DiscardReason::MaxAge);
        }
        (max_requests > 0 && self.0.life.uses >= max_requests).then_some(DiscardReason::MaxRequests)
    }

    /// When it has been idle for too long, or is too old.
    pub fn expires(&self, idle_timeout: Duration) -> Instant {
        let idle = self.0.life.idle_since + idle_timeout;
        self.0.life.retire_at.map_or(idle, |at| at.min(idle))
    }

    /// Closes it by the close policy. Counts why, and tells the ports of its source what it leaves.
    pub fn close(self, ending: Ending, close: UpstreamClose, counters: &EndpointCounters) {
        let Parts { stream, mut life, .. } = *self.0;
        life.end(&stream, ending, close, counters);
    }

    /// Takes it out of this worker's runtime.
    ///
    /// # Errors
    /// When the runtime cannot deregister the socket; the connection is closed then.
    pub fn detach(self) -> io::Result<Detached> {
        let Parts { stream, life, .. } = *self.0;
        Ok(Detached { stream: stream.into_std()?, life: Box::new(life) })
    }
}

impl Detached {
    /// A connection that comes from another process.
    pub fn new(stream: std::net::TcpStream, life: Life) -> Self {
        Self { stream, life: Box::new(life) }
    }

    /// Takes it into this worker's runtime.
    ///
    /// # Errors
    /// When the runtime cannot register the socket; the connection is closed then.
    pub fn attach(self) -> io::Result<(TcpStream, Life)> {
        Ok((TcpStream::from_std(self.stream)?, *self.life))
    }

    /// Asks the kernel whether anything has arrived. A runtime cannot tell of a socket that it has only just been
    /// given, and the one before may not have heard of what came last.
    pub fn look(&self) -> Quiet {
        Quiet::by(&self.stream.peek(&mut [0; 1]))
    }

    /// The socket.
    pub fn stream(&self) -> &std::net::TcpStream {
        &self.stream
    }

    /// Its history.
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// Closes it by the close policy.
    pub fn close(mut self, ending: Ending, close: UpstreamClose, counters: &EndpointCounters) {
        self.life.end(&self.stream, ending, close, counters);
    }

    /// Lets go of a connection that another process has as well: nothing is sent.
    pub fn let_go(mut self) {
        self.life.slot.port.leaves(Left::Moved);
    }
}

impl Life {
    /// The life of a connection established at `now`.
    pub fn new(mut slot: OpenSlot, now: Instant, connect_time: Duration, retire_at: Option<Instant>) -> Self {
        slot.port.connected(now);
        Self { connect_time, established: now, retire_at, uses: 0, idle_since: now, leased_at: now, slot }
    }

    /// The life of an idle connection that another process had, to go on with.
    pub fn going_on(slot: OpenSlot, moved: &Moved, now: Instant) -> Self {
        let ago = |ms| now.checked_sub(Duration::from_millis(ms)).unwrap_or(now);
        Self {
            connect_time: Duration::from_micros(moved.connect_us),
            established: ago(moved.age_ms),
            retire_at: moved.retire_in_ms.and_then(|left| now.checked_add(Duration::from_millis(left))),
            uses: moved.uses,
            idle_since: ago(moved.idle_ms),
            leased_at: now,
            slot,
        }
    }

    /// Makes the close(2) that follows be what the policy says. Counts why, and tells the ports of its source
    /// what it leaves.
    fn end(&mut self, stream: &impl AsFd, ending: Ending, close: UpstreamClose, counters: &EndpointCounters) {
        counters.discards.inc(ending.reason.index());
        let time_wait = prepare_close(stream, policy::endpoint(self.facts(stream, ending, close)));
        match time_wait {
            TimeWait::Left => counters.time_wait_caused_total.inc(),
            TimeWait::Avoided => counters.time_wait_avoided_total.inc(),
            TimeWait::NotHere => {}
        }
        let left = if time_wait == TimeWait::Left { Left::TimeWait } else { Left::Nothing };
        self.slot.port.leaves(left);
    }

    /// What decides how it is closed. What the kernel does not tell counts as what costs a port and
    /// nothing else: an open connection with bytes outstanding.
    fn facts(&self, stream: &impl AsFd, ending: Ending, close: UpstreamClose) -> EndpointFacts {
        let close = if ending.reset { UpstreamClose::Reset } else { close };
        let (wanted, port_pressure) = (ending.wanted, self.slot.port.ports().level() >= Level::ReuseOnly);
        // After both FINs nothing is left that the kernel could tell, as long as we do not send RST: three
        // system calls saved for each TCP session.
        let closed = ending.first_fin.filter(|_| ending.peer_closed && close != UpstreamClose::Reset);
        if let Some(first) = closed {
            let stage = Stage::closed(first);
            return EndpointFacts { close, stage, outstanding: 0, unread: 0, wanted, port_pressure };
        }
        let stage = Stage::of(tcp_state(stream).unwrap_or(TcpState::Established), ending.first_fin);
        if close == UpstreamClose::Reset {
            // Whatever the queues hold: two system calls saved for each client that resets. The state is asked
            // for, as the TIME_WAIT that was avoided is counted by it.
            return EndpointFacts { close, stage, outstanding: 0, unread: 0, wanted, port_pressure };
        }
        EndpointFacts {
            close,
            stage,
            outstanding: sockopt::unacknowledged(stream).unwrap_or(usize::MAX),
            unread: sockopt::unread(stream).unwrap_or(0),
            wanted,
            port_pressure,
        }
    }
}

/// Makes the close(2) that follows be the planned one; returns what becomes of the port.
fn prepare_close(stream: &impl AsFd, plan: EndpointClose) -> TimeWait {
    if plan.reset && sockopt::reset_on_close(stream).is_err() && plan.time_wait == TimeWait::Avoided {
        return TimeWait::Left;
    }
    plan.time_wait
}

/// The right to one connection to an endpoint, under `max_connections` and the descriptor budget, on a
/// port taken from one of its sources.
#[derive(Debug)]
pub struct OpenSlot {
    port: PortLease,
    endpoint: Arc<EndpointState>,
    budget: Arc<Budget>,
    handover: Arc<Handover>,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSlot {
    /// `pool.max_connections` is reached.
    MaxConnections,
    /// The process has no descriptor left.
    Descriptors,
    /// The ports of all sources are as scarce as this, and that is too scarce.
    Ports(Level),
}

impl OpenSlot {
    /// Takes a slot. `max_connections` 0 is no limit; `port` takes the port.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(
        endpoint: &Arc<EndpointState>,
        budget: &Arc<Budget>,
        handover: &Arc<Handover>,
        max_connections: usize,
        port: impl FnOnce() -> Result<PortLease, Level>,
    ) -> Result<Self, NoSlot> {
        let open = endpoint.open.fetch_add(1, Relaxed);
        if max_connections > 0 && open >= max_connections {
            endpoint.open.fetch_sub(1, Relaxed);
            return Err(NoSlot::MaxConnections);
        }
        if !budget.take_upstream() {
            endpoint.open.fetch_sub(1, Relaxed);
            return Err(NoSlot::Descriptors);
        }
        // Before there is a slot, whose drop would wake others for a port that there is not.
        let port = port().map_err(|level| {
            endpoint.open.fetch_sub(1, Relaxed);
            budget.release_upstream();
            NoSlot::Ports(level)
        })?;
        Ok(Self {
            port,
            endpoint: Arc::clone(endpoint),
            budget: Arc::clone(budget),
            handover: Arc::clone(handover),
        })
    }

    /// Where it is dialled from.
    pub fn source(&self) -> &SourcePorts {
        self.port.ports()
    }
}

impl Drop for OpenSlot {
    /// Gives the slot back and wakes whoever was refused one.
    fn drop(&mut self) {
        self.port.release();
        self.endpoint.open.fetch_sub(1, Relaxed);
        self.budget.release_upstream();
        for (worker, counters) in self.endpoint.workers.iter().enumerate() {
            if counters.starved.get() > 0 {
                self.handover.wake(worker);
            }
        }
    }
}
