//! A pool with idle connections, and the ports that they come from.

use crate::bodies::Run;
use crate::fixture;
use millpond::budget::Budget;
use millpond::config::model;
use millpond::pool::Pool;
use millpond::pool::connection::Life;
use millpond::registry::EndpointState;
use millpond::source::kernel::PortSettings;
use millpond::source::lease::PortLease;
use millpond::source::ledger::Left;
use millpond::source::level::Level;
use millpond::source::ports::SourcePorts;
use millpond::timer::Timers;
use millpond::upstream::health::Health;
use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const IDLE: usize = 8;
const WORKERS: usize = 2;

/// The freshest of eight idle connections is leased, and goes back. Its other end is a Unix socket: what
/// the kernel does of this is nothing, as long as nothing arrives.
pub(crate) fn checkout_return() -> Run {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let now = Instant::now();
    let pool = pool(now);
    let far_ends: Vec<UnixStream> = (0..IDLE).map(|_| connect(&runtime, &pool, now)).collect();
    Box::new(move || {
        let lease = pool.check_out(black_box(now)).expect("an idle connection");
        black_box(&lease);
        lease.release(now);
        black_box(&far_ends);
        let _ = &runtime;
    })
}

/// A port is taken of the freer of two sources, its connection established and closed without a TIME_WAIT.
pub(crate) fn port_take_give() -> Run {
    let sources = sources(&fixture::upstream(), 2);
    let now = Instant::now();
    let mut turn = 0;
    Box::new(move || {
        turn += 1;
        let mut port = PortLease::take(&sources, turn, Level::Warn, black_box(now)).expect("a port");
        port.connected(now);
        port.leaves(Left::Nothing);
        port.release();
    })
}

fn pool(now: Instant) -> Rc<Pool> {
    let upstream = fixture::upstream();
    let health = Arc::new(Health::new(1, &upstream.passive));
    let sources = sources(&upstream, 1).into();
    let endpoint = EndpointState::new(upstream.endpoints[0].address, WORKERS, sources, (&health, 0));
    let budget = Arc::new(Budget::new(20_000, 0));
    Rc::new(Pool::new(Arc::new(endpoint), upstream, budget, 0, Timers::new(now)))
}

fn connect(runtime: &Runtime, pool: &Rc<Pool>, now: Instant) -> UnixStream {
    let slot = pool.begin_dial(Level::Warn, now).expect("a port");
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("a non-blocking socket");
    let stream = std::net::TcpStream::from(OwnedFd::from(ours));
    let _entered = runtime.enter();
    let stream = tokio::net::TcpStream::from_std(stream).expect("a registered socket");
    pool.dial_ended(Ok((stream, Life::new(slot, now, Duration::ZERO, None))), now);
    theirs
}

fn sources(upstream: &model::Upstream, count: u8) -> Vec<Arc<SourcePorts>> {
    let (destination, settings) = (upstream.endpoints[0].address, PortSettings::default());
    fixture::sources(upstream, destination, &settings, &fixture::ledgers(count, destination, &settings))
}
