use super::*;
use crate::observe::fixture;
use proptest::prelude::*;
use std::collections::VecDeque;

const SOURCE: &str = "192.0.2.1";
const DESTINATION: &str = "198.51.100.1:80";
/// What the test host has: no TIME_WAIT is reused, and these ports.
const CAPACITY: u32 = 100;

fn settings() -> PortSettings {
    PortSettings { range: 1001..=1100, tw_reuse: 0, ..PortSettings::default() }
}

fn ports_of(source: model::Source, ledger: &Arc<Mutex<Ledger>>) -> SourcePorts {
    let config = model::Upstream { source, ..fixture::upstream("app", &[3000]) };
    let (source, destination) = (SOURCE.parse().unwrap(), DESTINATION.parse().unwrap());
    let route = Route { source, is_bound: true, destination, sources: 1 };
    SourcePorts::new(&config, route, &settings(), Arc::clone(ledger))
}

fn ledger() -> Arc<Mutex<Ledger>> {
    let hold = settings().hold(SOURCE.parse().unwrap(), DESTINATION.parse().unwrap());
    Arc::new(Mutex::new(Ledger::new(hold)))
}

fn default_source() -> model::Source {
    fixture::upstream("app", &[3000]).source
}

fn ports() -> SourcePorts {
    ports_of(default_source(), &ledger())
}

fn with_nat(nat_ports: u32) -> SourcePorts {
    let nat = model::Nat {
        ports: nat_ports,
        idle_timeout: Duration::from_secs(350),
        time_wait: Duration::from_secs(120),
    };
    ports_of(model::Source { nat: Some(nat), ..default_source() }, &ledger())
}

/// As many as there are, up to a level.
fn take_all(ports: &SourcePorts, most: Level, now: Instant) -> u32 {
    std::iter::repeat_with(|| ports.reserve(now, most)).take_while(Result::is_ok).count() as u32
}

#[test]
fn a_request_is_dialled_for_until_few_are_left_and_a_session_until_hardly_any_is() {
    let (ports, now) = (ports(), Instant::now());
    assert_eq!(take_all(&ports, Level::Warn, now), 75);
    assert_eq!(ports.reserve(now, Level::Warn), Err(Level::ReuseOnly));
    assert_eq!(take_all(&ports, Level::ReuseOnly, now), 10);
    assert_eq!(ports.reserve(now, Level::ReuseOnly), Err(Level::Refuse));
    assert_eq!((ports.level(), ports.room(now)), (Level::Refuse, 0));
    ports.release(Left::Nothing, now);
    assert_eq!(ports.level(), Level::Refuse, "left two points below");
    assert_eq!(ports.reserve(now, Level::Warn), Err(Level::ReuseOnly));
    assert_eq!(ports.reserve(now, Level::ReuseOnly), Ok(()), "but the port that came back is there");
}

#[test]
fn figures_add_up_to_the_capacity() {
    let (ports, now) = (ports(), Instant::now());
    take_all(&ports, Level::Ok, now);
    (0..20).for_each(|_| ports.release(Left::TimeWait, now));
    (0..10).for_each(|_| ports.release(Left::Nothing, now));
    let figures = ports.figures(now);
    assert_eq!((figures.capacity, figures.used, figures.time_wait, figures.free), (100, 30, 20, 50));
    assert_eq!(figures.level, Level::Ok);
    assert_eq!(ports.figures(now + Duration::from_secs(66)).free, 70);
}

#[test]
fn two_upstreams_share_what_is_taken_each_within_its_own_limits() {
    let ledger = ledger();
    let strict =
        model::Source { warn_percent: 10, reuse_only_percent: 10, refuse_percent: 20, ..default_source() };
    let (one, other) = (ports_of(default_source(), &ledger), ports_of(strict, &ledger));
    let now = Instant::now();
    (0..20).for_each(|_| one.reserve(now, Level::Warn).unwrap());
    assert_eq!(other.reserve(now, Level::ReuseOnly), Err(Level::Refuse));
    assert_eq!(one.reserve(now, Level::Warn), Ok(()));
    assert_eq!((one.figures(now).used, other.figures(now).used), (21, 21));
}

