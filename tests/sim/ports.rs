//! Port budgets: dials and closes of ours and of others, against a model of the kernel's tables.

use crate::chance::Chance;
use crate::clock::{self, Since};
use crate::fixture;
use crate::runner::{Log, history};
use millpond::config::model;
use millpond::source::kernel::PortSettings;
use millpond::source::lease::PortLease;
use millpond::source::ledger::Left;
use millpond::source::level::Level;
use millpond::source::ports::{KernelPorts, SourcePorts};
use millpond::timer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events of one history.
const EVENTS: usize = 100;
/// What the kernel's timers are late by, at the most.
const KERNEL_LATE: Duration = Duration::from_millis(5120);
/// Closes of one tenth of a second are counted together.
const GRANULE: Duration = Duration::from_millis(100);
/// For how long a NAT of this world holds a port.
const NAT_HOLD: Duration = Duration::from_secs(20);

/// Plays the history of a seed.
pub(crate) fn simulate(seed: u64, log: &mut Log) {
    history(EVENTS, || World::new(seed, log), World::happen, |world| world.check(), World::end);
}

struct World<'a> {
    chance: Chance,
    log: &'a mut Log,
    start: Instant,
    config: model::Upstream,
    capacity: u32,
    /// Whether TIME_WAITs are reused, after a second.
    reuses: bool,
    sources: Vec<Arc<SourcePorts>>,
    kernel: Vec<Kernel>,
    open: Vec<Connection>,
    turn: usize,
}

/// What the kernel has of one source.
#[derive(Debug, Default)]
struct Kernel {
    /// Connections of other programs.
    others: u32,
    had_others: bool,
    /// When our closes left a TIME_WAIT, and when the kernel ends it.
    time_waits: Vec<(Instant, Instant)>,
    /// Until when a NAT holds the ports of those that were established.
    translated: Vec<Instant>,
}

struct Connection {
    lease: PortLease,
    source: usize,
    is_established: bool,
}

impl<'a> World<'a> {
    fn new(seed: u64, log: &'a mut Log) -> Self {
        let mut chance = Chance::new(seed);
        let (capacity, reuses) = (chance.of(&[1, 5, 20, 200]), chance.one_in(3));
        let mut config = model::Upstream::clone(&fixture::upstream());
        let [warn, reuse_only, refuse] = chance.of(&[[60, 75, 85], [10, 40, 90], [90, 95, 100]]);
        config.source.warn_percent = warn;
        config.source.reuse_only_percent = reuse_only;
        config.source.refuse_percent = refuse;
        let nat = model::Nat { ports: 64_512, idle_timeout: Duration::from_secs(350), time_wait: NAT_HOLD };
        config.source.nat = chance.one_in(3).then_some(nat);
        let settings = PortSettings {
            range: 40_000..=40_000 + capacity - 1,
            tw_reuse: u32::from(reuses),
            ..PortSettings::default()
        };
        let count = chance.within(1..=3) as u8;
        let destination = SocketAddr::from(fixture::ENDPOINT);
        let ledgers = fixture::ledgers(count, destination, &settings);
        let sources = fixture::sources(&config, destination, &settings, &ledgers);
        let kernel = sources.iter().map(|_| Kernel::default()).collect();
        let (capacity, start, open) = (u32::from(capacity), timer::now(), Vec::new());
        let mut world = Self { chance, log, start, config, capacity, reuses, sources, kernel, open, turn: 0 };
        world.say("histories", |w| {
            format!("{count} sources of {capacity}, {:?}, reuse {reuses}", w.config.source)
        });
        world
    }

    fn say(&mut self, what: &'static str, more: impl FnOnce(&Self) -> String) {
        let told = self.log.is_heard().then(|| more(self));
        self.log.say(what, Since(self.start, timer::now()), || told.unwrap_or_default());
    }

