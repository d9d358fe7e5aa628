//! Many seeds, or one that is looked at.

use crate::clock;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

/// Seeds that are played where nobody asks for another number.
const SEEDS: u64 = 10_000;

/// What happened, by name.
pub(crate) type Tally = BTreeMap<&'static str, u64>;

/// Where the events of a history are told.
#[derive(Debug)]
pub(crate) struct Log {
    is_heard: bool,
    tally: Tally,
}

impl Log {
    /// Whether anybody reads it.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// Counts one of `what`, and says more where somebody reads it.
    pub(crate) fn say(&mut self, what: &'static str, at: impl Display, more: impl FnOnce() -> String) {
        *self.tally.entry(what).or_default() += 1;
        if self.is_heard {
            println!("{at:>12}  {what}: {}", more());
        }
    }
}

/// Plays one history by the clock that only it moves: a world that begins there, so many events in it, after each of
/// which it keeps what it promises, and its end.
pub(crate) fn history<W>(
    events: usize,
    begin: impl FnOnce() -> W,
    happen: impl AsyncFn(&mut W),
    check: impl Fn(&mut W),
    end: impl AsyncFnOnce(W),
) {
    clock::play(async {
        let mut world = begin();
        for _ in 0..events {
            happen(&mut world).await;
            check(&mut world);
        }
        end(world).await;
    });
}

/// Plays the seeds that the environment asks for.
pub(crate) fn run(name: &str, simulate: impl Fn(u64, &mut Log) + Sync) {
    let asked = |variable: &str| {
        let text = env::var(variable).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
    };
    if let Some(seed) = asked("MILLPOND_SIM_SEED") {
        println!("{name}: seed {seed}");
        simulate(seed, &mut Log { is_heard: true, tally: Tally::new() });
        return;
    }
    let seeds = asked("MILLPOND_SIM_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let total = play(name, seeds, simulate);
    let told: Vec<_> = total.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!("{name}: {seeds} seeds held in {:.1} s: {}", began.elapsed().as_secs_f64(), told.join(", "));
}

fn play(name: &str, seeds: u64, simulate: impl Fn(u64, &mut Log) + Sync) -> Tally {
    let (next, total) = (AtomicU64::new(0), Mutex::new(Tally::new()));
    let failed = AtomicU64::new(u64::MAX);
    let work = || {
        let mut log = Log { is_heard: false, tally: Tally::new() };
        while failed.load(Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                break;
            }
            if catch_unwind(AssertUnwindSafe(|| simulate(seed, &mut log))).is_err() {
                failed.fetch_min(seed, Relaxed);
            }
        }
        let mut total = total.lock().expect("nobody has panicked with it");
        log.tally.iter().for_each(|(what, count)| *total.entry(what).or_default() += count);
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let seed = failed.into_inner();
    assert!(
        seed == u64::MAX,
        "seed {seed} does not hold. Its events: MILLPOND_SIM_SEED={seed} cargo test --test sim {name} -- --nocapture"
    );
    total.into_inner().expect("nobody has panicked with it")
}
