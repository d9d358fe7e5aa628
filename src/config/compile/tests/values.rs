//! Values that are wrong in themselves.

use super::{SOUND, one};
use crate::config::diagnostic::Severity;

/// Key, the last lines of the file, message, part of the fix. The value stands on line 10.
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("runtime.workers", "[runtime]\nworkers = 0", "0 is out of range", "from 1 to 1024, or \"auto\""),
    ("runtime.workers", "[runtime]\nworkers = 1025", "1025 is out of range", "from 1 to 1024"),
    ("runtime.workers", "[runtime]\nworkers = \"four\"", "\"four\" is not a whole number", "\"auto\""),
    ("runtime.shutdown_timeout", "[runtime]\nshutdown_timeout = 30", "30 has no unit", "write \"30s\""),
    (
        "runtime.census_interval",
        "[runtime]\ncensus_interval = \"50ms\"",
        "\"50ms\" is out of range",
        "from \"100ms\"",
    ),
    ("admin.listen", "[admin]\nlisten = \"0.0.0.0:9900\"", "0.0.0.0:9900 can be reached", "token_file = "),
    (
        "admin.listen",
        "[admin]\nlisten = \"192.0.2.1:1\"\ntoken_file = \"none\"",
        "192.0.2.1:1 can be reached from other hosts, and there is no admin.token_file",
        "loopback",
    ),
    ("admin.token_file", "[admin]\ntoken_file = \"secret\"", "\"secret\" is not the path", "or \"none\""),
    (
        "admin.token_file",
        "[admin]\ntoken_file = 1\nlisten = \"192.0.2.1:1\"",
        "1 is not the path of a file",
        "/etc/millpond/admin.token",
    ),
    ("log.level", "[log]\nlevel = \"inof\"", "\"inof\" is not a level", "write \"info\""),
    ("log.level", "[log]\nlevel = \"info,millpond\"", "\"info,millpond\" is not a level", "millpond=debug"),
    ("log.level", "[log]\nlevel = \"millpond=loud\"", "\"millpond=loud\" is not a filter", "millpond=debug"),
    ("log.format", "[log]\nformat = \"jsn\"", "\"jsn\" is not known here", "write \"json\""),
    ("log.format", "[log]\nformat = 1", "1 is not known here", "write \"text\" or \"json\""),
    ("log.access", "[log]\naccess = \"stdot\"", "\"stdot\" is not a place", "\"stdout\""),
    ("log.access", "[log]\naccess = 1979-05-27", "a date is not a text", "in quotes"),
    ("upstream.app.balance", "\nbalance = \"least-conn\"", "\"least-conn\" is not known", "\"least_conn\""),
    (
        "upstream.app.balance",
        "hash_key = \"client\"\nbalance = \"hahs\"",
        "\"hahs\" is not known here",
        "write \"hash\"",
    ),
    ("upstream.app.hash_key", "\nhash_key = \"client\"", "nothing is hashed", "write balance = \"hash\""),
    ("upstream.app.pool.max_idle", "[upstream.pool]\nmax_idle = -1", "-1 is out of range", "from 0"),
    (
        "upstream.app.pool.wait_queue",
        "[upstream.pool]\nwait_queue = 1.5",
        "1.5 is not a whole number",
        "from 0 to",
    ),
    (
        "upstream.app.pool.idle_timeout",
        "[upstream.pool]\nidle_timeout = \"0s\"",
        "\"0s\" is out of range",
        "or \"auto\"",
    ),
    (
        "upstream.app.pool.wait_timeout",
        "[upstream.pool]\nwait_timeout = \"0s\"",
        "\"0s\" is out of range",
        "from \"1ms\"",
    ),
    (
        "upstream.app.source.addresses",
        "[upstream.source]\naddresses = \"127.0.0.2\"",
        "\"127.0.0.2\" is not a list",
        "write a list",
    ),
    (
        "upstream.app.source.addresses[0]",
        "[upstream.source]\naddresses = [\"lo\"]",
        "\"lo\" is not an IP",
        "without a port",
    ),
    (
        "upstream.app.source.addresses[0]",
        "[upstream.source]\naddresses = [\"::1\"]",
        "::1 cannot reach 127.0.0.1:3000",
        "family",
    ),
    (
        "upstream.app.source.addresses[1]",
        "[upstream.source]\naddresses = [\"127.0.0.2\", \"127.0.0.2\"]",
        "127.0.0.2 is listed already",
        "remove",
    ),
    (
        "upstream.app.source.ports",
        "[upstream.source]\nports = 20000",
        "20000 is not a range of ports",
        "\"20000-40000\", or \"auto\"",
    ),
    (
        "upstream.app.source.warn_percent",
        "[upstream.source]\nwarn_percent = 0",
        "0 is out of range",
        "from 1 to 100",
    ),
    (
        "upstream.app.source.refuse_percent",
        "[upstream.source]\nrefuse_percent = 101",
        "101 is out of range",
        "from 1 to 100",
    ),
    (
        "upstream.app.source.warn_percent",
        "[upstream.source]\nwarn_percent = 76",
        "76 % is reached only after reuse_only_percent (75 %)",
        "write 75 or less, or more for reuse_only_percent",
    ),
    (
        "upstream.app.source.reuse_only_percent",
        "[upstream.source]\nreuse_only_percent = 86",
        "86 % is reached only after refuse_percent (85 %)",
        "write 85 or less, or more for refuse_percent",
    ),
    (
        "upstream.app.timeout.connect",
        "[upstream.timeout]\nconnect = \"0ms\"",
        "\"0ms\" is out of range",
        "from \"1ms\" to \"1year\"",
    ),
    (
        "upstream.app.timeout.body",
        "[upstream.timeout]\nbody = \"3 parsecs\"",
        "\"3 parsecs\" is not a duration",
        "\"30s\"",
    ),
    (
        "upstream.app.socket.user_timeout",
        "[upstream.socket]\nuser_timeout = \"30days\"",
        "\"30days\" is out of range",
        "to \"24days\"",
    ),
    (
        "upstream.app.socket.close",
        "[upstream.socket]\nclose = \"rest\"",
        "\"rest\" is not known here",
        "write \"reset\"",
    ),
    (
        "upstream.app.socket.no_delay",
        "[upstream.socket]\nno_delay = \"yes\"",
        "\"yes\" is not a flag",
        "true or false",
    ),
    (
        "upstream.app.socket.tcp_keepalive",
        "[upstream.socket]\ntcp_keepalive = true",
        "true is no such setting",
        "write \"off\" or {",
    ),
    (
        "upstream.app.socket.tcp_keepalive.count",
        "[upstream.socket]\ntcp_keepalive.count = 128",
        "128 is out of range",
        "from 1 to 127",
    ),
    (
        "upstream.app.socket.tcp_keepalive.idle",
        "[upstream.socket]\ntcp_keepalive = { idle = \"500ms\" }",
        "\"500ms\" is out of range",
        "from \"1s\"",
    ),
    (
        "upstream.app.passive.failures",
        "[upstream.passive]\nfailures = 4294967296",
        "4294967296 is out of range",
        "to 4294967295",
    ),
    (
        "upstream.app.passive.retry_after_max",
        "[upstream.passive]\nretry_after_max = \"10ms\"",
        "less than retry_after (\"1s\")",
        "\"1s\" or more",
    ),
];

