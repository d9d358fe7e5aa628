//! The page in front of a server of the test's own, which says what no proxy says on demand.

use super::Browser;
use crate::harness::{Conn, Origin, Setup};
use libtest_mimic::Trial;
use millpond::metrics::host::Host;
use millpond::observe::snapshot::Snapshot;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        what_is_wrong_stands_at_the_top,
        every_state_has_its_count,
        what_is_not_known_is_not_0,
        no_text_becomes_markup,
        two_hundred_endpoints_are_found_and_ordered,
    ]
}

/// Serves the page's files, and one snapshot again and again.
pub(super) struct Stub {
    origin: Origin,
    snapshot: Arc<Mutex<Value>>,
}

/// What grows in a snapshot, in so many seconds.
type Growth = fn(&mut Value, f64);

impl Stub {
    pub(super) fn start(snapshot: Value) -> Self {
        Self::growing(snapshot, |_, _| {}, NO_HISTORY.to_owned())
    }

    /// The same with a past, and with a present in which something happens.
    pub(super) fn growing(snapshot: Value, growth: Growth, history: String) -> Self {
        let snapshot = Arc::new(Mutex::new(snapshot));
        let shown = Arc::clone(&snapshot);
        let origin = Origin::start(move |conn| {
            while let Some(request) = conn.request() {
                let path = request.start.split(' ').nth(1).expect("a target").to_owned();
                if path == "/events" {
                    return stream(conn, &shown, growth);
                }
                conn.send(answer(&path, &history));
            }
        });
        Self { origin, snapshot }
    }

    /// What it says from now on.
    pub(super) fn say(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.snapshot.lock().unwrap());
    }

    pub(super) fn open(&self, browser: &Browser) {
        super::opened(browser, self.origin.address());
    }
}

