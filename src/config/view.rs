//! A configuration as JSON, with the keys and the spelling of the file, so that it can be compared with
//! it, or with another. Every default is filled in.

use super::model::{
    AccessLog, AdminListen, Backlog, Balance, ClientFin, Config, Discovery, DnsKind, DnsName, Endpoint,
    Family, HashKey, Linger, Listener, ListenerLimit, LogFormat, Protocol, Rate, Resolver, TcpKeepalive,
    Upstream, UpstreamClose,
};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The whole configuration.
pub fn json(config: &Config) -> Value {
    json!({
        "runtime": {
            "workers": config.runtime.workers,
            "shutdown_timeout": duration(config.runtime.shutdown_timeout),
            "census_interval": duration(config.runtime.census_interval),
            "buffer_memory": config.runtime.buffer_memory.map_or_else(|| json!("auto"), |bytes| json!(size(bytes))),
            "user": config.runtime.user.as_deref().unwrap_or("none"),
            "group": config.runtime.group.as_deref().unwrap_or("auto"),
            "watch": config.runtime.watch,
        },
        "admin": {
            "listen": match &config.admin.listen {
                AdminListen::Tcp(address) => address.to_string(),
                AdminListen::Unix(path) => format!("unix:{}", path.display()),
            },
            // The path, which is no secret; the token is in the file alone.
            "token_file": config.admin.token_file.as_ref().map_or("none".into(), |path| path.display().to_string()),
        },
        "log": {
            "level": config.log.level,
            "format": match config.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
            "access": match &config.log.access {
                AccessLog::Off => "off".to_owned(),
                AccessLog::Stdout => "stdout".to_owned(),
                AccessLog::File(path) => path.display().to_string(),
            },
        },
        "resolver": resolver(&config.resolver),
        "listener": config.listeners.iter().map(|one| listener(one, config)).collect::<Vec<_>>(),
        "upstream": config.upstreams.iter().map(|one| upstream(one)).collect::<Vec<_>>(),
    })
}

fn listener(listener: &Listener, config: &Config) -> Value {
    let timeout = &listener.timeout;
    json!({
        "name": listener.name,
        "bind": listener.bind.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protocol": match listener.protocol {
            Protocol::Http => "http",
            Protocol::Tcp => "tcp",
        },
        "upstream": config.upstreams.get(listener.upstream).map(|upstream| &upstream.name),
        "client_fin": match listener.client_fin {
            ClientFin::Finish => "finish",
            ClientFin::Abort => "abort",
        },
        "socket": listener_socket(listener),
        "timeout": {
            "header": duration(timeout.header),
            "idle": duration(timeout.idle),
            "body": duration(timeout.body),
            "half_close": duration(timeout.half_close),
            "linger": duration(timeout.linger),
        },
        "limit": listener_limit(&listener.limit),
    })
}

fn listener_limit(limit: &ListenerLimit) -> Value {
    let rate = |rate: &Option<Rate>| match rate {
        Some(Rate { count, period, .. }) => json!(format!("{count}/{}", period.unit())),
        None => json!("off"),
    };
    let burst = |rate: &Option<Rate>| rate.map_or(json!("auto"), |rate| json!(rate.burst));
    json!({
        "connections": limit.connections,
        "connections_per_client": limit.connections_per_client,
        "connection_rate_per_client": rate(&limit.connection_rate),
        "connection_burst": burst(&limit.connection_rate),
        "request_rate_per_client": rate(&limit.request_rate),
        "request_burst": burst(&limit.request_rate),
        "exempt_clients": limit.exempt_clients.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "header_bytes": size(limit.header_bytes as u64),
        "headers": limit.headers,
        "target_bytes": size(limit.target_bytes as u64),
        "body_bytes": size(limit.body_bytes),
    })
}

fn listener_socket(listener: &Listener) -> Value {
    let socket = &listener.socket;
    json!({
        "reuse_address": socket.reuse_address,
        "reuse_port": socket.reuse_port,
        "no_delay": socket.no_delay,
        "linger": match socket.linger {
            Linger::Graceful => "graceful".to_owned(),
            Linger::Reset => "reset".to_owned(),
            Linger::Timed(time) => duration(time),
        },
        "backlog": match socket.backlog {
            Backlog::Auto => json!("auto"),
            Backlog::Connections(connections) => json!(connections),
        },
        "defer_accept": socket.defer_accept.map_or_else(|| "off".to_owned(), duration),
        "user_timeout": duration(socket.user_timeout),
        "tcp_keepalive": tcp_keepalive(socket.tcp_keepalive),
    })
}

