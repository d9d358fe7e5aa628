//! From a name to its endpoints: through the domains that it may be in, from services to hosts, from hosts
//! to addresses. Pure but for whom it asks.

use super::record::{Ask, Failure, Kind, Question, Record, Reply, Service};
use super::search::Search;
use crate::config::model::{Discovery, DnsKind, DnsName, Endpoint, Family};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

mod weights;

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has endpoints.
    Found(Found),
    /// It has none, says who knows.
    Empty {
        /// How long that may be kept, if it was said.
        ttl: Option<Duration>,
        /// For people.
        why: String,
    },
    /// Nobody knows.
    Failed {
        /// For people.
        why: String,
    },
}

/// The endpoints of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At least one, by address, each once.
    pub endpoints: Vec<Endpoint>,
    /// How long that may be kept.
    pub ttl: Duration,
    /// What was not answered, where the last good answer stands in, if there is one.
    pub missing: Option<String>,
}

/// The last good answers of a name, by question: each stands in where its question fails.
#[derive(Debug, Default)]
pub struct Memory(HashMap<Question, Known>);

/// Records, and addresses that came along.
type Known = (Vec<Record>, Vec<(String, IpAddr)>);

/// A name on its way.
struct Walk<'a, A> {
    ask: &'a A,
    search: &'a Search,
    family: Family,
    last: Memory,
    next: Memory,
    ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
    missing: Option<String>,
    /// The servers do not answer: nothing more is asked.
    is_cut: bool,
    /// Whether there was a record.
    is_fresh: bool,
    /// Whether there is the name, with or without what was asked for.
    exists: bool,
}

/// Answers that are remembered at most.
const MEMORY_MAX: usize = 4096;

/// Asks for the endpoints of a name.
pub async fn resolve<A: Ask>(
    name: &DnsName,
    discovery: &Discovery,
    search: &Search,
    memory: &mut Memory,
    ask: &A,
) -> Outcome {
    let mut walk = Walk {
        ask,
        search,
        family: discovery.family,
        last: std::mem::take(memory),
        next: Memory::default(),
        ttl: None,
        negative_ttl: None,
        missing: None,
        is_cut: false,
        is_fresh: false,
        exists: false,
    };
    let endpoints = match name.kind {
        DnsKind::Addresses { port, weight } => {
            let addresses = walk.addresses_of_host(&name.name).await;
            addresses.into_iter().map(|ip| Endpoint { address: SocketAddr::new(ip, port), weight }).collect()
        }
        DnsKind::Services => walk.services(&name.name, discovery.max_endpoints).await,
    };
    walk.end(&name.name, endpoints, memory)
}