#[test]
fn a_nat_caps_the_ports_and_holds_every_close() {
    let (ports, now) = (with_nat(40), Instant::now());
    assert_eq!(take_all(&ports, Level::ReuseOnly, now), 34);
    (0..10).for_each(|_| ports.release(Left::Nothing, now));
    assert_eq!(ports.reserve(now, Level::ReuseOnly), Err(Level::Refuse));
    let figures = ports.figures(now + Duration::from_secs(119));
    assert_eq!((figures.capacity, figures.used, figures.time_wait), (40, 24, 10));
    assert_eq!(ports.figures(now + Duration::from_secs(121)).time_wait, 0);
    assert_eq!(with_nat(1000).figures(now).capacity, CAPACITY, "but it makes none");
}

#[test]
fn what_the_kernel_refuses_is_full_for_a_second() {
    let (ports, now) = (ports(), Instant::now());
    ports.reserve(now, Level::Warn).unwrap();
    ports.note_unavailable(Unavailable::Ports, now);
    ports.release(Left::Unused, now);
    let figures = ports.figures(now);
    assert_eq!((figures.free, figures.level, ports.unavailable_total()), (0, Level::Refuse, 1));
    assert_eq!(ports.reserve(now, Level::ReuseOnly), Err(Level::Refuse));
    assert_eq!(ports.reserve(now + Duration::from_secs(1), Level::Warn), Ok(()));
    assert_eq!(ports.level(), Level::Ok);
}

#[test]
fn a_source_that_is_not_there_is_tried_now_and_then() {
    let (ports, now) = (ports(), Instant::now());
    ports.note_unavailable(Unavailable::Address, now);
    assert_eq!(ports.reserve(now + Duration::from_secs(9), Level::ReuseOnly), Err(Level::Refuse));
    assert_eq!(ports.reserve(now + Duration::from_secs(10), Level::Warn), Ok(()));
}

#[test]
fn settings_that_change_change_the_capacity_and_the_hold() {
    let (ports, now) = (ports(), Instant::now());
    ports.note_settings(&PortSettings { range: 1001..=1200, tw_reuse: 1, ..settings() }, now);
    ports.reserve(now, Level::Warn).unwrap();
    ports.release(Left::TimeWait, now);
    assert_eq!((ports.figures(now).capacity, ports.figures(now).time_wait), (200, 1));
    assert_eq!(ports.figures(now + Duration::from_millis(1100)).time_wait, 0);
}

#[test]
fn a_level_that_wavers_is_told_once() {
    let (mut told, start) = (Told::default(), Instant::now());
    let at = |ms| start + Duration::from_millis(ms);
    assert_eq!(told.change(Level::Ok, at(0)), None);
    assert_eq!(told.change(Level::Warn, at(1)), Some(Level::Ok));
    assert_eq!(told.change(Level::Refuse, at(2)), Some(Level::Warn));
    for ms in (10..60_000).step_by(20) {
        assert_eq!(told.change(Level::ReuseOnly, at(ms)), None);
        assert_eq!(told.change(Level::Refuse, at(ms + 10)), None);
    }
    assert_eq!(told.change(Level::Warn, at(60_000)), None);
    assert_eq!(told.change(Level::Ok, at(64_999)), None);
    assert_eq!(told.change(Level::Warn, at(65_000)), Some(Level::Refuse));
    assert_eq!(told.change(Level::Ok, at(65_001)), None);
    assert_eq!(told.change(Level::ReuseOnly, at(65_002)), Some(Level::Warn));
}

