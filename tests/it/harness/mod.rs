//! What the tests are made of: a proxy, scripted origins, clients that look at every byte.

mod client;
mod gate;
pub(crate) mod kernel;
mod message;
mod name_server;
mod origin;
pub(crate) mod panics;
mod proxy;
mod refusing;
mod running;
mod wire;

pub(crate) use client::Client;
pub(crate) use gate::Gate;
pub(crate) use message::{Framing, Message};
pub(crate) use name_server::{Mood, NameServer};
pub(crate) use origin::{Conn, Ended, Origin, always};
pub(crate) use proxy::{Proxy, Setup};
pub(crate) use refusing::{Refusing, Unaccepting, address_of_its_own, free_address};
pub(crate) use running::{Running, millpond, millpond_at, millpond_through, millpond_with};

use millpond::sys::sock_diag::listen_queue;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// For anything that is to happen at once. Long, as the machine may be busy: only a failing test waits
/// for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// For what is to happen as soon as the proxy has had its turn.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(2);
/// Between two looks at a condition.
const STEP: Duration = Duration::from_millis(2);

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(DEADLINE, what, holds);
}

/// The same with a deadline of its own.
#[track_caller]
pub(crate) fn within(deadline: Duration, what: &str, holds: impl FnMut() -> bool) {
    assert!(comes_true(deadline, holds), "not within {deadline:?}: {what}");
}

/// Whether the condition holds before the deadline.
pub(crate) fn comes_true(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() >= deadline {
            return false;
        }
        thread::sleep(STEP);
    }
    true
}

/// Whether nobody takes connections at this address. The kernel is asked: to try would be a session of
/// whoever listens there, which may be another test's proxy, once the port is free.
pub(crate) fn nobody_listens(address: SocketAddr) -> bool {
    listen_queue(address).expect("netlink answers").is_empty()
}

/// A connection from this address; port 0 is any.
#[track_caller]
pub(crate) fn connect_from(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(from), Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect_timeout(&to.into(), DEADLINE).expect("the proxy accepts");
    socket.into()
}

/// Bytes that repeat at no power of two, so that a lost or doubled block shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}
