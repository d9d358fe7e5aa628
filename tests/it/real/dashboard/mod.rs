//! The dashboard in Chromium: what it shows is what the proxy says, and it never shows old figures as
//! new ones.

mod alive;
mod fixture;
mod look;

use super::browser::Browser;
use super::process::free_address;
use crate::harness::{Client, Gate, Origin, Running, Setup, millpond};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tempfile::NamedTempFile;

pub(super) fn tests() -> Vec<Trial> {
    let own = crate::trials![
        it_shows_what_stats_says,
        it_shows_the_kernels_view_as_stats_has_it,
        it_is_live_under_load,
        a_lost_connection_is_shown_and_found_again,
        a_process_that_is_stuck_is_a_lost_connection,
        it_asks_for_the_token_and_keeps_it_in_the_tab,
    ];
    own.into_iter().chain(fixture::tests()).chain(look::tests()).chain(alive::tests()).collect()
}

const ENTER: char = '\u{e007}';

/// A page of this server, which has shown its first figures.
pub(super) fn opened(browser: &Browser, admin: SocketAddr) {
    browser.open(&format!("http://{admin}/"));
    browser.wait_for("document.getElementById('connection').textContent === 'live'");
    browser.wait_for("document.querySelectorAll('#tiles .tile').length > 0");
}

/// What one of the figures at the top says.
fn tile(name: &str) -> String {
    format!("#tiles [data-tile='{name}']")
}

/// Nothing but what the server itself gave was loaded, and nothing went wrong.
fn assert_clean(browser: &Browser, admin: SocketAddr) {
    assert_eq!(browser.console(), [""; 0]);
    let loaded = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)");
    let loaded: Vec<&str> = loaded.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let elsewhere = |url: &&&str| !url.starts_with(&format!("http://{admin}/")) && !url.starts_with("data:");
    assert!(loaded.len() > 5, "{loaded:?}");
    assert_eq!(loaded.iter().filter(elsewhere).collect::<Vec<_>>(), [&""; 0]);
}

fn it_shows_what_stats_says() {
    let browser = Browser::start();
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]).workers(2));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(process.address())).collect();
    for client in &mut clients {
        (0..5).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    }
    opened(&browser, process.admin());
    browser.wait_for_text(&tile("Sessions"), |text| text == "3");
    let stats = process.statistics();
    let (listener, endpoint) = (&stats["listeners"][0], &stats["upstreams"][0]["endpoints"][0]);
    assert_eq!(listener["sessions"]["current"], 3);

    let row = |table| rows(&browser, table).swap_remove(0);
    let cells = row("#listener-table");
    assert_eq!(cells[0], format!("web {} http", process.address()));
    assert_eq!((cells[1].as_str(), cells[2].as_str()), ("app", "3"));
    let limit = grouped(listener["accept_queue"]["limit"].as_u64().unwrap());
    assert!(cells[6].starts_with(&format!("0 of {limit}, at most ")), "{cells:?}");
    let cells = row("#endpoint-table");
    assert_eq!((cells[0].as_str(), cells[1].as_str()), (endpoint["address"].as_str().unwrap(), "up"));
    let connections = &endpoint["connections"];
    for (cell, name) in cells[3..7].iter().zip(["leased", "idle", "connecting", "waiting"]) {
        assert_eq!(cell, &connections[name].to_string(), "{name}");
    }
    assert_eq!(browser.text("#version"), stats["version"].as_str().unwrap());
    let budgets = rows(&browser, "#budget-table");
    let expected = stats["budgets"].as_array().unwrap();
    assert_eq!((budgets.len(), expected[0]["name"].as_str()), (expected.len(), Some("connections")));
    for (cells, budget) in budgets.iter().zip(expected) {
        let limit = grouped(budget["limit"].as_u64().unwrap());
        assert_eq!((&cells[0], &cells[3]), (&budget["name"].as_str().unwrap().to_owned(), &limit));
        assert_eq!(cells[6], "ok", "{cells:?}");
    }
    // Budgets are read once a second.
    let pooled = &endpoint["connections"]["idle"].as_u64().unwrap();
    browser.wait_for(&format!(
        "document.querySelector('#budget-table tbody').rows[0].cells[2].textContent.trim() === '{}'",
        3 + pooled
    ));
    assert_eq!(process.statistics()["budgets"][0]["used"], 3 + pooled);
    let somaxconn = stats["kernel"]["somaxconn"].as_u64().unwrap();
    browser.wait_for(&format!(
        "[...document.querySelectorAll('#kernel-table tr')].some(row => row.innerText.includes('somaxconn\\t{}'))",
        grouped(somaxconn)
    ));
    assert_clean(&browser, process.admin());
}