fn answer(path: &str, history: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard");
    let file = path.strip_prefix("/dashboard/").unwrap_or("index.html");
    let (kind, body) = match path {
        "/history" => ("application/json", history.to_owned()),
        path if path.starts_with("/history?") => ("application/json", NO_HISTORY.to_owned()),
        _ if file.ends_with(".css") => ("text/css", read(&directory, file)),
        _ if file.ends_with(".js") => ("text/javascript", read(&directory, file)),
        _ => ("text/html", read(&directory, file)),
    };
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn read(directory: &Path, file: &str) -> String {
    std::fs::read_to_string(directory.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

const NO_HISTORY: &str = r#"{"interval_s":5,"kept_s":900,"times_ms":[],
    "listeners":{"total":{},"each":[],"left_out":0},"endpoints":{"total":{},"each":[],"left_out":0}}"#;

/// A snapshot every 200 ms, until the browser leaves. Its clock is its own.
fn stream(conn: &mut Conn, shown: &Mutex<Value>, growth: Growth) {
    conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 2000\n\n");
    let browser = conn.sender();
    for tick in 0..600 {
        let mut snapshot = shown.lock().unwrap().clone();
        snapshot["uptime_s"] = json!(100_000.0 + f64::from(tick));
        growth(&mut snapshot, f64::from(tick));
        let event = format!("id: {tick}\nevent: snapshot\ndata: {snapshot}\n\n");
        if (&*browser).write_all(event.as_bytes()).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// What a proxy with nothing to do says, with this many endpoints.
pub(super) fn calm(endpoints: u16) -> Value {
    let addresses = (0..endpoints).map(|at| ([192, 0, 2, (at / 100) as u8 + 1], 3000 + at).into());
    let proxy = Setup::http(addresses).start();
    let mut snapshot = serde_json::to_value(Snapshot::take(proxy.registry(), Host::default())).unwrap();
    snapshot["notes"] = json!([]);
    snapshot["close_wait"] = json!({ "count": 0, "oldest_s": 0.0, "reaped_total": 0, "sockets": [] });
    snapshot["listeners"][0]["accept_queue"] =
        json!({ "depth": 0, "limit": 4096, "depth_max": 7, "drops_total": 3, "sockets": [] });
    snapshot["listeners"][0]["tcp_states"] = json!({ "established": 3 });
    for at in 0..endpoints.into() {
        let endpoint = &mut snapshot["upstreams"][0]["endpoints"][at];
        endpoint["tcp_states"] = json!({ "established": 2, "time_wait": 1 });
        endpoint["ports"] = json!([{
            "source": "192.0.2.200", "capacity": 28232, "used": 2, "time_wait": 1, "free": 28229,
            "opens_per_s": 0.1, "exhausts_in_s": null, "level": "ok"
        }]);
    }
    snapshot
}

fn what_is_wrong_stands_at_the_top() {
    let browser = Browser::start();
    let stub = Stub::start(calm(3));
    stub.open(&browser);
    browser.wait_for_text("#attention-none", |text| text == "✓ Nothing needs attention.");
    assert_eq!(browser.run("return document.title"), "millpond");
    stub.say(|snapshot| {
        snapshot["upstreams"][0]["endpoints"][1]["health"] = json!("down");
        let ports = &mut snapshot["upstreams"][0]["endpoints"][2]["ports"][0];
        ports["level"] = json!("refuse");
        ports["free"] = json!(2100);
        ports["exhausts_in_s"] = json!(65.0);
        snapshot["close_wait"] = json!({ "count": 7, "oldest_s": 184.0, "reaped_total": 0, "sockets": [{
            "side": "client", "name": "web", "local": "192.0.2.200:8080", "peer": "198.51.100.7:51000",
            "phase": "exchange", "age_s": 184.0
        }] });
        snapshot["listeners"][0]["accept_queue"]["depth"] = json!(4000);
        snapshot["listeners"][0]["rejects"]["pool_timeout"] = json!(12);
        snapshot["kernel"]["listen_overflows"] = json!(5);
        snapshot["draining"] = json!(true);
    });
    browser.wait_for("document.querySelectorAll('#attention-list li').length === 6");
    // What it counts from has to be there once, and to grow.
    stub.say(|snapshot| snapshot["kernel"]["listen_overflows"] = json!(9));
    browser.wait_for("document.querySelectorAll('#attention-list li').length === 7");
    let list = browser
        .run("return [...document.querySelectorAll('#attention-list li')].map(item => item.innerText)");
    let list: Vec<&str> = list.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let beginnings = [
        ("act", "Source ports are nearly gone", "2,100 of 28,232 free"),
        (
            "act",
            "Connections are in CLOSE_WAIT",
            "7 connections whose peer has closed, the oldest for 3 min 4 s; of web",
        ),
        ("act", "Accept queues overflow on this host", "4 connections did not fit"),
        ("act", "An accept queue is filling", "4,000 of 4,096"),
        ("watch", "This instance is draining", "0 sessions left"),
        ("watch", "An endpoint is down", "192.0.2.1:3001 of app"),
        ("watch", "Requests are refused", "pool_timeout 12"),
    ];
    for (item, (severity, title, detail)) in list.iter().zip(beginnings) {
        assert!(
            item.contains(severity) && item.contains(title) && item.contains(detail),
            "{item:?}: {title}"
        );
    }
    assert_eq!(browser.run("return document.title"), "(4!) millpond");
    let said = browser.text("#announcement");
    assert!(
        said.starts_with("Act: Source ports are nearly gone") && said.contains("An endpoint is down"),
        "{said}"
    );
    assert!(browser.text("#close-wait-table").contains("198.51.100.7:51000"));
    assert!(browser.text("#port-table tbody tr").contains("1 min 5 s"), "the worst comes first");
    browser.run("document.querySelector('#attention-list li a').click()");
    assert_eq!(browser.run("return document.getElementById('subject').value"), "e app 192.0.2.1:3002");

    // A listener that is known to drop is named instead of the host.
    stub.say(|snapshot| {
        let queue = &mut snapshot["listeners"][0]["accept_queue"];
        (queue["depth_max"], queue["drops_total"]) = (json!(4097), json!(15));
    });
    browser.wait_for_text("#attention-list", |text| text.contains("A listener turns clients away"));
    let list = browser.text("#attention-list");
    for part in ["12 connections dropped", "4,000 wait in a queue of 4,096, and 4,097 did at most"] {
        assert!(list.contains(part), "{list:?}: {part}");
    }
    for other in ["Accept queues overflow", "An accept queue is filling"] {
        assert!(!list.contains(other), "{list:?}: {other}");
    }

    stub.say(|snapshot| *snapshot = calm(3));
    browser.wait_for_text("#attention-none", |text| text == "✓ Nothing needs attention.");
}

fn every_state_has_its_count() {
    let browser = Browser::start();
    let mut snapshot = calm(1);
    let states =
        ["listen", "syn_sent", "syn_recv", "established", "fin_wait1", "fin_wait2", "closing", "time_wait"];
    for (at, state) in states.into_iter().chain(["close_wait", "last_ack"]).enumerate() {
        snapshot["listeners"][0]["tcp_states"][state] = json!(1000 * (at + 1));
    }
    let stub = Stub::start(snapshot);
    stub.open(&browser);
    let drawn = browser.run(
        "return [...document.querySelectorAll('#machine .state')].map(box => [...box.querySelectorAll('text')].map(one => one.textContent))",
    );
    let both = |name: &str, count: &str, mark: &str| json!([name, count, mark]);
    assert_eq!(
        drawn,
        json!([
            both("LISTEN", "1,000", ""),
            both("SYN-SENT", "2,000", ""),
            both("SYN-RECEIVED", "3,000", ""),
            both("ESTABLISHED", "4,002", ""),
            both("FIN-WAIT-1", "5,000", ""),
            both("FIN-WAIT-2", "6,000", ""),
            both("CLOSING", "7,000", ""),
            both("TIME-WAIT", "8,001", ""),
            both("CLOSE-WAIT", "9,000", "◆"),
            both("LAST-ACK", "10,000", ""),
            both("CLOSED", "", ""),
            both("CLOSED", "", ""),
        ])
    );
    let table = browser.text("#state-table");
    assert!(
        table.contains("ESTABLISHED\t4,002\topen") && table.contains("CLOSE-WAIT\t9,000\tact"),
        "{table:?}"
    );
    browser.run(
        "const select = document.getElementById('subject'); select.value = 'e app 192.0.2.1:3000'; \
         select.dispatchEvent(new Event('change'))",
    );
    browser.wait_for("document.querySelectorAll('#machine .state .count')[3].textContent === '2'");
    assert_eq!(browser.text("#subject-name"), "endpoint 192.0.2.1:3000 of app");
}

fn what_is_not_known_is_not_0() {
    let browser = Browser::start();
    let mut snapshot = calm(1);
    snapshot["close_wait"] = Value::Null;
    snapshot["listeners"][0]["tcp_states"] = Value::Null;
    snapshot["listeners"][0]["accept_queue"]["depth"] = Value::Null;
    snapshot["upstreams"][0]["endpoints"][0]["tcp_states"] = Value::Null;
    snapshot["upstreams"][0]["endpoints"][0]["ports"] = Value::Null;
    snapshot["notes"] = json!(["the kernel did not answer"]);
    let stub = Stub::start(snapshot);
    stub.open(&browser);
    browser.wait_for_text("#note-list", |text| text == "the kernel did not answer");
    for name in ["Ports free", "TIME_WAIT", "CLOSE_WAIT", "Accept queues"] {
        assert_eq!(browser.text(&super::tile(name)), "–", "{name}");
    }
    assert_eq!(
        browser.run(
            "return [...document.querySelectorAll('#machine .count')].map(one => one.textContent).join('')"
        ),
        "–".repeat(10)
    );
    let all = "Nothing that is known needs attention. Not known: source ports, CLOSE_WAIT, accept queues.";
    assert_eq!(browser.text("#attention-none"), format!("✓ {all}"));
    assert!(browser.text("#close-wait-summary").contains("Not known"));
    assert!(browser.text("#port-rest").contains("Not known"));
    assert!(
        browser.text("#listener-table").contains("– of 4,096, at most"),
        "{}",
        browser.text("#listener-table")
    );
}

fn no_text_becomes_markup() {
    let browser = Browser::start();
    let markup = "<img src=x onerror=alert(1)><b>bold</b>";
    let mut snapshot = calm(1);
    snapshot["version"] = json!(markup);
    snapshot["notes"] = json!([markup]);
    snapshot["listeners"][0]["name"] = json!(markup);
    snapshot["listeners"][0]["upstream"] = json!(markup);
    snapshot["upstreams"][0]["name"] = json!(markup);
    snapshot["upstreams"][0]["endpoints"][0]["address"] = json!(markup);
    snapshot["upstreams"][0]["endpoints"][0]["health"] = json!("down");
    snapshot["budgets"] = json!([{
        "name": markup, "used": 1, "limit": 2, "per_s": 0.0, "exhausts_in_s": null, "level": "critical"
    }]);
    snapshot["close_wait"] = json!({ "count": 1, "oldest_s": 1.0, "reaped_total": 0, "sockets": [{
        "side": markup, "name": markup, "local": markup, "peer": markup, "phase": markup, "age_s": 1.0
    }] });
    let stub = Stub::start(snapshot);
    stub.open(&browser);
    browser.wait_for_text("#note-list", |text| text == markup);
    assert_eq!(browser.run("return document.querySelectorAll('img, b').length"), 0);
    for id in ["version", "attention", "listener-table", "endpoint-table", "close-wait-table", "budget-table"]
    {
        assert!(browser.text(&format!("#{id}")).contains("<b>bold</b>"), "{id}");
    }
    assert_eq!(browser.console(), [""; 0]);
}

fn two_hundred_endpoints_are_found_and_ordered() {
    let browser = Browser::start();
    let mut snapshot = calm(200);
    snapshot["upstreams"][0]["endpoints"][150]["health"] = json!("down");
    let stub = Stub::start(snapshot);
    stub.open(&browser);
    let rows = "document.querySelectorAll('#endpoint-table tbody tr:not(.group)')";
    browser.wait_for(&format!("{rows}.length === 200"));
    browser.run("const order = document.getElementById('order'); order.value = 'worst'; order.dispatchEvent(new Event('change'))");
    assert!(browser.text("#endpoint-table tbody tr:not(.group)").starts_with("192.0.2.2:3150"));
    assert!(browser.text("#endpoint-table tr.group").contains("199 of 200 up"));
    browser.run("document.getElementById('filter').focus()");
    browser.write(":3019");
    browser.wait_for(&format!("{rows}.length === 1"));
    assert_eq!(browser.text("#endpoint-count"), "1 of 200");
    assert!(browser.text("#port-rest").contains("And 150 more"));
    // The script's share of a second in which there is a snapshot: far below it.
    let took = browser.run(
        "const began = performance.now(); \
         for (let n = 0; n < 10; n += 1) document.getElementById('filter').dispatchEvent(new Event('input')); \
         return (performance.now() - began) / 10",
    );
    assert!(took.as_f64().is_some_and(|ms| ms < 200.0), "{took} ms to show a snapshot");
}
