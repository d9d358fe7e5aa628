//! Flows long enough to leave the copying loop for pipes: not a byte is lost, doubled or mixed up.

use crate::harness::{Client, Conn, Ended, Gate, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use millpond::reason::CloseReason;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        both_ways_at_once_with_a_slow_reader,
        a_fin_behind_a_long_flow_is_passed_on_alone,
        a_reset_of_either_side_is_passed_on_and_no_byte_reaches_the_next_session,
        what_is_interactive_after_a_long_flow_is_carried_at_once,
        without_descriptors_to_spare_it_is_copied,
    ]
}

const MIB: usize = 1 << 20;
/// Longer than what the sockets hold on the way: a reader that stops keeps bytes in the proxy.
const STUCK: usize = 48 * MIB;
/// The pattern repeats after a prime.
const PERIOD: usize = 251;
const BLOCK: usize = 128 * 1024;

/// The pattern plus `seed`, long enough for a block from any position.
fn block(seed: u8) -> Vec<u8> {
    (0..BLOCK + PERIOD).map(|at| (at % PERIOD) as u8 ^ seed).collect()
}

/// Writes `count` bytes.
fn write(stream: &TcpStream, seed: u8, count: usize) {
    try_write(stream, seed, count).unwrap();
}

/// Writes `count` bytes, or as many as the peer's reset lets it.
fn try_write(mut stream: &TcpStream, seed: u8, count: usize) -> io::Result<()> {
    let block = block(seed);
    let mut at = 0;
    while at < count {
        let length = (count - at).min(BLOCK);
        stream.write_all(&block[at % PERIOD..][..length])?;
        at += length;
    }
    Ok(())
}

/// Reads `count` bytes, each as it was written, with a pause after every MiB.
fn read(mut stream: &TcpStream, seed: u8, count: usize, pause: Duration) {
    let (expected, mut buffer) = (block(seed), vec![0; BLOCK]);
    let mut at = 0;
    while at < count {
        let length = (count - at).min(BLOCK);
        let read = stream.read(&mut buffer[..length]).unwrap();
        assert!(read > 0, "the end after {at} of {count} bytes");
        assert!(buffer[..read] == expected[at % PERIOD..][..read], "other bytes after {at}");
        if (at + read) / MIB > at / MIB {
            thread::sleep(pause);
        }
        at += read;
    }
}

