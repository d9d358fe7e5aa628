//! Passive health: endpoints that fail to accept are left out for a while, then tried again.
//!
//! No clock is read here: `now` is an argument.

use crate::config::model::Passive;
use std::collections::BTreeSet;
use std::sync::atomic::{
    AtomicU8, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    None,
    WentDown,
    CameUp,
}

/// The availability of an upstream's endpoints, shared by all workers.
///
/// Where nothing is wrong, atomics have the answer; only trouble takes the lock. The atomics are
/// written under it and may be read a moment late.
#[derive(Debug)]
pub struct Health {
    /// Consecutive failures that take an endpoint down; 0: none do.
    failures: u32,
    /// The first wait, in milliseconds.
    wait: u64,
    /// No wait is longer, in milliseconds.
    longest_wait: u64,
    /// For each endpoint [`CLEAN`], [`SUSPECT`] or [`DOWN`].
    marks: Box<[AtomicU8]>,
    epoch: AtomicU64,
    /// Time zero: when the first failure was reported.
    origin: OnceLock<Instant>,
    /// The first of [`Troubles::due`], or [`NEVER`].
    earliest: AtomicU64,
    troubles: Mutex<Troubles>,
}

/// Up, and no failure since the last success.
const CLEAN: u8 = 0;
/// Up, with failures.
const SUSPECT: u8 = 1;
/// Down, whether a trial is under way or not.
const DOWN: u8 = 2;

const NEVER: u64 = u64::MAX;

#[derive(Debug)]
struct Troubles {
    states: Vec<State>,
    /// Each endpoint that is down, by when its next trial is due, in milliseconds since the origin.
    due: BTreeSet<(u64, usize)>,
}

/// Where one endpoint is. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
enum State {
    /// May be chosen. So many `failures` in a row as the policy says take it to `Down`; a success
    /// sets them to 0.
    Up { failures: u32 },
    /// Left out, until `due_trial` takes it to `Trial`. Connects that were under way, or are made
    /// because no endpoint is up, still report: a success takes it to `Up`, a failure changes nothing.
    Down { due: u64, wait: u64 },
    /// One caller tries it. A success takes it to `Up`, a failure to `Down` with twice the wait.
    /// Without a report it is handed to another caller when it is due again.
    Trial { due: u64, wait: u64 },
}

impl State {
    /// The same for an origin that is this much earlier.
    fn later_by(self, ms: u64) -> Self {
        match self {
            Self::Up { failures } => Self::Up { failures },
            Self::Down { due, wait } => Self::Down { due: due.saturating_add(ms), wait },
            Self::Trial { due, wait } => Self::Trial { due: due.saturating_add(ms), wait },
        }
    }
}

impl Health {
    /// All endpoints up.
    pub fn new(endpoints: usize, policy: &Passive) -> Self {
        // A wait of nothing would hand the same trial to everybody.
        let wait = milliseconds(policy.retry_after).max(1);
        Self {
            failures: policy.failures,
            wait,
            longest_wait: milliseconds(policy.retry_after_max).max(wait),
            marks: (0..endpoints).map(|_| AtomicU8::new(CLEAN)).collect(),
            epoch: AtomicU64::new(0),
            origin: OnceLock::new(),
            earliest: AtomicU64::new(NEVER),
            troubles: Mutex::new(Troubles {
                states: vec![State::Up { failures: 0 }; endpoints],
                due: BTreeSet::new(),
            }),
        }
    }

    /// The health of endpoints of which some were known already, each by its place elsewhere.
    pub fn carrying(known: &[Option<(Arc<Health>, usize)>], policy: &Passive) -> Self {
        let health = Self::new(known.len(), policy);
        if health.failures == 0 {
            return health;
        }
        let origins = known.iter().flatten().filter_map(|(other, _)| other.origin.get());
        let Some(origin) = origins.min().copied() else { return health };
        _ = health.origin.set(origin);
        for (place, (other, there)) in
            known.iter().enumerate().filter_map(|(at, known)| Some((at, known.as_ref()?)))
        {
            let later = other.origin.get().map_or(0, |time| milliseconds(time.duration_since(origin)));
            let state = other.lock().states[*there].later_by(later);
            health.enter(&mut health.lock(), place, state);
            health.mark(place, other.marks[*there].load(Relaxed));
        }
        health
    }

