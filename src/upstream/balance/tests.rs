use super::*;
use crate::config::model::HashKey;
use proptest::prelude::*;

const POLICIES: [Balance; 5] =
    [Balance::RoundRobin, Balance::LeastConn, Balance::P2c, Balance::Random, Balance::Hash(HashKey::Client)];

/// How often each endpoint is picked by different keys, one exchange at a time.
fn shares(balancer: &mut Balancer, picks: u64) -> Vec<u64> {
    let mut counts = vec![0; balancer.weights.len()];
    for key in 0..picks {
        let endpoint = balancer.pick(key, None);
        counts[endpoint] += 1;
        balancer.release(endpoint);
    }
    counts
}

#[test]
fn shares_follow_weights() {
    const PICKS: u64 = 60_000;
    for policy in &POLICIES {
        // In turn it is exact; at random it varies with the draws, on the ring with the points.
        let tolerance = |fair: f64| match policy {
            Balance::RoundRobin | Balance::LeastConn => 1.0 / fair,
            Balance::P2c | Balance::Random => 5.0 / fair.sqrt(),
            Balance::Hash(_) => 0.30,
        };
        for weights in [vec![1, 1, 1, 1], vec![5, 1, 2], vec![100, 50, 850], vec![7; 60]] {
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let counts = shares(&mut Balancer::new(policy, &weights, 3), PICKS);
            for (count, weight) in counts.iter().zip(&weights) {
                let fair = (PICKS * u64::from(*weight)) as f64 / total as f64;
                let off = (*count as f64 - fair).abs() / fair;
                assert!(off <= tolerance(fair), "{policy:?} {weights:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn a_single_endpoint_is_always_picked() {
    for policy in &POLICIES {
        let mut balancer = Balancer::new(policy, &[1], 3);
        for available in [true, false, true] {
            balancer.set_available(0, available);
            assert_eq!((balancer.pick(1, None), balancer.pick(2, Some(0))), (0, 0), "{policy:?}");
        }
    }
}

#[test]
fn only_the_available_are_picked_or_all_where_none_is() {
    for policy in &POLICIES {
        let mut balancer = Balancer::new(policy, &[1, 2, 3, 4], 3);
        let mut picked = |down: &[usize]| {
            for endpoint in 0..4 {
                balancer.set_available(endpoint, !down.contains(&endpoint));
            }
            let counts = shares(&mut balancer, 1_000);
            (0..4).filter(|endpoint| counts[*endpoint] > 0).collect::<Vec<_>>()
        };
        assert_eq!(picked(&[]), [0, 1, 2, 3], "{policy:?}");
        assert_eq!(picked(&[3]), [0, 1, 2], "{policy:?}");
        assert_eq!(picked(&[0, 2, 3]), [1], "{policy:?}");
        assert_eq!(picked(&[0, 1, 2, 3]), [0, 1, 2, 3], "{policy:?}");
        assert_eq!(picked(&[0, 1, 3]), [2], "{policy:?}");
        assert_eq!(picked(&[]), [0, 1, 2, 3], "{policy:?}");
    }
}

#[test]
fn an_endpoint_to_avoid_is_picked_only_where_there_is_no_other() {
    for policy in &POLICIES {
        // Its weight makes it the first choice wherever it is one.
        let mut balancer = Balancer::new(policy, &[1, 1000, 1], 3);
        let picks = |balancer: &mut Balancer, avoid| {
            let mut picks: Vec<usize> = (0..300).map(|key| balancer.pick(key, avoid)).collect();
            picks.iter().for_each(|endpoint| balancer.release(*endpoint));
            picks.sort_unstable();
            picks.dedup();
            picks
        };
        assert!(picks(&mut balancer, None).contains(&1), "{policy:?}");
        assert_eq!(picks(&mut balancer, Some(1)), [0, 2], "{policy:?}");
        balancer.set_available(0, false);
        assert_eq!(picks(&mut balancer, Some(1)), [2], "{policy:?}");
        assert!(picks(&mut balancer, Some(0)).contains(&1), "{policy:?}: what is not available anyway");
        balancer.set_available(2, false);
        assert_eq!(picks(&mut balancer, Some(1)), [1], "{policy:?}");
        balancer.set_available(1, false);
        assert_eq!(picks(&mut balancer, Some(1)), [0, 2], "{policy:?}: none is available");
    }
}

#[test]
fn workers_with_different_seeds_do_not_begin_at_the_same_endpoint() {
    for policy in &POLICIES[..4] {
        let first = |seed| Balancer::new(policy, &[1; 50], seed).pick(0, None);
        assert!((1..10).any(|seed| first(seed) != first(0)), "{policy:?}");
        assert_eq!(first(5), first(5), "{policy:?}");
    }
    let hash = &POLICIES[4];
    assert_eq!(
        Balancer::new(hash, &[1; 50], 1).pick(77, None),
        Balancer::new(hash, &[1; 50], 2).pick(77, None)
    );
}

#[test]
fn an_endpoint_that_comes_back_gets_its_share_and_no_more() {
    for policy in [Balance::RoundRobin, Balance::LeastConn] {
        let mut balancer = Balancer::new(&policy, &[2, 1, 1], 3);
        balancer.set_available(2, false);
        shares(&mut balancer, 9_000);
        balancer.set_available(2, true);
        let counts = shares(&mut balancer, 400);
        assert!(
            counts.iter().zip([200, 100, 100]).all(|(count, fair)| count.abs_diff(fair) <= 1),
            "{counts:?}"
        );
    }
}

#[test]
fn a_long_exchange_does_not_earn_its_endpoint_a_burst_of_the_next_ones() {
    let mut balancer = Balancer::new(&Balance::LeastConn, &[1, 1], 3);
    balancer.take(0);
    shares(&mut balancer, 10_000);
    balancer.release(0);
    let counts = shares(&mut balancer, 20);
    assert!(counts[0].abs_diff(10) <= 1, "{counts:?}");
}

#[test]
fn p2c_prefers_the_less_loaded_by_weight() {
    let mut balancer = Balancer::new(&Balance::P2c, &[1, 4], 3);
    // With two endpoints both are always drawn: 2 / 1 against 7 / 4.
    (0..2).for_each(|_| balancer.take(0));
    (0..7).for_each(|_| balancer.take(1));
    assert_eq!(balancer.pick(0, None), 1);
    // 2 / 1 against 9 / 4.
    balancer.take(1);
    assert_eq!(balancer.pick(0, None), 0);
}

#[test]
fn when_an_endpoint_goes_only_its_keys_move_and_they_return_with_it() {
    const KEYS: u64 = 20_000;
    let weights = [1, 5, 2, 1, 1, 3];
    let mut balancer = Balancer::new(&POLICIES[4], &weights, 3);
    let owners = |balancer: &mut Balancer| (0..KEYS).map(|key| balancer.pick(key, None)).collect::<Vec<_>>();
    let before = owners(&mut balancer);
    for gone in 0..weights.len() {
        balancer.set_available(gone, false);
        let mut heirs = vec![false; weights.len()];
        for (old, new) in before.iter().zip(owners(&mut balancer)) {
            assert!(*old == new || *old == gone);
            assert_ne!(new, gone);
            heirs[new] |= *old == gone;
        }
        // They are spread over all the others.
        assert_eq!(heirs.iter().filter(|heir| **heir).count(), weights.len() - 1, "{heirs:?}");
        // To avoid an endpoint is to do without it.
        balancer.set_available(gone, true);
        for key in 0..200 {
            let avoiding = balancer.pick(key, Some(gone));
            balancer.set_available(gone, false);
            assert_eq!(balancer.pick(key, None), avoiding);
            balancer.set_available(gone, true);
        }
    }
    assert_eq!(owners(&mut balancer), before);
}

#[derive(Clone, Debug)]
enum Step {
    Pick(Option<usize>),
    Take(usize),
    Release(usize),
    Available(usize, bool),
}

fn steps(endpoints: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::option::weighted(0.2, 0..endpoints).prop_map(Step::Pick),
        1 => (0..endpoints).prop_map(Step::Take),
        3 => (0_usize..1000).prop_map(Step::Release),
        1 => (0..endpoints, any::<bool>()).prop_map(|(endpoint, up)| Step::Available(endpoint, up)),
    ];
    prop::collection::vec(step, 1..300)
}

fn weights_and_steps() -> impl Strategy<Value = (Vec<u16>, Vec<Step>)> {
    prop::collection::vec(prop_oneof![1_u16..=4, 1_u16..=1000], 1..8)
        .prop_flat_map(|weights| (Just(weights.clone()), steps(weights.len())))
}

proptest! {
    /// Against a search of all endpoints with the rules as they are written down.
    #[test]
    fn every_pick_is_permitted_and_least_conn_picks_the_least_loaded((weights, steps) in weights_and_steps()) {
        for policy in &POLICIES {
            let mut balancer = Balancer::new(policy, &weights, 11);
            let mut loads = vec![0_u64; weights.len()];
            let mut up = vec![true; weights.len()];
            let mut running = Vec::new();
            for (number, step) in steps.iter().enumerate() {
                match *step {
                    Step::Pick(avoid) => {
                        let mut candidates: Vec<usize> = (0..weights.len()).filter(|e| up[*e]).collect();
                        if candidates.is_empty() {
                            candidates = (0..weights.len()).collect();
                        }
                        if candidates.len() > 1 {
                            candidates.retain(|endpoint| Some(*endpoint) != avoid);
                        }
                        let picked = balancer.pick(number as u64, avoid);
                        prop_assert!(candidates.contains(&picked), "{policy:?}: {picked} of {candidates:?}");
                        if *policy == Balance::LeastConn {
                            for other in candidates {
                                let (ours, theirs) = (u64::from(weights[picked]), u64::from(weights[other]));
                                prop_assert!(loads[picked] * theirs <= loads[other] * ours);
                            }
                        }
                        loads[picked] += 1;
                        running.push(picked);
                    }
                    Step::Take(endpoint) => {
                        balancer.take(endpoint);
                        loads[endpoint] += 1;
                        running.push(endpoint);
                    }
                    Step::Release(which) if !running.is_empty() => {
                        let endpoint = running.swap_remove(which % running.len());
                        balancer.release(endpoint);
                        loads[endpoint] -= 1;
                    }
                    Step::Release(_) => {}
                    Step::Available(endpoint, available) => {
                        balancer.set_available(endpoint, available);
                        up[endpoint] = available;
                    }
                }
                prop_assert!(balancer.loads.iter().map(|load| u64::from(*load)).eq(loads.iter().copied()));
            }
        }
    }
}