/// What is `None` is as `/etc/resolv.conf` has it, and so is said.
fn resolver(resolver: &Resolver) -> Value {
    let auto = |list: Option<Value>| list.unwrap_or_else(|| json!("auto"));
    let server = |server: &SocketAddr| match server.port() {
        53 => server.ip().to_string(),
        _ => server.to_string(),
    };
    let servers = resolver.nameservers.as_ref().map(|all| all.iter().map(server).collect());
    json!({
        "nameservers": auto(servers),
        "search": auto(resolver.search.as_ref().map(|all| json!(all))),
        "ndots": auto(resolver.ndots.map(|ndots| json!(ndots))),
        "timeout": duration(resolver.timeout),
        "attempts": resolver.attempts,
    })
}

fn endpoints(upstream: &Upstream) -> Value {
    let address = |e: &Endpoint| json!({"address": e.address, "weight": e.weight});
    let name = |DnsName { name, kind }: &DnsName| match kind {
        DnsKind::Addresses { port, weight } => json!({"dns": format!("{name}:{port}"), "weight": weight}),
        DnsKind::Services => json!({"srv": name}),
    };
    upstream.endpoints.iter().map(address).chain(upstream.names.iter().map(name)).collect()
}

fn discovery(discovery: &Discovery) -> Value {
    json!({
        "family": match discovery.family {
            Family::Auto => "auto",
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
            Family::Both => "both",
        },
        "ttl_min": duration(discovery.ttl_min),
        "ttl_max": duration(discovery.ttl_max),
        "grace": duration(discovery.grace),
        "max_endpoints": discovery.max_endpoints,
    })
}

fn upstream(upstream: &Upstream) -> Value {
    let mut keys = Map::new();
    let mut set = |key: &str, value: Value| keys.insert(key.to_owned(), value);
    set("name", json!(upstream.name));
    let (balance, hash_key) = match &upstream.balance {
        Balance::RoundRobin => ("round_robin", None),
        Balance::LeastConn => ("least_conn", None),
        Balance::P2c => ("p2c", None),
        Balance::Random => ("random", None),
        Balance::Hash(HashKey::Client) => ("hash", Some("client".to_owned())),
        Balance::Hash(HashKey::Header(name)) => ("hash", Some(format!("header:{name}"))),
    };
    set("balance", json!(balance));
    if let Some(key) = hash_key {
        set("hash_key", json!(key));
    }
    set("endpoints", endpoints(upstream));
    if !upstream.names.is_empty() {
        set("discovery", discovery(&upstream.discovery));
    }
    set("pool", pool(upstream));
    set("source", source(upstream));
    set(
        "timeout",
        json!({
            "connect": duration(upstream.timeout.connect),
            "response_header": duration(upstream.timeout.response_header),
            "body": duration(upstream.timeout.body),
            "half_close": duration(upstream.timeout.half_close),
        }),
    );
    set("socket", upstream_socket(upstream));
    set(
        "passive",
        json!({
            "failures": upstream.passive.failures,
            "retry_after": duration(upstream.passive.retry_after),
            "retry_after_max": duration(upstream.passive.retry_after_max),
        }),
    );
    Value::Object(keys)
}

fn source(upstream: &Upstream) -> Value {
    let source = &upstream.source;
    let ports = |range: &RangeInclusive<u16>| format!("{}-{}", range.start(), range.end());
    json!({
        "addresses": source.addresses,
        "ports": source.ports.as_ref().map_or_else(|| "auto".to_owned(), ports),
        "warn_percent": source.warn_percent,
        "reuse_only_percent": source.reuse_only_percent,
        "refuse_percent": source.refuse_percent,
        // By its numbers, under whatever name they were written.
        "nat": source.nat.map_or(json!("none"), |nat| {
            json!({
                "ports": nat.ports,
                "idle_timeout": duration(nat.idle_timeout),
                "time_wait": duration(nat.time_wait),
            })
        }),
    })
}

fn pool(upstream: &Upstream) -> Value {
    let pool = &upstream.pool;
    json!({
        "max_idle": pool.max_idle,
        "min_idle": pool.min_idle,
        "max_connections": pool.max_connections,
        "idle_timeout": pool.idle_timeout.map_or_else(|| "auto".to_owned(), duration),
        "max_age": duration(pool.max_age),
        "max_requests": pool.max_requests,
        "wait_timeout": duration(pool.wait_timeout),
        "wait_queue": pool.wait_queue,
    })
}

fn upstream_socket(upstream: &Upstream) -> Value {
    let socket = &upstream.socket;
    json!({
        "no_delay": socket.no_delay,
        "user_timeout": duration(socket.user_timeout),
        "tcp_keepalive": tcp_keepalive(socket.tcp_keepalive),
        "close": match socket.close {
            UpstreamClose::Auto => "auto",
            UpstreamClose::Graceful => "graceful",
            UpstreamClose::Reset => "reset",
        },
    })
}

fn tcp_keepalive(keepalive: Option<TcpKeepalive>) -> Value {
    keepalive.map_or(json!("off"), |probes| {
        json!({
            "idle": duration(probes.idle),
            "interval": duration(probes.interval),
            "count": probes.count,
        })
    })
}

