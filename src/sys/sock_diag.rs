//! The kernel's own view of sockets, by netlink (sock_diag(7)).
//!
//! Shows every TCP socket of the network namespace, whoever owns it, and needs no privilege. A dump
//! is not one instant: a socket that changes its state meanwhile may appear twice or not at all.

mod program;
mod state;
pub mod wire;

pub use program::Program;
pub use state::{TcpState, TcpStates};
pub use wire::Attributes;

use socket2::{Domain, Protocol, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;
use wire::Message;

/// The address family that a socket was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6; carries IPv4 too, where it is not restricted to IPv6.
    V6,
}

/// One TCP socket as the kernel has it. The kernel keeps no owner for sockets in TIME_WAIT and for
/// connections that nobody has accepted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The family of the socket, not of its addresses.
    pub family: Family,
    /// Where TCP is.
    pub state: TcpState,
    /// The local address; an IPv4-mapped one as IPv4. Scope and flow label are left out.
    pub local: SocketAddr,
    /// The peer's address, likewise; unspecified with port 0 where there is no peer.
    pub remote: SocketAddr,
    /// When the kernel forgets a socket that nobody owns any more: in TIME_WAIT, or in FIN_WAIT2.
    pub ends_in: Option<Duration>,
    /// Bytes received and not read; in LISTEN: connections that wait for accept(2).
    pub rqueue: u32,
    /// Bytes written and not acknowledged; in LISTEN: the backlog in force.
    pub wqueue: u32,
    /// The inode behind the descriptor, as fstat(2) shows it; 0: none.
    pub inode: u32,
    /// The user who made the socket; 0 where there is no inode.
    pub uid: u32,
}

/// What is told of each socket beside [`Socket`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// [`Attributes::info`].
    Info,
    /// [`Attributes::drops`].
    Drops,
}

/// Which sockets to list. The kernel sorts them out, so that few cost little to receive.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// In any of these states.
    pub states: TcpStates,
    /// With this local port.
    pub local_port: Option<u16>,
    /// With this remote port.
    pub remote_port: Option<u16>,
}

impl Filter {
    /// Every socket in one of these states.
    pub fn states(states: TcpStates) -> Self {
        Self { states, local_port: None, remote_port: None }
    }
}

/// Connections that wait for accept(2) on one listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenQueue {
    /// How many wait.
    pub depth: u32,
    /// The backlog in force: the kernel drops connections when more than these wait.
    pub limit: u32,
}

/// Lists the TCP sockets of the network namespace. An error says what netlink answered.
pub fn sockets(filter: &Filter) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    visit(filter, |socket| sockets.push(socket))?;
    Ok(sockets)
}

/// The queues of every socket that listens on this address and port (with SO_REUSEPORT there are
/// several), in no order. Empty: none listens there.
pub fn listen_queue(local: SocketAddr) -> io::Result<Vec<ListenQueue>> {
    let listening = TcpStates::of(&[TcpState::Listen]);
    let filter = Filter { local_port: Some(local.port()), ..Filter::states(listening) };
    let mut queues = Vec::new();
    visit(&filter, |socket| {
        if socket.local.ip() == local.ip().to_canonical() {
            queues.push(ListenQueue { depth: socket.rqueue, limit: socket.wqueue });
        }
    })?;
    Ok(queues)
}

/// Calls `each` with one socket after another, without holding them all. On an error `each` may have
/// seen a part of them.
pub fn visit(filter: &Filter, mut each: impl FnMut(Socket)) -> io::Result<()> {
    [Family::V4, Family::V6].into_iter().try_for_each(|family| visit_family(family, filter, &mut each))
}

/// The same for the sockets of one family. The kernel looks at every socket it has for each family, but at
/// no connection where nothing but [`TcpState::Listen`] is asked for.
pub fn visit_family(family: Family, filter: &Filter, mut each: impl FnMut(Socket)) -> io::Result<()> {
    visit_detailed(family, filter, None, Detail::None, |socket, _| each(socket))
}

