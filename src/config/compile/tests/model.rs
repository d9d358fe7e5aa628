//! Sound files, and the model that they become.

use super::loaded;
use crate::config::load::Loaded;
use crate::config::model::*;
use std::time::Duration;

const KEEPALIVE: Option<TcpKeepalive> = Some(TcpKeepalive { idle: secs(60), interval: secs(10), count: 6 });

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_smallest_file_is_a_complete_configuration() {
    let text = "[[listener]]\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n\n\
                [[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\"]\n";
    let Loaded { config, warnings, .. } = loaded(text);
    assert_eq!(warnings, []);
    assert!(config.runtime.workers >= 1);
    assert_eq!((config.runtime.shutdown_timeout, config.runtime.census_interval), (secs(30), secs(2)));
    assert_eq!(config.admin.listen, AdminListen::Tcp("127.0.0.1:9900".parse().unwrap()));
    assert_eq!(config.admin.token_file, None);
    let log = Log { level: "info".into(), format: LogFormat::Text, access: AccessLog::Off };
    assert_eq!(config.log, log);
    let resolver = Resolver { nameservers: None, search: None, ndots: None, timeout: secs(2), attempts: 2 };
    assert_eq!(config.resolver, resolver);
    assert_eq!(config.listeners.iter().map(|l| (**l).clone()).collect::<Vec<_>>(), [default_listener()]);
    assert_eq!(config.upstreams.iter().map(|u| (**u).clone()).collect::<Vec<_>>(), [default_upstream()]);
}

fn default_listener() -> Listener {
    Listener {
        name: "127.0.0.1:8080".into(),
        bind: vec!["127.0.0.1:8080".parse().unwrap()],
        protocol: Protocol::Http,
        upstream: 0,
        socket: ListenerSocket {
            reuse_address: true,
            reuse_port: true,
            no_delay: true,
            linger: Linger::Graceful,
            backlog: Backlog::Auto,
            defer_accept: None,
            user_timeout: secs(30),
            tcp_keepalive: KEEPALIVE,
        },
        timeout: ListenerTimeout {
            header: secs(10),
            idle: secs(60),
            body: secs(30),
            half_close: secs(30),
            linger: secs(2),
        },
        limit: ListenerLimit {
            connections: 0,
            connections_per_client: 0,
            connection_rate: None,
            request_rate: None,
            exempt_clients: Vec::new(),
            header_bytes: 32 << 10,
            headers: 100,
            target_bytes: 8 << 10,
            body_bytes: 0,
        },
        client_fin: ClientFin::Finish,
    }
}

fn default_upstream() -> Upstream {
    Upstream {
        name: "app".into(),
        balance: Balance::LeastConn,
        endpoints: vec![Endpoint { address: "127.0.0.1:3000".parse().unwrap(), weight: 1 }],
        names: Vec::new(),
        discovery: crate::observe::fixture::discovery(),
        pool: Pool {
            max_idle: 256,
            min_idle: 0,
            max_connections: 0,
            idle_timeout: None,
            max_age: secs(3600),
            max_requests: 0,
            wait_timeout: secs(3),
            wait_queue: 1024,
        },
        source: Source {
            addresses: vec![],
            ports: None,
            warn_percent: 60,
            reuse_only_percent: 75,
            refuse_percent: 85,
            nat: None,
        },
        timeout: UpstreamTimeout {
            connect: secs(3),
            response_header: secs(60),
            body: secs(60),
            half_close: secs(30),
        },
        socket: UpstreamSocket {
            no_delay: true,
            user_timeout: secs(30),
            tcp_keepalive: KEEPALIVE,
            close: UpstreamClose::Auto,
        },
        passive: Passive { failures: 3, retry_after: secs(1), retry_after_max: secs(30) },
    }
}

/// A value other than the default for every key that can have one beside the others.
const EVERY_KEY: &str = r#"
runtime = { workers = 3, shutdown_timeout = "0s", census_interval = "500ms", buffer_memory = "3MiB", user = "www", group = 33 }
admin = { listen = "unix:/run/millpond.sock", token_file = "/run/token" }
log = { level = "warn,millpond=trace", format = "json", access = "/var/log/a" }
[[listener]]
name = "l"
bind = ["127.0.0.1:1", "[::1]:0"]
protocol = "tcp"
upstream = "b"
limit = { connections = 5, connections_per_client = 2 }
timeout = { half_close = "3s", linger = "4s" }
[listener.socket]
reuse_address = false
reuse_port = false
no_delay = false
linger = "5s"
backlog = 77
defer_accept = "6s"
user_timeout = "0s"
tcp_keepalive = { idle = "7s", interval = "8s" }
[[listener]]
bind = "127.0.0.1:2"
upstream = "a"
client_fin = "abort"
socket = { linger = "reset", tcp_keepalive = "off" }
timeout = { header = "9s", idle = "10s", body = "11s" }
limit = { header_bytes = "4KiB", headers = 12, body_bytes = 13 }
[[upstream]]
name = "a"
balance = "hash"
hash_key = "header:X-User"
endpoints = [{ address = "192.0.2.1:14", weight = 15 }]
source = { addresses = ["192.0.2.16"], ports = "1-65535", refuse_percent = 59 }
passive = { failures = 17, retry_after = "18m" }
socket = { no_delay = false, user_timeout = "19ms", tcp_keepalive = "off", close = "reset" }
timeout = { connect = "20s", response_header = "21s", body = "22s", half_close = "23s" }
[upstream.pool]
max_idle = 24
min_idle = 24
max_connections = 25
idle_timeout = "26s"
max_age = "0s"
max_requests = 27
wait_timeout = "28s"
wait_queue = 0
[[upstream]]
name = "b"
balance = "p2c"
endpoints = ["[::1]:29"]
pool.max_connections = 30
"#;