#[test]
fn the_forecast_is_that_of_the_rates() {
    let (ports, mut now) = (ports(), Instant::now());
    for _ in 0..25 {
        ports.reserve(now, Level::Warn).unwrap();
        ports.note_connected(now);
        ports.release(Left::TimeWait, now);
        now += Duration::from_secs(1);
    }
    // One a second for a minute is less than there are, two are more.
    let figures = ports.figures(now);
    assert!(figures.opens_per_s == 1.0 && figures.exhausts_in_s.is_none(), "{figures:?}");
    for _ in 0..25 {
        for _ in 0..2 {
            ports.reserve(now, Level::Warn).unwrap();
            ports.note_connected(now);
            ports.release(Left::TimeWait, now);
        }
        now += Duration::from_secs(1);
        if ports.figures(now).level == Level::ReuseOnly {
            break;
        }
    }
    let figures = ports.figures(now);
    assert!(figures.exhausts_in_s.is_some_and(|seconds| (10.0..60.0).contains(&seconds)), "{figures:?}");
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Reserve(Level),
    Release(Left),
    /// So many milliseconds pass.
    Pass(u64),
    /// The kernel is asked, when this many of others are open.
    Census(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop_oneof![Just(Level::Warn), Just(Level::ReuseOnly)].prop_map(Step::Reserve),
        4 => prop_oneof![Just(Left::Unused), Just(Left::Nothing), Just(Left::TimeWait)].prop_map(Step::Release),
        2 => (0u64..5000).prop_map(Step::Pass),
        1 => (0u32..20).prop_map(Step::Census),
    ];
    prop::collection::vec(step, 0..400)
}

/// What a kernel without reuse would have: ours that are open, and when each TIME_WAIT ends.
#[derive(Debug, Default)]
struct Kernel {
    open: u32,
    others: u32,
    time_waits: VecDeque<Instant>,
}

impl Kernel {
    fn expire(&mut self, now: Instant) {
        self.time_waits.retain(|until| *until > now);
    }

    fn taken(&self) -> u32 {
        self.open + self.others + self.time_waits.len() as u32
    }
}

proptest! {
    /// Against what the kernel would have. The ledger may be behind with what others do, never with
    /// what we do.
    #[test]
    fn ports_are_given_until_refuse_and_all_come_back(steps in steps()) {
        let (ports, mut now, mut kernel) = (ports(), Instant::now(), Kernel::default());
        for step in steps {
            kernel.expire(now);
            match step {
                Step::Reserve(most) => {
                    let room = ports.room(now);
                    let given = ports.reserve(now, most).is_ok();
                    prop_assert!(!given || room > 0);
                    kernel.open += u32::from(given);
                    prop_assert!(!given || kernel.taken() - kernel.others <= 85, "{kernel:?}");
                }
                Step::Release(left) if kernel.open > 0 => {
                    ports.release(left, now);
                    kernel.open -= 1;
                    if left == Left::TimeWait {
                        kernel.time_waits.push_back(now + Duration::from_secs(60));
                    }
                }
                Step::Release(_) => {}
                Step::Pass(ms) => now += Duration::from_millis(ms),
                Step::Census(others) => {
                    kernel.others = others;
                    // Twice, with nothing in between: then it is known exactly.
                    for _ in 0..2 {
                        now += Duration::from_secs(1);
                        kernel.expire(now);
                        let time_wait = kernel.time_waits.len() as u32;
                        ports.note_census(KernelPorts { open: kernel.open + others, time_wait }, now);
                    }
                    let figures = ports.figures(now);
                    prop_assert!(figures.used + figures.time_wait >= kernel.taken(), "{figures:?} {kernel:?}");
                }
            }
            let figures = ports.figures(now);
            kernel.expire(now);
            prop_assert!(figures.used + figures.time_wait >= kernel.open + kernel.time_waits.len() as u32);
            prop_assert!(figures.free <= CAPACITY - figures.used.min(CAPACITY));
        }
        (0..kernel.open).for_each(|_| ports.release(Left::Nothing, now));
        now += Duration::from_secs(66);
        for _ in 0..2 {
            now += Duration::from_secs(1);
            ports.note_census(KernelPorts::default(), now);
        }
        let figures = ports.figures(now);
        prop_assert_eq!((figures.used, figures.time_wait, figures.free), (0, 0, CAPACITY));
        prop_assert_eq!(figures.level, Level::Ok);
    }
}