    async fn happen(&mut self) {
        match self.chance.below(40) {
            0..16 => self.dial(),
            16..20 => self.establish(),
            20..28 => self.close(),
            28..34 => {
                let time = self.chance.of(&[1, 30, 400, 2000, 21_000, 70_000]);
                clock::advance(Duration::from_millis(time)).await;
                self.say("waits", |_| format!("{time} ms"));
            }
            34..36 => self.others_dial(),
            36..38 => self.census().await,
            38 => self.quiet_censuses().await,
            _ => self.burst(),
        }
    }

    /// Ports of a source that the kernel does not give out: ours, others', and TIME_WAITs.
    fn taken(&self, source: usize) -> u32 {
        let (kernel, now) = (&self.kernel[source], timer::now());
        let holds = |(left, over): &&(Instant, Instant)| match self.reuses {
            true => now < *left + Duration::from_secs(1),
            false => now < *over,
        };
        let time_waits = kernel.time_waits.iter().filter(holds).count() as u32;
        let translated = kernel.translated.iter().filter(|until| now < **until).count() as u32;
        self.ours(source) + kernel.others + time_waits.max(translated)
    }

    fn ours(&self, source: usize) -> u32 {
        self.open.iter().filter(|connection| connection.source == source).count() as u32
    }

    fn dial(&mut self) {
        let now = timer::now();
        self.turn += 1;
        let most = self.chance.of(&[Level::Warn, Level::ReuseOnly]);
        let rooms: Vec<u32> = self.sources.iter().map(|source| source.room(now)).collect();
        let greatest = rooms.iter().copied().max().unwrap_or(0);
        let percent = self.config.source.reuse_only_percent;
        match PortLease::take(&self.sources, self.turn, most, now) {
            Ok(lease) => {
                let is_it = |source: &Arc<SourcePorts>| Arc::ptr_eq(source, lease.ports());
                let source = self.sources.iter().position(is_it).expect("one of them");
                assert_eq!(rooms[source], greatest, "not the source with the most room of {rooms:?}");
                let (taken, others) = (self.taken(source), self.kernel[source].had_others);
                let limit = if most == Level::Warn { percent } else { self.config.source.refuse_percent };
                let is_within = taken * 100 < self.capacity * u32::from(limit);
                assert!(is_within || others, "dialled at {taken} of {}, {limit} %", self.capacity);
                self.open.push(Connection { lease, source, is_established: false });
                self.say("dials", |_| format!("from source {source}, {most:?} at the most"));
            }
            Err(level) => {
                self.say("refused dials", |_| format!("{level:?}, {most:?} at the most"));
                let is_none = level == Level::Refuse && greatest == 0;
                assert!(is_none || level == Level::ReuseOnly && most == Level::Warn, "{level:?} {rooms:?}");
            }
        }
    }

    fn burst(&mut self) {
        (0..self.chance.below(30)).for_each(|_| self.dial());
    }

    /// Those that were dialled are established, all but a few.
    fn establish(&mut self) {
        for place in 0..self.open.len() {
            if self.open[place].is_established || self.chance.one_in(4) {
                continue;
            }
            let connection = &mut self.open[place];
            connection.lease.connected(timer::now());
            connection.is_established = true;
            let source = connection.source;
            self.say("established", |_| format!("from source {source}"));
        }
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.chance.below(self.open.len());
        let Connection { mut lease, source, is_established } = self.open.remove(place);
        let (now, late) = (timer::now(), self.chance.ms(0..=KERNEL_LATE.as_millis() as usize));
        let left = match is_established {
            true => self.chance.of(&[Left::TimeWait, Left::Nothing]),
            false => Left::Unused,
        };
        if is_established {
            lease.leaves(left);
        }
        let kernel = &mut self.kernel[source];
        if left == Left::TimeWait {
            kernel.time_waits.push((now, now + Duration::from_secs(60) + late));
        }
        if left != Left::Unused && self.config.source.nat.is_some() {
            kernel.translated.push(now + NAT_HOLD);
        }
        drop(lease);
        self.say("closes", |_| format!("of source {source}, leaves {left:?}"));
    }