#[test]
fn every_key_of_the_process_reaches_the_model() {
    let Loaded { config, warnings, .. } = loaded(EVERY_KEY);
    assert_eq!(warnings, []);
    let census_interval = Duration::from_millis(500);
    let runtime = Runtime {
        workers: 3,
        shutdown_timeout: Duration::ZERO,
        census_interval,
        buffer_memory: Some(3 << 20),
        user: Some("www".into()),
        group: Some("33".into()),
        watch: false,
    };
    assert_eq!(config.runtime, runtime);
    assert_eq!(config.admin.listen, AdminListen::Unix("/run/millpond.sock".into()));
    assert_eq!(config.admin.token_file, Some("/run/token".into()));
    assert_eq!(
        config.log,
        Log {
            level: "warn,millpond=trace".into(),
            format: LogFormat::Json,
            access: AccessLog::File("/var/log/a".into())
        }
    );
}

#[test]
fn every_key_of_a_listener_reaches_the_model() {
    let config = loaded(EVERY_KEY).config;
    let [tcp, http] = config.listeners.as_slice() else { panic!("two listeners") };
    assert_eq!((tcp.name.as_str(), tcp.protocol, tcp.upstream), ("l", Protocol::Tcp, 1));
    assert_eq!(tcp.bind, ["127.0.0.1:1".parse().unwrap(), "[::1]:0".parse().unwrap()]);
    assert_eq!(
        tcp.socket,
        ListenerSocket {
            reuse_address: false,
            reuse_port: false,
            no_delay: false,
            linger: Linger::Timed(secs(5)),
            backlog: Backlog::Connections(77),
            defer_accept: Some(secs(6)),
            user_timeout: Duration::ZERO,
            tcp_keepalive: Some(TcpKeepalive { idle: secs(7), interval: secs(8), count: 6 }),
        }
    );
    let ListenerTimeout { idle, half_close, linger, .. } = tcp.timeout;
    assert_eq!((idle, half_close, linger), (secs(3600), secs(3), secs(4)), "tcp is idle for an hour");
    assert_eq!((tcp.limit.connections, tcp.limit.connections_per_client), (5, 2));
    assert_eq!((http.socket.linger, http.socket.tcp_keepalive), (Linger::Reset, None));
    assert_eq!((tcp.client_fin, http.client_fin), (ClientFin::Finish, ClientFin::Abort));
    let ListenerTimeout { header, idle, body, .. } = http.timeout;
    assert_eq!((header, idle, body), (secs(9), secs(10), secs(11)));
    let ListenerLimit { header_bytes, headers, target_bytes, body_bytes, .. } = http.limit;
    assert_eq!(
        (header_bytes, headers, target_bytes, body_bytes),
        (4096, 12, 4096, 13),
        "a target fits a head"
    );
}

#[test]
fn every_key_of_an_upstream_reaches_the_model() {
    let config = loaded(EVERY_KEY).config;
    let [a, b] = config.upstreams.as_slice() else { panic!("two upstreams") };
    assert_eq!(a.balance, Balance::Hash(HashKey::Header("x-user".into())));
    assert_eq!(a.endpoints, [Endpoint { address: "192.0.2.1:14".parse().unwrap(), weight: 15 }]);
    let source = Source {
        addresses: vec!["192.0.2.16".parse().unwrap()],
        ports: Some(1..=65535),
        warn_percent: 59,
        reuse_only_percent: 59,
        refuse_percent: 59,
        nat: None,
    };
    assert_eq!(a.source, source, "what comes before refuse_percent follows it");
    let minutes = secs(18 * 60);
    let passive = Passive { failures: 17, retry_after: minutes, retry_after_max: minutes };
    assert_eq!(a.passive, passive, "the longest is no shorter than the first");
    assert_eq!(
        a.socket,
        UpstreamSocket {
            no_delay: false,
            user_timeout: Duration::from_millis(19),
            tcp_keepalive: None,
            close: UpstreamClose::Reset,
        }
    );
    assert_eq!(
        a.timeout,
        UpstreamTimeout {
            connect: secs(20),
            response_header: secs(21),
            body: secs(22),
            half_close: secs(23)
        }
    );
    assert_eq!(
        a.pool,
        Pool {
            max_idle: 24,
            min_idle: 24,
            max_connections: 25,
            idle_timeout: Some(secs(26)),
            max_age: Duration::ZERO,
            max_requests: 27,
            wait_timeout: secs(28),
            wait_queue: 0,
        }
    );
    assert_eq!((&b.balance, b.pool.max_idle), (&Balance::P2c, 30), "no more idle than may be open");
}