/// The text of each cell of a table, groups left out.
fn rows(browser: &Browser, table: &str) -> Vec<Vec<String>> {
    let rows = browser.run(&format!(
        "return [...document.querySelectorAll('{table} tbody tr:not(.group)')]
            .map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    ));
    serde_json::from_value(rows).expect("texts")
}

/// A client that has closed its sending half, and two that have not.
fn it_shows_the_kernels_view_as_stats_has_it() {
    let browser = Browser::start();
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_| wait.wait());
    let setup = Setup::tcp([origin.address()]).runtime("census_interval = \"500ms\"");
    let process = Running::start(&setup);
    let clients: Vec<Client> = (0..3).map(|_| Client::connect(process.address())).collect();
    clients[0].half_close();
    opened(&browser, process.admin());
    browser.wait_for("document.querySelectorAll('#close-wait-table tbody tr').length === 1");

    let stats = process.statistics();
    let cells = rows(&browser, "#close-wait-table").swap_remove(0);
    let stuck = &stats["close_wait"]["sockets"][0];
    assert_eq!(stuck["peer"].as_str().unwrap(), clients[0].address().to_string());
    for (cell, name) in cells[1..].iter().zip(["side", "name", "phase", "local", "peer"]) {
        assert_eq!(*cell, stuck[name].as_str().unwrap_or_else(|| panic!("{name} of {stuck}")), "{name}");
    }
    // "500 ms" at first, then "1.5 s".
    let (number, unit) = cells[0].split_once(' ').unwrap_or_else(|| panic!("{cells:?}"));
    let shown = number.parse::<f64>().unwrap() / if unit == "ms" { 1000.0 } else { 1.0 };
    let age = stuck["age_s"].as_f64().unwrap();
    assert!((shown - age).abs() < 5.0, "{cells:?}, and {age} s");
    assert!(browser.text("#close-wait-summary").starts_with("1 connection, the oldest for "));

    let all = [&stats["listeners"][0]["tcp_states"], &stats["upstreams"][0]["endpoints"][0]["tcp_states"]];
    let drawn = [
        ("LISTEN", "listen", 1),
        ("SYN-SENT", "syn_sent", 0),
        ("SYN-RECEIVED", "syn_recv", 0),
        ("ESTABLISHED", "established", 4),
        ("FIN-WAIT-1", "fin_wait1", 0),
        ("FIN-WAIT-2", "fin_wait2", 1),
        ("CLOSING", "closing", 0),
        ("TIME-WAIT", "time_wait", 0),
        ("CLOSE-WAIT", "close_wait", 1),
        ("LAST-ACK", "last_ack", 0),
    ];
    for (title, state, count) in drawn {
        let told: u64 = all.iter().filter_map(|states| states[state].as_u64()).sum();
        assert_eq!(told, count, "{state} of {all:?}");
        browser.wait_for(&format!(
            "[...document.querySelectorAll('#machine .state')].some(box => {{
                const [title, count] = [...box.querySelectorAll('text')].map(one => one.textContent);
                return title === '{title}' && count === '{count}';
            }})"
        ));
    }
    assert_clean(&browser, process.admin());
    gate.open();
}

/// As people write it in English.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let from_the_end = |at: usize| digits.len() - at;
    let comma = |at: usize| if at > 0 && from_the_end(at).is_multiple_of(3) { "," } else { "" };
    digits.chars().enumerate().map(|(at, digit)| format!("{}{digit}", comma(at))).collect()
}

fn it_is_live_under_load() {
    let browser = Browser::start();
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    opened(&browser, process.admin());
    assert_eq!(browser.text(&tile("Sessions")), "0");
    let (stop, address) = (AtomicBool::new(false), process.address());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(address);
            while !stop.load(Relaxed) {
                assert_eq!(client.get("/").text(), "ok");
            }
        });
        browser.wait_for_text(&tile("Sessions"), |text| text == "1");
        let many = |text: &str| text.replace(',', "").parse::<f64>().is_ok_and(|rate| rate > 10.0);
        browser.wait_for_text(&tile("Requests /s"), many);
        browser.wait_for_text(&tile("Reuse"), |text| text.starts_with("99."));
        // The history is a second line to the server: it has samples, and grows.
        browser.wait_for("document.querySelector('#charts path.line')?.getAttribute('d')?.includes('L')");
        stop.store(true, Relaxed);
    });
    browser.wait_for_text(&tile("Sessions"), |text| text == "0");
    assert_clean(&browser, process.admin());
}

