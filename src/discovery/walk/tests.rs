use super::*;
use crate::observe::fixture;
use std::cell::RefCell;
use std::future::Future;
use std::sync::Mutex;

/// Name servers whose answers are written down. Whatever is not there does not exist.
#[derive(Default)]
struct Zone {
    replies: HashMap<Question, Reply>,
    hosts: Vec<(String, IpAddr)>,
    asked: Mutex<Vec<String>>,
}

impl Ask for Zone {
    fn ask(&self, question: &Question) -> impl Future<Output = Reply> + Send {
        self.asked.lock().unwrap().push(question.to_string());
        let missing = Reply::None { exists: false, ttl: Some(seconds(30)) };
        std::future::ready(self.replies.get(question).cloned().unwrap_or(missing))
    }

    fn hosts(&self, name: &str) -> Vec<IpAddr> {
        self.hosts.iter().filter(|(host, _)| host == name).map(|(_, ip)| *ip).collect()
    }
}

impl Zone {
    fn with(mut self, kind: Kind, name: &str, reply: Reply) -> Self {
        self.replies.insert(Question { name: name.into(), kind }, reply);
        self
    }

    fn a(self, name: &str, ips: &[&str]) -> Self {
        let records = ips.iter().map(|ip| Record::Address(ip.parse().unwrap())).collect();
        let kind = if ips[0].contains(':') { Kind::Aaaa } else { Kind::A };
        self.with(kind, name, Reply::Records { records, others: Vec::new(), ttl: seconds(10) })
    }

    fn fails(self, kind: Kind, name: &str, is_timeout: bool) -> Self {
        self.with(kind, name, Reply::Failed(Failure { is_timeout, why: "no".into() }))
    }

    fn srv(self, name: &str, services: &[(u16, u16, u16, &str)], others: &[(&str, &str)]) -> Self {
        let service = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            Record::Service(Service {
                priority: *priority,
                weight: *weight,
                port: *port,
                target: (*target).into(),
            })
        };
        let records = services.iter().map(service).collect();
        let others = others.iter().map(|(name, ip)| ((*name).into(), ip.parse().unwrap())).collect();
        self.with(Kind::Srv, name, Reply::Records { records, others, ttl: seconds(20) })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// A name with its policy and what is remembered of it.
struct Name {
    name: DnsName,
    discovery: Discovery,
    search: Search,
    memory: RefCell<Memory>,
}

fn host(name: &str) -> Name {
    named(name, DnsKind::Addresses { port: 80, weight: 1 })
}

fn service(name: &str) -> Name {
    named(name, DnsKind::Services)
}

fn named(name: &str, kind: DnsKind) -> Name {
    Name {
        name: DnsName { name: name.into(), kind },
        discovery: fixture::discovery(),
        search: Search { domains: vec!["svc".into(), "local".into()], ndots: 2 },
        memory: RefCell::default(),
    }
}

impl Name {
    fn of(mut self, family: Family) -> Self {
        self.discovery.family = family;
        self
    }

