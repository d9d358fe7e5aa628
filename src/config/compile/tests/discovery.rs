//! Endpoints that are names, and who is asked for them.

use super::{SOUND, loaded, one};
use crate::config::diagnostic::Severity;
use crate::config::model::{Discovery, DnsKind, DnsName, Family, Resolver, Upstream};
use std::time::Duration;

fn with(endpoints: &str) -> String {
    SOUND.replace("[\"127.0.0.1:3000\"]", endpoints)
}

fn upstream(endpoints: &str, lines: &str) -> Upstream {
    let loaded = loaded(&format!("{}{lines}", with(endpoints)));
    assert_eq!(loaded.warnings, [], "{endpoints}");
    (*loaded.config.upstreams[0]).clone()
}

const NAMED: &str = "[{ dns = \"app.svc:3000\" }]";

#[test]
fn names_stand_beside_addresses() {
    let app = upstream(
        "[{ dns = \"App.svc.:3000\", weight = 5 }, \"127.0.0.1:3000\", { srv = \"_http._tcp.app\" }]",
        "",
    );
    assert_eq!(app.endpoints.len(), 1);
    let addresses = DnsKind::Addresses { port: 3000, weight: 5 };
    assert_eq!(
        app.names,
        [
            DnsName { name: "app.svc.".into(), kind: addresses },
            DnsName { name: "_http._tcp.app".into(), kind: DnsKind::Services },
        ]
    );
    assert_eq!(upstream(NAMED, "").endpoints, [], "names alone are enough");
}

#[test]
fn a_wrong_name_is_named_with_its_line() {
    for (key, element, message, fix) in [
        (".dns", "{ dns = \"app.svc\" }", "\"app.svc\" has no port", "\"app.svc:3000\""),
        (".dns", "{ dns = \"192.0.2.1:80\" }", "\"192.0.2.1:80\" is an IP address", "address ="),
        (".srv", "{ srv = \"_http._tcp.app:80\" }", "\"_http._tcp.app:80\" has a port", "srv ="),
        (".weight", "{ srv = \"_http._tcp.app\", weight = 2 }", "SRV records say the weight", "remove it"),
        (".weight", "{ dns = \"app:1\", weight = 0 }", "0 is out of range", "from 1 to 1000"),
        (".srv", "{ dns = \"app:1\", srv = \"app\" }", "it has dns already", "only one of"),
        (".dns", "{ address = \"127.0.0.1:1\", dns = \"app:1\" }", "it has address already", "only one of"),
        (".address", "{ weight = 2 }", "an endpoint needs an address", "dns ="),
        (
            ".host",
            "{ host = \"app\", dns = \"app:1\" }",
            "unknown key host",
            "one of address, dns, srv, weight",
        ),
        ("", "{ dns = \"APP.svc:3000\" }", "app.svc:3000 is listed at x.toml:9 already", "{ dns, weight }"),
    ] {
        let list = format!("[\n  {{ dns = \"app.svc:3000\" }},\n  {element},\n]");
        one(Severity::Error, &with(&list), &format!(":10: upstream.app.endpoints[1]{key}: {message}"), fix);
    }
    let twice = with("[{ srv = \"a.b\" },\n{ srv = \"A.b\" }]");
    one(Severity::Error, &twice, ":9: upstream.app.endpoints[1]: srv a.b is listed at x.toml:8", "remove it");
}

#[test]
fn discovery_has_a_floor_and_a_ceiling() {
    let seconds = Duration::from_secs;
    let of = |lines: &str| upstream(NAMED, &format!("[upstream.discovery]\n{lines}")).discovery;
    let lines = "family = \"both\"\nttl_min = \"90s\"\ngrace = \"0s\"\nmax_endpoints = 3";
    let (ttl_min, ttl_max) = (seconds(90), seconds(90));
    let both = Discovery { family: Family::Both, ttl_min, ttl_max, grace: Duration::ZERO, max_endpoints: 3 };
    assert_eq!(of(lines), both, "the ceiling is not below the floor");
    for (start, lines, fix) in [
        (
            ":10: upstream.app.discovery.ttl_max: less than ttl_min (\"1s\")",
            "ttl_max = \"1ms\"",
            "\"1s\" or more",
        ),
        (":10: upstream.app.discovery.ttl_min: \"0s\" is out", "ttl_min = \"0s\"", "from \"1ms\""),
        (":10: upstream.app.discovery.family: \"v4\" is not known", "family = \"v4\"", "\"ipv4\""),
        (":10: upstream.app.discovery.max_endpoints: 0 is out", "max_endpoints = 0", "from 1"),
    ] {
        let text = format!("{}[upstream.discovery]\n{lines}", with(NAMED));
        one(Severity::Error, &text, start, fix);
    }
    let text = format!("{SOUND}discovery.grace = \"1s\"");
    one(Severity::Warning, &text, ":9: upstream.app.discovery: it has no effect", "{ dns = ");
}

#[test]
fn what_cannot_be_dialled_is_not_looked_for() {
    let of = |sources: &str| upstream(NAMED, &format!("source.addresses = [{sources}]")).discovery.family;
    assert_eq!(of("\"192.0.2.1\""), Family::Ipv4);
    assert_eq!(of("\"2001:db8::1\", \"2001:db8::2\""), Family::Ipv6);
    assert_eq!((of("\"2001:db8::1\", \"192.0.2.1\""), of("")), (Family::Auto, Family::Auto));
    for family in ["ipv6", "both"] {
        let lines = format!("source.addresses = [\"192.0.2.1\"]\ndiscovery.family = \"{family}\"");
        let start = ":10: upstream.app.discovery.family: source.addresses cannot reach";
        one(Severity::Error, &format!("{}{lines}", with(NAMED)), start, "write \"ipv4\"");
    }
}

#[test]
fn who_is_asked_is_as_in_resolv_conf_or_as_written() {
    let lines = "[resolver]\nnameservers = [\"192.0.2.53\", \"[2001:db8::1]:5353\"]\nsearch = [\"Svc.\"]\n\
                 ndots = 5\ntimeout = \"250ms\"\nattempts = 1";
    let resolver = loaded(&format!("{SOUND}{lines}")).config.resolver;
    let expected = Resolver {
        nameservers: Some(vec!["192.0.2.53:53".parse().unwrap(), "[2001:db8::1]:5353".parse().unwrap()]),
        search: Some(vec!["svc".into()]),
        ndots: Some(5),
        timeout: Duration::from_millis(250),
        attempts: 1,
    };
    assert_eq!(resolver, expected);
    for (start, line, fix) in [
        (".nameservers[0]: \"ns.internal\" is no address", "nameservers = [\"ns.internal\"]", "192.0.2.53"),
        (".nameservers[0]: \"0.0.0.0\" is no address", "nameservers = [\"0.0.0.0\"]", "192.0.2.53"),
        (".nameservers: a list of 0", "nameservers = []", "\"auto\""),
        (".nameservers: \"192.0.2.1\" is not a list", "nameservers = \"192.0.2.1\"", "[\"192.0.2.53\"]"),
        (".search[0]: \"a b\" is not a domain", "search = [\"a b\"]", "labels"),
        (".ndots: 16 is out of range", "ndots = 16", "from 0 to 15"),
        (".timeout: \"1ms\" is out of range", "timeout = \"1ms\"", "from \"100ms\" to \"30s\""),
        (".attempts: 0 is out of range", "attempts = 0", "from 1 to 5"),
    ] {
        one(Severity::Error, &format!("{SOUND}[resolver]\n{line}"), &format!(":10: resolver{start}"), fix);
    }
}
