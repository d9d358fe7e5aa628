//! What happened between two snapshots, by the second. Pure.
//!
//! The time between them is the instance's own ([`Snapshot::uptime_s`]), so that a slow answer does
//! not bend a rate. A counter that is smaller than it was has begun again: its rate is unknown, never
//! negative and never 0.

use crate::observe::snapshot::{Endpoint, Listener, Snapshot};
use std::collections::{BTreeMap, HashMap};

/// The rates of one snapshot, each in the place of what it is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// In the order of [`Snapshot::listeners`].
    pub(super) listeners: Vec<ListenerRates>,
    /// By upstream and endpoint, in the snapshot's order.
    pub(super) endpoints: Vec<Vec<EndpointRates>>,
    /// Of the kernel's counters.
    pub(super) kernel: KernelRates,
}

/// Rates of a listener, a second each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ListenerRates {
    pub(super) requests: Option<f64>,
    pub(super) rejects: Option<f64>,
    /// The reason that most of these rejects had.
    pub(super) top_reject: Option<String>,
    pub(super) accept_errors: Option<f64>,
    /// Connections that were dropped before they were accepted.
    pub(super) drops: Option<f64>,
}

/// Rates of an endpoint, a second each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EndpointRates {
    pub(super) opens: Option<f64>,
    pub(super) reuses: Option<f64>,
    pub(super) retries: Option<f64>,
    pub(super) connect_errors: Option<f64>,
    pub(super) local_errors: Option<f64>,
}

/// Rates of the whole host's counters, a second each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KernelRates {
    pub(super) listen_overflows: Option<f64>,
    pub(super) syn_queue_drops: Option<f64>,
    pub(super) time_wait_overflow: Option<f64>,
}

impl Rates {
    /// The rates that are known from `new` alone: none.
    pub(super) fn unknown(new: &Snapshot) -> Self {
        Self {
            listeners: vec![ListenerRates::default(); new.listeners.len()],
            endpoints: new
                .upstreams
                .iter()
                .map(|u| vec![EndpointRates::default(); u.endpoints.len()])
                .collect(),
            kernel: KernelRates::default(),
        }
    }

    /// The rates between two snapshots of one instance. If it was restarted between them, none is known.
    pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let Some(over) = Over::between(old, new) else { return Self::unknown(new) };
        let listeners: HashMap<_, _> = old.listeners.iter().map(|l| ((&l.name, &l.address), l)).collect();
        let listener = |new: &Listener| {
            let old = listeners.get(&(&new.name, &new.address));
            old.map(|old| over.listener(old, new)).unwrap_or_default()
        };
        let of_upstreams = old.upstreams.iter().flat_map(|u| u.endpoints.iter().map(move |e| (&u.name, e)));
        let endpoints: HashMap<_, _> = of_upstreams.map(|(name, e)| ((name, &e.address), e)).collect();
        let endpoint = |upstream: &String, new: &Endpoint| {
            let old = endpoints.get(&(upstream, &new.address));
            old.map(|old| over.endpoint(old, new)).unwrap_or_default()
        };
        Self {
            listeners: new.listeners.iter().map(listener).collect(),
            endpoints: new
                .upstreams
                .iter()
                .map(|upstream| upstream.endpoints.iter().map(|new| endpoint(&upstream.name, new)).collect())
                .collect(),
            kernel: KernelRates {
                listen_overflows: over.known(old.kernel.listen_overflows, new.kernel.listen_overflows),
                syn_queue_drops: over.known(old.kernel.syn_queue_drops, new.kernel.syn_queue_drops),
                time_wait_overflow: over.known(old.kernel.time_wait_overflow, new.kernel.time_wait_overflow),
            },
        }
    }

    /// Requests of all listeners.
    pub(super) fn requests(&self) -> Option<f64> {
        sum(self.listeners.iter().map(|rates| rates.requests))
    }

    /// Connections opened to all endpoints.
    pub(super) fn opens(&self) -> Option<f64> {
        sum(self.endpoints.iter().flatten().map(|rates| rates.opens))
    }

    /// The share of all leases that was served by a connection used before.
    pub(super) fn reuse(&self) -> Option<f64> {
        share(sum(self.endpoints.iter().flatten().map(|rates| rates.reuses)), self.opens())
    }
}