fn tcp(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> (Origin, Proxy) {
    let origin = Origin::start(script);
    let proxy = Setup::tcp([origin.address()]).start();
    (origin, proxy)
}

fn assert_used_pipes(proxy: &Proxy) {
    assert!(proxy.registry().budget.pipes() > 0, "all was copied");
}

fn both_ways_at_once_with_a_slow_reader() {
    const LENGTH: usize = 64 * MIB;
    let (_origin, proxy) = tcp(|conn| {
        let stream = conn.sender();
        thread::scope(|scope| {
            scope.spawn(|| write(&stream, 1, LENGTH));
            read(&stream, 2, LENGTH, Duration::ZERO);
        });
        assert_eq!(conn.hold(), Ended::Fin);
    });
    let mut client = Client::connect(proxy.address());
    let stream = client.sender();
    thread::scope(|scope| {
        scope.spawn(|| write(&stream, 2, LENGTH));
        read(&stream, 1, LENGTH, Duration::from_millis(2));
    });
    client.half_close();
    client.expect_eof();
    assert_used_pipes(&proxy);
    proxy.settle();
    let sum = |total: fn(&millpond::metrics::counters::ListenerCounters) -> u64| {
        proxy.listener().workers.iter().map(total).sum::<u64>()
    };
    assert_eq!(sum(|w| w.received_bytes.get()), LENGTH as u64);
    assert_eq!(sum(|w| w.sent_bytes.get()), LENGTH as u64);
    assert_eq!(proxy.closes(CloseReason::TunnelDone), 1);
}

fn a_fin_behind_a_long_flow_is_passed_on_alone() {
    const LENGTH: usize = 16 * MIB;
    let (_origin, proxy) = tcp(|conn| {
        read(&conn.sender(), 1, LENGTH, Duration::from_millis(1));
        assert_eq!(conn.hold(), Ended::Fin);
        write(&conn.sender(), 2, LENGTH);
    });
    let mut client = Client::connect(proxy.address());
    let stream = client.sender();
    write(&stream, 1, LENGTH);
    client.half_close();
    read(&stream, 2, LENGTH, Duration::from_millis(1));
    client.expect_eof();
    assert_used_pipes(&proxy);
}

fn a_reset_of_either_side_is_passed_on_and_no_byte_reaches_the_next_session() {
    let (gate, has_read) = (Gate::new(), Gate::new());
    let (reset, tell) = (gate.clone(), has_read.clone());
    let (origin, proxy) = tcp(move |conn| match conn.number {
        // Reads a part and then no more.
        0 => {
            read(&conn.sender(), 1, 4 * MIB, Duration::ZERO);
            reset.wait();
            conn.reset_on_close();
        }
        1 => {
            read(&conn.sender(), 2, 4 * MIB, Duration::ZERO);
            tell.open();
            conn.hold();
        }
        _ => read(&conn.sender(), 3, 4 * MIB, Duration::ZERO),
    });
    // The origin resets while bytes wait in the proxy.
    let client = Client::connect(proxy.address());
    let written = thread::scope(|scope| {
        let writing = scope.spawn(|| try_write(client.stream(), 1, STUCK));
        eventually("a pipe is used", || proxy.registry().budget.pipes() > 0);
        gate.open();
        writing.join().unwrap()
    });
    // The second write after a reset is told of a broken pipe.
    let error = written.unwrap_err().kind();
    assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    drop(client);
    proxy.settle();
    assert_eq!(proxy.closes(CloseReason::Reset), 1);

    // The client resets.
    let client = Client::connect(proxy.address());
    write(client.stream(), 2, 5 * MIB);
    has_read.wait();
    client.reset();
    assert_eq!(origin.wait_for_end(1), Ended::Reset);
    proxy.settle();
    assert_eq!(proxy.closes(CloseReason::ClientReset), 1);

    // The next session gets its own bytes and nothing else.
    let mut client = Client::connect(proxy.address());
    write(client.stream(), 3, 4 * MIB);
    client.expect_eof();
}

fn what_is_interactive_after_a_long_flow_is_carried_at_once() {
    const LENGTH: usize = 8 * MIB;
    let (_origin, proxy) = tcp(|conn| {
        read(&conn.sender(), 1, LENGTH, Duration::ZERO);
        for _ in 0..100 {
            assert_eq!(conn.exactly(4).unwrap(), b"ping");
            conn.send("pong");
        }
    });
    let mut client = Client::connect(proxy.address());
    write(client.stream(), 1, LENGTH);
    for _ in 0..100 {
        client.send("ping");
        assert_eq!(client.exactly(4), b"pong");
    }
    assert_used_pipes(&proxy);
    client.half_close();
    client.expect_eof();
}

fn without_descriptors_to_spare_it_is_copied() {
    const LENGTH: usize = 8 * MIB;
    let (_origin, proxy) = tcp(|conn| read(&conn.sender(), 1, LENGTH, Duration::ZERO));
    let budget = &proxy.registry().budget;
    let taken = std::iter::repeat_with(|| budget.take_upstream()).take(budget.limit() / 2).filter(|got| *got);
    let taken = taken.count();
    let mut client = Client::connect(proxy.address());
    write(client.stream(), 1, LENGTH);
    client.expect_eof();
    assert_eq!((taken, budget.pipes()), (budget.limit() / 2, 0));
    (0..taken).for_each(|_| budget.release_upstream());
}