    /// A connect to this endpoint failed, and it was not a local shortage.
    pub fn failed(&self, endpoint: usize, now: Instant) -> Change {
        if self.failures == 0 {
            return Change::None;
        }
        let now = milliseconds(now.saturating_duration_since(*self.origin.get_or_init(|| now)));
        let mut troubles = self.lock();
        match troubles.states[endpoint] {
            State::Up { failures } if failures.saturating_add(1) < self.failures => {
                troubles.states[endpoint] = State::Up { failures: failures + 1 };
                self.marks[endpoint].store(SUSPECT, Relaxed);
                Change::None
            }
            State::Up { .. } => {
                let down = State::Down { due: now.saturating_add(self.wait), wait: self.wait };
                self.enter(&mut troubles, endpoint, down);
                self.mark(endpoint, DOWN);
                Change::WentDown
            }
            State::Down { .. } => Change::None,
            State::Trial { wait, .. } => {
                let wait = wait.saturating_mul(2).min(self.longest_wait);
                self.enter(&mut troubles, endpoint, State::Down { due: now.saturating_add(wait), wait });
                Change::None
            }
        }
    }

    /// A connect to this endpoint succeeded. Costs one relaxed load when nothing was wrong.
    pub fn succeeded(&self, endpoint: usize) -> Change {
        if self.marks[endpoint].load(Relaxed) == CLEAN {
            return Change::None;
        }
        let mut troubles = self.lock();
        let was_up = matches!(troubles.states[endpoint], State::Up { .. });
        self.enter(&mut troubles, endpoint, State::Up { failures: 0 });
        if was_up {
            self.marks[endpoint].store(CLEAN, Relaxed);
            return Change::None;
        }
        self.mark(endpoint, CLEAN);
        Change::CameUp
    }

    /// Whether this endpoint may be chosen.
    pub fn is_up(&self, endpoint: usize) -> bool {
        self.marks[endpoint].load(Relaxed) != DOWN
    }

    /// Grows whenever [`Self::is_up`] changes for any endpoint. Who has read a new epoch reads the
    /// changes that led to it, or later ones.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// A down endpoint whose re-trial is due: the caller is the one that tries it, and must report.
    /// A caller that does not (its connect failed for want of something local, say) has its trial handed
    /// to another after the policy's `retry_after`. Costs one relaxed load when nothing is down.
    pub fn due_trial(&self, now: Instant) -> Option<usize> {
        let earliest = self.earliest.load(Relaxed);
        if earliest == NEVER {
            return None;
        }
        let now = milliseconds(now.saturating_duration_since(*self.origin.get()?));
        if now < earliest {
            return None;
        }
        let mut troubles = self.lock();
        // Another caller may have been faster.
        let (_, endpoint) = *troubles.due.first().filter(|(due, _)| *due <= now)?;
        if let State::Down { wait, .. } | State::Trial { wait, .. } = troubles.states[endpoint] {
            let trial = State::Trial { due: now.saturating_add(self.wait), wait };
            self.enter(&mut troubles, endpoint, trial);
        }
        Some(endpoint)
    }

    /// Changes a state and keeps what is due, and the earliest of it, in step.
    fn enter(&self, troubles: &mut Troubles, endpoint: usize, state: State) {
        if let State::Down { due, .. } | State::Trial { due, .. } = troubles.states[endpoint] {
            troubles.due.remove(&(due, endpoint));
        }
        if let State::Down { due, .. } | State::Trial { due, .. } = state {
            troubles.due.insert((due, endpoint));
        }
        troubles.states[endpoint] = state;
        self.earliest.store(troubles.due.first().map_or(NEVER, |(due, _)| *due), Relaxed);
    }

    /// Changes whether an endpoint is up, then says that something changed.
    fn mark(&self, endpoint: usize, mark: u8) {
        self.marks[endpoint].store(mark, Relaxed);
        self.epoch.fetch_add(1, Release);
    }

