//! Whatever name servers say is understood, or is a failure.

use crate::harness::{Mood, NameServer};
use hickory_resolver::proto::op::ResponseCode;
use libtest_mimic::Trial;
use millpond::config::model::{Discovery, DnsKind, DnsName, Family, Resolver};
use millpond::discovery::servers::Servers;
use millpond::discovery::walk::{self, Memory, Outcome};
use std::net::IpAddr;
use std::time::Duration;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        addresses_and_their_ttl_are_read,
        a_name_that_is_not_there_is_no_failure,
        what_servers_say_instead_of_an_answer_is_a_failure,
        a_long_answer_comes_over_tcp,
        aliases_are_followed,
        services_are_followed_to_their_hosts,
        names_are_looked_for_in_domains,
        the_second_server_answers_for_the_first,
    ]
}

/// Whoever asks a server, and remembers nothing.
struct Asker {
    servers: Servers,
    discovery: Discovery,
    runtime: tokio::runtime::Runtime,
}

impl Asker {
    fn new(servers: &[&NameServer], search: &[&str]) -> Self {
        let resolver = Resolver {
            nameservers: Some(servers.iter().map(|server| server.address()).collect()),
            search: Some(search.iter().map(|domain| (*domain).to_owned()).collect()),
            ndots: Some(1),
            timeout: Duration::from_millis(300),
            attempts: 1,
        };
        let second = Duration::from_secs(1);
        Self {
            servers: Servers::new(resolver),
            discovery: Discovery {
                family: Family::Auto,
                ttl_min: second,
                ttl_max: 60 * second,
                grace: second,
                max_endpoints: 256,
            },
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    fn ask(&mut self, name: &str, kind: DnsKind) -> Outcome {
        let name = DnsName { name: name.to_owned(), kind };
        let mut memory = Memory::default();
        self.runtime.block_on(async {
            let open = self.servers.open().unwrap();
            walk::resolve(&name, &self.discovery, open.search(), &mut memory, &*open).await
        })
    }

    fn host(&mut self, name: &str) -> Outcome {
        self.ask(name, DnsKind::Addresses { port: 80, weight: 1 })
    }
}

#[track_caller]
fn found(outcome: Outcome) -> (Vec<String>, Duration) {
    let Outcome::Found(found) = outcome else { panic!("{outcome:?}") };
    assert_eq!(found.missing, None);
    (found.endpoints.iter().map(|e| format!("{}*{}", e.address, e.weight)).collect(), found.ttl)
}

fn ips<const N: usize>(ips: [&str; N]) -> [IpAddr; N] {
    ips.map(|ip| ip.parse().unwrap())
}

const SECOND: Duration = Duration::from_secs(1);

fn addresses_and_their_ttl_are_read() {
    let server = NameServer::start();
    let mut asker = Asker::new(&[&server], &[]);
    server.has("app.test", 7, &ips(["192.0.2.2", "192.0.2.1"]));
    server.has("six.test", 9, &ips(["2001:db8::1"]));
    assert_eq!(
        found(asker.host("app.test")),
        (vec!["192.0.2.1:80*1".into(), "192.0.2.2:80*1".into()], 7 * SECOND)
    );
    assert_eq!(found(asker.host("six.test")), (vec!["[2001:db8::1]:80*1".into()], 9 * SECOND));
    server.has("app.test", 0, &ips(["192.0.2.3"]));
    assert_eq!(found(asker.host("app.test")), (vec!["192.0.2.3:80*1".into()], Duration::ZERO));
    let asked = server.asked();
    assert_eq!(asked, ["udp A app.test", "udp A six.test", "udp AAAA six.test", "udp A app.test"]);
}

fn a_name_that_is_not_there_is_no_failure() {
    let server = NameServer::start();
    let mut asker = Asker::new(&[&server], &[]);
    let why = "there is no name app.test".to_owned();
    assert_eq!(asker.host("app.test"), Outcome::Empty { ttl: Some(SECOND), why });
    server.has("app.test", 7, &[]);
    let why = "there is no address for app.test".to_owned();
    assert_eq!(asker.host("app.test"), Outcome::Empty { ttl: Some(SECOND), why });
}

fn what_servers_say_instead_of_an_answer_is_a_failure() {
    let server = NameServer::start();
    let mut asker = Asker::new(&[&server], &[]);
    server.has("app.test", 7, &ips(["192.0.2.1"]));
    for (mood, says) in [
        (Mood::Code(ResponseCode::ServFail), "Server Failure"),
        (Mood::Code(ResponseCode::Refused), "Query Refused"),
        (Mood::Code(ResponseCode::NotImp), "Not Implemented"),
        (Mood::Silent, "no answer in time"),
        (Mood::Garbage, "A app.test: "),
    ] {
        server.is(mood);
        let Outcome::Failed { why } = asker.host("app.test") else { panic!("{mood:?} is an answer") };
        assert!(why.contains(says), "{mood:?}: {why}");
        server.is(Mood::Well);
        assert_eq!(found(asker.host("app.test")).0, ["192.0.2.1:80*1"], "after {mood:?}");
    }
}

fn a_long_answer_comes_over_tcp() {
    let server = NameServer::start();
    let mut asker = Asker::new(&[&server], &[]);
    let all: Vec<IpAddr> = (0..200).map(|last| IpAddr::from([192, 0, 2, last])).collect();
    server.has("app.test", 7, &all);
    server.is(Mood::Truncating);
    assert_eq!(found(asker.host("app.test")).0.len(), 200);
    assert_eq!(server.asked(), ["udp A app.test", "tcp A app.test"]);
    assert_eq!(found(asker.host("app.test")).0.len(), 200, "and again, whatever became of the connection");
}

fn aliases_are_followed() {
    let server = NameServer::start();
    let mut asker = Asker::new(&[&server], &[]);
    server.alias("app.test", 9, "lb.test");
    server.alias("lb.test", 3, "node.test");
    server.has("node.test", 60, &ips(["192.0.2.1"]));
    assert_eq!(found(asker.host("app.test")), (vec!["192.0.2.1:80*1".into()], 3 * SECOND));
    server.forget("node.test");
    assert!(matches!(asker.host("app.test"), Outcome::Empty { .. }), "it leads nowhere");
}

fn services_are_followed_to_their_hosts() {
    let server = NameServer::start();
    let mut asker = Asker::new(&[&server], &[]);
    let services = [(10, 20, 8080, "A.test"), (10, 60, 8081, "b.test"), (20, 0, 1, "backup.test")];
    server.services("_http._tcp.app.test", 9, &services);
    server.has("a.test", 5, &ips(["192.0.2.1"]));
    server.has("b.test", 30, &ips(["2001:db8::2"]));
    server.has("backup.test", 30, &ips(["192.0.2.3"]));
    let expected = vec!["192.0.2.1:8080*1".to_owned(), "[2001:db8::2]:8081*3".to_owned()];
    assert_eq!(found(asker.ask("_http._tcp.app.test", DnsKind::Services)), (expected, 5 * SECOND));
    ["a.test", "b.test"].iter().for_each(|host| server.forget(host));
    assert_eq!(found(asker.ask("_http._tcp.app.test", DnsKind::Services)).0, ["192.0.2.3:1*1"]);
    server.services("_http._tcp.app.test", 9, &[(0, 0, 0, ".")]);
    let outcome = asker.ask("_http._tcp.app.test", DnsKind::Services);
    assert!(matches!(outcome, Outcome::Empty { .. }), "decidedly no service: {outcome:?}");
}

fn names_are_looked_for_in_domains() {
    let server = NameServer::start();
    let mut asker = Asker::new(&[&server], &["svc.test", "test"]);
    server.has("app.test", 7, &ips(["192.0.2.1"]));
    assert_eq!(found(asker.host("app")).0, ["192.0.2.1:80*1"]);
    let asked = server.asked();
    assert_eq!(asked, ["udp A app.svc.test", "udp AAAA app.svc.test", "udp A app.test"]);
    assert!(matches!(asker.host("app."), Outcome::Empty { .. }));
    assert_eq!(server.asked()[3..], ["udp A app", "udp AAAA app"], "with a dot at its end, in none");
}

fn the_second_server_answers_for_the_first() {
    let (first, second) = (NameServer::start(), NameServer::start());
    let mut asker = Asker::new(&[&first, &second], &[]);
    second.has("app.test", 7, &ips(["192.0.2.1"]));
    for mood in [Mood::Silent, Mood::Code(ResponseCode::ServFail)] {
        first.is(mood);
        // Whichever of them is faster.
        for _ in 0..10 {
            assert_eq!(found(asker.host("app.test")).0, ["192.0.2.1:80*1"], "{mood:?}");
        }
    }
    // A port where nobody is.
    drop(first);
    assert_eq!(found(asker.host("app.test")).0, ["192.0.2.1:80*1"]);
}