#[test]
fn a_wrong_value_is_named_with_its_line() {
    for (key, lines, message, fix) in WRONG {
        one(Severity::Error, &format!("{SOUND}{lines}"), &format!(":10: {key}: {message}"), fix);
    }
}

/// The same for a listener without a name, which the value ends.
const WRONG_IN_LISTENER: &[(&str, &str, &str, &str)] = &[
    ("name", "\nname = \"a b\"", "\"a b\" cannot be a name", "letters"),
    ("protocol", "\nprotocol = \"https\"", "\"https\" is not known here", "write \"http\""),
    ("upstream", "\nupstream = \"ap\"", "there is no upstream \"ap\"", "write \"app\""),
    ("upstream", "\nupstream = \"other\"", "there is no upstream \"other\"", "write \"app\", or add"),
    ("upstream", "\nupstream = 1", "1 is not a text", "in quotes"),
    ("bind", "\nbind = \":80\"", "\":80\" is not an IP address and a port", "write \"0.0.0.0:80\""),
    ("bind", "\nbind = []", "it listens nowhere", "write bind"),
    ("bind[1]", "\nbind = [\"127.0.0.1:1\", \"[::1]\"]", "\"[::1]\" is not an IP address", "and a port"),
    ("client_fin", "\nclient_fin = \"finnish\"", "\"finnish\" is not known here", "write \"finish\""),
    ("client_fin", "\nclient_fin = false", "false is not known", "write \"finish\" or \"abort\""),
    ("socket.reuse_port", "[listener.socket]\nreuse_port = 1", "1 is not a flag", "true or false"),
    (
        "socket.linger",
        "[listener.socket]\nlinger = \"gracefull\"",
        "\"gracefull\" is not",
        "write \"graceful\"",
    ),
    (
        "socket.linger",
        "[listener.socket]\nlinger = \"0s\"",
        "\"0s\" is out of range",
        "\"graceful\" or \"reset\"",
    ),
    ("socket.linger", "[listener.socket]\nlinger = \"1500ms\"", "\"1500ms\" is not in whole", "write \"2s\""),
    ("socket.backlog", "[listener.socket]\nbacklog = 0", "0 is out of range", "or \"auto\""),
    ("socket.defer_accept", "[listener.socket]\ndefer_accept = true", "true is not a duration", "or \"off\""),
    ("timeout.header", "[listener.timeout]\nheader = \"0s\"", "\"0s\" is out of range", "from \"1ms\""),
    ("timeout.idle", "[listener.timeout]\nidle = \"60\"", "\"60\" is not a duration", "write \"60s\""),
    ("timeout.linger", "[listener.timeout]\nlinger = \"2y 1d\"", "\"2y 1d\" is out of range", "to \"1year\""),
    (
        "limit.header_bytes",
        "[listener.limit]\nheader_bytes = 1023",
        "1023 is out of range",
        "\"1KiB\" to \"1MiB\"",
    ),
    (
        "limit.header_bytes",
        "[listener.limit]\nheader_bytes = \"2MiB\"",
        "\"2MiB\" is out of range",
        "\"1MiB\"",
    ),
    ("limit.headers", "[listener.limit]\nheaders = 1001", "1001 is out of range", "from 1 to 1000"),
    (
        "limit.target_bytes",
        "[listener.limit]\ntarget_bytes = \"64KiB\"",
        "a target of this length",
        "header_bytes",
    ),
    ("limit.body_bytes", "[listener.limit]\nbody_bytes = \"big\"", "\"big\" is not a size", "\"32KiB\""),
    ("limit.connections", "[listener.limit]\nconnections = -1", "-1 is out of range", "from 0"),
    (
        "limit.request_rate_per_client",
        "[listener.limit]\nrequest_rate_per_client = 100",
        "100 is not a rate",
        "such as \"100/s\", or \"off\"",
    ),
    (
        "limit.request_rate_per_client",
        "[listener.limit]\nrequest_rate_per_client = \"100/d\"",
        "\"100/d\" is not a rate",
        "s, m or h",
    ),
    (
        "limit.connection_rate_per_client",
        "[listener.limit]\nconnection_rate_per_client = \"0/s\"",
        "\"0/s\" is out of range",
        "write \"1/s\" to \"1000000/s\", or \"off\"",
    ),
    (
        "limit.connection_burst",
        "[listener.limit]\nconnection_rate_per_client = \"10/s\"\nconnection_burst = 0",
        "0 is out of range",
        "from 1 to 1000000, or \"auto\"",
    ),
    (
        "limit.exempt_clients",
        "[listener.limit]\nexempt_clients = \"192.0.2.1\"",
        "\"192.0.2.1\" is not a list",
        "[\"192.0.2.0/24\"]",
    ),
];

