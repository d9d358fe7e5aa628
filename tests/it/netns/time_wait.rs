//! Which end of a connection closes first decides who has the TIME_WAIT, and whose port is gone.

use super::namespace::{local_ports, sysctl, trials};
use crate::harness::{Client, Origin, Proxy, eventually, kernel};
use libtest_mimic::Trial;
use millpond::reason::DiscardReason;
use millpond::sys::sock_diag::TcpState;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[];
        a_time_wait_of_the_backend_lets_the_same_port_connect_again,
        a_time_wait_here_keeps_its_port,
        a_backend_that_closes_first_costs_no_port,
    ]
}

const ANY: &[TcpState] = &[
    TcpState::Established,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::Closing,
];
/// A port that nothing else in the namespace is given.
const FIXED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1234);

/// Connects from [`FIXED`].
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&FIXED.into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// The backend's end of the connection from [`FIXED`], and the other end.
fn both_ends(backend: SocketAddr) -> [Option<TcpState>; 2] {
    let ends = [(backend, FIXED), (FIXED, backend)];
    ends.map(|(local, remote)| kernel::session(local, remote, ANY).map(|socket| socket.state))
}

/// One byte from one end to the other.
fn passes(mut from: &TcpStream, mut to: &TcpStream) {
    let mut byte = [0];
    from.write_all(b"x").unwrap();
    to.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

/// RFC 9293 section 3.6.1: a SYN with a sequence number beyond the last one may take a connection out of
/// TIME_WAIT, and RFC 6191: likewise one with a later timestamp.
fn a_time_wait_of_the_backend_lets_the_same_port_connect_again() {
    sysctl("ipv4/tcp_tw_reuse", 0);
    for timestamps in [1, 0] {
        sysctl("ipv4/tcp_timestamps", timestamps);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let backend = listener.local_addr().unwrap();
        for round in 0..20 {
            let before = both_ends(backend);
            let waiting = (round > 0).then_some(TcpState::TimeWait);
            assert_eq!(before, [waiting, None], "round {round} with tcp_timestamps = {timestamps}");

            let mut here = connect(backend).unwrap();
            let (there, from) = listener.accept().unwrap();
            assert_eq!(from, FIXED);
            assert_eq!(both_ends(backend), [Some(TcpState::Established); 2]);
            passes(&here, &there);
            passes(&there, &here);

            // The backend closes first, and this end when it has seen that.
            drop(there);
            assert_eq!(here.read(&mut [0]).unwrap(), 0);
            drop(here);
            eventually("both ends have closed", || both_ends(backend) == [Some(TcpState::TimeWait), None]);
        }
    }
}

/// The other way round: the kernel gives no port whose TIME_WAIT is on this side, and answers
/// EADDRNOTAVAIL when there is no other. connect(2)
fn a_time_wait_here_keeps_its_port() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let backend = listener.local_addr().unwrap();
    local_ports(FIXED.port()..=FIXED.port());
    let here = TcpStream::connect(backend).unwrap();
    let (mut there, from) = listener.accept().unwrap();
    assert_eq!(from, FIXED);
    drop(here);
    assert_eq!(there.read(&mut [0]).unwrap(), 0);
    drop(there);
    eventually("both ends have closed", || both_ends(backend) == [None, Some(TcpState::TimeWait)]);
    assert_eq!(TcpStream::connect(backend).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
}

/// Hundreds of connections, one after the other, from 16 ports.
fn a_backend_that_closes_first_costs_no_port() {
    const REQUESTS: usize = 300;
    let origin = Origin::start(|conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            conn.half_close();
            conn.hold();
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    local_ports(20_000..=20_015);
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/").text(), "ok");
        // Its FIN has been seen, and answered with another.
        eventually("it is let go of", || proxy.rested().idle() == 0);
    }
    assert_eq!(proxy.opened(), REQUESTS as u64);
    assert_eq!(proxy.discards(DiscardReason::EndpointClosed), REQUESTS as u64);
    assert_eq!(kernel::towards(origin.address(), &[TcpState::TimeWait]), [], "the origin closed first");
}
