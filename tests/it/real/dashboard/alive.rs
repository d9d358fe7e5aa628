//! A busy proxy that does not exist, for the pictures in the documentation.

use super::Browser;
use super::fixture::Stub;
use crate::harness::Proxy;
use libtest_mimic::Trial;
use millpond::metrics::host::Host;
use millpond::observe::snapshot::Snapshot;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![pictures]
}

/// Bytes that a picture in the repository may have.
const PICTURE_MAX: usize = 300_000;

/// Takes the pictures that `docs/` has; whoever changes the page copies them there from
/// `target/tmp`.
fn pictures() {
    let stub = Stub::growing(busy(), growth, history().to_string());
    let browser = Browser::start();
    browser.resize(1340, 1130);
    stub.open(&browser);
    browser.wait_for_text(&super::tile("Requests /s"), |text| text.starts_with("8,"));
    browser.wait_for("document.querySelector('#charts path.line')?.getAttribute('d')?.includes('L')");
    browser.run("document.documentElement.style.scrollbarWidth = 'none'");
    browser.wait_for("document.querySelectorAll('#attention-list li').length === 3");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let picture = browser.picture();
        assert!(picture.starts_with(b"\x89PNG") && picture.len() < PICTURE_MAX, "{} bytes", picture.len());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dashboard-{scheme}.png"));
        std::fs::write(file, picture).expect("a directory of cargo's");
    }
    assert_eq!(browser.console(), [""; 0]);
}

const CONFIGURATION: &str = r#"
admin.listen = "127.0.0.1:0"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
upstream = "app"
[[listener]]
name = "db"
bind = "127.0.0.1:0"
protocol = "tcp"
upstream = "postgres"
[[upstream]]
name = "app"
endpoints = ["192.0.2.21:3000", "192.0.2.22:3000", "192.0.2.23:3000", "192.0.2.24:3000"]
[[upstream]]
name = "postgres"
endpoints = ["192.0.2.30:5432"]
"#;

/// Of each endpoint: leased, idle, TIME_WAIT; the second is one that closes after every answer.
const ENDPOINTS: [[u32; 3]; 5] = [[41, 17, 3], [38, 2, 17_400], [36, 21, 1], [0, 0, 0], [62, 0, 12]];

fn busy() -> Value {
    let proxy = Proxy::start(CONFIGURATION);
    let mut snapshot = serde_json::to_value(Snapshot::take(proxy.registry(), Host::default())).unwrap();
    snapshot["config"]["generation"] = json!(3);
    snapshot["process"] = json!({ "fds": { "used": 2_611, "limit": 524_288 }, "memory_bytes": 21_300_000 });
    snapshot["kernel"] = json!({
        "somaxconn": 4096, "tcp_max_syn_backlog": 4096, "local_ports": [32768, 60999], "tcp_tw_reuse": 2,
        "listen_overflows": 0, "listen_drops": 0, "time_wait_overflow": 0, "orphans": 2,
    });
    for (listener, address, sessions, wait) in [(0, "0.0.0.0:8080", 2_140, 6), (1, "0.0.0.0:5432", 62, 0)] {
        let listener = &mut snapshot["listeners"][listener];
        listener["address"] = json!(address);
        listener["sessions"]["current"] = json!(sessions);
        listener["accept_queue"] = json!({ "depth": wait / 3, "limit": 4096, "depth_max": 7 * wait });
        listener["tcp_states"] = json!({
            "listen": 2, "syn_recv": wait, "established": sessions, "fin_wait1": wait / 2, "fin_wait2": 2 * wait,
            "time_wait": 20 * wait, "close_wait": wait / 3, "last_ack": 1,
        });
    }
    for (at, [leased, idle, time_wait]) in ENDPOINTS.into_iter().enumerate() {
        let (upstream, place) = (at / 4, at % 4);
        let endpoint = &mut snapshot["upstreams"][upstream]["endpoints"][place];
        endpoint["connections"] = json!({ "leased": leased, "idle": idle, "connecting": 0, "waiting": 0 });
        let open = leased + idle;
        endpoint["tcp_states"] =
            json!({ "established": open, "time_wait": time_wait, "syn_sent": time_wait / 9000 });
        let busy = time_wait > 1000;
        endpoint["ports"] = json!([{
            "source": "192.0.2.5", "capacity": 28_232, "used": open, "time_wait": time_wait,
            "free": 28_232 - open - time_wait, "opens_per_s": if busy { 396.0 } else { 0.3 },
            "exhausts_in_s": if busy { json!(252.0) } else { Value::Null }, "level": if busy { "warn" } else { "ok" },
        }]);
    }
    snapshot["upstreams"][0]["endpoints"][3]["health"] = json!("down");
    snapshot["close_wait"] = json!({ "count": 2, "oldest_s": 11.4, "reaped_total": 1, "sockets": [
        { "side": "client", "name": "web", "local": "192.0.2.5:8080", "peer": "198.51.100.7:51544",
          "phase": "exchange", "age_s": 11.4 },
        { "side": "client", "name": "web", "local": "192.0.2.5:8080", "peer": "198.51.100.40:40112",
          "phase": "exchange", "age_s": 2.1 },
    ] });
    snapshot["budgets"] = json!([
        { "name": "descriptors", "used": 2_611, "limit": 524_288, "per_s": 0.4, "exhausts_in_s": null, "level": "ok" },
        { "name": "conntrack", "used": 21_400, "limit": 262_144, "per_s": 3.1, "exhausts_in_s": null, "level": "ok" },
    ]);
    snapshot["notes"] = json!([]);
    snapshot
}

