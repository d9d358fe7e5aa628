//! Endpoints that do not accept.

use super::{DEADLINE, within};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// An address that refuses connections, and that nobody else can be given in the meantime.
#[derive(Debug)]
pub(crate) struct Refusing {
    socket: Socket,
    address: SocketAddr,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
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

/// An address where the kernel drops every SYN: the accept queue is full.
#[derive(Debug)]
pub(crate) struct Unaccepting {
    listener: TcpListener,
    queued: Vec<TcpStream>,
    address: SocketAddr,
}

impl Unaccepting {
    pub(crate) fn new() -> Self {
        let Refusing { socket, address } = Refusing::new();
        socket.listen(0).unwrap();
        let mut full = Self { listener: socket.into(), queued: Vec::new(), address };
        within(DEADLINE, "a full accept queue", || !full.takes_another());
        full
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts from now on. Whoever is waiting gets through when the kernel sends its SYN again.
    pub(crate) fn listen(self) -> TcpListener {
        let Self { listener, queued, .. } = self;
        for _ in &queued {
            listener.accept().unwrap();
        }
        socket2::SockRef::from(&listener).listen(1024).unwrap();
        listener
    }

    fn takes_another(&mut self) -> bool {
        match TcpStream::connect_timeout(&self.address, Duration::from_millis(200)) {
            Ok(stream) => self.queued.push(stream),
            Err(_) => return false,
        }
        true
    }
}
