//! Dials under way, and what becomes of them.

use super::World;
use super::backend::{End, Mode};
use millpond::forward::acquire;
use millpond::pool::Pool;
use millpond::pool::connection::OpenSlot;
use millpond::upstream::connect::{ConnectError, Shortage};
use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What pools have begun to dial since it was looked at last.
pub(super) type Begun = Rc<RefCell<Vec<(Rc<Pool>, OpenSlot)>>>;

pub(super) struct Dial {
    pub(super) pool: Rc<Pool>,
    slot: OpenSlot,
    pub(super) backend: usize,
    pub(super) source: IpAddr,
    pub(super) begun: Instant,
    pub(super) due: Instant,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Connected,
    Refused,
    TimedOut,
    NoPort,
}

impl World<'_> {
    /// What pools call to dial.
    pub(super) fn dialler(&self) -> impl Fn(&Rc<Pool>, OpenSlot) + use<> {
        let begun = Rc::clone(&self.begun);
        move |pool, slot| begun.borrow_mut().push((Rc::clone(pool), slot))
    }

    /// Looks at what was begun: whether it was allowed, and what will become of it.
    pub(super) fn note_begun(&mut self) {
        let begun = self.begun.take();
        if !begun.is_empty() {
            self.reap();
        }
        for (pool, slot) in begun {
            let backend = self.number_of(pool.endpoint());
            let source = slot.source().source();
            self.check_dial(&pool, backend, source);
            let has_port = self.has_port(backend, source);
            let (after, outcome) = match self.backends[backend].mode {
                _ if !has_port => (Duration::ZERO, Outcome::NoPort),
                Mode::Accepts => (self.chance.ms(0..=60), Outcome::Connected),
                Mode::Refuses => (self.chance.ms(0..=5), Outcome::Refused),
                Mode::Silent => (pool.config().timeout.connect, Outcome::TimedOut),
            };
            let begun = self.now();
            let due = begun + after;
            self.say("dials", || format!("backend {backend} from {source}: {outcome:?} after {after:?}"));
            self.dials.push(Dial { pool, slot, backend, source, begun, due, outcome });
        }
    }

    /// Whether the kernel finds a port for one more connection.
    fn has_port(&self, backend: usize, source: IpAddr) -> bool {
        let ours = self.ports_open(backend, source) + self.held_by(backend, source);
        let backend = &self.backends[backend];
        let has = ours + backend.others < backend.setup.capacity;
        assert!(has || backend.had_others, "no port is left, and nobody has had any but us");
        has
    }

    /// Ports of ours that are open or about to be.
    pub(super) fn ports_open(&self, backend: usize, source: IpAddr) -> u32 {
        let ends = self.backends[backend].ends.values().filter(|end| end.source == source).count();
        let dials = self.dials.iter().filter(|dial| dial.backend == backend && dial.source == source);
        (ends + dials.count()) as u32
    }

    /// Ports in TIME_WAIT; with several sources it is not known whose each is.
    fn held_by(&self, backend: usize, _source: IpAddr) -> u32 {
        let backend = &self.backends[backend];
        if backend.sources.len() == 1 { backend.held(self.now()).0 } else { 0 }
    }

    fn check_dial(&self, pool: &Rc<Pool>, backend: usize, source: IpAddr) {
        let max = pool.config().pool.max_connections;
        let (state, now) = (&self.backends[backend], self.now());
        let under_way = self.dials.iter().filter(|dial| dial.backend == backend).count();
        let open = state.open() + under_way;
        assert!(max == 0 || open < max, "dialled beyond max_connections {max}: {open} are open");
        let (capacity, refuse) = (state.setup.capacity, u32::from(pool.config().source.refuse_percent));
        let taken = self.ports_open(backend, source) + self.held_by(backend, source);
        assert!(taken * 100 < capacity * refuse, "dialled at {taken} of {capacity} ports, above {refuse} %");
        let most = (capacity * refuse).div_ceil(100) * state.sources.len() as u32;
        let everywhere = open as u32 + state.held(now).0;
        assert!(
            everywhere < most,
            "dialled at {everywhere} ports of all sources, {most} of which may be taken"
        );
    }

    /// Ends the dials whose time has come; whether there was one.
    pub(super) fn end_dials(&mut self) -> bool {
        let now = self.now();
        let Some(place) = self.dials.iter().position(|dial| dial.due <= now) else { return false };
        self.end_dial(place);
        self.note_begun();
        true
    }

    fn end_dial(&mut self, place: usize) {
        let now = self.now();
        let Dial { pool, slot, backend, source, outcome, .. } = self.dials.remove(place);
        let name = self.name();
        self.say("dials ended", || format!("backend {backend} {outcome:?}, connection {name}"));
        let result = match outcome {
            Outcome::Connected => Ok(self.connect(backend, source, name)),
            Outcome::Refused => Err(ConnectError::Endpoint(ErrorKind::ConnectionRefused)),
            Outcome::TimedOut => Err(ConnectError::Timeout),
            Outcome::NoPort => Err(ConnectError::Local(Shortage::SourcePorts)),
        };
        if outcome != Outcome::NoPort {
            self.backends[backend].health.heard(outcome == Outcome::Connected, now);
        }
        // The time that it took is the connection's name from now on.
        let started = now - Duration::from_nanos(name);
        let random = self.chance.number();
        acquire::dialled(&pool, slot, result, started, now, random, self.dialler());
    }

    fn connect(&mut self, backend: usize, source: IpAddr, name: u64) -> TcpStream {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a non-blocking socket");
        theirs.set_nonblocking(true).expect("a non-blocking socket");
        let now = self.now();
        self.backends[backend].ends.insert(name, End::new(theirs, source, now));
        TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(ours))).expect("a registered socket")
    }
}
