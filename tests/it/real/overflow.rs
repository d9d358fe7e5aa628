//! A worker that hangs: its accept queue runs over, and everything that shows something shows whose.

use super::browser::Browser;
use super::program::python;
use crate::harness::{AT_ONCE, Client, Origin, Running, Setup, eventually, within};
use libtest_mimic::Trial;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        statistics_metrics_and_log_name_the_listener_whose_worker_hangs,
        the_dashboard_names_the_listener_whose_worker_hangs,
    ]
}

const BACKLOG: usize = 8;
/// Within which a connect succeeds, if there is room.
const PATIENCE: Duration = Duration::from_millis(300);

/// A thread that stands still as long as this is there.
struct Stopped(Child);

impl Stopped {
    #[track_caller]
    fn thread(process: &Running, name: &str) -> Self {
        let mut command = python("stop_thread.py");
        command.args([&process.id().to_string(), name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "stopped\n", "{name}");
        Self(child)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.stdin.take();
        let ended = self.0.wait();
        assert!(std::thread::panicking() || ended.is_ok_and(|status| status.success()));
    }
}

/// An instance whose only worker hangs, and clients that fill its queue.
struct Scene {
    // Dropped in this order: the clients have to be served.
    waiting: Vec<TcpStream>,
    stopped: Stopped,
    process: Running,
    _origin: Origin,
}

impl Scene {
    /// `prepare` is called before anything is wrong.
    fn new(prepare: impl FnOnce(&Running)) -> Self {
        let origin = Origin::saying("ok");
        let setup = Setup::http([origin.address()]).listener(&format!("socket.backlog = {BACKLOG}"));
        let process = Running::start(&setup);
        let sockets = |process: &Running| {
            process.statistics()["listeners"][0]["accept_queue"]["sockets"].as_array().unwrap().len()
        };
        eventually("the queue is looked at", || sockets(&process) == 1);
        prepare(&process);
        let stopped = Stopped::thread(&process, "worker-0");
        let mut waiting = Vec::new();
        while let Ok(client) = TcpStream::connect_timeout(&process.address(), PATIENCE) {
            waiting.push(client);
            assert!(waiting.len() <= 2 * BACKLOG, "the queue has no end");
        }
        Self { waiting, stopped, process, _origin: origin }
    }

    fn queue(&self) -> Value {
        self.process.statistics()["listeners"][0]["accept_queue"].clone()
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let mut client = Client::connect(self.process.admin());
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = String::from_utf8(client.response().body).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")))?;
        assert!(line.contains("listener=\"web\""), "{line}");
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Lets the worker go on: whoever waits is served.
    fn go_on(self) -> Running {
        let Self { waiting, stopped, process, _origin } = self;
        drop(stopped);
        for stream in waiting {
            assert_eq!(Client::on(stream).get("/").text(), "ok");
        }
        assert_eq!(Client::connect(process.address()).get("/").text(), "ok", "and whoever comes");
        process
    }
}

fn statistics_metrics_and_log_name_the_listener_whose_worker_hangs() {
    let scene = Scene::new(|process| {
        let queue = &process.statistics()["listeners"][0]["accept_queue"];
        assert_eq!(
            (&queue["depth"], &queue["limit"], &queue["drops_total"]),
            (&0.into(), &8.into(), &0.into())
        );
    });
    // Listening sockets are looked at once a second.
    within(AT_ONCE, "the statistics tell of it", || scene.queue()["drops_total"].as_u64() > Some(0));
    let queue = scene.queue();
    let sockets = queue["sockets"].as_array().unwrap();
    assert_eq!((sockets.len(), &sockets[0]["worker"]), (1, &0.into()), "{queue:#}");
    // As many as the limit and one more (sk_acceptq_is_full in include/net/sock.h).
    let full = BACKLOG as u64 + 1;
    for figures in [&queue, &sockets[0]] {
        assert_eq!(figures["depth"], full, "{queue:#}");
        assert_eq!(figures["limit"], BACKLOG, "{queue:#}");
        assert_eq!(figures["depth_max"], full, "{queue:#}");
        assert!(figures["drops_total"].as_u64() > Some(0), "{queue:#}");
    }
    assert_eq!(scene.waiting.len() as u64, full);
    assert_eq!(scene.metric("millpond_accept_queue_depth"), Some(full as f64));
    assert!(scene.metric("millpond_listen_drops_total") > Some(0.0));

    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let somaxconn = somaxconn.trim();
    let told = scene.process.wait_for_entry(&format!(
        "the accept queue is full and clients are turned away: raise listener.socket.backlog, up to \
         {somaxconn}; if a worker hangs, no queue is long enough"
    ));
    assert_eq!((&told["listener"], &told["worker"], &told["limit"]), (&"web".into(), &0.into(), &8.into()));
    assert_eq!(told["somaxconn"].to_string(), somaxconn, "{told:#}");
    assert!(told["dropped"].as_u64() > Some(0), "{told:#}");

    let process = scene.go_on();
    let queue = || process.statistics()["listeners"][0]["accept_queue"].clone();
    within(AT_ONCE, "the queue is empty", || queue()["depth"] == 0);
    assert_eq!(queue()["depth_max"], full, "for a minute");
}

fn the_dashboard_names_the_listener_whose_worker_hangs() {
    let browser = Browser::start();
    let scene = Scene::new(|process| {
        super::dashboard::opened(&browser, process.admin());
        browser.wait_for_text("#listener-table", |text| text.contains("0 of 8, at most 0"));
    });
    browser.wait_for_text("#attention-list", |text| text.contains("A listener turns clients away"));
    let text = browser.text("#attention-list");
    let name = format!("web at {}", scene.process.address());
    for part in [&name, "dropped before they were accepted", "9 wait in a queue of 8, and 9 did at most"] {
        assert!(text.contains(part), "{text:?}: {part}");
    }
    assert!(!text.contains("on this host"), "{text:?}");
    assert!(browser.text("#listener-table").contains("9 of 8, at most 9"));
    scene.go_on();
}