/// Requests, leases and connections of this many seconds.
fn growth(snapshot: &mut Value, seconds: f64) {
    let count = |per_s: f64| json!((per_s * seconds) as u64);
    for (listener, accepts, requests) in [(0, 311.0, 8_420.0), (1, 4.0, 0.0)] {
        let listener = &mut snapshot["listeners"][listener];
        listener["sessions"]["total"] = count(accepts);
        listener["requests_total"] = count(requests);
    }
    for (at, opened, reused) in [(0, 0.3, 2_900.0), (1, 396.0, 2_430.0), (2, 0.2, 2_680.0)] {
        let endpoint = &mut snapshot["upstreams"][0]["endpoints"][at];
        endpoint["opened_total"] = count(opened);
        endpoint["reused_total"] = count(reused);
    }
    snapshot["upstreams"][1]["endpoints"][0]["opened_total"] = count(4.0);
}

/// A quarter of an hour in which one endpoint began to close after every answer.
fn history() -> Value {
    const SAMPLES: u64 = 180;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let times: Vec<u64> = (1..=SAMPLES).map(|at| now - (SAMPLES - at) * 5_000).collect();
    let column = |base: f64, wave: f64, step: f64| -> Vec<f64> {
        let value = |at: u64| {
            let (at, since) = (at as f64, at.saturating_sub(120) as f64);
            let swing = (at / 9.0).sin() + 0.4 * (at / 2.3).sin() + 0.3 * (at * 7.7).sin();
            (base + wave * swing + step * (since / 12.0).min(1.0)).max(0.0).round()
        };
        (0..SAMPLES).map(value).collect()
    };
    let listener = |share: f64| {
        columns(&[
            ("sessions", column(2_140.0 * share, 60.0 * share, 0.0)),
            ("requests_per_s", column(8_420.0 * share, 300.0 * share, 0.0)),
            ("accepts_per_s", column(311.0 * share, 20.0 * share, 0.0)),
            ("rejects_per_s", column(0.0, 0.0, 0.0)),
            ("accept_queue", column(1.0, 1.4, 0.0)),
            ("time_wait", column(120.0 * share, 9.0, 0.0)),
            ("close_wait", column(0.3, 0.6, 1.0)),
        ])
    };
    let endpoint = |share: f64, step: f64| {
        columns(&[
            ("leased", column(115.0 * share, 9.0 * share, 30.0 * step)),
            ("idle", column(60.0 * share, 4.0 * share, -18.0 * step)),
            ("waiting", column(0.0, 0.0, 0.0)),
            ("opens_per_s", column(0.6, 0.4, 396.0 * step)),
            ("reuses_per_s", column(8_400.0 * share, 290.0 * share, -380.0 * step)),
            ("errors_per_s", column(0.0, 0.0, 0.0)),
            ("time_wait", column(4.0, 2.0, 17_400.0 * step)),
            ("close_wait", column(0.0, 0.0, 0.0)),
            ("ports_free", column(28_180.0, 3.0, -17_400.0 * step)),
        ])
    };
    let named = |mut columns: Value, names: [(&str, &str); 2]| {
        names.into_iter().for_each(|(key, name)| columns[key] = json!(name));
        columns
    };
    let listeners = [("web", "0.0.0.0:8080", 1.0), ("db", "0.0.0.0:5432", 0.03)];
    let listeners =
        listeners.map(|(name, at, share)| named(listener(share), [("name", name), ("address", at)]));
    let endpoints = ["192.0.2.21:3000", "192.0.2.22:3000", "192.0.2.23:3000"];
    let endpoints = endpoints.map(|at| {
        let step = if at.contains(".22:") { 1.0 } else { 0.0 };
        named(endpoint(0.3, step), [("upstream", "app"), ("address", at)])
    });
    json!({
        "interval_s": 5, "kept_s": 900, "times_ms": times,
        "listeners": { "total": listener(1.0), "each": listeners, "left_out": 0 },
        "endpoints": { "total": endpoint(1.0, 1.0), "each": endpoints, "left_out": 0 },
    })
}

fn columns(named: &[(&str, Vec<f64>)]) -> Value {
    let columns: Map<String, Value> =
        named.iter().map(|(name, column)| ((*name).to_owned(), json!(column))).collect();
    Value::Object(columns)
}
