//! Idle connections that go to another process.

use super::Ending;
use super::connection::Detached;
use crate::config::model;
use crate::metrics::counters::EndpointCounters;
use crate::reason::DiscardReason;
use crate::registry::EndpointState;
use crate::sys::sock_diag::TcpState;
use crate::sys::tcp_info::TcpInfo;
use crate::upgrade::Moved;
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Where connections go that are to be another process's.
pub type Heir = mpsc::Sender<Lent>;

/// For how long nobody here has wanted a connection before it is given away, while this process drains: its
/// last sessions would dial others in its place.
pub const IDLE_BEFORE_GIVEN: Duration = Duration::from_millis(5);

/// A connection that is out of its pool and has not been closed, for another process to take over. Nothing is
/// written on it meanwhile.
#[derive(Debug)]
pub struct Lent {
    endpoint: Arc<EndpointState>,
    upstream: Arc<model::Upstream>,
    worker: usize,
    connection: Detached,
    traffic: Option<Traffic>,
}

/// What the kernel has counted on a connection: segments with data, in and out.
type Traffic = (u32, u32);

impl Lent {
    /// A connection out of this worker's pool.
    pub fn new(
        endpoint: &Arc<EndpointState>,
        upstream: &Arc<model::Upstream>,
        worker: usize,
        connection: Detached,
    ) -> Self {
        let traffic = traffic(connection.stream());
        Self { endpoint: Arc::clone(endpoint), upstream: Arc::clone(upstream), worker, connection, traffic }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.connection.stream()
    }

    /// What the other process is told of it.
    pub fn describe(&self, now: Instant) -> Moved {
        let life = self.connection.life();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Moved {
            upstream: self.upstream.name.clone(),
            endpoint: self.endpoint.address.0,
            age_ms: millis(now.saturating_duration_since(life.established)),
            uses: life.uses,
            idle_ms: millis(now.saturating_duration_since(life.idle_since)),
            retire_in_ms: life.retire_at.map(|at| millis(at.saturating_duration_since(now))),
            connect_us: u64::try_from(life.connect_time.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// The other process has it: lets go of it, which is not a close.
    pub fn let_go(self) {
        self.connection.let_go();
    }

    /// The other process does not take it, or has gone: as it was, for its pool; closed, if anything has been
    /// sent or received on it since it was taken out.
    pub fn take_back(self) -> Option<(Arc<EndpointState>, Detached)> {
        if self.traffic.is_none() || traffic(self.stream()) != self.traffic {
            self.close(DiscardReason::Aborted);
            return None;
        }
        Some((self.endpoint, self.connection))
    }

    /// Closes it by the close policy.
    pub fn close(self, reason: DiscardReason) {
        let counters: &EndpointCounters = &self.endpoint.workers[self.worker];
        self.connection.close(Ending::from(reason), self.upstream.socket.close, counters);
    }
}

/// `None`: the kernel does not tell, or the connection is not open both ways any more.
fn traffic(stream: &TcpStream) -> Option<Traffic> {
    let info = TcpInfo::of(stream).ok().filter(|info| info.state == TcpState::Established)?;
    Some((info.data_segs_in?, info.data_segs_out?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::observe::fixture;
    use crate::pool::connection::{Life, OpenSlot};
    use crate::source::lease::PortLease;
    use crate::source::level::Level;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A connection that was lent, its other end, and a second descriptor of it, as another process has.
    fn lent() -> (Lent, TcpStream, TcpStream) {
        let registry = fixture::registry();
        let upstream = Arc::clone(&registry.running().upstreams[0]);
        let endpoint = Arc::clone(&upstream.endpoints[0]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (end, other) = (listener.accept().unwrap().0, stream.try_clone().unwrap());
        let (now, budget) = (Instant::now(), Arc::new(Budget::new(1000, 0)));
        let port = || PortLease::take(&endpoint.sources(), 0, Level::Warn, now);
        let slot = OpenSlot::take(&endpoint, &budget, &endpoint.handover, 0, port).unwrap();
        let life = Life::new(slot, now, Duration::from_millis(3), Some(now + Duration::from_secs(9)));
        (Lent::new(&endpoint, &upstream.config, 0, Detached::new(stream, life)), end, other)
    }

    fn aborted(endpoint: &EndpointState) -> u64 {
        endpoint.workers[0].discards.get(DiscardReason::Aborted.index())
    }

    #[test]
    fn what_nobody_has_used_comes_back() {
        let (lent, _end, _other) = lent();
        let endpoint = Arc::clone(&lent.endpoint);
        assert!(lent.take_back().is_some());
        assert_eq!(aborted(&endpoint), 0);
    }

    #[test]
    fn what_the_other_process_has_used_is_closed() {
        let (lent, mut end, mut other) = lent();
        let endpoint = Arc::clone(&lent.endpoint);
        let open = || endpoint.open.load(std::sync::atomic::Ordering::Relaxed);
        let before = open();
        other.write_all(b"GET").unwrap();
        end.read_exact(&mut [0; 3]).unwrap();
        assert!(lent.take_back().is_none());
        assert_eq!((aborted(&endpoint), open()), (1, before - 1));
    }

    #[test]
    fn what_is_let_go_of_is_open_for_the_other_process_and_its_port_is_taken() {
        let (lent, mut end, mut other) = lent();
        let (endpoint, sources) = (Arc::clone(&lent.endpoint), lent.endpoint.sources().clone());
        let figures = || sources[0].figures(Instant::now());
        let before = figures();
        lent.let_go();
        other.write_all(b"on").unwrap();
        end.read_exact(&mut [0; 2]).unwrap();
        let after = figures();
        assert_eq!((after.used, after.time_wait, aborted(&endpoint)), (before.used, before.time_wait, 0));
        assert!(after.used > 0);
    }

    #[test]
    fn it_goes_on_where_it_was() {
        let (lent, _end, _other) = lent();
        let moved = lent.describe(Instant::now() + Duration::from_secs(2));
        assert_eq!((moved.uses, moved.connect_us), (0, 3000));
        assert!((2000..3000).contains(&moved.idle_ms) && moved.idle_ms == moved.age_ms, "{moved:?}");
        assert!(moved.retire_in_ms.is_some_and(|left| (6000..=7000).contains(&left)), "{moved:?}");
        let Lent { endpoint, connection, .. } = lent;
        let (budget, now) = (Arc::new(Budget::new(1000, 0)), Instant::now());
        let local = connection.stream().local_addr().unwrap().ip();
        let port = || PortLease::adopt(&endpoint.sources(), local, now).ok_or(Level::Refuse);
        let slot = OpenSlot::take(&endpoint, &budget, &endpoint.handover, 0, port).unwrap();
        let life = Life::going_on(slot, &moved, now);
        let ago = now.saturating_duration_since(life.idle_since).as_millis();
        assert_eq!((life.idle_since, u128::from(moved.idle_ms)), (life.established, ago));
        assert!(life.retire_at.is_some_and(|at| at > now + Duration::from_secs(5)));
    }
}
