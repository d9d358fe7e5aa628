//! Passive health: reports of connects, trials and reloads, against a model that looks at every endpoint.

use crate::chance::Chance;
use crate::clock::Since;
use crate::runner::Log;
use millpond::config::model::Passive;
use millpond::upstream::health::{Change, Health};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events of one history.
const EVENTS: usize = 120;
const ENDPOINTS: usize = 4;

/// Plays the history of a seed.
pub(crate) fn simulate(seed: u64, log: &mut Log) {
    let mut chance = Chance::new(seed);
    let policy = random_policy(&mut chance);
    let count = chance.within(1..=ENDPOINTS);
    let start = Instant::now();
    let health = Arc::new(Health::new(count, &policy));
    let known = vec![Known::default(); count];
    let mut world = World { chance, log, start, now: start, policy, health, known };
    world.say("histories", |world| format!("{count} endpoints, {:?}", world.policy));
    (0..EVENTS).for_each(|_| world.happen());
}

struct World<'a> {
    chance: Chance,
    log: &'a mut Log,
    start: Instant,
    now: Instant,
    policy: Passive,
    health: Arc<Health>,
    known: Vec<Known>,
}

/// What is known of an endpoint.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Failures since the last success.
    failures: u32,
    down: Option<Down>,
}

#[derive(Clone, Debug)]
struct Down {
    /// When somebody may try it next.
    due: Instant,
    /// How long it is left alone after its next trial fails, but for the doubling.
    wait: Duration,
    /// Whether somebody was asked to try it, of whom nothing has been heard.
    is_tried: bool,
}

impl World<'_> {
    fn say(&mut self, what: &'static str, more: impl FnOnce(&Self) -> String) {
        let told = self.log.is_heard().then(|| more(self));
        self.log.say(what, Since(self.start, self.now), || told.unwrap_or_default());
    }

    fn happen(&mut self) {
        let endpoint = self.chance.below(self.known.len());
        match self.chance.below(20) {
            0..8 => self.fail(endpoint),
            8..10 => self.succeed(endpoint),
            10..15 => self.try_one(),
            15..19 => self.now += self.chance.ms(0..=700),
            _ => self.reload(),
        }
        for (endpoint, known) in self.known.iter().enumerate() {
            assert_eq!(self.health.is_up(endpoint), known.down.is_none(), "endpoint {endpoint}: {known:?}");
        }
    }

    /// What changes the set of those that are up is told by another epoch, and nothing else is.
    fn told<T>(&mut self, change: impl FnOnce(&Health) -> T) -> (T, bool) {
        let before = self.health.epoch();
        let result = change(&self.health);
        (result, self.health.epoch() > before)
    }

    fn fail(&mut self, endpoint: usize) {
        let now = self.now;
        let (change, is_told) = self.told(|health| health.failed(endpoint, now));
        let went_down = self.expect_failure(endpoint);
        let expected = if went_down { Change::WentDown } else { Change::None };
        self.say("failures", |world| format!("of {endpoint}: {change:?}, {:?}", world.known[endpoint]));
        assert_eq!((change, is_told), (expected, went_down));
    }

    /// Whether it goes down.
    fn expect_failure(&mut self, endpoint: usize) -> bool {
        let Self { policy, now, .. } = self;
        if policy.failures == 0 {
            return false;
        }
        let known = &mut self.known[endpoint];
        known.failures += 1;
        match &mut known.down {
            // The trial failed: it is left alone for twice as long.
            Some(down) if down.is_tried => {
                let wait = (down.wait * 2).min(policy.retry_after_max.max(policy.retry_after));
                *down = Down { due: *now + wait, wait, is_tried: false };
                false
            }
            // Somebody had begun before it went down, or had no other.
            Some(_) => false,
            None if known.failures >= policy.failures => {
                let wait = policy.retry_after;
                known.down = Some(Down { due: *now + wait, wait, is_tried: false });
                true
            }
            None => false,
        }
    }

    fn succeed(&mut self, endpoint: usize) {
        let (change, is_told) = self.told(|health| health.succeeded(endpoint));
        let came_up = self.known[endpoint].down.is_some();
        self.known[endpoint] = Known::default();
        self.say("successes", |_| format!("of {endpoint}: {change:?}"));
        assert_eq!((change, is_told), (if came_up { Change::CameUp } else { Change::None }, came_up));
    }

    /// Somebody asks for one that is due: the one that has been due for longest, and nobody else gets it.
    fn try_one(&mut self) {
        let now = self.now;
        let (tried, is_told) = self.told(|health| health.due_trial(now));
        let due = self.known.iter().enumerate().filter_map(|(endpoint, known)| {
            let due = known.down.as_ref()?.due;
            (due <= now).then_some((due, endpoint))
        });
        let expected = due.min().map(|(_, endpoint)| endpoint);
        self.say("trials", |_| format!("{tried:?}"));
        assert_eq!((tried, is_told), (expected, false));
        if let Some(endpoint) = tried
            && let Some(down) = &mut self.known[endpoint].down
        {
            *down = Down { due: now + self.policy.retry_after, is_tried: true, ..*down };
        }
    }

    /// Another policy, and other endpoints beside some of those there are, in another order.
    fn reload(&mut self) {
        self.policy = random_policy(&mut self.chance);
        let mut all: Vec<Option<usize>> = (0..self.known.len()).map(Some).collect();
        if self.chance.one_in(2) {
            all.push(None);
        }
        let first = self.chance.below(all.len());
        all.rotate_left(first);
        all.truncate(self.chance.within(1..=ENDPOINTS));
        let carried: Vec<_> =
            all.iter().map(|place| place.map(|place| (Arc::clone(&self.health), place))).collect();
        self.health = Arc::new(Health::carrying(&carried, &self.policy));
        let known = |place: &Option<usize>| place.map_or_else(Known::default, |at| self.known[at].clone());
        let is_off = self.policy.failures == 0;
        self.known = all.iter().map(|place| if is_off { Known::default() } else { known(place) }).collect();
        self.say("reloads", |world| format!("{all:?}, {:?}", world.policy));
    }
}

/// Times are in whole milliseconds, as those of the product are.
fn random_policy(chance: &mut Chance) -> Passive {
    Passive {
        failures: chance.below(4) as u32,
        retry_after: chance.ms(1..=900),
        retry_after_max: chance.ms(500..=4000),
    }
}