impl EndpointRates {
    /// The share of the leases that was served by a connection used before.
    pub(super) fn reuse(&self) -> Option<f64> {
        share(self.reuses, self.opens)
    }
}

/// The seconds between two snapshots, more than 0.
#[derive(Clone, Copy, Debug)]
struct Over(f64);

impl Over {
    /// `None`: the instance was restarted, or no time has passed.
    fn between(old: &Snapshot, new: &Snapshot) -> Option<Self> {
        let seconds = new.uptime_s - old.uptime_s;
        (seconds > 0.0).then_some(Self(seconds))
    }

    fn rate(self, old: u64, new: u64) -> Option<f64> {
        Some(new.checked_sub(old)? as f64 / self.0)
    }

    fn known(self, old: Option<u64>, new: Option<u64>) -> Option<f64> {
        self.rate(old?, new?)
    }

    fn listener(self, old: &Listener, new: &Listener) -> ListenerRates {
        let (rejects, top_reject) = self.reasons(&old.rejects, &new.rejects);
        ListenerRates {
            requests: self.rate(old.requests_total, new.requests_total),
            rejects,
            top_reject,
            accept_errors: self.rate(old.accept_errors_total, new.accept_errors_total),
            drops: self.known(old.accept_queue.drops_total, new.accept_queue.drops_total),
        }
    }

    fn endpoint(self, old: &Endpoint, new: &Endpoint) -> EndpointRates {
        EndpointRates {
            opens: self.rate(old.opened_total, new.opened_total),
            reuses: self.rate(old.reused_total, new.reused_total),
            retries: self.rate(old.retries_total, new.retries_total),
            connect_errors: self.rate(old.connect_errors_total, new.connect_errors_total),
            local_errors: self.rate(old.local_errors_total, new.local_errors_total),
        }
    }

    /// The rate over all reasons, and the reason that was counted most. A reason that was not there
    /// before was counted 0 times.
    fn reasons(
        self,
        old: &BTreeMap<String, u64>,
        new: &BTreeMap<String, u64>,
    ) -> (Option<f64>, Option<String>) {
        let counted = |(reason, new): (&String, &u64)| {
            let rate = self.rate(old.get(reason).copied().unwrap_or(0), *new)?;
            Some((reason.clone(), rate))
        };
        let Some(rates) = new.iter().map(counted).collect::<Option<Vec<_>>>() else { return (None, None) };
        let all = rates.iter().map(|(_, rate)| rate).sum();
        let most = rates.into_iter().filter(|(_, rate)| *rate > 0.0).max_by(|a, b| a.1.total_cmp(&b.1));
        (Some(all), most.map(|(reason, _)| reason))
    }
}

/// The sum of what is known; `None` if nothing is.
fn sum(rates: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    rates.flatten().reduce(|a, b| a + b)
}

