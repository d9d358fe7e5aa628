use super::*;
use crate::config::load::parse_str;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn config(text: &str) -> Config {
    parse_str("test.toml", text).unwrap().config
}

const FILE: &str = r#"
[[listener]]
name = "web"
bind = ["127.0.0.1:8080", "127.0.0.1:8081"]
upstream = "app"

[[listener]]
name = "db"
bind = "127.0.0.1:5432"
protocol = "tcp"
upstream = "db"

[[upstream]]
name = "app"
endpoints = ["127.0.0.1:3000", { address = "127.0.0.1:3001", weight = 2 }]

[[upstream]]
name = "db"
endpoints = ["127.0.0.1:3002"]
"#;

/// The difference that these replacements make.
fn changed(replacements: &[(&str, &str)]) -> Difference {
    let mut text = FILE.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    diff(&config(FILE), &config(&text))
}

/// Each thing in one line.
fn lines(things: &[Thing]) -> Vec<String> {
    let line = |thing: &Thing| {
        let parts = [&[thing.name.clone()][..], thing.address.as_slice(), &thing.keys].concat();
        parts.join(" ")
    };
    things.iter().map(line).collect()
}

#[test]
fn nothing_is_different_from_itself() {
    let same = changed(&[]);
    assert!(same.is_empty(), "{same:?}");
    assert_eq!(
        lines(&same.listeners.kept),
        ["web 127.0.0.1:8080", "web 127.0.0.1:8081", "db 127.0.0.1:5432"]
    );
    assert_eq!(lines(&same.upstreams.kept), ["app", "db"]);
    assert_eq!(same.endpoints.kept.len(), 3);
}

#[test]
fn an_address_of_a_listener_comes_and_another_goes() {
    let changes = changed(&[("127.0.0.1:8081", "127.0.0.1:8082")]).listeners;
    assert_eq!(lines(&changes.added), ["web 127.0.0.1:8082"]);
    assert_eq!(lines(&changes.removed), ["web 127.0.0.1:8081"]);
    assert_eq!((changes.changed.len(), changes.kept.len()), (0, 2));
}

#[test]
fn a_name_is_a_setting_and_a_protocol_is_not() {
    let renamed = changed(&[("\"web\"", "\"www\"")]).listeners;
    assert_eq!(lines(&renamed.changed), ["www 127.0.0.1:8080 name", "www 127.0.0.1:8081 name"]);
    let spoken = changed(&[("protocol = \"tcp\"\n", "")]).listeners;
    assert_eq!(lines(&spoken.added), lines(&spoken.removed));
    assert_eq!(lines(&spoken.added), ["db 127.0.0.1:5432"]);
}

#[test]
fn the_keys_of_a_change_are_named() {
    let of_listener =
        changed(&[("upstream = \"db\"", "upstream = \"app\"\ntimeout.idle = \"9s\"\nsocket.backlog = 7")]);
    assert_eq!(
        lines(&of_listener.listeners.changed),
        ["db 127.0.0.1:5432 socket.backlog timeout.idle upstream"]
    );
    let of_upstream = changed(&[
        ("weight = 2", "weight = 3"),
        ("name = \"db\"\nendpoints", "name = \"db\"\npool.max_idle = 3\nendpoints"),
    ]);
    assert_eq!(lines(&of_upstream.upstreams.changed), ["db pool.max_idle"]);
    assert_eq!(lines(&of_upstream.endpoints.changed), ["app 127.0.0.1:3001 weight"]);
    let hash = changed(&[("name = \"app\"\n", "name = \"app\"\nbalance = \"hash\"\n")]);
    assert_eq!(lines(&hash.upstreams.changed), ["app balance hash_key"]);
}

#[test]
fn an_endpoint_that_moves_to_another_upstream_is_another() {
    let moved = changed(&[
        ("[\"127.0.0.1:3000\", ", "["),
        ("[\"127.0.0.1:3002\"]", "[\"127.0.0.1:3002\", \"127.0.0.1:3000\"]"),
    ]);
    assert_eq!(lines(&moved.endpoints.added), ["db 127.0.0.1:3000"]);
    assert_eq!(lines(&moved.endpoints.removed), ["app 127.0.0.1:3000"]);
    assert_eq!(moved.upstreams.kept.len(), 2);
}

