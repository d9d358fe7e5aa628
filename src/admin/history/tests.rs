use super::*;
use crate::metrics::host::Host;
use crate::observe::fixture;
use serde_json::{Value, json};

/// With nothing known of the kernel's view.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::take(&fixture::registry(), Host::default());
    for listener in &mut snapshot.listeners {
        (listener.tcp_states, listener.accept_queue.depth) = (None, None);
    }
    for endpoint in &mut snapshot.upstreams[0].endpoints {
        (endpoint.tcp_states, endpoint.ports) = (None, None);
    }
    snapshot
}

/// A snapshot this many seconds after the start.
fn at(uptime_s: f64, change: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut snapshot = Snapshot { uptime_s, ..snapshot() };
    change(&mut snapshot);
    snapshot
}

fn read(history: &History, after: u64) -> Value {
    serde_json::to_value(history.after(after)).unwrap()
}

#[test]
fn counters_become_rates_and_gauges_stay() {
    let mut history = History::default();
    history.record(&at(10.0, |_| {}), 1_000);
    let later = at(14.0, |snapshot| {
        snapshot.listeners[0].requests_total += 10;
        snapshot.listeners[0].rejects.insert("pool_timeout".into(), 6);
        snapshot.listeners[0].sessions.current = 7;
        snapshot.upstreams[0].endpoints[0].opened_total += 1;
    });
    history.record(&later, 5_000);
    let columns = read(&history, 0);
    assert_eq!(columns["times_ms"], json!([1_000, 5_000]));
    assert_eq!((&columns["interval_s"], &columns["kept_s"]), (&json!(5), &json!(900)));
    let web = &columns["listeners"]["each"][0];
    assert_eq!((&web["name"], &web["address"]), (&json!("web"), &json!("127.0.0.1:8080")));
    assert_eq!(web["sessions"], json!([3, 7]));
    assert_eq!(web["requests_per_s"], json!([null, 2.5]));
    assert_eq!(web["rejects_per_s"], json!([null, 1]));
    let app = &columns["endpoints"]["each"][0];
    assert_eq!((&app["upstream"], &app["address"]), (&json!("app"), &json!("127.0.0.1:3000")));
    assert_eq!(app["opens_per_s"], json!([null, 0.25]));
    assert_eq!(app["idle"], json!([2, 2]));
}

#[test]
fn what_the_kernel_did_not_say_is_null_and_what_it_left_out_is_0() {
    let mut history = History::default();
    history.record(&at(1.0, |_| {}), 1);
    let asked = at(2.0, |snapshot| {
        snapshot.listeners[0].tcp_states = Some([("time_wait".to_owned(), 5)].into());
        snapshot.listeners[0].accept_queue.depth = Some(3);
        snapshot.upstreams[0].endpoints[0].tcp_states = Some([("time_wait".to_owned(), 8)].into());
    });
    history.record(&asked, 2);
    let columns = read(&history, 0);
    let (web, total) = (&columns["listeners"]["each"][0], &columns["listeners"]["total"]);
    assert_eq!((&web["time_wait"], &web["close_wait"]), (&json!([null, 5]), &json!([null, 0])));
    assert_eq!((&web["accept_queue"], &total["accept_queue"]), (&json!([null, 3]), &json!([null, 3])));
    assert_eq!(columns["endpoints"]["total"]["time_wait"], json!([null, 8]));
    assert_eq!(columns["endpoints"]["each"][1]["time_wait"], json!([null, null]));
    assert_eq!(columns["endpoints"]["total"]["ports_free"], json!([null, null]));
}

