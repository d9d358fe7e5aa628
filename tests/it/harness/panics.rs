//! Panics of the proxy's own threads: its runtime would keep them from the test.

use std::panic;
use std::sync::Mutex;
use std::thread;

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The message of a panic that a test has asked for.
pub(crate) const ON_PURPOSE: &str = "a test has asked for this";

/// Remembers panics of the proxy's threads from now on.
pub(crate) fn watch() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = thread::current();
        let name = thread.name().unwrap_or_default();
        if info.payload().downcast_ref::<&str>() == Some(&ON_PURPOSE) {
            return;
        }
        if name.starts_with("worker-") || ["control", "census"].contains(&name) {
            SEEN.lock().unwrap().push(format!("{name}: {info}"));
        }
        before(info);
    }));
}

/// What has panicked so far, in whichever proxy of this process.
pub(crate) fn seen() -> Vec<String> {
    SEEN.lock().unwrap().clone()
}
