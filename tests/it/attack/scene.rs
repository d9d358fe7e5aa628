//! millpond as a process of its own, somebody who is served while it is attacked, and what that costs.

use crate::harness::{
    Client, Conn, Origin, Running, Setup, connect_from, millpond, millpond_through, within,
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// What is to happen is due this long after its deadline, at the latest: the machine may be busy.
pub(crate) const LATE: Duration = Duration::from_secs(8);
/// Below this, a latency says more of the scheduler than of the proxy.
const NOISE: Duration = Duration::from_millis(25);
/// An attack that harms does so each time; a busy machine does not.
const ROUNDS: usize = 3;
/// Requests of a round.
const REQUESTS: usize = 200;
/// Bytes of the response at `/big`: more than the buffers of both sockets on its way.
const BIG: usize = 8 << 20;

/// The proxy, and the origin behind it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) process: Running,
    _origin: Origin,
}

impl Scene {
    /// With this line in its listener, and deadlines of a second.
    #[track_caller]
    pub(crate) fn new(listener: &str) -> Self {
        Self::with_deadlines("1s", listener, "")
    }

    /// With deadlines of this length, and this line in `[runtime]`.
    #[track_caller]
    pub(crate) fn with_deadlines(deadline: &str, listener: &str, runtime: &str) -> Self {
        Self::as_command(millpond(), deadline, listener, runtime)
    }

    /// With deadlines of 30 s and `buffer_memory` by default, in the control group with this file cgroup.procs.
    #[track_caller]
    pub(crate) fn in_group(procs: &Path) -> Self {
        let mut shell = millpond_through("echo $$ > \"$GROUP\" && exec \"$0\" \"$@\"");
        shell.env("GROUP", procs);
        Self::as_command(shell, "30s", "", "")
    }

    #[track_caller]
    fn as_command(command: Command, deadline: &str, listener: &str, runtime: &str) -> Self {
        let origin = Origin::start(answer);
        let deadlines = format!("timeout.header = \"{deadline}\"\ntimeout.body = \"{deadline}\"");
        let setup = Setup::http([origin.address()]).workers(2).listener(&deadlines).listener(listener);
        let setup = setup.listener("timeout.linger = \"200ms\"");
        let setup = setup.upstream("timeout.body = \"1s\"\ntimeout.response_header = \"10s\"");
        Self { process: Running::with_config(command, &setup.runtime(runtime)), _origin: origin }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Attacks, and sees that somebody else is served as before. Returns what the attack has made.
    #[track_caller]
    pub(crate) fn withstand<T>(&self, attack: impl FnOnce(SocketAddr) -> T) -> T {
        let address = self.address();
        let before = p99(address);
        let attackers = attack(address);
        let bound = 2 * before.max(NOISE);
        let during: Vec<Duration> = (0..ROUNDS).map(|_| p99(address)).take_until(|one| *one <= bound);
        let best = during.iter().min().expect("a round");
        assert!(*best <= bound, "p99 of others: {before:?} before, {during:?} under attack");
        attackers
    }

    /// Waits until this many sessions have ended for a reason.
    #[track_caller]
    pub(crate) fn ends(&self, reason: &str, count: usize) {
        let mut last = Value::Null;
        within(LATE, &format!("{count} sessions end: {reason}"), || {
            last = self.process.statistics()["listeners"][0]["closes"].clone();
            last[reason].as_u64().unwrap_or_default() >= count as u64
        });
    }

    /// What was refused for a reason so far.
    pub(crate) fn rejects(&self, reason: &str) -> u64 {
        self.process.statistics()["listeners"][0]["rejects"][reason].as_u64().unwrap_or_default()
    }

    /// The most memory that was resident since [`Self::forget_peak`], in bytes. proc_pid_status(5)
    #[track_caller]
    pub(crate) fn peak(&self) -> usize {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line VmHWM");
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// The peak is what is resident now. proc_pid_clear_refs(5)
    #[track_caller]
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.process.pid()), "5").unwrap();
    }
}

trait TakeUntil<T> {
    /// As far as the first that is as asked for, and with it.
    fn take_until(self, is_it: impl Fn(&T) -> bool) -> Vec<T>;
}

impl<T, I: Iterator<Item = T>> TakeUntil<T> for I {
    fn take_until(self, is_it: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for one in self {
            taken.push(one);
            if taken.last().is_some_and(&is_it) {
                break;
            }
        }
        taken
    }
}

/// `/big` is answered with much, `/stuck` with the begin of a response, anything else with "ok".
fn answer(conn: &mut Conn) {
    while let Some(request) = conn.request() {
        match request.start.split(' ').nth(1) {
            Some("/big") => {
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"));
                conn.send(vec![b'x'; BIG]);
            }
            Some("/stuck") => {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0");
                conn.hold();
            }
            _ => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        }
    }
}

/// The time that 99 of 100 requests of somebody else take, each tenth on a connection of its own.
#[track_caller]
fn p99(address: SocketAddr) -> Duration {
    let mut times = Vec::with_capacity(REQUESTS);
    let mut client = bystander(address);
    for number in 0..REQUESTS {
        let began = Instant::now();
        if number % 10 == 9 {
            client = bystander(address);
        }
        assert_eq!(client.get("/").text(), "ok");
        times.push(began.elapsed());
    }
    times.sort();
    times[REQUESTS * 99 / 100 - 1]
}

/// A client that comes from another address than those who attack.
#[track_caller]
pub(crate) fn bystander(address: SocketAddr) -> Client {
    Client::on(connect_from(([127, 0, 0, 2], 0).into(), address))
}

/// This many connections, each of which has sent these bytes, or as many of them as were taken.
#[track_caller]
pub(crate) fn crowd(address: SocketAddr, count: usize, bytes: impl AsRef<[u8]>) -> Vec<TcpStream> {
    (0..count).map(|_| sending(TcpStream::connect(address).unwrap(), bytes.as_ref())).collect()
}

/// The same with windows as small as the kernel makes them, which nobody reads from.
#[track_caller]
pub(crate) fn closed_windows(address: SocketAddr, count: usize, bytes: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        socket.connect(&address.into()).unwrap();
        sending(socket.into(), bytes.as_bytes())
    };
    (0..count).map(connect).collect()
}

fn sending(mut stream: TcpStream, mut bytes: &[u8]) -> TcpStream {
    stream.set_nonblocking(true).unwrap();
    let mut patience = 20;
    while !bytes.is_empty() && patience > 0 {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                patience -= 1;
                thread::sleep(Duration::from_millis(1));
            }
            // It has been ended already.
            Err(_) => break,
        }
    }
    stream
}

/// Sends one byte on each of them, again and again, until all have ended; ends when told to, or by itself.
pub(crate) fn drip(streams: Vec<TcpStream>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let end = Instant::now() + LATE;
        let mut streams = streams;
        while !streams.is_empty() && Instant::now() < end {
            streams.retain_mut(|stream| match stream.write(b"x") {
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            });
            thread::sleep(Duration::from_millis(50));
        }
    })
}
