//! What has to hold whenever everything has come to rest.

use super::World;
use super::backend::Backend;
use super::client::At;
use super::setup::by;
use crate::clock;
use millpond::metrics::counters::{EndpointCounters, Gauge};
use millpond::source::level::Level;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How soon it is looked again whether ports have come back for those who wait for them.
const PORTS_LOOK: Duration = Duration::from_millis(100);

impl World<'_> {
    pub(super) fn check(&mut self) {
        for backend in 0..self.backends.len() {
            self.check_counts(backend);
            self.check_waiting(backend);
            self.check_idle(backend);
            self.check_ports(backend);
            self.check_health(backend);
            self.check_learning(backend);
        }
        let connections: usize = self.backends.iter().map(Backend::open).sum();
        let taken = connections + self.dials.len() + self.sessions.len();
        assert_eq!(self.budget.used(), taken, "descriptors: connections, dials and clients");
        assert!(taken <= self.budget.limit(), "{taken} descriptors of {}", self.budget.limit());
        let now = self.now();
        for session in &self.sessions {
            let At::Waiting(waiting) = &session.at else { continue };
            assert!(now <= by(waiting.deadline), "session {} waits beyond its deadline", session.name);
        }
    }

    /// The states add up, and are those of the model.
    fn check_counts(&self, number: usize) {
        let backend = &self.backends[number];
        let gauge = |pick: fn(&EndpointCounters) -> &Gauge| backend.state.gauge(pick) as usize;
        let dials = self.dials.iter().filter(|dial| dial.backend == number).count();
        let here = || self.sessions.iter().filter(|session| session.backend == number);
        let using = here().filter(|session| matches!(session.at, At::Using { .. })).count();
        assert_eq!(gauge(|w| &w.connecting), dials, "dials to backend {number}");
        assert_eq!(gauge(|w| &w.leased), using, "leases of backend {number}");
        assert_eq!(gauge(|w| &w.idle), backend.open() - using, "idle connections to backend {number}");
        assert_eq!(gauge(|w| &w.waiting), here().count() - using, "sessions that wait for backend {number}");
        assert_eq!(backend.state.open.load(Relaxed), backend.open() + dials, "slots of backend {number}");
    }

    /// Whoever waits, waits for something.
    fn check_waiting(&mut self, number: usize) {
        let now = self.now();
        let is_short = self.backends[number].sources.iter().any(|source| source.level() >= Level::ReuseOnly);
        if is_short {
            self.backends[number].short_at = Some(now);
        }
        let backend = &self.backends[number];
        // Ports come back without a word: it is looked again before long.
        let may_be_short = backend.short_at.is_some_and(|at| now <= by(at + PORTS_LOOK));
        // One that wants a fresh connection leaves what is idle to others.
        let takes_any = !self.sessions.iter().any(|s| s.backend == number && s.wants_fresh());
        let has_idle = takes_any && backend.state.gauge(|w| &w.idle) > 0;
        for keeper in self.keepers.iter().filter(|keeper| keeper.backend == number) {
            let pool = &keeper.pool;
            let max = pool.config().pool.max_connections;
            let dials = self.dials.iter().filter(|dial| Rc::ptr_eq(&dial.pool, pool)).count();
            let is_full = max > 0 && backend.state.open.load(Relaxed) >= max;
            let may_wait = is_full || may_be_short || !self.budget.has_room();
            let counters = pool.counters();
            assert_eq!(pool.is_coming(), dials > 0, "what is on its way to backend {number}");
            assert!(
                pool.unprovided() == 0 || may_wait,
                "nothing is on its way for who waits for backend {number}, of which {} of {max} are open, with {} of {} descriptors",
                backend.state.open.load(Relaxed),
                self.budget.used(),
                self.budget.limit()
            );
            assert!(
                pool.unprovided() == 0 || !has_idle,
                "who waits for backend {number} could have an idle connection"
            );
            assert!(
                pool.awaits_descriptor(now).is_none() || !self.has_idle(),
                "who waits for backend {number} could have the descriptor of an idle connection"
            );
            assert_eq!(counters.starved.get(), pool.unprovided() as u64, "starved of backend {number}");
        }
    }

    /// Whether anything is idle, with whatever backend.
    fn has_idle(&self) -> bool {
        self.backends.iter().any(|backend| backend.state.gauge(|w| &w.idle) > 0)
    }

    /// Not more is idle than may be, nor for longer.
    fn check_idle(&self, number: usize) {
        let (backend, now) = (&self.backends[number], self.now());
        let is_member = self.upstream.endpoints.iter().any(|member| Arc::ptr_eq(member, &backend.state));
        let most = if is_member { self.config.pool.max_idle } else { 0 };
        let idle = backend.state.gauge(|w| &w.idle) as usize;
        assert!(idle <= most, "{idle} connections to backend {number} are idle, more than {most}");
        let (timeout, _) = backend.state.idle_timeout(&self.config);
        for (name, end) in backend.ends.iter().filter(|(_, end)| !end.is_leased) {
            let age = now.duration_since(end.idle_since);
            assert!(
                now <= by(end.idle_since + timeout),
                "connection {name} is idle for {age:?} of {timeout:?}"
            );
            assert!(end.disturbed.is_none(), "connection {name} is kept although something came on it");
        }
    }

    /// The ledgers count what is taken: nothing less, and nothing more where nobody else is there.
    fn check_ports(&self, number: usize) {
        let (backend, now) = (&self.backends[number], self.now());
        let figures: Vec<_> = backend.sources.iter().map(|source| source.figures(now)).collect();
        for figures in &figures {
            let open = self.ports_open(number, figures.source);
            let counted = figures.used;
            assert!(counted >= open, "{counted} ports to backend {number} are counted, {open} are open");
            assert!(counted == open || backend.had_others, "{counted} ports counted, {open} open");
            assert_eq!(figures.capacity, backend.setup.capacity, "ports of a source");
        }
        let counted: u32 = figures.iter().map(|figures| figures.time_wait).sum();
        let (least, most) = backend.held(now);
        assert!(
            counted >= least,
            "{counted} TIME_WAITs of backend {number} are counted, {least} hold their ports"
        );
        assert!(
            counted <= most || backend.had_others,
            "{counted} TIME_WAITs are counted, there are {most} at most"
        );
    }

    fn check_health(&self, number: usize) {
        let backend = &self.backends[number];
        let is_member = self.upstream.endpoints.iter().any(|member| Arc::ptr_eq(member, &backend.state));
        if is_member {
            assert_eq!(backend.state.is_up(), !backend.health.is_down, "health of backend {number}");
        }
    }

    /// One that is down is chosen where all are, or to try it when that is due.
    pub(super) fn check_choice(&mut self, number: usize) {
        let (now, down) = (self.now(), |backend: &Backend| backend.health.is_down);
        let members = self.upstream.endpoints.iter().map(|member| self.number_of(member));
        let all_down = members.clone().all(|member| down(&self.backends[member]));
        if all_down || !down(&self.backends[number]) {
            return;
        }
        let health = &mut self.backends[number].health;
        // Times are in whole milliseconds there.
        let due = health.no_trial_before.expect("it went down at some time") - Duration::from_millis(1);
        assert!(now >= due, "backend {number} is tried {:?} too early", due - now);
        health.no_trial_before = Some(now + health.retry_after);
        self.say("trials", || format!("of backend {number}"));
    }

    /// An idle timeout is learned from two closes at a like age, and is less than either; it grows by a
    /// tenth a minute at the most.
    fn check_learning(&self, number: usize) {
        let (backend, now) = (&self.backends[number], self.now());
        let Some(learned) = backend.state.idle_learning.timeout() else { return };
        let alike = |one: Duration, other: Duration| one.min(other) * 5 >= one.max(other) * 4;
        let allows = |one: &(Instant, Duration), other: &(Instant, Duration)| {
            let (at, least) = (one.0.max(other.0), one.1.min(other.1));
            let growth = 1.0 + now.duration_since(at).as_secs_f64() / 600.0;
            one.0 != other.0 && alike(one.1, other.1) && learned <= (least * 4 / 5).mul_f64(growth)
        };
        let closed = &backend.closed;
        let is_grounded = closed.iter().any(|one| closed.iter().any(|other| allows(one, other)));
        assert!(is_grounded, "backend {number}: {learned:?} was learned from {closed:?}");
    }

    /// Everybody leaves, and nothing is left.
    pub(super) async fn end(mut self) {
        while let Some(place) = self.sessions.iter().position(|s| matches!(s.at, At::Waiting(_))) {
            self.leave(place);
        }
        while !self.sessions.is_empty() {
            self.end_exchange(0);
        }
        let deadline = self.now();
        for worker in &self.workers {
            let mut known = worker.leaving.take();
            known.add([&worker.group]);
            known.leave(deadline);
            worker.leaving.replace(known);
        }
        for _ in 0..3 {
            clock::advance(Duration::from_secs(2)).await;
            self.settle().await;
        }
        assert_eq!(self.budget.used(), 0, "descriptors are left");
        for (number, backend) in self.backends.iter().enumerate() {
            assert!(
                backend.state.is_over() && backend.open() == 0,
                "connections to backend {number} are left"
            );
            let sources: Vec<IpAddr> = backend.sources.iter().map(|source| source.source()).collect();
            sources.iter().for_each(|source| assert_eq!(self.ports_open(number, *source), 0));
        }
        self.check_ports_are_back();
    }

    fn check_ports_are_back(&self) {
        for backend in self.backends.iter().filter(|backend| !backend.had_others) {
            let figures = backend.sources.iter().map(|source| source.figures(self.now()));
            assert_eq!(figures.map(|figures| figures.used).sum::<u32>(), 0, "ports are left");
        }
    }
}
