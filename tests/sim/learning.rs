//! Idle learning: an endpoint that closes idle connections, and restarts; a pool that goes by what it learns.

use crate::chance::Chance;
use crate::clock::Since;
use crate::runner::Log;
use millpond::upstream::idle_learning::SharedIdleLearning;
use std::time::{Duration, Instant};

/// Events of one history.
const EVENTS: usize = 60;
/// What is learned grows by a tenth a minute at the most: from four fifths of an age to all of it takes this
/// long at the least, with closes that come late by a fiftieth at the most.
const UNSEEN_FOR: Duration = Duration::from_secs(120);

/// Plays the history of a seed.
pub(crate) fn simulate(seed: u64, log: &mut Log) {
    let mut chance = Chance::new(seed);
    let start = Instant::now();
    let otherwise = chance.of(&[4000, 4000, 4000, 14_000]);
    let world = World {
        keeps_for: chance.ms(100..=9000),
        is_steady: chance.one_in(2),
        chance,
        log,
        start,
        now: start,
        learning: SharedIdleLearning::default(),
        otherwise: Duration::from_millis(otherwise),
        closed: Vec::new(),
    };
    world.play();
}

struct World<'a> {
    chance: Chance,
    log: &'a mut Log,
    start: Instant,
    now: Instant,
    learning: SharedIdleLearning,
    /// The pool's idle timeout where nothing is learned.
    otherwise: Duration,
    /// After how long the endpoint closes an idle connection.
    keeps_for: Duration,
    /// The endpoint does not restart, and nobody changes its settings.
    is_steady: bool,
    /// At what age it closed connections that were used, and when.
    closed: Vec<(Instant, Duration)>,
}

impl World<'_> {
    fn say(&mut self, what: &'static str, more: impl FnOnce(&Self) -> String) {
        let told = self.log.is_heard().then(|| more(self));
        self.log.say(what, Since(self.start, self.now), || told.unwrap_or_default());
    }

    fn play(mut self) {
        self.say("histories", |world| {
            format!("closes after {:?}, steady: {}", world.keeps_for, world.is_steady)
        });
        for _ in 0..EVENTS {
            match self.chance.below(20) {
                0..12 => self.fall_idle(),
                12..15 => self.pass(),
                15 => self.crash(),
                _ if self.is_steady => self.fall_idle(),
                16..19 => self.restart(),
                _ => self.change(),
            }
            self.check();
        }
    }

    fn idle_timeout(&self) -> Duration {
        self.learning.timeout().unwrap_or(self.otherwise)
    }

    /// A connection becomes idle, and whoever closes sooner closes it.
    fn fall_idle(&mut self) {
        let age = self.keeps_for.mul_f64(1.0 + self.chance.below(20) as f64 / 1000.0);
        let ours = self.idle_timeout();
        self.now += ours.min(age);
        if age < ours {
            self.close(age, "idle closes of the endpoint");
            self.check_steady();
        } else {
            self.say("idle closes of ours", |_| format!("after {ours:?}"));
        }
        self.learning.forget(self.otherwise, self.now);
    }

    fn close(&mut self, age: Duration, what: &'static str) {
        let before = self.idle_timeout();
        let is_sooner = self.learning.closed(age, self.otherwise, self.now);
        self.closed.push((self.now, age));
        self.say(what, |world| format!("after {age:?}: {:?}", world.learning.timeout()));
        let after = self.idle_timeout();
        assert_eq!(is_sooner, after < before, "whoever waits for {before:?} is to be woken for {after:?}");
    }

    fn pass(&mut self) {
        self.now += self.chance.ms(1000..=600_000);
        self.learning.forget(self.otherwise, self.now);
        self.say("waits", |world| format!("{:?}", world.learning.timeout()));
    }

    /// It closes a connection right behind a response: that is no idle timeout.
    fn crash(&mut self) {
        let age = self.chance.ms(0..=99);
        self.close(age, "crashes");
        self.closed.pop();
    }

    /// Connections of all ages are closed together, the first of them the youngest or the oldest: that teaches
    /// nothing.
    fn restart(&mut self) {
        // Long enough after other closes to be a moment of its own.
        self.now += Duration::from_secs(5);
        self.learning.forget(self.otherwise, self.now);
        let before = self.learning.timeout();
        let oldest = self.idle_timeout().min(self.keeps_for).as_millis() as usize;
        let mut ages: Vec<Duration> = (0..5).map(|_| self.chance.ms(0..=oldest)).collect();
        ages.sort_unstable();
        if self.chance.one_in(2) {
            ages.reverse();
        }
        for age in &ages {
            self.close(*age, "closes by a restart");
        }
        ages.retain(|age| age.as_millis() >= 100);
        if let (Some(youngest), Some(oldest)) = (ages.iter().min(), ages.iter().max())
            && *youngest * 5 < *oldest * 4
        {
            assert_eq!(self.learning.timeout(), before, "a restart taught something: {ages:?}");
        }
    }

    fn change(&mut self) {
        self.keeps_for = self.chance.ms(100..=9000);
        self.say("changes", |world| format!("closes after {:?} now", world.keeps_for));
    }

    fn check(&self) {
        let Some(learned) = self.learning.timeout() else { return };
        assert!(learned < self.otherwise, "{learned:?} is learned, which is no sooner");
        let youngest = self.closed.iter().map(|(_, age)| *age).filter(|age| age.as_millis() >= 100).min();
        let youngest = youngest.expect("it closed some");
        // In whole milliseconds.
        let least = youngest * 4 / 5 - Duration::from_millis(1);
        assert!(learned >= least, "{learned:?} is learned, where none was closed before {youngest:?}");
        let is_grounded = self.closed.iter().any(|one| {
            self.closed.iter().any(|other| one.0 != other.0 && self.allows(learned, *one, *other))
        });
        assert!(is_grounded, "{learned:?} is learned from {:?}", self.closed);
    }

    /// Whether two closes at a like age can have led to this: it is a fifth less than either, and grows by a
    /// tenth a minute at the most.
    fn allows(&self, learned: Duration, one: (Instant, Duration), other: (Instant, Duration)) -> bool {
        let (least, most) = (one.1.min(other.1), one.1.max(other.1));
        let growth = 1.0 + self.now.duration_since(one.0.max(other.0)).as_secs_f64() / 600.0;
        least * 5 >= most * 4 && learned <= (least * 4 / 5).mul_f64(growth)
    }

    /// Once two closes have told, the endpoint is first again only when that is forgotten.
    fn check_steady(&self) {
        let age = self.keeps_for;
        let [earlier @ .., before, (last, _)] = &self.closed[..] else { return };
        if !self.is_steady || earlier.is_empty() || age * 4 / 5 >= self.otherwise {
            return;
        }
        let unseen = last.duration_since(before.0);
        // What is not confirmed within half an hour is no evidence.
        let was_told = earlier.iter().any(|(at, _)| before.0.duration_since(*at) < Duration::from_secs(1800));
        assert!(!was_told || unseen >= UNSEEN_FOR, "closed first again after {unseen:?}: {:?}", self.closed);
    }
}
