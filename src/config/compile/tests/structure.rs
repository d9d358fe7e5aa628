//! Keys that do not exist or are missing, and values that are wrong together.

use super::{SOUND, errors, loaded, one};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::schema::KEYS;

#[test]
fn an_unknown_key_is_named_with_what_was_meant() {
    for (start, lines, fix) in [
        (":10: runtime.worker: unknown key worker", "[runtime]\nworker = 1", "write workers"),
        (":9: loging: unknown key loging", "[loging]\n", "write log"),
        (
            ":9: upstream.app.idle_timeout: unknown key",
            "idle_timeout = \"4s\"",
            "write it under [upstream.pool]",
        ),
        (
            ":9: upstream.app.keepalive: unknown key",
            "keepalive = 3",
            "remove it, or write one of name, balance",
        ),
        (":10: upstream.app.timeout.conect: unknown", "[upstream.timeout]\nconect = \"1s\"", "write connect"),
        (":10: upstream.app.source.port: unknown", "[upstream.source]\nport = \"auto\"", "write ports"),
        (
            ":10: upstream.app.source.nat.idle_time: unknown",
            "[upstream.source]\nnat = { ports = 1, idle_timeout = \"9s\", time_wait = \"9s\", idle_time = 1 }",
            "write idle_timeout",
        ),
        (":10: admin.token: unknown key", "[admin]\ntoken = \"/t\"", "write token_file"),
        (
            ":9: \"a b\\n\": unknown key \"a b\\n\"",
            "[\"a b\\n\"]\n",
            "runtime, admin, log, resolver, listener, upstream",
        ),
        (":9: \"upstream[9999999999]\": unknown key", "[\"upstream[9999999999]\"]\n", "write upstream"),
        (":9: upstream.app.weight: unknown key weight", "weight = 3", "write it in endpoints"),
        (
            ":10: upstream.app.socket.interval: unknown",
            "[upstream.socket]\ninterval = 3",
            "in socket.tcp_keepalive",
        ),
        (
            ":9: upstream.app.\"pool.max_idle\": unknown key \"pool.max_idle\"",
            "\"pool.max_idle\" = 3",
            "write pool.max_idle without the quotes",
        ),
        (":10: log.level: a table is not a value", "[log]\nlevel.x = 1", "write level ="),
    ] {
        let text = format!("{SOUND}{lines}");
        one(Severity::Error, &text, start, fix);
    }
    let text = format!("workers = 1\n{SOUND}");
    one(Severity::Error, &text, ":1: workers: unknown key workers", "write it under [runtime]");
}

#[test]
fn a_plain_value_in_place_of_a_table_is_named() {
    for (start, lines) in [
        (":9: upstream.app.pool: 5 is not a table", "pool = 5"),
        (":9: upstream.app.timeout: \"1s\" is not a table", "timeout = \"1s\""),
        (":9: upstream.app.pool: a list is not a table", "[[upstream.pool]]\nmax_idle = 1"),
        (":9: log: a list is not a table", "[[log]]\nlevel = \"info\""),
    ] {
        one(Severity::Error, &format!("{SOUND}{lines}"), start, "and its keys below");
    }
    one(Severity::Error, &format!("log = true\n{SOUND}"), ":1: log: true is not a table", "write [log]");
    let text = SOUND.replace("[[listener]]", "[listener]");
    one(Severity::Error, &text, ":1: listener: one [listener], where a list", "write [[listener]]");
    let text = SOUND.replace("[[upstream]]", "[upstream]");
    one(Severity::Error, &text, ":6: upstream: one [upstream], where a list", "write [[upstream]]");
    let text = "listener = [1, [{}]]\nupstream = []\n";
    let shown: Vec<String> = errors(text).iter().map(|p| format!("{}:{}", p.position, p.key)).collect();
    assert_eq!(shown, ["x.toml:listener", "x.toml:upstream", "x.toml:1:listener[0]", "x.toml:1:listener[1]"]);
}