impl<A: Ask> Walk<'_, A> {
    fn end(mut self, name: &str, mut endpoints: Vec<Endpoint>, memory: &mut Memory) -> Outcome {
        // What was not come to this time is not forgotten for it.
        if self.missing.is_some() && self.last.0.len() < MEMORY_MAX {
            for (question, known) in self.last.0 {
                self.next.0.entry(question).or_insert(known);
            }
        }
        *memory = self.next;
        // Of several records for one address, the largest share.
        endpoints.sort_by_key(|endpoint| (endpoint.address, Reverse(endpoint.weight)));
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        match (endpoints.is_empty(), self.missing) {
            (false, missing) if self.is_fresh => {
                Outcome::Found(Found { endpoints, ttl: self.ttl.unwrap_or(Duration::MAX), missing })
            }
            (_, Some(why)) => Outcome::Failed { why },
            (_, None) => {
                let what = if self.exists { "there is no address for" } else { "there is no name" };
                Outcome::Empty { ttl: self.negative_ttl, why: format!("{what} {name}") }
            }
        }
    }

    /// The addresses of a name as it is written.
    async fn addresses_of_host(&mut self, name: &str) -> Vec<IpAddr> {
        let hosts = self.ask.hosts(name);
        let (v4, v6) = hosts.into_iter().filter(is_dialable).partition(IpAddr::is_ipv4);
        let hosts = self.of_family(v4, v6);
        if !hosts.is_empty() {
            self.is_fresh = true;
            return hosts;
        }
        for candidate in self.search.candidates(name) {
            let addresses = self.addresses(&candidate).await;
            if !addresses.is_empty() || self.is_cut {
                return addresses;
            }
        }
        Vec::new()
    }

    /// The addresses of an absolute name. The second family is asked for only where it is wanted: many
    /// servers answer it badly.
    async fn addresses(&mut self, name: &str) -> Vec<IpAddr> {
        let v4 = match self.family {
            Family::Ipv6 => Vec::new(),
            _ => self.addresses_of_kind(name, Kind::A).await,
        };
        let v6 = match self.family {
            Family::Ipv4 => Vec::new(),
            Family::Auto if !v4.is_empty() => Vec::new(),
            _ => self.addresses_of_kind(name, Kind::Aaaa).await,
        };
        self.of_family(v4, v6)
    }

    async fn addresses_of_kind(&mut self, name: &str, kind: Kind) -> Vec<IpAddr> {
        let (records, _) = self.records(Question { name: name.to_owned(), kind }).await;
        let ip = |record| match record {
            Record::Address(ip) if is_dialable(&ip) => Some(ip),
            _ => None,
        };
        records.into_iter().filter_map(ip).collect()
    }

    fn of_family(&self, v4: Vec<IpAddr>, v6: Vec<IpAddr>) -> Vec<IpAddr> {
        match self.family {
            Family::Ipv4 => v4,
            Family::Ipv6 => v6,
            Family::Auto if v4.is_empty() => v6,
            Family::Auto => v4,
            Family::Both => [v4, v6].concat(),
        }
    }

    /// The endpoints of the first class of services that has any (RFC 2782: the lowest priority that can
    /// be reached).
    async fn services(&mut self, name: &str, most: usize) -> Vec<Endpoint> {
        let (mut services, others) = self.service_records(name).await;
        services.sort();
        services.dedup();
        services.truncate(most);
        for class in services.chunk_by(|one, other| one.priority == other.priority) {
            let mut endpoints = Vec::new();
            for (service, weight) in class.iter().zip(weights::scaled(class)) {
                for ip in self.addresses_of_target(&service.target, &others).await {
                    endpoints.push(Endpoint { address: SocketAddr::new(ip, service.port), weight });
                }
            }
            if !endpoints.is_empty() {
                return endpoints;
            }
        }
        Vec::new()
    }

    async fn service_records(&mut self, name: &str) -> (Vec<Service>, Vec<(String, IpAddr)>) {
        for candidate in self.search.candidates(name) {
            let question = Question { name: candidate, kind: Kind::Srv };
            let (records, others) = self.records(question).await;
            let service = |record| match record {
                // RFC 2782: the root as a target says that there is decidedly no such service.
                Record::Service(service) if !service.target.is_empty() && service.port != 0 => Some(service),
                _ => None,
            };
            let is_answered = !records.is_empty();
            if is_answered || self.is_cut {
                return (records.into_iter().filter_map(service).collect(), others);
            }
        }
        (Vec::new(), Vec::new())
    }

    /// The addresses of a host of a service, which may have come along with it.
    async fn addresses_of_target(&mut self, target: &str, others: &[(String, IpAddr)]) -> Vec<IpAddr> {
        let of_target = others.iter().filter(|(name, _)| name == target).map(|(_, ip)| *ip);
        let (v4, v6): (Vec<_>, Vec<_>) = of_target.filter(is_dialable).partition(IpAddr::is_ipv4);
        // Servers leave out what does not fit.
        let is_all = match self.family {
            Family::Ipv4 | Family::Auto => !v4.is_empty(),
            Family::Ipv6 => !v6.is_empty(),
            Family::Both => !v4.is_empty() && !v6.is_empty(),
        };
        if is_all { self.of_family(v4, v6) } else { self.addresses(target).await }
    }

    /// The records that there are, or the last good ones where nobody knows.
    async fn records(&mut self, question: Question) -> Known {
        let reply = match self.is_cut {
            true => Reply::Failed(Failure { is_timeout: true, why: "not asked any more".to_owned() }),
            false => self.ask.ask(&question).await,
        };
        match reply {
            Reply::Records { records, others, ttl } => {
                self.is_fresh = true;
                self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
                self.next.0.insert(question, (records.clone(), others.clone()));
                (records, others)
            }
            Reply::None { exists, ttl } => {
                self.exists |= exists;
                self.negative_ttl = match (self.negative_ttl, ttl) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                // Said to be gone: it stands in for nothing any more.
                self.last.0.remove(&question);
                Default::default()
            }
            Reply::Failed(Failure { is_timeout, why }) => {
                self.is_cut |= is_timeout;
                self.missing.get_or_insert_with(|| format!("{question}: {why}"));
                // It is kept for the next time, see `end`.
                self.last.0.get(&question).cloned().unwrap_or_default()
            }
        }
    }
}

/// Whether it is the address of some host. Blocking name servers answer 0.0.0.0, which would be this host;
/// a link-local address says nothing without its link.
fn is_dialable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
