//! The server over real sockets, asked by blocking clients.

use super::*;
use crate::admin::{AdminState, ReloadError, UpgradeError, bind};
use crate::config::model::{Admin, AdminListen};
use crate::observe::fixture;
use crate::observe::snapshot::Snapshot;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::oneshot;

mod streams;
mod token;

const DEADLINE: Duration = Duration::from_secs(10);

/// A server on a thread of its own; ends when dropped.
struct Running {
    address: Option<SocketAddr>,
    drains: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn tcp() -> Self {
        Self::start(&loopback(None), &[3000, 3001])
    }

    fn start(admin: &Admin, endpoints: &[u16]) -> Self {
        let mut config = fixture::config();
        config.upstreams = vec![fixture::upstream("app", endpoints).into()];
        let registry = fixture::registry_of(&config);
        let drains = Arc::new(AtomicUsize::new(0));
        let (counted, draining) = (drains.clone(), registry.clone());
        let state = AdminState {
            registry,
            workers: crate::command::Crew::default(),
            access_log: None,
            reload: Box::new(|| Err(ReloadError::NoFile)),
            upgrade: Box::new(|| Err(UpgradeError::NoProgram)),
            drain: Box::new(move || {
                counted.fetch_add(1, SeqCst);
                draining.draining.store(true, SeqCst);
            }),
        };
        let socket = bind(admin).unwrap();
        let address = socket.address();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let shutdown = async { stopped.await.unwrap() };
            runtime.block_on(serve(socket, Arc::new(state), shutdown)).unwrap();
        });
        Self { address, drains, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address.unwrap()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    fn ask(&self, request: &str) -> Answer {
        ask(self.connect(), request)
    }
}

/// On a free port of 127.0.0.1.
fn loopback(token_file: Option<&Path>) -> Admin {
    let listen = AdminListen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    Admin { listen, token_file: token_file.map(Path::to_owned) }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_some_and(|ended| ended.is_ok()) || std::thread::panicking());
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request and reads until the server closes.
fn ask(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that refuses what it has not read whole may reset the connection behind its answer.
    let _ = stream.read_to_end(&mut answer);
    parse(&String::from_utf8(answer).unwrap())
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[test]
fn every_path_answers_with_its_type_and_is_neither_cached_nor_sniffed() {
    let server = Running::tcp();
    for (path, content_type, part) in [
        ("/", "text/plain; charset=utf-8", "GET  /stats"),
        ("/help", "text/plain; charset=utf-8", "GET  /stats"),
        ("/history", "application/json", "\"times_ms\":["),
        ("/history?after=1", "application/json", "\"times_ms\":["),
        ("/stats", "application/json", "\"listeners\""),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# TYPE millpond_sessions gauge\n"),
        ("/config", "application/json", "\"shutdown_timeout\": \"30s\""),
        ("/livez", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
    }
}

#[test]
fn stats_read_back_as_a_snapshot() {
    let answer = Running::tcp().get("/stats");
    let snapshot: Snapshot = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(snapshot.listeners[0].requests_total, 1000);
}

#[test]
fn what_does_not_exist_is_404_and_a_wrong_method_is_405() {
    let server = Running::tcp();
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get("/stats/").status, 404);
    assert_eq!(server.get("/history?after=x").status, 400);
    assert_eq!(server.get("/history?before=1").status, 400);
    let close = "Host: localhost\r\nConnection: close\r\n\r\n";
    for (method, path, allow) in [
        ("POST", "/stats", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/events", "GET, HEAD"),
        ("POST", "/dashboard/main.js", "GET, HEAD"),
        ("GET", "/drain", "POST"),
    ] {
        let answer = server.ask(&format!("{method} {path} HTTP/1.1\r\n{close}"));
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    assert_eq!(server.drains.load(SeqCst), 0);
    let head = server.ask(&format!("HEAD /stats HTTP/1.1\r\n{close}"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("content-length").unwrap().parse::<u64>().unwrap() > 100);
}

#[test]
fn a_drain_needs_a_post_that_no_web_page_sent() {
    let server = Running::tcp();
    let drain = |headers: &str| {
        server.ask(&format!("POST /drain HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).status
    };
    assert_eq!(drain("Host: localhost\r\nOrigin: http://example.com\r\n"), 403);
    assert_eq!(drain("Host: rebound.example.com\r\n"), 403);
    assert_eq!(drain("Host: localhost\r\nTransfer-Encoding: chunked\r\n"), 413);
    assert_eq!(server.drains.load(SeqCst), 0);
    assert_eq!(drain("Host: localhost\r\nContent-Length: 0\r\n"), 202);
    assert_eq!(server.drains.load(SeqCst), 1);
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "draining\n"));
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn a_name_that_is_not_this_host_is_refused() {
    let server = Running::tcp();
    let get =
        |headers: &str| server.ask(&format!("GET /stats HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"));
    assert_eq!(get("Host: example.com\r\n").status, 403);
    assert_eq!(get("").status, 403);
    assert_eq!(get(&format!("Host: {}\r\n", server.address.unwrap())).status, 200);
    assert!(!get("Host: example.com\r\n").body.contains("listeners"));
}

#[test]
fn a_head_beyond_the_limits_is_refused() {
    let server = Running::tcp();
    let long = "a".repeat(MAX_HEAD);
    let many: String = (0..=MAX_FIELDS).map(|n| format!("x-{n}: 1\r\n")).collect();
    for headers in [format!("X-Long: {long}\r\n"), many] {
        assert_eq!(server.ask(&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).status, 431);
    }
    assert_eq!(server.ask("nonsense\r\n\r\n").status, 400);
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn an_answer_larger_than_every_buffer_arrives_whole() {
    let ports: Vec<u16> = (3000..3800).collect();
    let server = Running::start(&loopback(None), &ports);
    let answer = server.get("/metrics");
    assert!(answer.body.len() > 1 << 20, "{}", answer.body.len());
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert!(answer.body.ends_with('\n'));
}

#[test]
fn a_unix_socket_serves_and_its_file_goes_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let server =
        Running::start(&Admin { listen: AdminListen::Unix(path.clone()), token_file: None }, &[3000]);
    let answer = ask(unix(&path), "GET /readyz HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
    drop(server);
    assert!(!path.exists());
}

fn unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let server = Running::tcp();
    let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut held: Vec<TcpStream> = (0..MAX_CONNECTIONS).map(|_| server.connect()).collect();
    for stream in &mut held {
        stream.write_all(request.as_bytes()).unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    }
    let mut late = server.connect();
    late.write_all(request.as_bytes()).unwrap();
    late.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(late.read(&mut [0; 1024]).is_err(), "all places are taken");
    drop(held.pop());
    late.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(late.read(&mut [0; 1024]).unwrap() > 0);
}

#[test]
fn a_shutdown_closes_idle_connections_at_once() {
    let server = Running::tcp();
    let mut idle = server.connect();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1024]).unwrap() > 0);
    let asked = Instant::now();
    drop(server);
    assert!(asked.elapsed() < 2 * CLOSE_GRACE, "after that long it is cut");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_shutdown_does_not_wait_for_a_request_that_never_ends() {
    let server = Running::tcp();
    let mut stuck = server.connect();
    stuck.write_all(b"GET /livez HT").unwrap();
    drop(server);
    assert!(matches!(stuck.read(&mut [0; 1024]), Ok(0) | Err(_)));
}
