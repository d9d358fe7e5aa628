//! What each client of a listening address has taken of its limits, all workers together: sessions at
//! once, and the rates of its requests and of its connections.
//!
//! The kernel spreads a client's connections over the workers. Its share is the same whichever they come
//! to, so that what is counted here is shared, a lock for each few clients.

use super::gcra;
use crate::addr::ClientNetwork;
use crate::config::model::Rate;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What is known of clients, by their [`ClientNetwork`]. Empty as long as no limit a client is set.
#[derive(Debug, Default)]
pub struct ClientTable {
    sessions: Mutex<HashMap<ClientNetwork, usize>>,
    rates: OnceLock<RateTable>,
}

/// A rate that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rated {
    /// Requests, under `limit.request_rate_per_client`.
    Requests,
    /// Connections, under `limit.connection_rate_per_client`.
    Connections,
}

impl ClientTable {
    /// Counts a session of this client, unless it has `limit` already.
    pub(super) fn enter(&self, client: IpAddr, limit: usize) -> bool {
        let mut table = locked(&self.sessions);
        let count = table.entry(ClientNetwork::of(client)).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }

    /// A session that was counted is over.
    pub(super) fn leave(&self, client: IpAddr) {
        let mut table = locked(&self.sessions);
        if let Some(count) = table.get_mut(&ClientNetwork::of(client)) {
            *count -= 1;
            if *count == 0 {
                table.remove(&ClientNetwork::of(client));
            }
        }
    }

    /// Counts one more of what is rated, at `now`.
    ///
    /// # Errors
    /// The client is over its rate for as long as this; then nothing is counted.
    pub fn admit(&self, client: IpAddr, rated: Rated, rate: &Rate, now: Instant) -> Result<(), Duration> {
        let rates = self.rates.get_or_init(|| RateTable::new(now));
        rates.admit(ClientNetwork::of(client), rated, rate, now)
    }
}

/// The rates of the clients seen last. Of a fixed size: where there are more clients than places, whoever
/// has the least left of what it has sent is forgotten first, which is a client that sends little.
#[derive(Debug)]
struct RateTable {
    /// What times are counted from.
    base: Instant,
    /// The latest of them. A worker's clock is read once a turn, so that one is behind another: what the one has
    /// counted a moment ahead must not be held against who comes to the other.
    latest: AtomicU64,
    /// With keys of its own, so that nobody can choose addresses for the place that they fall on.
    hasher: RandomState,
    sets: Box<[Mutex<[Place; WAYS]>]>,
}

/// Places of a set, in which a client is looked for one after the other.
const WAYS: usize = 8;
/// Sets of places, a power of two: 65,536 clients in all, in about 3 MiB.
const SETS: usize = 8192;

/// A client, and the times by which it will have paid for what it has sent; zeroes are nobody.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    client: Option<ClientNetwork>,
    requests: u64,
    connections: u64,
}

impl RateTable {
    fn new(base: Instant) -> Self {
        let sets = (0..SETS).map(|_| Mutex::default()).collect();
        Self { base, latest: AtomicU64::new(0), hasher: RandomState::new(), sets }
    }

    fn admit(&self, client: ClientNetwork, rated: Rated, rate: &Rate, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.base).as_nanos() as u64;
        let now = self.latest.fetch_max(now, Relaxed).max(now);
        let set = self.hasher.hash_one(client) as usize % SETS;
        let mut set = locked(&self.sets[set]);
        let place = place_of(&mut set, client);
        let due = match rated {
            Rated::Requests => &mut place.requests,
            Rated::Connections => &mut place.connections,
        };
        gcra::admit(due, now, rate)
    }
}

/// The client's place, or that of who has the least left, from now on the client's.
fn place_of(set: &mut [Place; WAYS], client: ClientNetwork) -> &mut Place {
    let found = set.iter().position(|place| place.client == Some(client));
    let at = found.unwrap_or_else(|| {
        let least = (0..WAYS).min_by_key(|at| set[*at].requests.max(set[*at].connections));
        let least = least.expect("a set has places");
        set[least] = Place { client: Some(client), ..Place::default() };
        least
    });
    &mut set[at]
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Period;

    const ONE_A_SECOND: Rate = Rate { count: 1, period: Period::Second, burst: 2 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_worker_whose_clock_is_behind_admits_no_less() {
        let (table, begin) = (ClientTable::default(), Instant::now());
        let admit = |ms| {
            let now = begin + Duration::from_millis(ms);
            table.admit(ip("192.0.2.1"), Rated::Connections, &ONE_A_SECOND, now).is_ok()
        };
        assert!(admit(0) && admit(1_500) && admit(1_400) && !admit(1_400));
    }

    #[test]
    fn requests_and_connections_of_a_client_are_rated_apart_and_so_are_clients() {
        let (table, now) = (ClientTable::default(), Instant::now());
        let admit = |client: &str, rated, after: u64| {
            table.admit(ip(client), rated, &ONE_A_SECOND, now + Duration::from_secs(after)).is_ok()
        };
        let burst: Vec<bool> = (0..3).map(|_| admit("192.0.2.1", Rated::Requests, 5)).collect();
        assert_eq!(burst, [true, true, false]);
        assert!(admit("192.0.2.1", Rated::Connections, 5) && admit("192.0.2.2", Rated::Requests, 5));
        assert!(admit("192.0.2.1", Rated::Requests, 6) && !admit("192.0.2.1", Rated::Requests, 6));
    }

    #[test]
    fn an_ipv6_client_is_its_64_bits_of_network() {
        let (table, now) = (ClientTable::default(), Instant::now());
        let admit = |client| table.admit(ip(client), Rated::Requests, &ONE_A_SECOND, now).is_ok();
        assert!(admit("2001:db8::1") && admit("2001:db8::2:2") && !admit("2001:db8::ffff"));
        assert!(admit("2001:db8:0:1::1"), "another network");
        assert!(table.enter(ip("2001:db8::1"), 1) && !table.enter(ip("2001:db8::2"), 1));
        table.leave(ip("2001:db8::1"));
        assert!(table.enter(ip("2001:db8::2"), 1));
    }

    #[test]
    fn a_client_in_debt_is_not_forgotten_for_many_that_sent_once() {
        let (table, now) = (ClientTable::default(), Instant::now());
        let flood = Rate { burst: 100, ..ONE_A_SECOND };
        let admit = |client: IpAddr| table.admit(client, Rated::Requests, &flood, now);
        (0..100).for_each(|_| admit(ip("192.0.2.1")).unwrap());
        // Ten times as many as there are places.
        for network in 0..10 * (SETS * WAYS) as u128 {
            admit(IpAddr::from((0x2001_0db8 << 96 | network << 64).to_be_bytes())).unwrap();
        }
        assert!(admit(ip("192.0.2.1")).is_err());
    }

    #[test]
    fn a_set_forgets_whoever_has_the_least_left() {
        let mut set = [Place::default(); WAYS];
        let network = |at: usize| ClientNetwork::of(IpAddr::from([192, 0, 2, at as u8]));
        for at in 0..WAYS {
            place_of(&mut set, network(at)).requests = 100 - at as u64;
        }
        place_of(&mut set, network(3)).connections = 5;
        place_of(&mut set, network(WAYS)).requests = 1000;
        assert_eq!(set.iter().filter(|place| place.client == Some(network(WAYS - 1))).count(), 0);
        assert!((0..WAYS - 1).all(|at| set.iter().any(|place| place.client == Some(network(at)))));
    }
}