fn duration(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// In the largest unit that leaves nothing over; 0 is "no limit" wherever it may stand.
fn size(bytes: u64) -> Value {
    match bytes {
        0 => json!(0),
        _ if bytes.is_multiple_of(1 << 20) => json!(format!("{}MiB", bytes >> 20)),
        _ if bytes.is_multiple_of(1 << 10) => json!(format!("{}KiB", bytes >> 10)),
        _ => json!(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse_str;
    use crate::config::model::Source;
    use crate::config::nat::PROFILES;
    use crate::observe::fixture;

    #[test]
    fn values_are_spelled_as_in_the_file() {
        let mut config = fixture::config();
        let mut app = fixture::upstream("app", &[3000, 3001]);
        app.balance = Balance::Hash(HashKey::Header("x-user".into()));
        app.socket.tcp_keepalive = None;
        config.upstreams = vec![app.into()];
        let view = json(&config);
        assert_eq!(view["admin"], json!({"listen": "127.0.0.1:9900", "token_file": "none"}));
        let web = &view["listener"][0];
        assert_eq!(web["upstream"], "app");
        assert_eq!(web["bind"], json!(["127.0.0.1:8080", "127.0.0.1:8081"]));
        assert_eq!(web["timeout"]["linger"], "1s 500ms");
        assert_eq!(web["limit"]["header_bytes"], "32KiB");
        assert_eq!(web["socket"]["tcp_keepalive"], json!({"idle": "1m", "interval": "10s", "count": 6}));
        let app = &view["upstream"][0];
        assert_eq!((&app["balance"], &app["hash_key"]), (&json!("hash"), &json!("header:x-user")));
        assert_eq!(app["endpoints"][1], json!({"address": "127.0.0.1:3001", "weight": 1}));
        assert_eq!((&app["pool"]["idle_timeout"], &app["pool"]["max_age"]), (&json!("auto"), &json!("1h")));
        assert_eq!(app["socket"]["tcp_keepalive"], "off");
        assert_eq!((&app["source"]["ports"], &app["source"]["nat"]), (&json!("auto"), &json!("none")));
    }

    #[test]
    fn the_view_written_as_a_file_is_the_same_configuration() {
        let mut config = fixture::config();
        config.admin.token_file = Some("/run/token".into());
        let mut app = fixture::upstream("app", &[3000]);
        app.balance = Balance::Hash(HashKey::Header("x-user".into()));
        app.socket.tcp_keepalive = None;
        app.source = Source {
            addresses: vec!["127.0.0.2".parse().unwrap()],
            ports: Some(20_000..=40_000),
            warn_percent: 50,
            reuse_only_percent: 51,
            refuse_percent: 52,
            nat: Some(PROFILES[0].1),
        };
        app.pool.idle_timeout = Some(Duration::from_millis(2500));
        let host = DnsKind::Addresses { port: 3000, weight: 7 };
        app.names = vec![
            DnsName { name: "app.svc.".into(), kind: host },
            DnsName { name: "_http._tcp.app".into(), kind: DnsKind::Services },
        ];
        app.discovery.family = Family::Ipv4;
        app.discovery.ttl_max = Duration::from_secs(90);
        config.resolver.nameservers =
            Some(vec!["192.0.2.53:53".parse().unwrap(), "[2001:db8::1]:5353".parse().unwrap()]);
        (config.resolver.search, config.resolver.ndots) = (Some(vec!["svc".into()]), Some(0));
        config.upstreams = vec![app.into()];
        let mut db = (*config.listeners[1]).clone();
        db.socket.linger = Linger::Timed(Duration::from_secs(5));
        db.socket.backlog = Backlog::Connections(100);
        db.limit.body_bytes = 1_000_001;
        config.listeners[1] = db.into();
        let mut web = (*config.listeners[0]).clone();
        web.client_fin = ClientFin::Abort;
        config.listeners[0] = web.into();
        let view = json(&config);
        let file: String = view
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| format!("{key} = {}\n", toml(value)))
            .collect();
        assert_eq!(parse_str("view", &file).unwrap().config, config, "{file}");
    }

    fn toml(value: &Value) -> String {
        let joined = |parts: Vec<String>| parts.join(", ");
        match value {
            Value::Object(keys) => {
                format!("{{ {} }}", joined(keys.iter().map(|(k, v)| format!("{k} = {}", toml(v))).collect()))
            }
            Value::Array(values) => format!("[{}]", joined(values.iter().map(toml).collect())),
            other => other.to_string(),
        }
    }

    #[test]
    fn sizes_lose_nothing() {
        let sizes = [0, 1, 1023, 1024, 1 << 20, (1 << 20) + 1].map(size);
        assert_eq!(sizes.map(|s| s.to_string()), ["0", "1", "1023", "\"1KiB\"", "\"1MiB\"", "1048577"]);
    }
}
