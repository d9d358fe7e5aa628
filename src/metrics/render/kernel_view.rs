//! What the census knows.

use super::{Endpoint, Listeners, Text};
use crate::metrics::accept_queue::QueueFigures;
use crate::metrics::budgets::BudgetFigures;
use crate::metrics::names::{self, Metric};
use crate::registry::{ListenerState, Registry};
use crate::sys::sock_diag::TcpState;
use std::time::Instant;

pub(super) fn budgets(text: &mut Text, registry: &Registry) {
    type Read = fn(&BudgetFigures) -> Option<f64>;
    let gauges: [(Metric, Read); 4] = [
        (names::BUDGET_USED, |f| f.used.map(|used| used as f64)),
        (names::BUDGET_LIMIT, |f| f.limit.map(|limit| limit as f64)),
        (names::BUDGET_EXHAUSTION, |f| f.exhausts_in_s),
        (names::BUDGET_LEVEL, |f| f.used.map(|_| f64::from(f.urgency as u8))),
    ];
    let budgets = registry.budgets.get();
    for (metric, read) in gauges {
        let mut family = text.family(metric);
        for budget in &budgets {
            if let Some(value) = read(budget) {
                family.sample(&[budget.resource.label()], value);
            }
        }
    }
}

pub(super) fn census(text: &mut Text, registry: &Registry) {
    let census = &registry.census;
    if let Ok((taken, age)) = census.last.with_age(Instant::now()) {
        text.family(names::CENSUS_AGE).sample(&[], age.as_secs_f64());
        text.family(names::CENSUS_INTERVAL).sample(&[], taken.interval.as_secs_f64());
        text.family(names::CENSUS_SOCKETS).sample(&[], taken.sockets);
    }
    text.family(names::CENSUS_TAKEN).sample(&[], census.taken_total());
    text.family(names::CENSUS_CPU).sample(&[], census.cpu_total().as_secs_f64());
}

pub(super) fn sockets(
    text: &mut Text,
    registry: &Registry,
    listeners: &Listeners<'_>,
    endpoints: &[Endpoint<'_>],
) {
    if registry.census.last.get(Instant::now()).is_err() {
        return;
    }
    let mut family = text.family(names::TCP_SOCKETS);
    for (name, states) in listeners {
        for state in TcpState::CONNECTION.into_iter().chain([TcpState::Listen]) {
            let count: u32 = states.iter().map(|listener| listener.tcp_states.get(state)).sum();
            family.sample(&["client", name, "", "", state.label()], count);
        }
    }
    for Endpoint { upstream, address, state: endpoint, .. } in endpoints {
        for state in TcpState::CONNECTION {
            let count = endpoint.tcp_states.get(state);
            family.sample(&["upstream", "", upstream, address, state.label()], count);
        }
    }
}

pub(super) fn accept_queues(text: &mut Text, registry: &Registry, listeners: &Listeners<'_>) {
    let now = Instant::now();
    if registry.census.queues.get(now).is_err() {
        return;
    }
    type Read = fn(&[QueueFigures]) -> Option<u64>;
    let metrics: [(Metric, Read); 3] = [
        (names::ACCEPT_QUEUE_DEPTH, |all| all.iter().map(|queue| queue.depth.into()).max()),
        (names::ACCEPT_QUEUE_DEPTH_MAX, |all| all.iter().map(|queue| queue.deepest.into()).max()),
        (names::ACCEPT_QUEUE_LIMIT, |all| all.iter().map(|queue| queue.limit.into()).min()),
    ];
    let figures = |states: &Vec<&ListenerState>| -> Vec<QueueFigures> {
        states.iter().flat_map(|listener| listener.queues.figures(now)).collect()
    };
    let queues: Vec<_> = listeners.iter().map(|(name, states)| (*name, figures(states))).collect();
    for (metric, read) in metrics {
        let mut family = text.family(metric);
        for (name, queues) in &queues {
            if let Some(value) = read(queues) {
                family.sample(&[name], value);
            }
        }
    }
    let mut family = text.family(names::LISTEN_DROPS);
    for (name, states) in listeners {
        family.sample(&[name], states.iter().map(|listener| listener.queues.drops_total()).sum::<u64>());
    }
}
