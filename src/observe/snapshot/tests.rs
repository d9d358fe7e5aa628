use super::*;
use crate::config::nat::PROFILES;
use crate::metrics::host::Host;
use crate::observe::fixture;
use crate::registry::{IdleTimeoutFrom, Registry};
use crate::sys::netstat::{TcpCounters, TcpSockets};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

fn host() -> Host {
    Host {
        descriptors: Some(41),
        resident_bytes: Some(12_000_000),
        somaxconn: Some(512),
        tcp_max_syn_backlog: Some(2048),
        local_ports: Some([32768, 60999]),
        tcp_tw_reuse: Some(2),
        tcp: TcpCounters {
            listen_overflows: Some(5),
            listen_drops: Some(6),
            time_wait_overflow: Some(7),
            ..TcpCounters::default()
        },
        tcp_sockets: TcpSockets { orphans: Some(8), time_wait: None, memory_bytes: Some(4096) },
        tcp_memory_limit: Some(1 << 30),
        notes: vec!["something could not be read".into()],
    }
}

fn take(registry: &Registry) -> Value {
    serde_json::to_value(Snapshot::take(registry, host())).unwrap()
}

/// The shape that is promised to users: every key, with a value of the same kind. `"null"` stands
/// for a figure that this version does not measure.
fn promised() -> Value {
    json!({
        "version": "", "uptime_s": 0.0, "config": {"generation": 1, "loaded_at": ""},
        "process": {"fds": {"used": 0, "limit": 0}, "memory_bytes": 0},
        "kernel": {"somaxconn": 0, "tcp_max_syn_backlog": 0, "local_ports": [0, 0], "tcp_tw_reuse": 0,
            "listen_overflows": 0, "listen_drops": 0, "time_wait_overflow": 0, "orphans": 0,
            "tcp_memory_bytes": [0, 0]},
        "listeners": [{"name": "", "address": "", "protocol": "",
            "sessions": {"current": 0, "total": 0}, "requests_total": 0,
            "accept_queue": {"depth": 0, "limit": 0, "depth_max": 0, "drops_total": 0,
                "sockets": [{"worker": 0, "depth": 0, "limit": 0, "depth_max": 0, "drops_total": 0}]},
            "tcp_states": {"established": 0, "syn_recv": 0, "fin_wait1": 0, "fin_wait2": 0, "time_wait": 0,
                "close_wait": 0, "last_ack": 0, "closing": 0, "syn_sent": 0, "listen": 0},
            "closes": {"client_fin": 0, "graceful": 0, "reset": 0, "half_close_deadline": 0, "reaped": 0}}],
        "upstreams": [{"name": "", "balance": "", "endpoints": [{
            "address": "", "health": "", "admin": "",
            "connections": {"idle": 0, "leased": 0, "connecting": 0, "waiting": 0},
            "opened_total": 0, "reused_total": 0, "reuse_ratio": 0.0, "retries_total": 0, "connect_errors_total": 0,
            "idle_timeout_s": 0.0, "idle_timeout_from": "",
            "tcp_states": {"established": 0, "syn_recv": 0, "fin_wait1": 0, "fin_wait2": 0, "time_wait": 0,
                "close_wait": 0, "last_ack": 0, "closing": 0, "syn_sent": 0},
            "time_wait": {"caused_total": 0, "avoided_total": 0},
            "ports": [{"source": "", "capacity": 0, "used": 0, "time_wait": 0, "free": 0,
                "opens_per_s": 0.0, "exhausts_in_s": null, "level": ""}]}]}],
        "close_wait": {"count": 0, "oldest_s": 0.0, "reaped_total": 0,
            "sockets": [{"side": "", "name": "", "local": "", "peer": "", "phase": "", "age_s": 0.0}]},
        "budgets": [{"name": "", "used": 0, "limit": 0, "per_s": 0.0, "exhausts_in_s": 0.0, "level": ""}],
        "census": {"interval_s": 0.0, "age_s": 0.0, "sockets": 0, "cpu_s": 0.0, "cpu_total_s": 0.0},
        "notes": [""]
    })
}

fn assert_covers(promise: &Value, found: &Value, path: &str) {
    match (promise, found) {
        (Value::Object(promise), Value::Object(found)) => {
            for (key, value) in promise {
                let path = format!("{path}.{key}");
                assert_covers(value, found.get(key).unwrap_or_else(|| panic!("{path} is missing")), &path);
            }
        }
        (Value::Array(promise), Value::Array(found)) => {
            assert!(!found.is_empty(), "{path} is empty");
            promise.iter().zip(found).for_each(|(p, f)| assert_covers(p, f, path));
        }
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Null, Value::Null) => {}
        (promise, found) => panic!("{path}: {found} where {promise} was promised"),
    }
}

#[test]
fn every_promised_key_is_there() {
    assert_covers(&promised(), &take(&fixture::registry()), "");
}

