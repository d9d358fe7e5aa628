//! Chromium without a window, driven over WebDriver (https://www.w3.org/TR/webdriver2/), which is HTTP
//! and JSON.

use super::process::{Server, free_address};
use super::program::{CHROMEDRIVER, CHROMIUM};
use crate::harness::{Client, within};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// For one command: to start a browser takes a while on a busy machine.
const COMMAND: Duration = Duration::from_secs(60);
/// For something that is to appear on a page.
const APPEARS: Duration = Duration::from_secs(30);

/// A browser takes more than a test's share of the machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A browser with one page, and a profile of its own that is thrown away.
#[derive(Debug)]
pub(super) struct Browser {
    driver: SocketAddr,
    session: String,
    // Dropped before its directory.
    _server: Server,
    _directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts it, with the page 1,280 pixels wide.
    #[track_caller]
    pub(super) fn start() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = TempDir::new().expect("a temporary directory");
        let driver = free_address();
        let mut command = CHROMEDRIVER.command();
        command.arg(format!("--port={}", driver.port()));
        let mut server = Server::spawn(directory.path(), &mut command);
        server.wait_until_it_accepts(driver);
        let options = json!({
            "binary": CHROMIUM.command().get_program().to_str().expect("a path in UTF-8"),
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--lang=en-GB", "--window-size=1280,1000",
                format!("--user-data-dir={}", directory.path().join("profile").display()),
            ],
        });
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let asked = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let session = call(driver, "POST", "/session", &asked);
        let session = session["sessionId"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        Self { driver, session, _server: server, _directory: directory, _turn: turn }
    }

    #[track_caller]
    pub(super) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What a piece of JavaScript returns.
    #[track_caller]
    pub(super) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of the first element that this CSS selector finds; empty, if there is none or it is
    /// not shown.
    #[track_caller]
    pub(super) fn text(&self, selector: &str) -> String {
        let script = format!(
            "const found = document.querySelector({}); \
             return found?.checkVisibility({{ visibilityProperty: true }}) ? found.innerText : ''",
            json!(selector)
        );
        let found = self.run(&script);
        found.as_str().expect("a text").trim().to_owned()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(super) fn wait_for(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        within(APPEARS, expression, || self.run(&script) == true);
    }

    /// Waits until the text of an element satisfies a condition.
    #[track_caller]
    pub(super) fn wait_for_text(&self, selector: &str, holds: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let what = format!("the text of {selector}");
        within(APPEARS, &what, || {
            last = self.text(selector);
            holds(&last)
        });
    }

    /// Presses and releases a key: a character, or one of WebDriver's numbers for others.
    #[track_caller]
    pub(super) fn press(&self, key: char) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    /// Writes into the element that has the focus.
    #[track_caller]
    pub(super) fn write(&self, text: &str) {
        text.chars().for_each(|key| self.press(key));
    }

    /// A page that prefers dark or light.
    #[track_caller]
    pub(super) fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": [feature] } });
        self.post("/goog/cdp/execute", &command);
    }

    /// What is seen of the page, as PNG.
    #[track_caller]
    pub(super) fn picture(&self) -> Vec<u8> {
        let picture =
            call(self.driver, "GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        from_base64(picture.as_str().expect("a text"))
    }

    /// The inside of the window, in pixels.
    #[track_caller]
    pub(super) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.post("/goog/cdp/execute", &command);
    }

    /// What was written to the console since the last time, and by whom.
    #[track_caller]
    pub(super) fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list").iter();
        entries.map(|entry| format!("{} {}", entry["source"], entry["message"])).collect()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        call(self.driver, "POST", &format!("/session/{}{path}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Otherwise the browser outlives its driver. A test that panics may have lost it already.
        if !std::thread::panicking() {
            call(self.driver, "DELETE", &format!("/session/{}", self.session), &Value::Null);
            return;
        }
        let end = || call(self.driver, "DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
    }
}

/// One command, and its value.
#[track_caller]
fn call(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let mut client = Client::connect(driver);
    client.stream().set_read_timeout(Some(COMMAND)).expect("not zero");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    ));
    let answer = client.response();
    let mut value: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    assert_eq!(answer.status(), 200, "{method} {path} {body}: {value}");
    value["value"].take()
}

/// RFC 4648 section 4.
fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).expect("base64") as u32;
    let digits: Vec<u32> = text.trim_end_matches('=').as_bytes().iter().map(digit).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | four.get(at).copied().unwrap_or(0));
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    bytes.collect()
}
