use super::*;
use crate::observe::fixture;
use proptest::prelude::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint { address: ([192, 0, 2, last], 80).into(), weight: 1 }
}

fn found(hosts: &[u8], ttl: u64) -> Outcome {
    let endpoints = hosts.iter().copied().map(endpoint).collect();
    Outcome::Found(Found { endpoints, ttl: secs(ttl), missing: None })
}

fn partial(hosts: &[u8], ttl: u64) -> Outcome {
    let Outcome::Found(found) = found(hosts, ttl) else { unreachable!() };
    Outcome::Found(Found { missing: Some("AAAA".into()), ..found })
}

fn empty(ttl: u64) -> Outcome {
    Outcome::Empty { ttl: Some(secs(ttl)), why: "there is no name".into() }
}

fn failed() -> Outcome {
    Outcome::Failed { why: "SERVFAIL".into() }
}

fn hosts(watch: &Watch) -> Vec<u8> {
    let last = |endpoint: &Endpoint| match endpoint.address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => unreachable!(),
    };
    watch.endpoints().iter().map(last).collect()
}

struct Scene {
    watch: Watch,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        Self { watch: Watch::new(fixture::discovery(), 7, now), now }
    }

    /// Asked when it is due; returns the change and how long it is until the next time.
    fn ask(&mut self, outcome: Outcome) -> (Change, Duration) {
        self.now = self.watch.due();
        let change = self.watch.note(outcome, self.now);
        (change, self.watch.due() - self.now)
    }
}

fn within(wait: Duration, least: u64, most: u64) {
    assert!(
        (secs(least)..=secs(most) + secs(most) / 10).contains(&wait),
        "{wait:?} is not {least} to {most} s"
    );
}

#[test]
fn an_answer_is_asked_for_again_when_its_time_is_over() {
    let mut scene = Scene::new();
    let (change, wait) = scene.ask(found(&[1, 2], 10));
    assert_eq!(change.added, [endpoint(1).address, endpoint(2).address]);
    within(wait, 10, 10);
    within(scene.ask(found(&[1, 2], 0)).1, 1, 1);
    within(scene.ask(found(&[1, 2], 86_400)).1, 60, 60);
    let (change, _) = scene.ask(found(&[2, 3], 10));
    assert_eq!((change.added, change.removed), (vec![endpoint(3).address], vec![endpoint(1).address]));
    assert!(scene.ask(found(&[2, 3], 10)).0.is_none(), "the same again is no change");
}

#[test]
fn another_share_is_a_change() {
    let mut scene = Scene::new();
    scene.ask(found(&[1, 2], 10));
    let endpoints = vec![endpoint(1), Endpoint { weight: 3, ..endpoint(2) }];
    let change = scene.ask(Outcome::Found(Found { endpoints, ttl: secs(1), missing: None })).0;
    assert_eq!(change, Change { reweighted: vec![endpoint(2).address], ..Change::default() });
    assert!(change.is_of_endpoints());
}

#[test]
fn servers_that_fail_take_nothing_away_and_are_asked_ever_less_often() {
    let mut scene = Scene::new();
    scene.ask(found(&[1], 10));
    let waits: Vec<Duration> = (0..12)
        .map(|_| {
            let (change, wait) = scene.ask(failed());
            assert!(change.is_none() && hosts(&scene.watch) == [1]);
            wait
        })
        .collect();
    for (failures, wait) in waits.iter().enumerate() {
        let longest = RETRY.saturating_mul(1 << failures.min(10)).min(RETRY_MAX);
        assert!((longest / 2..=longest).contains(wait), "{waits:?}");
    }
    assert_eq!((scene.watch.failures(), scene.watch.error()), (12, Some("SERVFAIL")));
    within(scene.ask(found(&[1], 10)).1, 10, 10);
    assert_eq!((scene.watch.failures(), scene.watch.error()), (0, None));
    let counts = Counts { found: 2, partial: 0, empty: 0, failed: 12 };
    assert_eq!(scene.watch.counts(), counts);
}

#[test]
fn a_part_of_an_answer_counts_and_is_asked_for_again_soon() {
    let mut scene = Scene::new();
    let (change, wait) = scene.ask(partial(&[1], 60));
    assert_eq!((change.added.len(), scene.watch.failures()), (1, 1));
    assert!(wait <= RETRY, "{wait:?}");
    assert_eq!(scene.watch.answered(), Some(scene.now));
}