#[test]
fn figures_are_summed_over_workers() {
    let stats = take(&fixture::registry());
    let web = &stats["listeners"][0];
    assert_eq!(web["sessions"], json!({"current": 3, "total": 90}));
    assert_eq!((&web["requests_total"], &web["upstream"]), (&json!(1000), &json!("app")));
    assert_eq!(web["closes"]["client_fin"], 80);
    assert_eq!(web["closes"]["reaped"], 0);
    assert_eq!(web["rejects"]["pool_timeout"], 2);
    assert_eq!(web["bytes"], json!({"received_total": 1000, "sent_total": 2000}));
    assert_eq!(stats["listeners"][2]["protocol"], "tcp");
    let endpoint = &stats["upstreams"][0]["endpoints"][0];
    assert_eq!(endpoint["connections"], json!({"idle": 2, "leased": 1, "connecting": 0, "waiting": 0}));
    assert_eq!(endpoint["reuse_ratio"], 0.997);
    assert_eq!(endpoint["time_wait"], json!({"caused_total": 0, "avoided_total": 4}));
    assert_eq!(
        endpoint["ports"],
        json!([{"source": "127.0.0.1", "capacity": 28232, "used": 3, "time_wait": 0, "free": 28229,
            "opens_per_s": 0.0, "exhausts_in_s": null, "level": "ok"}])
    );
    assert_eq!(stats["upstreams"][0]["endpoints"][1]["reuse_ratio"], Value::Null);
    let pid = std::process::id();
    assert_eq!(
        stats["process"],
        json!({"fds": {"used": 41, "limit": 20000}, "memory_bytes": 12_000_000, "pid": pid, "predecessor": null})
    );
    let sockets = json!([
        {"side": "client", "name": "web", "local": "127.0.0.1:8080", "peer": "192.0.2.1:5",
            "phase": "exchange", "age_s": 1.5},
        {"side": "upstream", "name": "app", "local": "127.0.0.1:40000", "peer": "127.0.0.1:3000",
            "phase": null, "age_s": 1.0},
    ]);
    let close_wait = json!({"count": 2, "oldest_s": 1.5, "reaped_total": 1, "sockets": sockets});
    assert_eq!(stats["close_wait"], close_wait);
    assert_eq!(stats["config"]["loaded_at"], "2026-09-21T14:13:20.000Z");
}

#[test]
fn an_unreadable_figure_is_null_and_the_note_survives() {
    let registry = fixture::registry();
    let missing = Host { notes: vec!["why".into()], ..Host::default() };
    let stats = serde_json::to_value(Snapshot::take(&registry, missing)).unwrap();
    assert_eq!(stats["process"]["memory_bytes"], Value::Null);
    assert_eq!(stats["kernel"]["local_ports"], Value::Null);
    assert_eq!(stats["notes"][0], "why");
    assert_eq!(stats["listeners"][1]["accept_queue"]["limit"], 1024, "as listen(2) was told");
    registry.close_wait.stuck.failed("sock_diag: dump: no".into());
    registry.census.last.failed("sock_diag: dump: no".into());
    registry.census.queues.failed("sock_diag: send: no".into());
    let later = take(&registry);
    let close_wait = json!({"count": null, "oldest_s": null, "reaped_total": 1, "sockets": []});
    assert_eq!(later["close_wait"], close_wait);
    let notes = ["tcp_states, census: sock_diag: dump: no", "accept_queue: sock_diag: send: no"];
    let notes = [&["something could not be read"], &notes[..], &["close_wait: sock_diag: dump: no"]].concat();
    assert_eq!(
        later["notes"].as_array().unwrap()[..4],
        notes.iter().map(|note| json!(note)).collect::<Vec<_>>()
    );
    assert_eq!((&later["listeners"][0]["tcp_states"], &later["census"]), (&Value::Null, &Value::Null));
    let queue = json!({"depth": null, "limit": 512, "depth_max": null, "drops_total": null, "sockets": []});
    assert_eq!(later["listeners"][0]["accept_queue"], queue, "no longer than somaxconn");
}

#[test]
fn the_kernels_view_is_told_by_listener_socket_and_endpoint() {
    let stats = take(&fixture::registry());
    let web = &stats["listeners"][0];
    let queue = |worker, depth, deepest, drops| json!({"worker": worker, "depth": depth, "limit": 512, "depth_max": deepest, "drops_total": drops});
    assert_eq!(
        web["accept_queue"],
        json!({"depth": 4, "limit": 512, "depth_max": 7, "drops_total": 9,
            "sockets": [queue(0, 0, 7, 0), queue(1, 4, 4, 9)]})
    );
    assert_eq!((&web["tcp_states"]["established"], &web["tcp_states"]["listen"]), (&json!(3), &json!(2)));
    let endpoint = &stats["upstreams"][0]["endpoints"][0]["tcp_states"];
    assert_eq!((&endpoint["established"], endpoint.get("listen")), (&json!(3), None));
    assert_eq!(
        stats["budgets"][1],
        json!({"name": "conntrack", "used": null, "limit": null, "per_s": null,
        "exhausts_in_s": null, "level": "ok"})
    );
    assert!(stats["notes"].as_array().unwrap().contains(&json!("budgets.conntrack: it cannot be read")));
}