    fn others_dial(&mut self) {
        let source = self.chance.below(self.sources.len());
        let others = self.chance.below(self.capacity as usize + 1) as u32;
        let kernel = &mut self.kernel[source];
        (kernel.others, kernel.had_others) = (others, true);
        self.say("others' connections", |_| format!("{others} of source {source}"));
    }

    /// The kernel's TIME_WAITs, those included that a dial could have the port of.
    fn in_time_wait(&self, source: usize) -> u32 {
        let now = timer::now();
        self.kernel[source].time_waits.iter().filter(|(_, over)| now < *over).count() as u32
    }

    async fn census(&mut self) {
        // No two begin at the same time.
        clock::advance(Duration::from_nanos(1)).await;
        let now = timer::now();
        for source in 0..self.sources.len() {
            let (open, time_wait) =
                (self.ours(source) + self.kernel[source].others, self.in_time_wait(source));
            self.sources[source].note_census(KernelPorts { open, time_wait }, now);
            self.say("censuses", |_| format!("source {source}: {open} open, {time_wait} in TIME_WAIT"));
        }
    }

    /// After two between which nothing happens, the count is the kernel's.
    async fn quiet_censuses(&mut self) {
        self.census().await;
        self.census().await;
        for source in 0..self.sources.len() {
            let figures = self.sources[source].figures(timer::now());
            assert_eq!(
                figures.used,
                self.ours(source) + self.kernel[source].others,
                "open of source {source}"
            );
            if !self.reuses && self.config.source.nat.is_none() {
                assert_eq!(figures.time_wait, self.in_time_wait(source), "TIME_WAITs of source {source}");
            }
        }
    }

    fn check(&self) {
        let now = timer::now();
        for (number, source) in self.sources.iter().enumerate() {
            let (figures, kernel) = (source.figures(now), &self.kernel[number]);
            let (counted, ours) = (figures.used + figures.time_wait, self.ours(number));
            let held = self.taken(number) - ours - kernel.others;
            assert!(figures.used >= ours, "{} of source {number} are counted, {ours} are open", figures.used);
            assert!(kernel.had_others || figures.used == ours, "{figures:?}, where {ours} are open");
            assert!(figures.time_wait >= held, "{figures:?}, where {held} are held");
            let late = |left: &&(Instant, Instant)| now < left.0 + self.longest();
            let longest = kernel.time_waits.iter().filter(late).count() as u32;
            let translated = kernel.translated.iter().filter(|until| now <= **until + GRANULE).count() as u32;
            assert!(kernel.had_others || figures.time_wait <= longest.max(translated), "{figures:?}");
            assert_eq!(figures.free, self.capacity.saturating_sub(counted), "{figures:?}");
            self.check_level(figures.level, counted);
        }
    }

    /// How long one may be counted at the most.
    fn longest(&self) -> Duration {
        GRANULE + if self.reuses { Duration::from_secs(1) } else { Duration::from_secs(60) + KERNEL_LATE }
    }

    /// A level is entered at its percent, and left two points below.
    fn check_level(&self, level: Level, counted: u32) {
        let source = &self.config.source;
        let percents = [0, source.warn_percent, source.reuse_only_percent, source.refuse_percent];
        let reaches = |percent: u8| counted * 100 >= self.capacity * u32::from(percent);
        let entered = percents.iter().rposition(|percent| reaches(*percent)).unwrap_or(0);
        let left = percents.iter().rposition(|percent| reaches(percent.saturating_sub(2))).unwrap_or(0);
        let level = level as usize;
        assert!((entered..=left).contains(&level), "level {level} at {counted} of {}", self.capacity);
    }

    /// Everything is closed, and after a while nothing is taken any more.
    async fn end(mut self) {
        while !self.open.is_empty() {
            self.close();
        }
        self.kernel.iter_mut().for_each(|kernel| kernel.others = 0);
        clock::advance(Duration::from_secs(70)).await;
        self.quiet_censuses().await;
        for figures in self.sources.iter().map(|source| source.figures(timer::now())) {
            assert_eq!((figures.used, figures.time_wait, figures.level), (0, 0, Level::Ok));
        }
    }
}
