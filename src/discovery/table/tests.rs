use super::*;
use crate::discovery::walk::Found;
use crate::observe::fixture;
use std::time::Duration;

fn name(name: &str, port: u16, weight: u16) -> DnsName {
    DnsName { name: name.into(), kind: DnsKind::Addresses { port, weight } }
}

/// One upstream with these names beside 127.0.0.1:3000.
fn config(upstream: &str, names: &[DnsName]) -> Config {
    let mut config = fixture::config();
    let mut app = fixture::upstream(upstream, &[3000]);
    app.names = names.to_vec();
    config.upstreams = vec![app.into()];
    config
}

fn found(addresses: &[&str]) -> Outcome {
    let endpoint = |address: &&str| Endpoint { address: address.parse().unwrap(), weight: 1 };
    let endpoints = addresses.iter().map(endpoint).collect();
    Outcome::Found(Found { endpoints, ttl: Duration::from_secs(10), missing: None })
}

fn addresses(table: &Table, config: &Config) -> Vec<String> {
    let resolved = table.resolved(config);
    resolved.upstreams[0].endpoints.iter().map(|e| format!("{}*{}", e.address, e.weight)).collect()
}

#[test]
fn what_is_listed_and_what_is_found_is_there_once() {
    let now = Instant::now();
    let names = [name("a", 3000, 1), name("b", 3000, 1)];
    let (mut table, config) = (Table::new(1), config("app", &names));
    let keys = table.add(&config, now);
    assert_eq!(keys.len(), 2);
    assert_eq!(addresses(&table, &config), ["127.0.0.1:3000*1"]);
    assert!(table.due(now, 9).is_empty(), "both are being asked for");
    table.note(&keys[0], found(&["127.0.0.1:3000", "127.0.0.2:3000"]), Memory::default(), now);
    table.note(&keys[1], found(&["127.0.0.2:3000", "127.0.0.3:3000"]), Memory::default(), now);
    let all = ["127.0.0.1:3000*1", "127.0.0.2:3000*1", "127.0.0.3:3000*1"];
    assert_eq!(addresses(&table, &config), all);
    assert_eq!(table.resolved(&config).listeners, config.listeners);
    assert!(table.due(now + Duration::from_secs(9), 9).is_empty());
    assert_eq!(table.due(now + Duration::from_secs(12), 1).len(), 1, "no more than may be");
    assert_eq!(table.due(now + Duration::from_secs(12), 9).len(), 1, "the other");
    assert_eq!(table.next_due(), None);
}

#[test]
fn a_reload_while_servers_fail_loses_nothing_that_is_known() {
    let now = Instant::now();
    let (mut table, before) = (Table::new(1), config("app", &[name("a", 3000, 1)]));
    let key = table.add(&before, now).remove(0);
    table.note(&key, found(&["127.0.0.2:3000"]), Memory::default(), now);
    let after = config("renamed", &[name("a", 4000, 7)]);
    assert!(table.add(&after, now).is_empty(), "there is something to begin with");
    table.keep(&after, now);
    assert_eq!(addresses(&table, &after), ["127.0.0.1:3000*1", "127.0.0.2:4000*7"]);
    assert_eq!(table.due(now, 9).len(), 1, "but it is asked for at once");
    assert_eq!(addresses(&table, &before), ["127.0.0.1:3000*1"], "the old name is gone");
    assert_eq!(table.note(&key, found(&["127.0.0.9:3000"]), Memory::default(), now), None);
}

#[test]
fn reports_are_in_the_order_of_the_configuration() {
    let now = Instant::now();
    let (mut table, config) = (Table::new(1), config("app", &[name("b", 1, 1), name("a.", 2, 1)]));
    let keys = table.add(&config, now);
    table.note(&keys[1], found(&["127.0.0.2:2"]), Memory::default(), now);
    let reports = table.reports(&config);
    let seen: Vec<_> = reports["app"].iter().map(|r| (r.name.as_str(), r.kind, r.endpoints)).collect();
    assert_eq!(seen, [("b:1", "dns", 0), ("a.:2", "dns", 1)]);
    assert_eq!(reports["app"][1].age(now + Duration::from_secs(3)), Some(Duration::from_secs(3)));
    assert_eq!(reports["app"][0].age(now), None);
}
