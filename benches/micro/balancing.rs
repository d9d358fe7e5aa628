//! A choice among 10,000 endpoints, while 64 exchanges are in progress.

use crate::bodies::Run;
use millpond::config::model::{Balance, HashKey};
use millpond::upstream::balance::{Balancer, stable_hash};
use std::collections::VecDeque;
use std::hint::black_box;

const ENDPOINTS: usize = 10_000;
const IN_PROGRESS: usize = 64;

pub(crate) fn round_robin() -> Run {
    choices(Balance::RoundRobin)
}

pub(crate) fn least_conn() -> Run {
    choices(Balance::LeastConn)
}

pub(crate) fn p2c() -> Run {
    choices(Balance::P2c)
}

pub(crate) fn random() -> Run {
    choices(Balance::Random)
}

pub(crate) fn hash() -> Run {
    choices(Balance::Hash(HashKey::Client))
}

fn choices(balance: Balance) -> Run {
    let weights = [1; ENDPOINTS];
    let mut balancer = Balancer::new(&balance, &weights, 1);
    let mut key = 0u64;
    let mut pick = move || {
        key = key.wrapping_add(1);
        stable_hash(&key.to_ne_bytes())
    };
    let mut chosen: VecDeque<usize> = (0..IN_PROGRESS).map(|_| balancer.pick(pick(), None)).collect();
    Box::new(move || {
        chosen.push_back(black_box(balancer.pick(pick(), None)));
        if let Some(ended) = chosen.pop_front() {
            balancer.release(ended);
        }
    })
}