    fn lock(&self) -> MutexGuard<'_, Troubles> {
        // Nothing in between can panic with the state half changed.
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(time: Duration) -> u64 {
    // One less than the largest, which means never.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{CameUp, None as Same, WentDown};
    use std::sync::atomic::AtomicUsize;

    /// Three failures; 100 ms, doubled up to 350 ms.
    const POLICY: Passive = Passive {
        failures: 3,
        retry_after: Duration::from_millis(100),
        retry_after_max: Duration::from_millis(350),
    };

    enum Event {
        Failed(usize, Change),
        Succeeded(usize, Change),
        Due(Option<usize>),
    }
    use Event::{Due, Failed, Succeeded};

    /// Plays events at their milliseconds; after each, `up` are the endpoints that are up.
    fn play(policy: &Passive, endpoints: usize, script: &[(u64, Event, &[usize])]) {
        let health = Health::new(endpoints, policy);
        let start = Instant::now();
        let up = || (0..endpoints).filter(|e| health.is_up(*e)).collect::<Vec<_>>();
        let (mut before, mut epoch) = (up(), health.epoch());
        for (line, (at, event, expected)) in script.iter().enumerate() {
            let now = start + Duration::from_millis(*at);
            match event {
                Failed(endpoint, change) => assert_eq!(health.failed(*endpoint, now), *change, "line {line}"),
                Succeeded(endpoint, change) => {
                    assert_eq!(health.succeeded(*endpoint), *change, "line {line}")
                }
                Due(endpoint) => assert_eq!(health.due_trial(now), *endpoint, "line {line}"),
            }
            assert_eq!(up(), *expected, "line {line}");
            assert_eq!(health.epoch() > epoch, up() != before, "line {line}: the epoch tells of a change");
            (before, epoch) = (up(), health.epoch());
        }
    }

    #[test]
    fn only_failures_in_a_row_count() {
        play(
            &POLICY,
            2,
            &[
                (0, Failed(0, Same), &[0, 1]),
                (1, Failed(0, Same), &[0, 1]),
                (2, Failed(1, Same), &[0, 1]),
                (3, Succeeded(0, Same), &[0, 1]),
                (4, Failed(0, Same), &[0, 1]),
                (5, Failed(0, Same), &[0, 1]),
                (6, Due(None), &[0, 1]),
                (7, Failed(0, WentDown), &[1]),
                (8, Failed(1, Same), &[1]),
                (9, Failed(1, WentDown), &[]),
            ],
        );
    }

    #[test]
    fn the_wait_doubles_with_each_failed_trial_and_a_success_forgets_it() {
        let policy = Passive { failures: 1, ..POLICY };
        play(
            &policy,
            1,
            &[
                (0, Failed(0, WentDown), &[]),
                (99, Due(None), &[]),
                (100, Due(Some(0)), &[]),
                (101, Due(None), &[]),
                (150, Failed(0, Same), &[]), // down for 200 ms from here
                (349, Due(None), &[]),
                (350, Due(Some(0)), &[]),
                (360, Failed(0, Same), &[]), // 350 ms, the longest
                (709, Due(None), &[]),
                (710, Due(Some(0)), &[]),
                (720, Failed(0, Same), &[]), // and again
                (1069, Due(None), &[]),
                (1070, Due(Some(0)), &[]),
                (1080, Succeeded(0, CameUp), &[0]),
                (9000, Due(None), &[0]),
                (9001, Failed(0, WentDown), &[]), // 100 ms again
                (9100, Due(None), &[]),
                (9101, Due(Some(0)), &[]),
            ],
        );
    }

    #[test]
    fn a_trial_without_a_report_is_due_again_and_keeps_its_wait() {
        let policy = Passive { failures: 1, ..POLICY };
        play(
            &policy,
            1,
            &[
                (0, Failed(0, WentDown), &[]),
                (100, Due(Some(0)), &[]),
                (110, Failed(0, Same), &[]), // 200 ms
                (310, Due(Some(0)), &[]),
                (409, Due(None), &[]),
                (410, Due(Some(0)), &[]),
                (420, Failed(0, Same), &[]), // the wait was 200 ms, so now 350 ms
                (769, Due(None), &[]),
                (770, Due(Some(0)), &[]),
            ],
        );
    }

    #[test]
    fn reports_on_a_down_endpoint_outside_a_trial() {
        play(
            &Passive { failures: 1, ..POLICY },
            1,
            &[
                (0, Failed(0, WentDown), &[]),
                (50, Failed(0, Same), &[]), // neither later nor longer
                (100, Due(Some(0)), &[]),
                (101, Failed(0, Same), &[]),
                (102, Succeeded(0, CameUp), &[0]),
                (103, Succeeded(0, Same), &[0]),
                (301, Due(None), &[0]),
            ],
        );
    }

    #[test]
    fn what_has_been_due_for_longest_is_tried_first() {
        play(
            &Passive { failures: 1, ..POLICY },
            3,
            &[
                (0, Failed(2, WentDown), &[0, 1]),
                (10, Failed(0, WentDown), &[1]),
                (109, Due(Some(2)), &[1]),
                (109, Due(None), &[1]),
                (110, Due(Some(0)), &[1]),
                (115, Succeeded(0, CameUp), &[0, 1]),
                (208, Due(None), &[0, 1]),
                (209, Due(Some(2)), &[0, 1]),
            ],
        );
    }

    #[test]
    fn no_failures_take_an_endpoint_down_when_it_is_off() {
        let off = Passive { failures: 0, ..POLICY };
        play(&off, 1, &[(0, Failed(0, Same), &[0]), (1, Failed(0, Same), &[0]), (900, Due(None), &[0])]);
    }

    #[test]
    fn odd_policies_and_times_do_no_harm() {
        let nothing = Passive { failures: 1, retry_after: Duration::ZERO, retry_after_max: Duration::ZERO };
        play(
            &nothing,
            1,
            &[
                (5, Failed(0, WentDown), &[]),
                (0, Due(None), &[]), // before time zero
                (6, Due(Some(0)), &[]),
                (6, Due(None), &[]),
            ],
        );
        let ever = Passive { failures: 1, retry_after: Duration::MAX, retry_after_max: Duration::MAX };
        play(
            &ever,
            1,
            &[
                (0, Failed(0, WentDown), &[]),
                (1 << 40, Due(None), &[]),
                (1 << 40, Succeeded(0, CameUp), &[0]),
            ],
        );
    }

    #[test]
    fn what_is_known_of_an_endpoint_goes_with_it() {
        let policy = Passive { failures: 2, ..POLICY };
        let (one, other) = (Arc::new(Health::new(2, &policy)), Arc::new(Health::new(1, &policy)));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        (0..2).for_each(|_| _ = one.failed(1, at(0)));
        one.failed(0, at(10));
        (0..2).for_each(|_| _ = other.failed(0, at(50)));
        let known = [Some((other, 0)), None, Some((Arc::clone(&one), 0)), Some((one, 1))];
        let health = Health::carrying(&known, &policy);
        assert!(health.epoch() > 0, "who looks for changes finds these");
        assert_eq!([0, 1, 2, 3].map(|place| health.is_up(place)), [false, true, true, false]);
        assert_eq!(health.failed(2, at(60)), WentDown, "its second failure");
        assert_eq!([99, 100, 101].map(|ms| health.due_trial(at(ms))), [None, Some(3), None]);
        assert_eq!([149, 150].map(|ms| health.due_trial(at(ms))), [None, Some(0)]);
        let off = Health::carrying(&known, &Passive { failures: 0, ..POLICY });
        assert!((0..4).all(|place| off.is_up(place)), "nobody takes an endpoint down, or up again");
    }

    #[test]
    fn a_due_trial_goes_to_one_of_many_callers() {
        let health = Health::new(40, &Passive { failures: 1, ..POLICY });
        let start = Instant::now();
        (0..40).for_each(|endpoint| assert_eq!(health.failed(endpoint, start), WentDown));
        let later = start + POLICY.retry_after;
        let handed: Vec<AtomicUsize> = (0..40).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(endpoint) = health.due_trial(later) {
                        handed[endpoint].fetch_add(1, Relaxed);
                    }
                });
            }
        });
        assert!(handed.iter().all(|count| count.load(Relaxed) == 1), "{handed:?}");
    }
}