#[test]
fn what_takes_a_restart_is_said() {
    let process = "[runtime]\nworkers = 7\n[admin]\nlisten = \"127.0.0.1:9\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n";
    let difference = diff(&config(FILE), &config(&format!("{process}{FILE}")));
    assert_eq!(difference.needs_restart, ["admin.listen", "log.format"]);
    let found: BTreeSet<&str> = difference.process.iter().map(String::as_str).collect();
    let live = ["log.level", "runtime.workers"];
    let expected: BTreeSet<&str> = difference.needs_restart.iter().map(String::as_str).chain(live).collect();
    assert_eq!(found, expected);
}

#[test]
fn listeners_with_port_0_are_matched_in_turn() {
    let three = |names: &[&str]| {
        let listener = |name: &&str| {
            format!("[[listener]]\nname = \"{name}\"\nbind = \"127.0.0.1:0\"\nupstream = \"app\"\n")
        };
        let listeners: String = names.iter().map(listener).collect();
        config(&format!("{listeners}[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:1\"]\n"))
    };
    let changes = diff(&three(&["a", "b", "c"]), &three(&["a", "b"])).listeners;
    assert_eq!((lines(&changes.kept).len(), lines(&changes.removed)), (2, vec!["c 127.0.0.1:0".to_owned()]));
}

/// A configuration of these endpoint ports with their weights, the ports of listeners, and a timeout.
fn made(endpoints: &BTreeSet<(u16, u16)>, listeners: &BTreeSet<u16>, seconds: u16) -> Config {
    let mut ports = BTreeSet::new();
    let endpoints = endpoints.iter().filter(|(port, _)| ports.insert(*port));
    let endpoint = |(port, weight)| format!("{{ address = \"127.0.0.1:{port}\", weight = {weight} }}");
    let endpoints: Vec<String> = endpoints.copied().map(endpoint).collect();
    let binds: Vec<String> = listeners.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    config(&format!(
        "[[listener]]\nname = \"web\"\nbind = [{}]\nupstream = \"app\"\ntimeout.idle = \"{seconds}s\"\n\
         [[upstream]]\nname = \"app\"\nendpoints = [{}]\n",
        binds.join(", "),
        endpoints.join(", ")
    ))
}

proptest! {
    #[test]
    fn everything_is_told_once_and_the_way_back_is_the_reverse(
        endpoints in proptest::array::uniform2(proptest::collection::btree_set((1..9_u16, 1..3_u16), 1..6)),
        listeners in proptest::array::uniform2(proptest::collection::btree_set(1001..1007_u16, 1..5)),
        seconds in proptest::array::uniform2(1..3_u16),
    ) {
        let [old, new] = [0, 1].map(|i| made(&endpoints[i], &listeners[i], seconds[i]));
        let (there, back) = (diff(&old, &new), diff(&new, &old));
        for (there, back) in [(&there.listeners, &back.listeners), (&there.endpoints, &back.endpoints)] {
            prop_assert_eq!(lines(&there.added), lines(&back.removed));
            prop_assert_eq!(lines(&there.removed), lines(&back.added));
            prop_assert_eq!(there.changed.len(), back.changed.len());
            prop_assert_eq!(there.kept.len(), back.kept.len());
        }
        let count = |config: &Config| (config.listeners[0].bind.len(), config.upstreams[0].endpoints.len());
        let stayed = |changes: &Changes| changes.kept.len() + changes.changed.len();
        prop_assert_eq!(count(&new), (
            there.listeners.added.len() + stayed(&there.listeners),
            there.endpoints.added.len() + stayed(&there.endpoints),
        ));
        prop_assert_eq!(count(&old).0, there.listeners.removed.len() + stayed(&there.listeners));
        prop_assert_eq!(there.is_empty(), old == new);
    }
}