fn proxy_at(admin: SocketAddr, origin: &Origin) -> Running {
    let mut command = millpond();
    command.env("MILLPOND_ADMIN_LISTEN", admin.to_string());
    let upstream = origin.address().to_string();
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &upstream]);
    Running::of(command)
}

fn a_lost_connection_is_shown_and_found_again() {
    let browser = Browser::start();
    let origin = Origin::saying("ok");
    let admin = free_address();
    let process = proxy_at(admin, &origin);
    opened(&browser, admin);
    assert_eq!(browser.text("#banner"), "");
    assert_eq!(browser.console(), [""; 0]);

    // Killed.
    drop(process);
    browser.wait_for_text("#banner-text", |text| text.starts_with("The connection to millpond was lost at "));
    assert_eq!(browser.text("#connection"), "no connection");
    browser.wait_for("getComputedStyle(document.querySelector('main')).filter === 'grayscale(1)'");
    browser.wait_for_text("#banner-since", |text| text.contains("old.") && text.contains("Next try in"));
    assert_ne!(browser.text(&tile("Sessions")), "", "the last figures stay");

    let mut process = proxy_at(admin, &origin);
    browser.wait_for("document.getElementById('connection').textContent === 'live'");
    browser.wait_for("getComputedStyle(document.querySelector('main')).filter === 'none'");
    assert_eq!(browser.text("#banner"), "");

    // Ended.
    process.signal(Signal::TERM);
    process.wait();
    browser.wait_for_text("#banner-text", |text| text.starts_with("millpond ended at "));
    browser.wait_for_text("#banner-since", |text| text.contains("Next try in 2 seconds"));
    assert!(browser.text("#banner-text").starts_with("millpond ended at "), "also when nobody answers");

    let _process = proxy_at(admin, &origin);
    browser.run("document.getElementById('retry').click()");
    browser.wait_for("document.getElementById('connection').textContent === 'live'");
    let others: Vec<_> = browser.console().into_iter().filter(|line| !line.contains("net::ERR_")).collect();
    assert_eq!(others, [""; 0], "beside the connections that failed");
}

fn a_process_that_is_stuck_is_a_lost_connection() {
    let browser = Browser::start();
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    opened(&browser, process.admin());
    process.signal(Signal::STOP);
    browser.wait_for_text("#banner-text", |text| text.starts_with("The connection to millpond was lost"));
    process.signal(Signal::CONT);
    browser.wait_for("document.getElementById('connection').textContent === 'live'");
}

fn it_asks_for_the_token_and_keeps_it_in_the_tab() {
    let browser = Browser::start();
    const TOKEN: &str = "s3cret-of-this-test";
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "{TOKEN}").unwrap();
    let origin = Origin::saying("ok");
    let mut command = millpond();
    command.env("MILLPOND_ADMIN_TOKEN_FILE", file.path());
    let upstream = origin.address().to_string();
    command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &upstream]);
    let process = Running::of(command);
    browser.open(&format!("http://{}/", process.admin()));
    browser.wait_for("document.activeElement.id === 'token'");
    assert!(!browser.text("body").contains("127.0.0.1"), "no figures yet");

    browser.write("not-the-token-of-it");
    browser.press(ENTER);
    browser.wait_for_text("#token-problem", |text| text == "That is not the token of this server.");
    browser.write(TOKEN);
    browser.press(ENTER);
    browser.wait_for("document.getElementById('connection').textContent === 'live'");
    browser.wait_for("!document.getElementById('token-dialog').open");
    browser.wait_for("document.querySelector('#charts path.line')?.getAttribute('d')");
    let kept =
        "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie, location.href]";
    let url = format!("http://{}/", process.admin());
    assert_eq!(browser.run(kept), serde_json::json!([[TOKEN], [], "", url]));

    opened(&browser, process.admin());
    let refused = |line: &String| !line.contains("401");
    assert_eq!(browser.console().into_iter().filter(refused).collect::<Vec<_>>(), [""; 0]);
}