/// The same, only for sockets with the ports of the program where there is one, and with details.
pub fn visit_detailed(
    family: Family,
    filter: &Filter,
    program: Option<&Program>,
    detail: Detail,
    each: impl FnMut(Socket, Attributes<'_>),
) -> io::Result<()> {
    const SEQUENCE: u32 = 1;
    let request = wire::request(family, filter, program, detail, SEQUENCE);
    Netlink::open()?.dump(&request, SEQUENCE, each)
}

/// A netlink socket and the buffer for its answers.
struct Netlink {
    socket: socket2::Socket,
    buffer: Vec<u8>,
}

impl Netlink {
    /// The kernel fills a datagram up to the size of the buffer, and no further than this.
    const LARGEST_DATAGRAM: usize = 32 << 10;
    /// The kernel answers from within the system call; this is only so that nothing waits for ever.
    const PATIENCE: Duration = Duration::from_secs(5);

    fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::NETLINK_SOCK_DIAG);
        let socket =
            socket2::Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW.cloexec(), Some(protocol))
                .map_err(|e| failed("socket(AF_NETLINK)", &e))?;
        socket.set_read_timeout(Some(Self::PATIENCE))?;
        Ok(Self { socket, buffer: vec![0; Self::LARGEST_DATAGRAM] })
    }

    fn dump(
        &mut self,
        request: &[u8],
        sequence: u32,
        mut each: impl FnMut(Socket, Attributes<'_>),
    ) -> io::Result<()> {
        self.socket.write_all(request).map_err(|e| failed("send", &e))?;
        loop {
            let length = match self.socket.read(&mut self.buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|e| failed("receive", &e))?,
            };
            for message in wire::messages(&self.buffer[..length], sequence) {
                match message.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                    Message::Socket(socket, attributes) => each(socket, attributes),
                    Message::Done => return Ok(()),
                    Message::Error(errno) => {
                        return Err(failed("dump", &io::Error::from_raw_os_error(errno)));
                    }
                }
            }
        }
    }
}

