//! What is on the screen, picture by picture, and what keys do.

mod keys;
mod pictures;
mod style;

use super::app::{App, Event};
use super::theme::Theme;
use super::view::view;
use crate::metrics::host::Host;
use crate::observe::fixture;
use crate::observe::snapshot::{
    AcceptQueue, Budget, CloseWait, CloseWaitSocket, Endpoint, Ports, Snapshot, TcpStates,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::{Duration, SystemTime};

/// When the first answer came.
pub(super) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// So many seconds after it.
fn at(seconds: u64) -> SystemTime {
    start() + Duration::from_secs(seconds)
}

pub(super) fn states(counts: &[(&str, u64)]) -> TcpStates {
    counts.iter().map(|(state, n)| ((*state).to_owned(), *n)).collect()
}

/// An instance that measures nothing of the kernel's.
pub(super) fn unmeasured() -> Snapshot {
    let mut snapshot = Snapshot::take(&fixture::registry(), Host::default());
    snapshot.version = "1.2.3".into();
    snapshot.uptime_s = 7_380.5;
    snapshot.process.fds.limit = 20_000;
    snapshot.process.fds.used = None;
    snapshot.process.memory_bytes = None;
    for listener in &mut snapshot.listeners {
        (listener.tcp_states, listener.accept_queue) = (
            None,
            AcceptQueue { depth: None, limit: 1024, depth_max: None, drops_total: None, sockets: vec![] },
        );
    }
    for endpoint in snapshot.upstreams.iter_mut().flat_map(|upstream| &mut upstream.endpoints) {
        (endpoint.tcp_states, endpoint.ports) = (None, None);
    }
    (snapshot.close_wait, snapshot.census, snapshot.budgets) = (None, None, Vec::new());
    snapshot.notes = vec!["tcp_states, ports, close_wait: sock_diag: Operation not permitted".into()];
    snapshot
}

fn ports(source: &str, free: u64, level: &str) -> Ports {
    Ports {
        source: source.into(),
        capacity: 28_232,
        used: 3,
        time_wait: 28_232 - 3 - free,
        free,
        opens_per_s: 2.0,
        exhausts_in_s: None,
        level: level.into(),
    }
}

fn budget(name: &str, used: u64, limit: u64, level: &str) -> Budget {
    let (used, limit) = (Some(used), Some(limit));
    Budget { name: name.into(), used, limit, per_s: Some(0.0), exhausts_in_s: None, level: level.into() }
}

/// One in which everything is measured and nothing is wrong.
pub(super) fn healthy() -> Snapshot {
    let mut snapshot = unmeasured();
    snapshot.process.fds.used = Some(1_041);
    snapshot.process.memory_bytes = Some(12 << 20);
    for listener in &mut snapshot.listeners {
        listener.tcp_states = Some(states(&[("established", 3), ("close_wait", 0), ("time_wait", 1)]));
        (listener.accept_queue.depth, listener.accept_queue.depth_max) = (Some(0), Some(7));
    }
    for endpoint in &mut snapshot.upstreams[0].endpoints {
        endpoint.tcp_states = Some(states(&[("established", 3), ("time_wait", 0), ("close_wait", 0)]));
        endpoint.ports = Some(vec![ports("127.0.0.1", 28_229, "ok")]);
    }
    snapshot.close_wait =
        Some(CloseWait { count: Some(0), oldest_s: Some(0.0), reaped_total: 0, sockets: Vec::new() });
    snapshot.budgets =
        vec![budget("descriptors", 1_041, 20_000, "ok"), budget("conntrack", 250, 262_144, "ok")];
    snapshot.notes.clear();
    snapshot
}

/// The same one second later, busy.
pub(super) fn a_second_later(mut snapshot: Snapshot) -> Snapshot {
    snapshot.uptime_s += 1.0;
    snapshot.listeners[0].requests_total += 1_234;
    snapshot.listeners[1].requests_total += 3;
    let endpoint = &mut snapshot.upstreams[0].endpoints[0];
    endpoint.opened_total += 2;
    endpoint.reused_total += 1_235;
    snapshot
}

/// Three endpoints more, as they are at three in the morning.
pub(super) fn in_trouble() -> Snapshot {
    let mut snapshot = healthy();
    let listener = &mut snapshot.listeners[0];
    (listener.accept_queue.depth, listener.accept_queue.depth_max) = (Some(1_025), Some(1_025));
    listener.accept_queue.drops_total = Some(7);
    listener.tcp_states = Some(states(&[("established", 1_800), ("close_wait", 2), ("syn_recv", 90)]));
    let queue = &mut snapshot.listeners[2].accept_queue;
    (queue.depth, queue.depth_max) = (Some(800), Some(901));

    let endpoints = &mut snapshot.upstreams[0].endpoints;
    endpoints.push(Endpoint { address: "192.0.2.30:3000".into(), ..endpoints[1].clone() });
    endpoints[0].ports = Some(vec![
        ports("192.0.2.1", 28_000, "ok"),
        Ports { exhausts_in_s: Some(0.0), opens_per_s: 470.5, ..ports("192.0.2.2", 4_000, "refuse") },
    ]);
    endpoints[0].tcp_states = Some(states(&[("established", 3), ("time_wait", 24_000), ("close_wait", 1)]));
    endpoints[0].connections.waiting = 1_024;
    endpoints[1].health = "down".into();
    endpoints[2].ports =
        Some(vec![Ports { exhausts_in_s: Some(200.0), ..ports("192.0.2.1", 10_000, "warn") }]);

    let socket = |name: &str, phase: Option<&str>, age_s, port| CloseWaitSocket {
        side: if name == "web" { "client" } else { "upstream" }.into(),
        name: name.into(),
        local: format!("127.0.0.1:{port}"),
        peer: "192.0.2.77:40000".into(),
        phase: phase.map(Into::into),
        age_s,
    };
    let sockets = vec![
        socket("web", Some("exchange"), 200.0, 8080),
        socket("app", None, 61.5, 41_000),
        socket("web", Some("waiting"), 0.4, 8080),
    ];
    snapshot.close_wait = Some(CloseWait { count: Some(3), oldest_s: Some(200.0), reaped_total: 2, sockets });
    snapshot.budgets[1] =
        Budget { exhausts_in_s: Some(95.0), ..budget("conntrack", 250_000, 262_144, "critical") };
    snapshot
}

/// And a second later, in which things have gone on going wrong.
pub(super) fn in_trouble_later() -> Snapshot {
    let mut snapshot = a_second_later(in_trouble());
    let rejects = &mut snapshot.listeners[0].rejects;
    *rejects.entry("pool_queue_full".into()).or_default() += 40;
    *rejects.entry("source_ports".into()).or_default() += 4;
    snapshot.listeners[0].accept_queue.drops_total = Some(19);
    snapshot.upstreams[0].endpoints[1].connect_errors_total += 3;
    snapshot.upstreams[0].endpoints[0].local_errors_total += 4;
    snapshot.upstreams[0].endpoints[0].retries_total += 1;
    snapshot
}

/// A view that has had these answers, a second apart.
pub(super) fn app(answers: impl IntoIterator<Item = Snapshot>) -> App {
    let mut answers = answers.into_iter();
    let first = answers.next().expect("an answer");
    let target = "127.0.0.1:9900".to_owned();
    let mut app = App::new(target, first, Duration::from_secs(1), Theme::new(true), start());
    for (second, answer) in (1..).zip(answers) {
        app.update(Event::Answer(Box::new(answer)), at(second));
    }
    app
}

/// Presses keys: a letter each, and words for the others.
fn press(app: &mut App, keys: &str) {
    for key in keys.split(' ') {
        let (code, modifiers) = match key {
            "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
            "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
            "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
            "BackTab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
            "Up" => (KeyCode::Up, KeyModifiers::NONE),
            "Down" => (KeyCode::Down, KeyModifiers::NONE),
            "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
            "PgDn" => (KeyCode::PageDown, KeyModifiers::NONE),
            "Home" => (KeyCode::Home, KeyModifiers::NONE),
            "End" => (KeyCode::End, KeyModifiers::NONE),
            "Backspace" => (KeyCode::Backspace, KeyModifiers::NONE),
            "Space" => (KeyCode::Char(' '), KeyModifiers::NONE),
            "Ctrl-C" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
            "Ctrl-U" => (KeyCode::Char('u'), KeyModifiers::CONTROL),
            letters => {
                for letter in letters.chars() {
                    let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE);
                    app.update(Event::Key(key), app.now);
                }
                continue;
            }
        };
        app.update(Event::Key(KeyEvent::new(code, modifiers)), app.now);
    }
}

fn drawn(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
    terminal.draw(|frame| view(app, frame)).expect("memory");
    terminal.backend().buffer().clone()
}

/// The screen as text, without the blanks at the ends of lines.
fn text(app: &App, width: u16, height: u16) -> String {
    let buffer = drawn(app, width, height);
    let row =
        |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(row).collect()
}
