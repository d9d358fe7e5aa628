//! Endpoints that do not accept.

use super::wire::Wire;
use super::{DEADLINE, within};
use socket2::{Domain, Socket, Type};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// An address of 127.1.0.0 to 127.255.255.255 that no other endpoint has, or had a minute ago: what is
/// left of a connection, of a client to the proxy or of an earlier test, is never taken for one to it.
pub(crate) fn address_of_its_own() -> Ipv4Addr {
    let random = RandomState::new().hash_one(std::process::id()).to_ne_bytes();
    Ipv4Addr::new(127, random[0].max(1), random[1], random[2].clamp(1, 254))
}

/// An address that is free until the test has it bound: where all have 127.0.0.1, another may be given
/// the port before that.
pub(crate) fn free_address() -> SocketAddr {
    Refusing::new().address()
}

/// An address that refuses connections, and that nobody else can be given in the meantime.
#[derive(Debug)]
pub(crate) struct Refusing {
    socket: Socket,
    address: SocketAddr,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        Self::at_port(0)
    }

    /// With this port, which others have at other addresses.
    pub(crate) fn at_port(port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address_of_its_own(), port)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts from now on.
    pub(crate) fn listen(self) -> TcpListener {
        self.socket.listen(1024).unwrap();
        self.socket.into()
    }
}

/// An address where the kernel drops every SYN as long as the accept queue is full.
#[derive(Debug)]
pub(crate) struct Unaccepting {
    listener: TcpListener,
    queued: Vec<TcpStream>,
    address: SocketAddr,
}

impl Unaccepting {
    /// With a full queue.
    pub(crate) fn new() -> Self {
        let mut full = Self::with_room();
        full.fill();
        full
    }

    /// With room for one connection.
    pub(crate) fn with_room() -> Self {
        let Refusing { socket, address } = Refusing::new();
        socket.listen(0).unwrap();
        Self { listener: socket.into(), queued: Vec::new(), address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes the connection that there was room for.
    pub(crate) fn accept(&self) -> Wire {
        Wire::new(self.listener.accept().unwrap().0)
    }

    /// Fills the queue.
    pub(crate) fn fill(&mut self) {
        within(DEADLINE, "a full accept queue", || {
            match TcpStream::connect_timeout(&self.address, Duration::from_millis(200)) {
                Ok(stream) => self.queued.push(stream),
                Err(_) => return true,
            }
            false
        });
    }

    /// Accepts from now on. Whoever is waiting gets through when the kernel sends its SYN again.
    pub(crate) fn listen(self) -> TcpListener {
        for _ in &self.queued {
            self.listener.accept().unwrap();
        }
        socket2::SockRef::from(&self.listener).listen(1024).unwrap();
        self.listener
    }
}