#[test]
fn a_name_that_is_gone_keeps_its_endpoints_for_a_while() {
    let mut scene = Scene::new();
    scene.ask(found(&[1], 10));
    let gone = scene.watch.due();
    let mut asked = 0;
    while hosts(&scene.watch) == [1] {
        scene.ask(empty(5));
        asked += 1;
        assert!(asked < 20);
    }
    assert_eq!(scene.now, gone + secs(30), "just when its grace is over");
    within(scene.watch.due() - scene.now, 5, 5);
    within(scene.ask(empty(3600)).1, 5, 5);
    let (change, wait) = scene.ask(found(&[1], 10));
    assert_eq!(change.added.len(), 1);
    within(wait, 10, 10);
}

#[test]
fn only_an_answer_takes_endpoints_away() {
    let mut scene = Scene::new();
    scene.ask(found(&[1], 10));
    scene.ask(empty(5));
    for _ in 0..10 {
        scene.ask(failed());
    }
    assert_eq!(hosts(&scene.watch), [1], "its grace was over long ago, but who knows");
    assert_eq!(scene.ask(empty(5)).0.removed.len(), 1);
    let mut scene = Scene::new();
    scene.ask(found(&[1], 10));
    scene.ask(empty(5));
    scene.ask(found(&[1], 40));
    scene.ask(empty(5));
    assert_eq!(hosts(&scene.watch), [1], "it was there in between: its grace begins anew");
}

#[test]
fn without_a_grace_they_go_at_once() {
    let mut scene = Scene::new();
    scene.watch.set_policy(&Discovery { grace: Duration::ZERO, ..fixture::discovery() }, scene.now);
    scene.ask(found(&[1], 10));
    assert_eq!(scene.ask(empty(5)).0.removed.len(), 1);
}

#[test]
fn what_is_there_stays_when_there_are_too_many() {
    let mut scene = Scene::new();
    scene.watch.set_policy(&Discovery { max_endpoints: 2, ..fixture::discovery() }, scene.now);
    assert_eq!(scene.ask(found(&[5, 6, 7], 10)).0.left_out, Some(1));
    let (change, _) = scene.ask(found(&[1, 5, 6, 7], 10));
    assert_eq!((hosts(&scene.watch), change.left_out), (vec![5, 6], Some(2)));
    assert!(scene.ask(found(&[1, 5, 6, 7], 10)).0.is_none(), "it has been said");
    scene.ask(found(&[1, 6, 7], 10));
    assert_eq!(hosts(&scene.watch), [1, 6]);
}

#[derive(Clone, Debug)]
enum Said {
    Found(Vec<u8>, u64, bool),
    Empty(u64),
    Failed,
}

fn said() -> impl Strategy<Value = Said> {
    let hosts = proptest::collection::btree_set(1_u8..9, 1..6);
    let is_partial = prop::bool::weighted(0.2);
    prop_oneof![
        3 => (hosts, 0_u64..200, is_partial).prop_map(|(h, ttl, p)| Said::Found(h.into_iter().collect(), ttl, p)),
        2 => (0_u64..200).prop_map(Said::Empty),
        2 => Just(Said::Failed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever servers say: what was found last is what there is, until an answer takes it away after its
    /// grace; the next question is neither too soon nor too late; every change is told once.
    #[test]
    fn the_last_good_answer_holds(seed in any::<u64>(), story in proptest::collection::vec(said(), 1..60)) {
        let policy = fixture::discovery();
        let mut now = Instant::now();
        let mut watch = Watch::new(policy.clone(), seed, now);
        let (mut expected, mut empty_since): (Vec<u8>, Option<Instant>) = (Vec::new(), None);
        let mut told: HashSet<SocketAddr> = HashSet::new();
        for said in story {
            now = watch.due();
            let change = match said.clone() {
                Said::Found(hosts, ttl, is_partial) => {
                    (expected, empty_since) = (hosts.clone(), None);
                    watch.note(if is_partial { partial(&hosts, ttl) } else { found(&hosts, ttl) }, now)
                }
                Said::Empty(ttl) => {
                    if !expected.is_empty() && *empty_since.get_or_insert(now) + policy.grace <= now {
                        expected.clear();
                    }
                    watch.note(empty(ttl), now)
                }
                Said::Failed => watch.note(failed(), now),
            };
            prop_assert_eq!(&hosts(&watch), &expected);
            change.removed.iter().for_each(|gone| assert!(told.remove(gone)));
            change.added.iter().for_each(|new| assert!(told.insert(*new)));
            let there: HashSet<SocketAddr> = watch.endpoints().iter().map(|e| e.address).collect();
            prop_assert_eq!(&told, &there);
            let wait = watch.due() - now;
            let least = match (&said, empty_since) {
                (Said::Found(_, _, false), _) | (Said::Empty(_), None) => policy.ttl_min,
                (Said::Empty(_), Some(_)) => Duration::ZERO,
                _ => RETRY / 2,
            };
            prop_assert!(wait >= least && wait <= secs(66), "{said:?}: {wait:?}");
            prop_assert!(wait > Duration::ZERO);
        }
    }
}