#[test]
fn what_is_missing_is_named() {
    let listener_only = SOUND.split("[[upstream]]").next().unwrap_or_default();
    let upstream_only = &SOUND[listener_only.len()..];
    one(Severity::Error, listener_only, ": upstream: there is no upstream", "write an [[upstream]]");
    one(Severity::Error, upstream_only, ": listener: there is no listener", "write a [[listener]]");
    let text = SOUND.replace("upstream = \"app\"\n", "\n");
    one(Severity::Error, &text, ":1: listener.web.upstream: it has no upstream", "write upstream = \"app\"");
    let text = text + "[[upstream]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]";
    one(Severity::Error, &text, ":1: listener.web.upstream: it has no", "write upstream = \"app\" or \"b\"");
    let text = SOUND.replace("bind = \"127.0.0.1:8080\"\n", "\n");
    one(Severity::Error, &text, ":1: listener.web.bind: it listens nowhere", "write bind");
    let text = SOUND.replace("name = \"app\"\n", "name = \"my app\"\n").replace("= \"app\"", "= \"my app\"");
    one(Severity::Error, &text, ":7: upstream[0].name: \"my app\" cannot be a name", "letters");
    let text = format!("{SOUND}[[upstream]]\nendpoints = [\"127.0.0.1:1\"]\n");
    let shown: Vec<String> = errors(&text).iter().map(Diagnostic::to_string).collect();
    assert!(shown[1].starts_with("error: x.toml:9: upstream[1].name: an upstream needs a name"), "{shown:?}");
}

#[test]
fn names_and_addresses_are_used_once() {
    let listener = |name: &str, bind: &str| {
        format!("{SOUND}[[listener]]\nname = \"{name}\"\nbind = {bind}\nupstream = \"app\"\n")
    };
    let text = listener("web", "\"127.0.0.1:8081\"");
    one(Severity::Error, &text, ":10: listener.web.name: the name \"web\" is taken at x.toml:2", "another");
    let text = listener("two", "\"127.0.0.1:8080\"");
    one(
        Severity::Error,
        &text,
        ":11: listener.two.bind: 127.0.0.1:8080 is listened on at x.toml:3",
        "another",
    );
    let text = listener("two", "[\"[::1]:1\", \"[::1]:1\"]");
    one(Severity::Error, &text, ":11: listener.two.bind: [::1]:1 is listened on at x.toml:11", "another");
    for bind in ["127.0.0.1:9900", "0.0.0.0:9900"] {
        let text = listener("two", &format!("\"{bind}\""));
        one(
            Severity::Error,
            &text,
            &format!(":11: listener.two.bind: {bind} takes the admin"),
            "another port",
        );
    }
    loaded(&listener("two", "\"[::]:9900\""));
    let everywhere = "[admin]\nlisten = \"0.0.0.0:9900\"\ntoken_file = \"/t\"\n";
    let text = listener("two", "\"192.0.2.1:9900\"") + everywhere;
    one(Severity::Error, &text, ":11: listener.two.bind: 192.0.2.1:9900 takes the admin", "another port");
    loaded(&(listener("two", "\"192.0.2.1:9901\"") + everywhere));
    loaded(&listener("two", "[\"127.0.0.1:0\", \"127.0.0.1:0\"]"));
    let text = format!("{SOUND}[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:1\"]\n");
    let problems = errors(&text);
    assert_eq!(
        problems[1].to_string(),
        "error: x.toml:10: upstream.app.name: the name \"app\" is taken at x.toml:7; write another name"
    );
}

#[test]
fn a_listener_does_not_forward_to_itself() {
    for bind in ["127.0.0.1:3000", "0.0.0.0:3000"] {
        let text = SOUND.replace("127.0.0.1:8080", bind);
        let start = ":8: upstream.app.endpoints: 127.0.0.1:3000 is listener.web itself";
        one(Severity::Error, &text, start, "a backend");
    }
    loaded(&SOUND.replace("127.0.0.1:8080", "127.0.0.2:3000"));
}

