//! `GET /events` and `GET /history` over real sockets.

use super::*;
use crate::admin::feed::SUBSCRIBERS;
use serde_json::Value;
use std::io::{BufRead, BufReader};

/// A client of `/events`.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(server: &Running) -> Self {
        let mut stream = server.connect();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut stream = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.0.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        assert_eq!(stream.chunk(), "retry: 2000\n\n");
        stream
    }

    /// The next chunk (RFC 9112 section 7.1); empty: the end.
    fn chunk(&mut self) -> String {
        let mut size = String::new();
        self.0.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or_else(|_| panic!("{size:?}"));
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).unwrap();
        String::from_utf8(chunk[..size].to_vec()).unwrap()
    }

    /// The next snapshot and its number.
    fn snapshot(&mut self) -> (u64, Snapshot) {
        let chunk = self.chunk();
        let mut lines = chunk.strip_suffix("\n\n").expect("a whole event").split('\n');
        let number = lines.next().and_then(|line| line.strip_prefix("id: ")).unwrap().parse().unwrap();
        assert_eq!(lines.next(), Some("event: snapshot"));
        let data = lines.next().and_then(|line| line.strip_prefix("data: ")).unwrap();
        assert_eq!(lines.next(), None);
        (number, serde_json::from_str(data).unwrap())
    }
}

#[test]
fn a_snapshot_comes_at_once_and_then_every_second() {
    let server = Running::tcp();
    let mut stream = Stream::open(&server);
    let begun = Instant::now();
    let snapshots: Vec<_> = (0..4).map(|_| stream.snapshot()).collect();
    let elapsed = begun.elapsed();
    assert!(snapshots.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "{snapshots:?}");
    assert_eq!(snapshots[0].1.listeners[0].requests_total, 1000);
    // The first at once, the second with the next tick, the others a second after it.
    assert!(elapsed >= Duration::from_millis(1900) && elapsed < DEADLINE, "{elapsed:?}");
}

#[test]
fn two_subscribers_get_the_same() {
    let server = Running::tcp();
    let (mut one, mut other) = (Stream::open(&server), Stream::open(&server));
    let (mut first, mut second) = (one.snapshot(), other.snapshot());
    // One of them may have come after the first snapshot, or have missed one.
    while first.0 != second.0 {
        if first.0 < second.0 { first = one.snapshot() } else { second = other.snapshot() }
    }
    assert_eq!(first, second);
}

#[test]
fn who_does_not_read_holds_nobody_up_and_misses_what_was_sent() {
    let ports: Vec<u16> = (3000..5500).collect();
    let server = Running::start(&loopback(None), &ports);
    let mut asleep = Stream::open(&server);
    asleep.snapshot();
    let mut awake = Stream::open(&server);
    let mut last = 0;
    // Each is several megabytes; the kernel keeps a few of them for the one that sleeps.
    for _ in 0..6 {
        let (number, _) = awake.snapshot();
        assert!(number > last);
        last = number;
    }
    assert_eq!(server.get("/livez").status, 200);
    let mut numbers = vec![asleep.snapshot().0];
    while numbers[numbers.len() - 1] < last {
        numbers.push(asleep.snapshot().0);
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(numbers.len() < usize::try_from(last).unwrap(), "none was missed: {numbers:?}");
}

#[test]
fn there_is_room_for_some_and_a_place_is_free_when_one_leaves() {
    let server = Running::tcp();
    let mut streams: Vec<Stream> = (0..SUBSCRIBERS).map(|_| Stream::open(&server)).collect();
    let refused = server.get("/events");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
    assert_eq!(server.get("/stats").status, 200);
    streams.pop();
    let left = Instant::now();
    loop {
        let mut stream = server.connect();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        if status.ends_with(b"200") {
            return;
        }
        assert!(left.elapsed() < DEADLINE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_drain_goes_on_and_the_shutdown_is_told() {
    let server = Running::tcp();
    let mut stream = Stream::open(&server);
    assert!(!stream.snapshot().1.draining);
    let drained = server.ask("POST /drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(drained.status, 202);
    while !stream.snapshot().1.draining {}
    let asked = Instant::now();
    drop(server);
    assert!(asked.elapsed() < CLOSE_GRACE, "a stream holds nothing up: {:?}", asked.elapsed());
    let mut last = stream.chunk();
    while last.starts_with("id: ") {
        last = stream.chunk();
    }
    assert_eq!(last, "event: end\ndata: {}\n\n");
    assert_eq!(stream.chunk(), "", "the body ends as it should");
    assert_eq!(stream.0.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_connection_has_its_time_and_a_stream_as_long_as_it_is_read() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
        let start = tokio::time::Instant::now();
        outlived(&Pulse::default()).await;
        assert_eq!(start.elapsed(), MAX_AGE);

        let feed = crate::admin::feed::Feed::new(CancellationToken::new());
        let pulse = Arc::new(Pulse::default());
        let mut stream = feed.subscribe(pulse.clone()).unwrap();
        let start = tokio::time::Instant::now();
        let reading = async {
            while start.elapsed() < 2 * MAX_AGE {
                http_body_util::BodyExt::frame(&mut stream).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = outlived(&pulse) => {}
            () = reading => {}
        }
        let lived = start.elapsed();
        assert!(lived >= 2 * MAX_AGE + STALL && lived <= 2 * MAX_AGE + 2 * STALL, "{lived:?}");
    });
}

#[test]
fn asking_for_the_head_opens_no_stream() {
    let server = Running::tcp();
    let head = server.ask("HEAD /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(head.body, "");
}

#[test]
fn the_history_has_a_sample_from_the_start() {
    let server = Running::tcp();
    let asked = Instant::now();
    let history = loop {
        let history: Value = serde_json::from_str(&server.get("/history").body).unwrap();
        if history["times_ms"].as_array().is_some_and(|times| !times.is_empty()) {
            break history;
        }
        assert!(asked.elapsed() < DEADLINE);
    };
    assert_eq!(history["listeners"]["each"][0]["sessions"][0], 3);
    assert_eq!(history["endpoints"]["total"]["idle"][0], 2);
    let at = history["times_ms"][0].as_u64().unwrap();
    let newer: Value = serde_json::from_str(&server.get(&format!("/history?after={at}")).body).unwrap();
    assert!(newer["times_ms"].as_array().is_some_and(|times| times.len() <= 1), "{newer}");
}
