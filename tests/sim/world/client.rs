//! Clients, each with one exchange: they come, wait for a connection, use it, and leave.

use super::World;
use super::backend::Disturbed;
use super::dialling::Dial;
use super::keeper::Flag;
use millpond::forward::acquire::{self, Queued, Want};
use millpond::pool::{Lease, Ticket};
use millpond::reason::DiscardReason;
use millpond::timer::Timer;
use millpond::upstream::group::{Choice, Group};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub(super) struct Session {
    pub(super) name: u64,
    worker: usize,
    pub(super) backend: usize,
    /// Counts the exchange on its endpoint for as long as it lasts.
    _choice: Choice,
    /// An exchange goes on with the configuration that it began with.
    _group: Rc<Group>,
    pub(super) at: At,
}

pub(super) enum At {
    Waiting(Waiting),
    Using { lease: Lease, connection: u64, until: Instant },
}

pub(super) struct Waiting {
    ticket: Ticket,
    want: Want,
    /// Once it has waited in vain, it insists on a dial.
    is_short: bool,
    timer: Timer,
    pub(super) deadline: Instant,
    flag: Arc<Flag>,
    waker: Waker,
}

impl Session {
    pub(super) fn wants_fresh(&self) -> bool {
        matches!(&self.at, At::Waiting(waiting) if waiting.want == Want::Fresh)
    }
}

