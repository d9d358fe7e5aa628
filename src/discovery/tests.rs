//! All of it but the sockets, in a time of its own: names that change, servers that fail and recover.

use super::record::{Ask, Failure, Kind, Question, Record, Reply, Service};
use super::search::Search;
use super::table::{Key, Table};
use super::walk::{self, Memory};
use crate::config::model::{Config, DnsKind, DnsName};
use crate::observe::fixture;
use crate::upstream::balance::SplitMix;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How much is simulated, and how long it may take until all is well after the last change: the longest
/// TTL, the longest pause after failures, a grace, and a tenth of all.
const STORY: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(150);

const HOSTS: [&str; 3] = ["a.test", "b.test", "gone.test"];
const SERVICE: &str = "_x._tcp.test";

/// Name servers, and what they know.
struct World {
    random: Mutex<SplitMix>,
    hosts: BTreeMap<&'static str, BTreeSet<u8>>,
    are_well: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let hosts = HOSTS.into_iter().map(|host| (host, BTreeSet::from([1]))).collect();
        Self { random: Mutex::new(SplitMix::new(seed)), hosts, are_well: true }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.lock().unwrap().below(bound)
    }

    /// Something happens.
    fn turn(&mut self) {
        let host = HOSTS[self.below(HOSTS.len() as u64) as usize];
        let number = 1 + self.below(4) as u8;
        let addresses = self.hosts.get_mut(host).expect("it is one of them");
        match self.random.lock().unwrap().below(4) {
            0 => self.are_well = !self.are_well,
            1 => addresses.clear(),
            2 => _ = addresses.insert(number),
            _ => _ = addresses.remove(&number),
        }
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let numbers = self.hosts.iter().find(|(name, _)| **name == host).map(|(_, numbers)| numbers);
        let place = HOSTS.iter().position(|name| *name == host).unwrap_or(0) as u8;
        numbers.into_iter().flatten().map(|number| [192, 0, 2 + place, *number].into()).collect()
    }

    /// What a name stands for, once everybody knows.
    fn truth(&self, name: &DnsName) -> BTreeSet<SocketAddr> {
        let (hosts, port) = match name.kind {
            DnsKind::Services => (vec![HOSTS[0], HOSTS[1]], 9),
            DnsKind::Addresses { port, .. } => (vec![name.name.trim_end_matches('.')], port),
        };
        let ips = hosts.into_iter().flat_map(|host| self.addresses(host));
        ips.map(|ip| SocketAddr::new(ip, port)).collect()
    }
}

impl Ask for World {
    fn ask(&self, question: &Question) -> impl Future<Output = Reply> + Send {
        let ttl = Duration::from_secs(self.below(30));
        let records: Vec<Record> = match question.kind {
            Kind::A => self.addresses(&question.name).into_iter().map(Record::Address).collect(),
            Kind::Srv if question.name == SERVICE => [HOSTS[0], HOSTS[1]]
                .map(|target| {
                    Record::Service(Service { priority: 0, target: target.into(), port: 9, weight: 0 })
                })
                .to_vec(),
            _ => Vec::new(),
        };
        // Those that are not well still answer now and then.
        let fails = !self.are_well && self.below(8) > 0;
        let is_timeout = self.below(2) == 0;
        std::future::ready(match (fails, records.is_empty()) {
            (true, _) => Reply::Failed(Failure { is_timeout, why: "no".into() }),
            (_, true) => Reply::None { exists: true, ttl: Some(ttl) },
            _ => Reply::Records { records, others: Vec::new(), ttl },
        })
    }

    fn hosts(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// Whoever follows the names, with a clock of its own.
struct Follower {
    table: Table,
    config: Config,
    now: Instant,
    asked: HashMap<Key, Instant>,
    /// The endpoints as they were told, change by change.
    told: HashMap<Key, BTreeSet<SocketAddr>>,
}

impl Follower {
    fn new(seed: u64) -> Self {
        let mut app = fixture::upstream("app", &[]);
        let host = |name: &&str| DnsName {
            name: format!("{name}."),
            kind: DnsKind::Addresses { port: 80, weight: 1 },
        };
        app.names = HOSTS.iter().map(host).collect();
        app.names.push(DnsName { name: format!("{SERVICE}."), kind: DnsKind::Services });
        let config = Config { upstreams: vec![app.into()], ..fixture::config() };
        let (mut table, now) = (Table::new(seed), Instant::now());
        for key in table.add(&config, now) {
            let memory = Memory::default();
            table.note(&key, walk::Outcome::Failed { why: "nobody was asked".into() }, memory, now);
        }
        Self { table, config, now, asked: HashMap::new(), told: HashMap::new() }
    }

    /// Goes on until this time, asking whenever a name is due.
    fn until(&mut self, end: Instant, world: &World) {
        while let Some(due) = self.table.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            for key in self.table.due(self.now, usize::MAX) {
                self.ask(&key, world);
            }
        }
        self.now = end;
    }

    fn ask(&mut self, key: &Key, world: &World) {
        let policy = self.config.upstreams[0].discovery.clone();
        if let Some(last) = self.asked.insert(key.clone(), self.now) {
            // The end of a grace may come soon after a question.
            let is_empty_soon = self.told.get(key).is_some_and(|told| !told.is_empty());
            let wait = self.now - last;
            assert!(wait >= Duration::from_millis(500) || is_empty_soon && !wait.is_zero(), "{wait:?}");
        }
        let mut memory = self.table.memory(key);
        let name = key.1.clone();
        let search = Search::default();
        let walking = walk::resolve(&name, &policy, &search, &mut memory, world);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(walking);
        let failed = matches!(outcome, walk::Outcome::Failed { .. });
        let noted = self.table.note(key, outcome, memory, self.now).expect("it is there");
        let told = self.told.entry(key.clone()).or_default();
        assert!(!failed || noted.change.is_none(), "nobody knew, and something was changed");
        noted.change.removed.iter().for_each(|gone| assert!(told.remove(gone), "{gone} was not there"));
        noted.change.added.iter().for_each(|new| assert!(told.insert(*new), "{new} was there"));
    }

    fn endpoints(&self) -> BTreeSet<SocketAddr> {
        self.table.resolved(&self.config).upstreams[0].endpoints.iter().map(|e| e.address).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_runs_is_what_is_there_once_servers_are_well(seed in any::<u64>()) {
        let (mut world, mut follower) = (World::new(seed), Follower::new(seed));
        let end = follower.now + STORY;
        while follower.now < end {
            let pause = Duration::from_millis(200 + world.below(60_000));
            let next = follower.now + pause;
            follower.until(next, &world);
            world.turn();
            let told: BTreeSet<SocketAddr> = follower.told.values().flatten().copied().collect();
            prop_assert_eq!(told, follower.endpoints(), "every change is told");
        }
        world.are_well = true;
        follower.until(follower.now + PATIENCE, &world);
        let names = &follower.config.upstreams[0].names;
        let truth: BTreeSet<SocketAddr> = names.iter().flat_map(|name| world.truth(name)).collect();
        prop_assert_eq!(follower.endpoints(), truth);
    }
}
