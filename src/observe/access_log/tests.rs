use super::*;
use crate::config::model::LogFormat;
use crate::observe::fixture;
use serde_json::{Value, json};
use std::sync::mpsc::{Sender, channel};

fn entry() -> Entry {
    let config = fixture::config();
    Entry {
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_790_000_000_000_123),
        client: "192.0.2.7:5555".parse().unwrap(),
        listener: config.listeners[0].clone(),
        upstream: config.upstreams[0].clone(),
        endpoint: Some("127.0.0.1:3000".parse().unwrap()),
        method: b"GET".to_vec(),
        target: b"/index?a=1".to_vec(),
        status: 200,
        bytes_in: 80,
        bytes_out: 300,
        total: Duration::from_micros(1_234),
        connect: None,
        first_byte: Some(Duration::from_micros(900)),
        reused: Some(true),
        reason: None,
    }
}

fn text(entry: &Entry) -> String {
    let mut out = Vec::new();
    line::text(&mut out, entry);
    String::from_utf8(out).unwrap()
}

fn json(entry: &Entry) -> Value {
    let mut out = Vec::new();
    line::json(&mut out, entry);
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_text_line_reads_as_pairs() {
    assert_eq!(
        text(&entry()),
        "time=2026-09-21T14:13:20.000123Z client=192.0.2.7:5555 listener=web upstream=app \
         endpoint=127.0.0.1:3000 method=GET target=\"/index?a=1\" status=200 bytes_in=80 bytes_out=300 \
         total_s=0.001234 connect_s=- first_byte_s=0.000900 reused=true reason=-\n"
    );
}

#[test]
fn a_json_line_is_one_object() {
    assert_eq!(
        json(&entry()),
        json!({
            "time": "2026-09-21T14:13:20.000123Z", "client": "192.0.2.7:5555", "listener": "web",
            "upstream": "app", "endpoint": "127.0.0.1:3000", "method": "GET", "target": "/index?a=1",
            "status": 200, "bytes_in": 80, "bytes_out": 300, "total_s": 0.001234, "connect_s": null,
            "first_byte_s": 0.0009, "reused": true, "reason": null
        })
    );
}

#[test]
fn nothing_a_client_sends_can_end_the_line_or_a_quote() {
    let hostile = b"/\r\ntime=now status=200 \" \\ \x1b[31m \xc3\xa9 \x00\x7f".to_vec();
    let expected = r#"/\x0d\x0atime=now status=200 \" \\ \x1b[31m \xc3\xa9 \x00\x7f"#;
    let entry = Entry { method: b"GE T\n".to_vec(), target: hostile, ..entry() };
    let line = text(&entry);
    assert_eq!(line.lines().count(), 1);
    assert!(line.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)));
    assert!(line.contains(&format!("method=\"GE T\\x0a\" target=\"{expected}\" status=200")), "{line}");
    assert_eq!(json(&entry)["target"], expected);
    assert_eq!(json(&entry)["method"], "GE T\\x0a");
}

#[test]
fn a_name_that_looks_like_syntax_is_quoted() {
    let mut listener = (*entry().listener).clone();
    listener.name = "front door=\n1".into();
    let line = text(&Entry { listener: listener.into(), ..entry() });
    assert!(line.contains(r#" listener="front door=\x0a1" upstream="#), "{line}");
}

#[test]
fn a_session_without_request_or_endpoint_has_no_figures_for_them() {
    let bare = Entry {
        method: Vec::new(),
        target: Vec::new(),
        status: 0,
        endpoint: None,
        reused: None,
        reason: Some("pool_timeout"),
        ..entry()
    };
    assert!(text(&bare).contains("endpoint=- method=- target=- status=- "));
    let object = json(&bare);
    assert!(["endpoint", "method", "target", "status", "reused"].iter().all(|key| object[key].is_null()));
    assert_eq!(object["reason"], "pool_timeout");
}

#[test]
fn the_last_handle_waits_until_every_line_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    std::fs::write(&path, "earlier\n").unwrap();
    let config =
        Log { level: "info".into(), format: LogFormat::Json, access: model::AccessLog::File(path.clone()) };
    let log = AccessLog::open(&config).unwrap().unwrap();
    let clone = log.clone();
    (0..1000).for_each(|n| clone.record(Entry { bytes_in: n, ..entry() }));
    drop((log, clone));
    let written = std::fs::read_to_string(&path).unwrap();
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("earlier"));
    let numbers =
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["bytes_in"].as_u64().unwrap());
    assert!(numbers.eq(0..1000));
}

#[test]
fn off_is_no_log_and_a_missing_directory_is_an_error() {
    let log = |access| AccessLog::open(&Log { access, level: "info".into(), format: LogFormat::Text });
    assert!(log(model::AccessLog::Off).unwrap().is_none());
    assert!(log(model::AccessLog::File("/nonexistent/access.log".into())).is_err());
}

#[test]
fn a_long_target_is_cut() {
    let (written, sink) = Pipe::open();
    let log = AccessLog::start(sink, LogFormat::Json).unwrap();
    log.record(Entry { target: vec![b'a'; 100_000], ..entry() });
    drop(log);
    let line: Vec<u8> = written.iter().flatten().collect();
    let object: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(object["target"].as_str().unwrap().len(), TARGET_MAX);
}

/// A sink whose writes reach the test through a channel.
struct Pipe(Sender<Vec<u8>>);

impl Pipe {
    fn open() -> (Receiver<Vec<u8>>, Box<dyn Write + Send>) {
        let (sender, receiver) = channel();
        (receiver, Box::new(Self(sender)))
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that says when a write began and waits for leave to fail it.
struct Stuck {
    began: Sender<()>,
    leave: Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.began.send(());
        let _ = self.leave.recv();
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_disk_costs_lines_and_never_time() {
    let ((began_at, began), (give, leave)) = (channel(), channel());
    let log = AccessLog::start(Box::new(Stuck { began: began_at, leave }), LogFormat::Text).unwrap();
    log.record(entry());
    began.recv_timeout(Duration::from_secs(10)).expect("the writer writes the first line");
    (0..QUEUE + 5).for_each(|_| log.record(entry()));
    assert_eq!(log.lost(), 5);
    drop(give);
    let lost = log.0.lost.clone();
    drop(log);
    assert_eq!(lost.load(Relaxed), 5 + 1 + QUEUE as u64, "failed writes count as well");
}