fn failed(step: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("sock_diag: {step}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Instant;

    /// What the kernel has between two addresses, the socket at `near` first. Others may come and go
    /// on the host meanwhile, so that only exact pairs are told apart from theirs.
    fn between(near: SocketAddr, far: SocketAddr) -> Vec<Socket> {
        let mut found = Vec::new();
        for (local, remote) in [(near, far), (far, near)] {
            let filter = Filter {
                states: TcpStates::ALL,
                local_port: Some(local.port()),
                remote_port: Some(remote.port()),
            };
            found.extend(sockets(&filter).unwrap().iter().filter(|s| (s.local, s.remote) == (local, remote)));
        }
        found
    }

    /// Waits until the two ends of a connection are as expected, the one at `near` first.
    fn until(near: SocketAddr, far: SocketAddr, expected: impl Fn(&[Socket]) -> bool) -> Vec<Socket> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let found = between(near, far);
            if expected(&found) {
                return found;
            }
            assert!(Instant::now() < deadline, "not as expected within 5 s: {found:?}");
            std::thread::yield_now();
        }
    }

    fn expect_states(near: SocketAddr, far: SocketAddr, expected: &[TcpState]) -> Vec<Socket> {
        until(near, far, |found| found.iter().map(|s| s.state).eq(expected.iter().copied()))
    }

    fn inode(socket: &impl AsRawFd) -> u32 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        let text = link.to_str().unwrap();
        text.strip_prefix("socket:[").unwrap().strip_suffix(']').unwrap().parse().unwrap()
    }

    #[test]
    fn both_ends_of_a_connection_are_seen_with_addresses_queues_and_inodes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(b"1234567").unwrap();
        let (address, peer) = (listener.local_addr().unwrap(), client.local_addr().unwrap());
        let ends = expect_states(address, peer, &[TcpState::Established, TcpState::Established]);

        let (near, far) = (ends[0], ends[1]);
        assert_eq!((near.local, near.remote, far.local, far.remote), (address, peer, peer, address));
        assert_eq!((near.inode, far.inode), (inode(&server), inode(&client)));
        assert_eq!((near.rqueue, near.family), (7, Family::V4));
    }

    #[test]
    fn a_close_is_seen_state_by_state() {
        use TcpState::{CloseWait, FinWait2, TimeWait};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let address = listener.local_addr().unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        expect_states(address, peer, &[FinWait2, CloseWait]);
        drop(client);
        // The kernel keeps no TIME_WAIT where tcp_max_tw_buckets of them exist on the host already.
        let left = until(address, peer, |found| found.iter().all(|s| s.state == TimeWait));
        assert!(left.iter().all(|s| (s.local, s.inode) == (address, 0)), "{left:?}");
        // TCP_TIMEWAIT_LEN in include/net/tcp.h.
        let within = Duration::from_secs(50)..=Duration::from_secs(61);
        assert!(left.iter().all(|s| s.ends_in.is_some_and(|left| within.contains(&left))), "{left:?}");
    }

    #[test]
    fn only_what_the_filter_names_is_listed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (_server, peer) = listener.accept().unwrap();

        let everything = sockets(&Filter::states(TcpStates::ALL)).unwrap();
        for filter in [
            Filter::states(TcpStates::ALL),
            Filter::states(TcpStates::of(&[TcpState::Listen])),
            Filter::states(TcpStates::of(&[TcpState::TimeWait])),
            Filter { local_port: Some(address.port()), ..Filter::states(TcpStates::ALL) },
            Filter { remote_port: Some(address.port()), ..Filter::states(TcpStates::ALL) },
            Filter {
                states: TcpStates::ALL,
                local_port: Some(address.port()),
                remote_port: Some(peer.port()),
            },
        ] {
            let matches = |socket: &Socket| {
                filter.states.contains(socket.state)
                    && filter.local_port.is_none_or(|port| port == socket.local.port())
                    && filter.remote_port.is_none_or(|port| port == socket.remote.port())
            };
            let listed = sockets(&filter).unwrap();
            assert!(listed.iter().all(matches), "{filter:?}");
            let ours = |s: &&Socket| {
                s.local == address && [0, peer.port()].contains(&s.remote.port())
                    || (s.local, s.remote) == (peer, address)
            };
            let expected: Vec<&Socket> = everything.iter().filter(ours).filter(|s| matches(s)).collect();
            assert_eq!(listed.iter().filter(ours).collect::<Vec<_>>(), expected, "{filter:?}");
        }
        drop(client);
    }

    #[test]
    fn the_kernel_runs_our_programs_and_tells_what_tcp_knows() {
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let clients: Vec<_> = addresses.iter().map(|to| TcpStream::connect(to).unwrap()).collect();
        let _servers: Vec<_> = listeners.iter().map(|l| l.accept().unwrap()).collect();
        let port = |place: usize| [addresses[place].port()].into();
        let program = Program::any_of(&port(0), &port(1));
        let mut seen = Vec::new();
        let filter = Filter::states(TcpStates::of(&[TcpState::Established]));
        visit_detailed(Family::V4, &filter, Some(&program), Detail::Info, |socket, attributes| {
            seen.push((socket.local, socket.remote, attributes.info()));
        })
        .unwrap();
        for (at, client) in clients.iter().enumerate() {
            let (near, far) = (addresses[at], client.local_addr().unwrap());
            let is_seen = |local, remote| seen.iter().any(|(l, r, _)| (*l, *r) == (local, remote));
            assert_eq!((is_seen(near, far), is_seen(far, near)), (at == 0, at == 1), "{at}");
        }
        assert!(seen.iter().all(|(.., info)| info.is_some_and(|info| info.state == TcpState::Established)));
    }

    #[test]
    fn a_listening_socket_tells_what_it_has_dropped() {
        let listener = crate::sys::sockopt::tcp_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let dropped = || {
            let mut drops = None;
            let filter = Filter {
                local_port: Some(address.port()),
                ..Filter::states(TcpStates::of(&[TcpState::Listen]))
            };
            visit_detailed(Family::V4, &filter, None, Detail::Drops, |_, attributes| {
                drops = attributes.drops();
            })
            .unwrap();
            drops
        };
        assert_eq!(dropped(), Some(0));
        // One is in the queue, which is full with it.
        let _waits = TcpStream::connect(address).unwrap();
        assert!(TcpStream::connect_timeout(&address, Duration::from_millis(50)).is_err());
        assert!(dropped().is_some_and(|drops| drops > 0), "{:?}", dropped());
    }

    #[test]
    fn connections_that_nobody_accepted_are_the_depth_of_the_queue() {
        let listener = crate::sys::sockopt::tcp_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(7).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();
        assert_eq!(listen_queue(address).unwrap(), [ListenQueue { depth: 0, limit: 7 }]);

        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!(listen_queue(address).unwrap(), [ListenQueue { depth: 3, limit: 7 }]);
        drop((clients, listener));
        assert_eq!(listen_queue(address).unwrap(), []);
    }

    #[test]
    fn a_dump_of_many_datagrams_is_read_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pairs: Vec<_> =
            (0..400).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap())).collect();
        let established = TcpStates::of(&[TcpState::Established]);
        let filter = Filter { local_port: Some(address.port()), ..Filter::states(established) };
        assert_eq!(sockets(&filter).unwrap().iter().filter(|s| s.local == address).count(), pairs.len());
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_shown_as_ipv4() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let client = TcpStream::connect(address).unwrap();
        let (_server, _) = listener.accept().unwrap();
        let peer = client.local_addr().unwrap();
        let ends = expect_states(address, peer, &[TcpState::Established, TcpState::Established]);
        assert_eq!((ends[0].family, ends[1].family), (Family::V6, Family::V4));
        assert_eq!(listen_queue(listener.local_addr().unwrap()).unwrap().len(), 1);
        assert_eq!(listen_queue((Ipv4Addr::UNSPECIFIED, port).into()).unwrap().len(), 0);
    }
}