#[test]
fn free_ports_are_added_up_over_sources_but_not_over_endpoints() {
    let ports = |source: &str, free| crate::observe::snapshot::Ports {
        source: source.into(),
        capacity: 100,
        used: 0,
        time_wait: 0,
        free,
        opens_per_s: 0.0,
        exhausts_in_s: None,
        level: "ok".into(),
    };
    let mut history = History::default();
    let snapshot = at(1.0, |snapshot| {
        snapshot.upstreams[0].endpoints[0].ports = Some(vec![ports("a", 40), ports("b", 50)]);
        snapshot.upstreams[0].endpoints[1].ports = Some(vec![ports("a", 70)]);
    });
    history.record(&snapshot, 1);
    let endpoints = &read(&history, 0)["endpoints"];
    assert_eq!(endpoints["each"][0]["ports_free"], json!([90]));
    assert_eq!(endpoints["total"]["ports_free"], json!([70]));
    assert_eq!(endpoints["total"]["idle"], json!([2]), "while connections are");
}

#[test]
fn a_counter_that_fell_has_no_rate() {
    let mut history = History::default();
    history.record(&at(100.0, |_| {}), 1);
    history.record(&at(105.0, |snapshot| snapshot.listeners[0].requests_total = 1), 2);
    history.record(&at(105.0, |snapshot| snapshot.listeners[0].requests_total = 2), 3);
    assert_eq!(read(&history, 0)["listeners"]["each"][0]["requests_per_s"], json!([null, null, null]));
}

#[test]
fn it_holds_15_minutes_and_gives_what_is_asked_for() {
    let mut history = History::default();
    for n in 0..500_u32 {
        history.record(&at(f64::from(n) * 5.0, |_| {}), u64::from(n) * 5_000);
    }
    let all = read(&history, 0);
    assert_eq!(all["times_ms"].as_array().unwrap().len(), 180);
    assert_eq!(all["listeners"]["each"][0]["sessions"].as_array().unwrap().len(), 180);
    let last = read(&history, 497 * 5_000);
    assert_eq!(last["times_ms"], json!([498 * 5_000, 499 * 5_000]));
    assert_eq!(last["endpoints"]["total"]["idle"], json!([2, 2]));
    assert_eq!(read(&history, u64::MAX)["times_ms"], json!([]));
}

#[test]
fn a_newcomer_has_no_past_and_who_is_gone_has_no_series() {
    let mut history = History::default();
    history.record(&at(1.0, |_| {}), 1);
    let changed = |snapshot: &mut Snapshot| {
        snapshot.upstreams[0].endpoints[0].address = "127.0.0.1:1".into();
        snapshot.upstreams[0].endpoints.swap(0, 1);
    };
    history.record(&at(2.0, changed), 2);
    let endpoints = &read(&history, 0)["endpoints"];
    let of = |at: usize| {
        (endpoints["each"][at]["address"].as_str().unwrap(), endpoints["each"][at]["idle"].clone())
    };
    assert_eq!(of(0), ("127.0.0.1:3001", json!([0, 0])));
    assert_eq!(of(1), ("127.0.0.1:1", json!([null, 2])));
    assert_eq!(endpoints["each"].as_array().unwrap().len(), 2);
}

#[test]
fn many_endpoints_have_no_series_of_their_own_but_count() {
    let mut config = fixture::config();
    let ports: Vec<u16> = (3000..3250).collect();
    config.upstreams = vec![fixture::upstream("app", &ports).into()];
    let snapshot = Snapshot::take(&fixture::registry_of(&config), Host::default());
    let mut history = History::default();
    history.record(&snapshot, 1);
    history.record(&snapshot, 2);
    let endpoints = &read(&history, 0)["endpoints"];
    assert_eq!(endpoints["each"].as_array().unwrap().len(), 200);
    assert_eq!(endpoints["left_out"], 50);
}

#[test]
fn memory_is_what_the_documentation_says() {
    assert_eq!(size_of::<[f32; LISTENER.len()]>(), 32);
    assert_eq!(size_of::<[f32; ENDPOINT.len()]>(), 44);
    let kilobytes = |sample: usize| sample * SAMPLES * SERIES_MAX / 1000;
    assert_eq!(kilobytes(32 + 44), 2_736);
}