#[test]
fn numbers_that_contradict_each_other() {
    for (start, pool, fix) in [
        (":10: upstream.app.pool.min_idle: more warm", "min_idle = 257", "256 or less"),
        (":11: upstream.app.pool.min_idle: more warm", "max_idle = 3\nmin_idle = 4", "3 or less"),
        (":10: upstream.app.pool.max_idle: more idle", "max_idle = 11\nmax_connections = 10", "10 or less"),
    ] {
        one(Severity::Error, &format!("{SOUND}[upstream.pool]\n{pool}\n"), start, fix);
    }
    loaded(&format!("{SOUND}[upstream.pool]\nmin_idle = 9\nmax_idle = 9\nmax_connections = 9\n"));
    let targets = |bytes: usize| SOUND.replace("\n\n", &format!("\nlimit.target_bytes = {bytes}\n\n"));
    one(Severity::Error, &targets(32_769), ":5: listener.web.limit.target_bytes: a target of this", "less");
    loaded(&targets(32_768));
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let tcp = SOUND.replace("name = \"web\"", "name = \"web\"\nprotocol = \"tcp\"");
    assert_eq!(loaded(&tcp).warnings, []);
    let keys = [
        "timeout.header",
        "timeout.body",
        "limit.header_bytes",
        "limit.headers",
        "limit.target_bytes",
        "limit.body_bytes",
        "client_fin",
    ];
    for key in keys {
        let value = match key {
            "client_fin" => "\"finish\"",
            _ if key.starts_with("timeout") => "\"5s\"",
            "limit.headers" => "5",
            _ => "2048",
        };
        let text = tcp.replace("protocol = \"tcp\"", &format!("protocol = \"tcp\"\n{key} = {value}"));
        one(
            Severity::Warning,
            &text,
            &format!(":4: listener.web.{key}: it has no effect on a tcp"),
            "remove",
        );
    }
    for (key, value) in
        [("timeout.response_header", "\"1s\""), ("timeout.body", "\"1s\""), ("pool.max_requests", "9")]
    {
        let text = format!("{tcp}{key} = {value}\n");
        one(
            Severity::Warning,
            &text,
            &format!(":10: upstream.app.{key}: it has no effect as only"),
            "remove",
        );
        assert_eq!(loaded(&format!("{SOUND}{key} = {value}\n")).warnings, []);
    }
    let text = format!("{tcp}balance = \"hash\"\nhash_key = \"header:x\"\n");
    one(Severity::Warning, &text, ":11: upstream.app.hash_key: only tcp listeners", "write \"client\"");
    let text = format!("{SOUND}[[upstream]]\nname = \"spare\"\nendpoints = [\"127.0.0.1:1\"]\n");
    one(Severity::Warning, &text, ":9: upstream.spare: no listener forwards to it", "remove it, or name it");
}

#[test]
fn all_problems_come_at_once_and_in_order() {
    let text = SOUND
        .replace("8080", "x")
        .replace("name = \"web\"", "timeouts.idle = 1\ntimeout.idle = 1\nlimit.headers = false")
        .replace("= [\"127.0.0.1:3000\"]", "= [\"a\", \"b\"]")
        + "balance = 7\n[runtime]\nworkers = {}\n";
    let shown: Vec<String> = errors(&text).iter().map(|p| format!("{}: {}", p.position, p.key)).collect();
    assert_eq!(
        shown,
        [
            "x.toml:2: listener[0].timeouts",
            "x.toml:3: listener[0].timeout.idle",
            "x.toml:4: listener[0].limit.headers",
            "x.toml:5: listener[0].bind",
            "x.toml:10: upstream.app.endpoints[0]",
            "x.toml:10: upstream.app.endpoints[1]",
            "x.toml:11: upstream.app.balance",
            "x.toml:13: runtime.workers",
        ]
    );
}

/// No key takes a date, so that a key which accepts one is a key that nothing reads.
#[test]
fn every_key_of_the_schema_is_read() {
    for key in KEYS {
        let text = match key.split_once('.').unwrap_or_default() {
            ("upstream", "endpoints.address") => {
                SOUND.replace("\"127.0.0.1:3000\"", "{ address = 1979-05-27 }")
            }
            ("upstream", "endpoints.weight") => {
                SOUND.replace("\"127.0.0.1:3000\"", "{ address = \"127.0.0.1:1\", weight = 1979-05-27 }")
            }
            ("upstream", kind @ ("endpoints.dns" | "endpoints.srv")) => {
                let kind = &kind["endpoints.".len()..];
                SOUND.replace("\"127.0.0.1:3000\"", &format!("{{ {kind} = 1979-05-27 }}"))
            }
            (list @ ("listener" | "upstream"), rest) => {
                let (listener, upstream) = SOUND.split_at(SOUND.find("[[upstream]]").unwrap_or_default());
                let table = if list == "listener" { listener } else { upstream };
                let kept: Vec<&str> = table.lines().filter(|l| !l.starts_with(&format!("{rest} "))).collect();
                SOUND.replace(table, &format!("{}\n{rest} = 1979-05-27\n", kept.join("\n")))
            }
            _ => format!("{key} = 1979-05-27\n{SOUND}"),
        };
        let (root, rest) = key.split_once('.').unwrap_or_default();
        let named = |p: &Diagnostic| {
            p.message.contains("a date")
                && p.key.starts_with(root)
                && p.key.replace("[0]", "").ends_with(&format!(".{rest}"))
        };
        let found = errors(&text);
        assert!(found.iter().any(named), "{key}: {found:#?}\nin\n{text}");
    }
}