fn share(part: Option<f64>, rest: Option<f64>) -> Option<f64> {
    let (part, rest) = (part?, rest?);
    (part + rest > 0.0).then(|| part / (part + rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::host::Host;
    use crate::observe::fixture;

    fn snapshot(uptime_s: f64) -> Snapshot {
        Snapshot { uptime_s, ..Snapshot::take(&fixture::registry(), Host::default()) }
    }

    /// Half a second, in which 50 requests came, 2 connections were opened and 18 leases reused one.
    fn two() -> (Snapshot, Snapshot) {
        let (old, mut new) = (snapshot(10.0), snapshot(10.5));
        new.listeners[0].requests_total += 50;
        let endpoint = &mut new.upstreams[0].endpoints[0];
        endpoint.opened_total += 2;
        endpoint.reused_total += 18;
        (old, new)
    }

    #[test]
    fn rates_are_differences_by_the_instances_own_time() {
        let (old, new) = two();
        let rates = Rates::between(&old, &new);
        assert_eq!(rates.listeners[0].requests, Some(100.0));
        assert_eq!(rates.listeners[1].requests, Some(0.0), "nothing came, which is known");
        assert_eq!(rates.endpoints[0][0].opens, Some(4.0));
        assert_eq!((rates.endpoints[0][0].reuse(), rates.endpoints[0][1].reuse()), (Some(0.9), None));
        assert_eq!((rates.requests(), rates.opens(), rates.reuse()), (Some(100.0), Some(4.0), Some(0.9)));
    }

    #[test]
    fn a_restart_makes_every_rate_unknown() {
        let (old, new) = two();
        for uptime_s in [0.4, 10.0] {
            let new = Snapshot { uptime_s, ..new.clone() };
            assert_eq!(Rates::between(&old, &new), Rates::unknown(&new));
            assert_eq!(Rates::between(&old, &new).requests(), None);
        }
    }

    #[test]
    fn one_counter_that_begins_again_is_unknown_alone() {
        let (old, mut new) = two();
        new.listeners[0].requests_total = 3;
        new.upstreams[0].endpoints[0].opened_total = 0;
        let rates = Rates::between(&old, &new);
        assert_eq!((rates.listeners[0].requests, rates.endpoints[0][0].opens), (None, None));
        assert_eq!(rates.endpoints[0][0].reuses, Some(36.0));
        assert_eq!(rates.endpoints[0][0].reuse(), None);
        assert_eq!(rates.requests(), Some(0.0), "of the listeners that are known");
    }

    #[test]
    fn what_is_new_or_moved_is_not_taken_for_another() {
        let (mut old, mut new) = two();
        old.listeners.reverse();
        let mut added = new.listeners[0].clone();
        added.address = "127.0.0.1:9".into();
        new.listeners.push(added);
        new.upstreams[0].endpoints[1].address = "127.0.0.1:9".into();
        let rates = Rates::between(&old, &new);
        assert_eq!((rates.listeners[0].requests, rates.listeners[3].requests), (Some(100.0), None));
        assert_eq!(rates.endpoints[0][1], EndpointRates::default());
    }

    #[test]
    fn the_most_common_reject_is_that_of_the_interval() {
        let (mut old, mut new) = two();
        old.listeners[0].rejects.insert("bad_host".into(), 1_000_000);
        new.listeners[0].rejects.insert("bad_host".into(), 1_000_001);
        new.listeners[0].rejects.insert("a_new_one".into(), 2);
        let rates = Rates::between(&old, &new).listeners.swap_remove(0);
        assert_eq!((rates.rejects, rates.top_reject.as_deref()), (Some(6.0), Some("a_new_one")));
        let none = Rates::between(&old, &Snapshot { uptime_s: 11.0, ..old.clone() }).listeners.swap_remove(0);
        assert_eq!((none.rejects, none.top_reject), (Some(0.0), None));
    }

    #[test]
    fn what_a_listener_drops_is_unknown_until_it_was_counted_twice() {
        let (mut old, mut new) = two();
        for (was, is, rate) in [
            (Some(3), Some(4), Some(2.0)),
            (None, Some(4), None),
            (Some(4), None, None),
            (Some(4), Some(3), None),
        ] {
            (old.listeners[0].accept_queue.drops_total, new.listeners[0].accept_queue.drops_total) =
                (was, is);
            assert_eq!(Rates::between(&old, &new).listeners[0].drops, rate, "{was:?} and {is:?}");
        }
    }

    #[test]
    fn the_kernels_counters_may_be_unreadable() {
        let (mut old, mut new) = two();
        (old.kernel.listen_overflows, new.kernel.listen_overflows) = (Some(3), Some(4));
        (old.kernel.syn_queue_drops, new.kernel.syn_queue_drops) = (None, Some(4));
        (old.kernel.time_wait_overflow, new.kernel.time_wait_overflow) = (Some(4), Some(4));
        let expected =
            KernelRates { listen_overflows: Some(2.0), syn_queue_drops: None, time_wait_overflow: Some(0.0) };
        assert_eq!(Rates::between(&old, &new).kernel, expected);
    }
}