#[test]
fn health_draining_and_the_idle_timeout_are_read_live() {
    let mut config = fixture::config();
    let mut upstream = fixture::upstream("app", &[3000, 3001]);
    upstream.passive.failures = 1;
    config.upstreams = vec![upstream.into()];
    let registry = fixture::registry_of(&config);
    let running = registry.running();
    let endpoint = &running.upstreams[0].endpoints[1];
    running.upstreams[0].health.failed(1, Instant::now());
    registry.draining.store(true, Relaxed);
    let before = take(&registry);
    endpoint.keep_alive_hint_ms.store(15_000, Relaxed);
    let after = take(&registry);
    let seen = |stats: &Value| {
        let endpoint = &stats["upstreams"][0]["endpoints"][1];
        (endpoint["idle_timeout_s"].as_f64(), endpoint["idle_timeout_from"].as_str().map(str::to_owned))
    };
    assert_eq!(before["draining"], true);
    assert_eq!(before["upstreams"][0]["endpoints"][1]["health"], "down");
    assert_eq!(seen(&before), (Some(4.0), Some("default".into())));
    assert_eq!(seen(&after), (Some(14.0), Some("hint".into())));
}

#[test]
fn a_snapshot_reads_back_and_ignores_what_it_does_not_know() {
    let taken = Snapshot::take(&fixture::registry(), host());
    let mut json = serde_json::to_value(&taken).unwrap();
    json["from_a_later_version"] = json!({"a": 1});
    json["listeners"][0]["tcp_states"] = json!({"established": 3});
    let read: Snapshot = serde_json::from_value(json).unwrap();
    assert_eq!(read.listeners[0].tcp_states.as_ref().unwrap()["established"], 3);
    assert_eq!((read.upstreams, read.process), (taken.upstreams, taken.process));
}

#[test]
fn a_configured_idle_timeout_wins_and_a_short_hint_is_halved() {
    let registry = fixture::registry();
    let running = registry.running();
    let endpoint = &running.upstreams[0].endpoints[0];
    let mut upstream = (*running.upstreams[0].config).clone();
    let set = |ms| endpoint.keep_alive_hint_ms.store(ms, Relaxed);
    set(1_000);
    assert_eq!(endpoint.idle_timeout(&upstream), (Duration::from_millis(500), IdleTimeoutFrom::Hint));
    upstream.pool.idle_timeout = Some(Duration::from_secs(30));
    assert_eq!(endpoint.idle_timeout(&upstream), (Duration::from_secs(30), IdleTimeoutFrom::Configured));
}

#[test]
fn a_nat_forgets_before_a_patient_endpoint_closes() {
    let registry = fixture::registry();
    let running = registry.running();
    let endpoint = &running.upstreams[0].endpoints[0];
    let mut upstream = (*running.upstreams[0].config).clone();
    upstream.source.nat = Some(PROFILES[0].1);
    assert_eq!(endpoint.idle_timeout(&upstream).1, IdleTimeoutFrom::Default);
    endpoint.keep_alive_hint_ms.store(281_000, Relaxed);
    assert_eq!(endpoint.idle_timeout(&upstream), (Duration::from_secs(280), IdleTimeoutFrom::Hint));
    endpoint.keep_alive_hint_ms.store(600_000, Relaxed);
    assert_eq!(endpoint.idle_timeout(&upstream), (Duration::from_secs(280), IdleTimeoutFrom::Nat));
    upstream.pool.idle_timeout = Some(Duration::from_secs(300));
    assert_eq!(endpoint.idle_timeout(&upstream).1, IdleTimeoutFrom::Configured);
}

#[test]
fn the_shortest_of_what_is_known_of_an_endpoint_holds() {
    let registry = fixture::registry();
    let running = registry.running();
    let endpoint = &running.upstreams[0].endpoints[0];
    let (start, age) = (Instant::now(), Duration::from_secs(10));
    endpoint.keep_alive_hint_ms.store(15_000, Relaxed);
    assert!(!endpoint.closed_idle(age, start));
    assert!(endpoint.closed_idle(age, start + age), "sooner than the hint says");
    let seen = || {
        let stats = take(&registry);
        let endpoint = &stats["upstreams"][0]["endpoints"][0];
        (endpoint["idle_timeout_s"].clone(), endpoint["idle_timeout_from"].clone())
    };
    assert_eq!(seen(), (json!(8.0), json!("learned")));
    endpoint.keep_alive_hint_ms.store(5_000, Relaxed);
    assert_eq!(seen(), (json!(4.0), json!("hint")));
    endpoint.keep_alive_hint_ms.store(15_000, Relaxed);
    assert_eq!(seen(), (json!(14.0), json!("hint")), "what says no more than another is forgotten");
}