    fn walk(&self, zone: &Zone) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut memory = self.memory.take();
        let outcome = runtime.block_on(resolve(&self.name, &self.discovery, &self.search, &mut memory, zone));
        self.memory.replace(memory);
        outcome
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The endpoints as `address` or `address*weight`, and what was missing.
fn found(outcome: Outcome) -> (Vec<String>, Option<String>) {
    let Outcome::Found(found) = outcome else { panic!("{outcome:?}") };
    let text = |endpoint: &Endpoint| match endpoint.weight {
        1 => endpoint.address.to_string(),
        weight => format!("{}*{weight}", endpoint.address),
    };
    (found.endpoints.iter().map(text).collect(), found.missing)
}

fn whole(outcome: Outcome) -> Vec<String> {
    let (endpoints, missing) = found(outcome);
    assert_eq!(missing, None);
    endpoints
}

#[test]
fn addresses_are_sorted_and_listed_once() {
    let zone = Zone::default().a("app.svc", &["192.0.2.3", "192.0.2.1", "192.0.2.3", "0.0.0.0", "224.0.0.1"]);
    let name = named("app", DnsKind::Addresses { port: 80, weight: 7 });
    assert_eq!(whole(name.walk(&zone)), ["192.0.2.1:80*7", "192.0.2.3:80*7"]);
    assert_eq!(zone.asked(), ["A app.svc"]);
}

#[test]
fn a_name_is_looked_for_in_the_domains_until_there_is_one() {
    let zone = Zone::default().a("app.local", &["192.0.2.1"]);
    assert_eq!(whole(host("app").walk(&zone)), ["192.0.2.1:80"]);
    assert_eq!(zone.asked(), ["A app.svc", "AAAA app.svc", "A app.local"]);
    let Outcome::Empty { ttl, why } = host("app.").walk(&zone) else { panic!("the root has no app") };
    assert_eq!((ttl, why.as_str()), (Some(seconds(30)), "there is no name app."));
    assert_eq!(zone.asked(), ["A app", "AAAA app"]);
    let exists = Reply::None { exists: true, ttl: None };
    let zone = Zone::default().with(Kind::A, "app", exists);
    let Outcome::Empty { why, .. } = host("app.").walk(&zone) else { panic!("it has no address") };
    assert_eq!(why, "there is no address for app.");
}

#[test]
fn what_this_host_knows_is_not_asked_for() {
    let mut zone = Zone::default().a("app.svc", &["192.0.2.1"]);
    zone.hosts = vec![("app".into(), "192.0.2.9".parse().unwrap())];
    assert_eq!(whole(host("app").walk(&zone)), ["192.0.2.9:80"]);
    assert!(zone.asked().is_empty());
    assert_eq!(
        host("app").of(Family::Ipv6).walk(&zone),
        Outcome::Empty { ttl: Some(seconds(30)), why: "there is no name app".into() }
    );
}

#[test]
fn families_are_chosen_from() {
    let both = || Zone::default().a("app", &["192.0.2.1"]).a("app", &["2001:db8::1", "fe80::1"]);
    let v6 = Zone::default().a("app", &["2001:db8::1"]);
    let of = |family, zone: &Zone| whole(host("app.").of(family).walk(zone));
    assert_eq!(of(Family::Auto, &both()), ["192.0.2.1:80"]);
    assert_eq!(of(Family::Auto, &v6), ["[2001:db8::1]:80"]);
    assert_eq!(of(Family::Ipv4, &both()), ["192.0.2.1:80"]);
    assert_eq!(of(Family::Ipv6, &both()), ["[2001:db8::1]:80"]);
    assert_eq!(of(Family::Both, &both()), ["192.0.2.1:80", "[2001:db8::1]:80"]);
}

#[test]
fn servers_that_answer_one_family_badly_do_not_harm_the_other() {
    let zone = Zone::default().a("app", &["192.0.2.1"]).fails(Kind::Aaaa, "app", true);
    assert_eq!(whole(host("app.").walk(&zone)), ["192.0.2.1:80"]);
    let (endpoints, missing) = found(host("app.").of(Family::Both).walk(&zone));
    assert_eq!((endpoints, missing.as_deref()), (vec!["192.0.2.1:80".into()], Some("AAAA app: no")));
}

#[test]
fn the_last_answer_stands_in_for_one_that_fails() {
    let name = host("app.").of(Family::Both);
    let good = Zone::default().a("app", &["192.0.2.1"]).a("app", &["2001:db8::1"]);
    whole(name.walk(&good));
    let half = Zone::default().a("app", &["192.0.2.2"]).fails(Kind::Aaaa, "app", false);
    for _ in 0..3 {
        let (endpoints, missing) = found(name.walk(&half));
        assert_eq!(endpoints, ["192.0.2.2:80", "[2001:db8::1]:80"]);
        assert!(missing.is_some());
    }
    let bad = Zone::default().fails(Kind::A, "app", true);
    assert_eq!(name.walk(&bad), Outcome::Failed { why: "A app: no".into() });
    let gone = Zone::default().a("app", &["192.0.2.2"]);
    assert_eq!(whole(name.walk(&gone)), ["192.0.2.2:80"]);
    assert_eq!(found(name.walk(&half)).0, ["192.0.2.2:80"], "what is gone stands in for nothing");
}

#[test]
fn what_is_said_to_be_gone_is_forgotten_although_others_fail() {
    let name = service("_x._tcp.app.");
    let zone = || Zone::default().srv("_x._tcp.app", &[(0, 1, 1, "a.app"), (0, 1, 1, "b.app")], &[]);
    whole(name.walk(&zone().a("a.app", &["192.0.2.1"]).a("b.app", &["192.0.2.2"])));
    let (endpoints, _) = found(name.walk(&zone().fails(Kind::A, "b.app", false)));
    assert_eq!(endpoints, ["192.0.2.2:1"], "a is gone, and b is remembered");
    let both = zone().fails(Kind::A, "a.app", false).fails(Kind::A, "b.app", false);
    assert_eq!(found(name.walk(&both)).0, ["192.0.2.2:1"]);
}

#[test]
fn a_server_that_fails_is_passed_over_and_one_that_is_silent_is_not() {
    let zone = Zone::default().fails(Kind::A, "app.svc", false).a("app.local", &["192.0.2.1"]);
    assert_eq!(found(host("app").walk(&zone)).0, ["192.0.2.1:80"]);
    zone.asked();
    let zone = Zone::default().fails(Kind::A, "app.svc", true).a("app.local", &["192.0.2.1"]);
    assert_eq!(host("app").walk(&zone), Outcome::Failed { why: "A app.svc: no".into() });
    assert_eq!(zone.asked(), ["A app.svc"], "the next would be silent, too");
}

#[test]
fn a_name_does_not_move_to_another_domain_because_a_server_fails() {
    let name = host("app");
    let zone = Zone::default().a("app.svc", &["192.0.2.1"]).a("app.local", &["192.0.2.66"]);
    whole(name.walk(&zone));
    let zone = Zone::default().fails(Kind::A, "app.svc", false).a("app.local", &["192.0.2.66"]);
    assert_eq!(name.walk(&zone), Outcome::Failed { why: "A app.svc: no".into() });
}

#[test]
fn services_say_ports_and_shares() {
    let zone = Zone::default()
        .srv("_http._tcp.app", &[(0, 10, 8080, "b.app"), (0, 30, 80, "a.app")], &[("b.app", "192.0.2.2")])
        .a("a.app", &["192.0.2.1", "192.0.2.9"]);
    let name = service("_http._tcp.app");
    assert_eq!(whole(name.walk(&zone)), ["192.0.2.1:80*3", "192.0.2.2:8080", "192.0.2.9:80*3"]);
    assert_eq!(zone.asked(), ["SRV _http._tcp.app", "A a.app"], "b came along");
    let Outcome::Found(Found { ttl, .. }) = name.walk(&zone) else { panic!("it is there") };
    assert_eq!(ttl, seconds(10), "the shortest");
}

#[test]
fn the_first_class_with_an_address_counts() {
    let services = [(20, 1, 3, "backup.app"), (10, 1, 2, "a.app"), (10, 1, 1, "gone.app")];
    let zone = |hosts: &[&str]| {
        let zone = Zone::default().srv("_x._tcp.app", &services, &[]);
        hosts.iter().fold(zone, |zone, host| zone.a(host, &["192.0.2.1"]))
    };
    assert_eq!(whole(service("_x._tcp.app.").walk(&zone(&["a.app", "backup.app"]))), ["192.0.2.1:2"]);
    assert_eq!(whole(service("_x._tcp.app.").walk(&zone(&["backup.app"]))), ["192.0.2.1:3"]);
    assert!(matches!(service("_x._tcp.app.").walk(&zone(&[])), Outcome::Empty { .. }));
}

#[test]
fn no_service_is_an_answer() {
    let zone = Zone::default().srv("_x._tcp.app", &[(0, 0, 0, "")], &[]);
    assert!(matches!(service("_x._tcp.app.").walk(&zone), Outcome::Empty { .. }));
}

#[test]
fn a_host_of_a_service_that_cannot_be_asked_for_keeps_its_addresses() {
    let name = service("_x._tcp.app.");
    let services = [(0, 1, 1, "a.app"), (0, 1, 1, "b.app"), (0, 1, 1, "c.app")];
    let zone = Zone::default().srv("_x._tcp.app", &services, &[]);
    let zone = zone.a("a.app", &["192.0.2.1"]).a("b.app", &["192.0.2.2"]).a("c.app", &["192.0.2.3"]);
    whole(name.walk(&zone));
    let zone = zone.fails(Kind::A, "b.app", true).a("c.app", &["192.0.2.4"]);
    let (endpoints, missing) = found(name.walk(&zone));
    assert_eq!(endpoints, ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
    assert_eq!(missing.as_deref(), Some("A b.app: no"));
    assert_eq!(zone.asked().last().map(String::as_str), Some("A b.app"), "c is asked for next time");
}

#[test]
fn an_address_of_two_services_has_the_larger_share_and_the_rest_is_left_out() {
    let zone = Zone::default()
        .srv("_x._tcp.app", &[(0, 5, 1, "a.app"), (0, 2, 1, "b.app"), (0, 1, 1, "c.app")], &[])
        .a("a.app", &["192.0.2.1"])
        .a("b.app", &["192.0.2.1"])
        .a("c.app", &["192.0.2.3"]);
    let mut name = service("_x._tcp.app.");
    assert_eq!(whole(name.walk(&zone)), ["192.0.2.1:1*5", "192.0.2.3:1"]);
    name.discovery.max_endpoints = 2;
    assert_eq!(whole(name.walk(&zone)), ["192.0.2.1:1*5"]);
}
