//! Requests to the admin server: every answer can be read in one way, and nothing but a POST for this host
//! changes anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::admin::{AdminState, ReloadError, UpgradeError, serve_connection};
use millpond::budget::Budget;
use millpond::command::Crew;
use millpond::config::load::parse_str;
use millpond::registry::{Leaving, Registry, Running};
use millpond_fuzz::judge::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

const CONFIG: &str = "[[listener]]\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n[[upstream]]\nname = \"app\"\n\
    endpoints = [\"127.0.0.1:3000\"]\n";

/// What was called that changes something.
static CHANGES: AtomicUsize = AtomicUsize::new(0);
static STATE: LazyLock<Arc<AdminState>> = LazyLock::new(state);

fuzz_target!(|input: &[u8]| {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let before = CHANGES.load(Relaxed);
    let answers = RUNTIME.with(|runtime| runtime.block_on(ask(input)));
    let has_post = input.windows(5).any(|part| part == b"POST ");
    assert!(has_post || CHANGES.load(Relaxed) == before, "changed without a POST");
    // HEAD makes it unknown where an answer ends; answers to one request are read to their end.
    let is_one = input.windows(4).filter(|part| part == b"\r\n\r\n").count() <= 1;
    let has_head = input.windows(5).any(|part| part.eq_ignore_ascii_case(b"HEAD "));
    if is_one && !has_head && answers.len() > 8 {
        // To HTTP/1.0, hyper answers with its own version.
        let answers = [b"HTTP/1.1", answers.strip_prefix(b"HTTP/1.0").unwrap_or(&answers[8..])].concat();
        let read = judge::response(&answers, b"GET", true)
            .unwrap_or_else(|wrong| panic!("{wrong}: {}", answers.escape_ascii()));
        if let Read::Whole(answer) = read {
            assert!(answer.line.len() > 12, "{}", answers.escape_ascii());
        }
    }
});

/// Sends all of it, then FIN; returns what comes back.
async fn ask(input: &[u8]) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let (mut answers, state) = (Vec::new(), Arc::clone(&STATE));
    let talk = async {
        // A server that has refused what came before reads no more.
        let _ = client.write_all(input).await;
        let _ = client.shutdown().await;
        let _ = client.read_to_end(&mut answers).await;
    };
    tokio::join!(serve_connection(server, state), talk);
    answers
}

fn state() -> Arc<AdminState> {
    let loaded = parse_str("fuzz.toml", CONFIG).unwrap_or_else(|problems| panic!("{problems}"));
    let running = Running {
        generation: 1,
        loaded_at: SystemTime::now(),
        config: Arc::new(loaded.config),
        listeners: Vec::new(),
        upstreams: Vec::new(),
        leaving: Leaving::default(),
        needs_restart: Vec::new(),
    };
    let changed = || CHANGES.fetch_add(1, Relaxed);
    Arc::new(AdminState {
        registry: Arc::new(Registry::new(running, Arc::new(Budget::new(1000, 10)))),
        workers: Crew::default(),
        access_log: None,
        drain: Box::new(move || {
            changed();
        }),
        reload: Box::new(move || {
            changed();
            Err(ReloadError::NoFile)
        }),
        upgrade: Box::new(move || {
            changed();
            Err(UpgradeError::NoProgram)
        }),
    })
}