impl World<'_> {
    /// A client comes to a worker.
    pub(super) fn arrive(&mut self) {
        let (worker, now) = (self.chance.below(self.workers.len()), self.now());
        if !self.budget.take_client() {
            return self.say("clients refused", || "no descriptor".into());
        }
        let group = Rc::clone(&self.workers[worker].group);
        let choice = group.choose(self.chance.number(), None, now).expect("an endpoint");
        let backend = self.backend_of(choice.endpoint());
        self.check_choice(backend);
        let pool = self.pool(worker, choice.endpoint());
        let name = self.name();
        self.say("clients", || format!("{name} to worker {worker}, backend {backend}"));
        let session = |at| Session { name, worker, backend, _choice: choice, _group: Rc::clone(&group), at };
        let wants = [Want::Any, Want::Any, Want::Any, Want::Any, Want::Own, Want::Fresh];
        let want = self.chance.of(&wants);
        if want != Want::Fresh
            && let Some(lease) = pool.check_out(now)
        {
            let at = self.lent(backend, lease);
            self.sessions.push(session(at));
            return;
        }
        let last = self.chance.one_in(2);
        let queued = acquire::queue(&pool, &self.config, want, last, now, self.dialler());
        match queued {
            Ok(Queued { ticket, patience, is_short }) => {
                let (timer, deadline) = (self.workers[worker].timers.timer(), now + patience);
                timer.set(deadline);
                let flag = Flag::raised();
                let waker = Waker::from(Arc::clone(&flag));
                let waiting = Waiting { ticket, want, is_short, timer, deadline, flag, waker };
                self.sessions.push(session(At::Waiting(waiting)));
            }
            Err(error) => {
                self.budget.release_client();
                self.say("clients turned away", || format!("{name}: {error}"));
            }
        }
        self.note_begun();
    }

    /// Lets those go on that were woken, the first that came first; whether there was one.
    pub(super) fn wake_sessions(&mut self) -> bool {
        let mut woken = false;
        let mut place = 0;
        while place < self.sessions.len() {
            let session = &mut self.sessions[place];
            let is_woken = matches!(&session.at, At::Waiting(waiting) if waiting.flag.lower());
            woken |= is_woken;
            // One that is over has left its place to the next.
            if !is_woken || self.go_on(place) {
                place += 1;
            }
        }
        woken
    }

    /// Whether the session is there still.
    fn go_on(&mut self, place: usize) -> bool {
        let now = self.now();
        let Session { name, backend, at: At::Waiting(waiting), .. } = &mut self.sessions[place] else {
            return true;
        };
        let (name, backend) = (*name, *backend);
        let context = Context::from_waker(&waiting.waker);
        match waiting.ticket.poll(&context) {
            Poll::Ready(Ok(lease)) => {
                self.check_turn(place);
                self.check_fresh(place, &lease);
                self.sessions[place].at = self.lent(backend, lease);
                return true;
            }
            Poll::Ready(Err(error)) => {
                self.check_turn(place);
                self.leave(place);
                self.say("clients failed", || format!("{name}: {error}"));
                return false;
            }
            Poll::Pending => {}
        }
        if !waiting.timer.poll_expired(&context) {
            return true;
        }
        assert!(now >= waiting.deadline, "session {name} timed out too early");
        if std::mem::take(&mut waiting.is_short) {
            return self.insist(place);
        }
        self.leave(place);
        self.say("clients timed out", || format!("{name}"));
        false
    }

    /// Nothing came back, for want of ports: what [`acquire::acquire`] does then.
    fn insist(&mut self, place: usize) -> bool {
        let (now, dialler) = (self.now(), self.dialler());
        let timeout = self.config.timeout.connect;
        let Session { name, worker, backend, at, .. } = &mut self.sessions[place];
        let (name, to) = (*name, (*worker, *backend));
        let At::Waiting(waiting) = at else { return true };
        waiting.ticket.insist();
        let keeper = self.keepers.iter().find(|keeper| (keeper.worker, keeper.backend) == to);
        let pool = Rc::clone(&keeper.expect("its pool has a keeper").pool);
        acquire::provide(&pool, now, dialler);
        if pool.is_coming() {
            waiting.deadline = now + timeout;
            waiting.timer.set(waiting.deadline);
            waiting.flag.raise();
            self.note_begun();
            return true;
        }
        self.note_begun();
        // Refused at once, or given what came back meanwhile: its place is empty either way.
        self.leave(place);
        self.say("clients timed out", || format!("{name}, as there is no port"));
        false
    }

    /// A connection was lent to a session.
    fn lent(&mut self, backend: usize, mut lease: Lease) -> At {
        let now = self.now();
        let name = lease.connect_time().as_nanos() as u64;
        let max_requests = lease.pool().config().pool.max_requests;
        let (uses, retire_at) = {
            let life = lease.connection().life();
            (life.uses, life.retire_at)
        };
        let end = self.backends[backend].ends.get_mut(&name).expect("a connection that is open");
        assert!(!end.is_leased, "connection {name} was lent twice");
        assert!(
            end.disturbed != Some(Disturbed::Told),
            "connection {name} was lent after something had come on it"
        );
        assert!(max_requests == 0 || uses <= max_requests, "connection {name} has its {uses}th request");
        assert!(retire_at.is_none_or(|at| now < at), "connection {name} is too old");
        assert_eq!((lease.is_reused(), uses), (end.uses > 0, end.uses + 1), "uses of connection {name}");
        (end.uses, end.is_leased) = (uses, true);
        let until = now + self.chance.ms(1..=2000);
        self.say("leases", || format!("connection {name}, for the {uses}th time"));
        At::Using { lease, connection: name, until }
    }

    /// Ends the exchanges whose time has come.
    pub(super) fn end_exchanges(&mut self) {
        let now = self.now();
        let is_over = |s: &Session| matches!(&s.at, At::Using { until, .. } if *until <= now);
        while let Some(place) = self.sessions.iter().position(is_over) {
            self.end_exchange(place);
        }
    }

    pub(super) fn end_exchange(&mut self, place: usize) {
        let Session { name, backend, at, .. } = self.sessions.remove(place);
        let At::Using { lease, connection, .. } = at else { unreachable!("it has a connection") };
        self.budget.release_client();
        let now = self.now();
        let end = self.backends[backend].ends.get_mut(&connection).expect("a connection that is open");
        (end.is_leased, end.idle_since) = (false, now);
        let was_disturbed = end.disturbed.take().is_some();
        let how = if was_disturbed { 0 } else { self.chance.within(1..=12) };
        let label = match how {
            0 => "ended by the backend",
            1 => "aborted",
            2 => "not reusable",
            _ => "released",
        };
        self.say("exchanges ended", || format!("{name}, connection {connection}: {label}"));
        match how {
            0 => self.end_stale(backend, lease),
            1 => drop(lease),
            2 => lease.discard(DiscardReason::NotReusable),
            _ => lease.release(now),
        }
        self.note_begun();
    }

    /// The backend closed it under the request.
    fn end_stale(&mut self, backend: usize, mut lease: Lease) {
        let now = self.now();
        if lease.is_reused() {
            let life = lease.connection().life();
            let age = life.leased_at.saturating_duration_since(life.idle_since);
            self.backends[backend].closed.push((now, age));
            lease.note_stale(now);
        }
        lease.discard(DiscardReason::EndpointClosed);
    }

    /// A session that has no connection is over.
    pub(super) fn leave(&mut self, place: usize) {
        let session = self.sessions.remove(place);
        assert!(matches!(session.at, At::Waiting(_)), "session {} has a connection", session.name);
        drop(session);
        self.budget.release_client();
    }

    /// Who wants a connection that nothing was sent on has no other while one is on its way.
    fn check_fresh(&self, place: usize, lease: &Lease) {
        let now = self.now();
        let is_coming = |dial: &Dial| Rc::ptr_eq(&dial.pool, lease.pool()) && dial.begun < now;
        assert!(
            !self.sessions[place].wants_fresh() || !lease.is_reused() || !self.dials.iter().any(is_coming),
            "session {} was given a used connection while a fresh one is on its way",
            self.sessions[place].name
        );
    }

    /// Those who came first to a pool are served first.
    fn check_turn(&self, place: usize) {
        let (turn, before) = (&self.sessions[place], &self.sessions[..place]);
        for session in before.iter().filter(|s| (s.worker, s.backend) == (turn.worker, turn.backend)) {
            let At::Waiting(waiting) = &session.at else { continue };
            assert!(waiting.want == Want::Fresh, "session {} waits since before {}", session.name, turn.name);
        }
    }
}