#[test]
fn a_wrong_value_of_a_listener_is_named_with_its_line() {
    for (key, lines, message, fix) in WRONG_IN_LISTENER {
        let listener = "[[listener]]\nbind = \"127.0.0.1:8081\"\nupstream = \"app\"\n\n";
        let written = lines.split(" = ").next().unwrap_or_default().trim_start().to_owned() + " = ";
        let other: String =
            listener.lines().filter(|l| !l.starts_with(&written)).map(|l| format!("{l}\n")).collect();
        let text = format!("{SOUND}{other}{lines}");
        let line = text.lines().count();
        one(Severity::Error, &text, &format!(":{line}: listener[1].{key}: {message}"), fix);
    }
}

#[test]
fn an_endpoint_is_named_with_its_own_line() {
    for (key, element, message, fix) in [
        ("", "\"db.internal:5432\"", "\"db.internal:5432\" is not an IP", "write { dns = \"db."),
        ("", "\"127.0.0.1:0\"", "\"127.0.0.1:0\" has port 0", "write the port"),
        ("", "\"127.0.0.1\"", "\"127.0.0.1\" has no port", "\"127.0.0.1:8080\""),
        ("", "3000", "3000 is not an IP", "write \"127.0.0.1:3000\""),
        ("", "\"127.0.0.1:3000\"", "127.0.0.1:3000 is listed at x.toml:9 already", "remove it"),
        (".address", "{ weight = 2 }", "an endpoint needs an address", "write address"),
        (".weight", "{ address = \"127.0.0.1:1\", weight = 0 }", "0 is out of range", "from 1 to 1000"),
        (".weight", "{ address = \"127.0.0.1:1\", weight = 1001 }", "1001 is out of range", "from 1 to 1000"),
        (".wieght", "{ address = \"127.0.0.1:1\", wieght = 1 }", "unknown key wieght", "write weight"),
    ] {
        let list = format!("endpoints = [\n  \"127.0.0.1:3000\",\n  {element},\n]");
        let text = SOUND.replace("endpoints = [\"127.0.0.1:3000\"]", &list);
        one(Severity::Error, &text, &format!(":10: upstream.app.endpoints[1]{key}: {message}"), fix);
    }
    let text = SOUND.replace("[\"127.0.0.1:3000\"]", "[]");
    one(Severity::Error, &text, ":8: upstream.app.endpoints: it has no endpoints", "127.0.0.1:3000");
    let text = SOUND.replace("[\"127.0.0.1:3000\"]", "\"127.0.0.1:3000\"");
    one(Severity::Error, &text, ":8: upstream.app.endpoints: \"127.0.0.1:3000\" is not a list", "[\"127");
    let text = SOUND.replace("endpoints = [\"127.0.0.1:3000\"]", "");
    one(Severity::Error, &text, ":6: upstream.app.endpoints: it has no endpoints", "127.0.0.1:3000");
}
