//! Socket options and queues of live sockets.

use super::local_ports::set_port_range;
use super::succeeded;
use crate::addr::{EndpointAddr, SourceAddr};
use crate::config::model::{TcpKeepalive, UpstreamSocket};
use libc::c_int;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;
use std::{io, mem};

/// A non-blocking socket to dial this endpoint with, all options set but those of [`set_lasting`]; bound to
/// `source` with IP_BIND_ADDRESS_NO_PORT where one is given, so that the port is chosen at connect(2): two
/// connections to different endpoints can then share a port. ip(7) `ports` are those to choose from;
/// all of the host's where none are given.
pub fn upstream_socket(
    endpoint: EndpointAddr,
    options: &UpstreamSocket,
    source: Option<SourceAddr>,
    ports: Option<&RangeInclusive<u16>>,
) -> io::Result<Socket> {
    let socket = tcp_socket(endpoint.0)?;
    set_port_range(&socket, ports)?;
    if options.no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    if let Some(source) = source {
        // IPv6 sockets take it at this level too.
        set_int(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket.bind(&SocketAddr::new(source.0, 0).into())?;
    }
    Ok(socket)
}

/// The number by which sock_diag(7) names a socket. fstat(2)
///
/// # Errors
/// The kernel's own.
#[allow(unsafe_code)]
pub fn inode(socket: &impl AsFd) -> io::Result<u32> {
    // SAFETY: stat is integers, for which all zeroes is a value.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes one stat to a pointer that is valid for one.
    succeeded(unsafe { libc::fstat(socket.as_fd().as_raw_fd(), &raw mut stat) })?;
    // sock_diag cuts it to this as well (idiag_inode).
    Ok(stat.st_ino as u32)
}

/// A TCP socket for this family of addresses, non-blocking and closed on exec.
pub fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    Socket::new_raw(Domain::for_address(address), kind, Some(Protocol::TCP))
}

/// The options that listening and dialling sockets have in common: TCP_NODELAY, TCP_USER_TIMEOUT
/// (zero leaves the kernel's default) and keepalive probes. The kernel takes probe times in seconds
/// up to 32767 and counts up to 127: fractions are rounded up, and what is beyond is cut. tcp(7)
pub fn set_transport(
    socket: &Socket,
    no_delay: bool,
    user_timeout: Duration,
    tcp_keepalive: Option<&TcpKeepalive>,
) -> io::Result<()> {
    if no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    set_timers(socket, user_timeout, tcp_keepalive)
}

/// The options of a dialling socket that begin to matter when its connection has lasted for some time, five
/// system calls: TCP_USER_TIMEOUT and keepalive probes. The kernel counts both from the last segment and not
/// from this call, so that they may be set [late](lasting_within).
///
/// # Errors
/// The kernel's own.
pub fn set_lasting(socket: &impl AsFd, options: &UpstreamSocket) -> io::Result<()> {
    set_timers(&SockRef::from(socket), options.user_timeout, options.tcp_keepalive.as_ref())
}

/// How soon after connect(2) a connection that lives on has to have them: [`LASTING`], or half of the shortest
/// of their times.
pub fn lasting_within(options: &UpstreamSocket) -> Duration {
    let probes = options.tcp_keepalive.as_ref().map(|probes| probes.idle);
    let user_timeout = Some(options.user_timeout).filter(|time| !time.is_zero());
    [probes, user_timeout].into_iter().flatten().fold(LASTING, |within, time| within.min(time / 2))
}

/// See [`lasting_within`].
pub const LASTING: Duration = Duration::from_secs(3);

fn set_timers(
    socket: &Socket,
    user_timeout: Duration,
    tcp_keepalive: Option<&TcpKeepalive>,
) -> io::Result<()> {
    if !user_timeout.is_zero() {
        let most = Duration::from_millis(i32::MAX as u64);
        socket.set_tcp_user_timeout(Some(user_timeout.clamp(Duration::from_millis(1), most)))?;
    }
    if let Some(probes) = tcp_keepalive {
        let seconds = |time| Duration::from_secs(whole_seconds(time).clamp(1, 32_767));
        let parameters = socket2::TcpKeepalive::new()
            .with_time(seconds(probes.idle))
            .with_interval(seconds(probes.interval))
            .with_retries(probes.count.clamp(1, 127));
        socket.set_tcp_keepalive(&parameters)?;
    }
    Ok(())
}

/// TCP_DEFER_ACCEPT on a listening socket: connections are accepted once their first bytes are here,
/// or after about this time. The kernel counts in retransmissions of the SYN-ACK and so rounds up to
/// 1, 3, 7, 15 … seconds. tcp(7)
pub fn set_defer_accept(socket: &impl AsFd, time: Duration) -> io::Result<()> {
    let seconds = c_int::try_from(whole_seconds(time)).unwrap_or(c_int::MAX);
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

/// SO_LINGER with this time, in whole seconds, rounded up to 1 at least (0 would mean RST). Beware:
/// close(2) then waits that long for the peer's acknowledgement, on non-blocking sockets too. socket(7)
pub fn set_linger(socket: &Socket, time: Duration) -> io::Result<()> {
    let seconds = whole_seconds(time).clamp(1, i32::MAX as u64);
    socket.set_linger(Some(Duration::from_secs(seconds)))
}

/// Makes the next close(2) send RST and leave no TIME_WAIT (SO_LINGER with time 0).
pub fn reset_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Bytes written but not yet acknowledged by the peer (SIOCOUTQ, tcp(7)); a FIN counts as one.
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<usize> {
    queue(socket, libc::TIOCOUTQ)
}

/// Bytes received but not yet read (SIOCINQ, tcp(7)).
pub fn unread(socket: &impl AsFd) -> io::Result<usize> {
    queue(socket, libc::FIONREAD)
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[allow(unsafe_code)]
fn queue(socket: &impl AsFd, request: libc::Ioctl) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: both requests write one int to a pointer that is valid for one.
    succeeded(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), request, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

#[allow(unsafe_code)]
pub(super) fn set_int(socket: &impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let size = mem::size_of::<c_int>() as libc::socklen_t;
    let value = (&raw const value).cast();
    // SAFETY: the pointer is valid for `size` bytes, of which the kernel reads no more.
    succeeded(unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, value, size) })
}

/// Asks for an option; returns how many bytes of `answer` the kernel wrote.
#[allow(unsafe_code)]
pub(super) fn get(socket: &impl AsFd, level: c_int, name: c_int, answer: &mut [u8]) -> io::Result<usize> {
    let mut size = answer.len() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `size` bytes to a pointer that is valid for as many.
    succeeded(unsafe { libc::getsockopt(fd, level, name, answer.as_mut_ptr().cast(), &raw mut size) })?;
    Ok(size as usize)
}

/// TCP_DEFER_ACCEPT as the kernel keeps it, in seconds.
#[cfg(test)]
pub(crate) fn defer_accept(socket: &impl AsFd) -> io::Result<c_int> {
    let mut answer = [0; mem::size_of::<c_int>()];
    get(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &mut answer)?;
    Ok(c_int::from_ne_bytes(answer))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::model::UpstreamClose;
    use crate::sys::sock_diag::TcpState;
    use crate::sys::tcp_info::tcp_state;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    const OPTIONS: UpstreamSocket = UpstreamSocket {
        no_delay: true,
        user_timeout: Duration::from_millis(30_500),
        tcp_keepalive: Some(TcpKeepalive {
            idle: Duration::from_secs(61),
            interval: Duration::from_secs(11),
            count: 5,
        }),
        close: UpstreamClose::Auto,
    };

    pub(crate) fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// The peer's side of the kernel may be a moment behind.
    pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !condition() {
            assert!(Instant::now() < deadline, "not within 5 s: {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_dialling_socket_has_the_options_of_its_configuration() {
        let endpoint = EndpointAddr("127.0.0.1:9".parse().unwrap());
        let socket = upstream_socket(endpoint, &OPTIONS, None, None).unwrap();
        assert!(socket.nonblocking().unwrap());
        assert!(socket.tcp_nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
        set_lasting(&socket, &OPTIONS).unwrap();
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(OPTIONS.user_timeout));
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(61));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(11));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 5);
        assert!(socket.linger().unwrap().is_none());
        assert_eq!(tcp_state(&socket).unwrap(), TcpState::Closed);
    }

    #[test]
    fn what_lasts_has_its_options_before_they_matter() {
        let with = |user_timeout, idle| UpstreamSocket {
            user_timeout: Duration::from_secs(user_timeout),
            tcp_keepalive: OPTIONS.tcp_keepalive.map(|probes| TcpKeepalive { idle, ..probes }),
            ..OPTIONS
        };
        let minute = Duration::from_secs(60);
        assert_eq!(lasting_within(&with(0, minute)), LASTING);
        assert_eq!(lasting_within(&with(1, minute)), Duration::from_millis(500));
        assert_eq!(lasting_within(&with(30, Duration::from_secs(2))), Duration::from_secs(1));
        assert_eq!(lasting_within(&UpstreamSocket { tcp_keepalive: None, ..with(0, minute) }), LASTING);
    }

    #[test]
    fn what_is_off_stays_as_the_kernel_has_it() {
        let off = UpstreamSocket {
            no_delay: false,
            user_timeout: Duration::ZERO,
            tcp_keepalive: None,
            close: UpstreamClose::Auto,
        };
        let endpoint = EndpointAddr("127.0.0.1:9".parse().unwrap());
        let socket = upstream_socket(endpoint, &off, None, None).unwrap();
        set_lasting(&socket, &off).unwrap();
        assert!(!socket.tcp_nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    }

    #[test]
    fn times_and_counts_are_brought_into_the_range_that_the_kernel_takes() {
        let probes = |idle, count| TcpKeepalive { idle, interval: idle, count };
        let socket = tcp_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        for (given, kept) in [
            (probes(Duration::from_millis(1), 0), (1, 1)),
            (probes(Duration::from_millis(1001), 7), (2, 7)),
            (probes(Duration::from_secs(86_400), 1000), (32_767, 127)),
        ] {
            set_transport(&socket, true, Duration::MAX, Some(&given)).unwrap();
            assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), kept.0);
            assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), kept.0);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), kept.1);
        }
        set_linger(&socket, Duration::from_millis(1)).unwrap();
        assert_eq!(socket.linger().unwrap(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_source_is_bound_without_a_port_until_connect() {
        for (loopback, source) in [("127.0.0.1:0", "127.0.0.7"), ("[::1]:0", "::1")] {
            let listener = TcpListener::bind(loopback).unwrap();
            let endpoint = EndpointAddr(listener.local_addr().unwrap());
            let source = SourceAddr(source.parse().unwrap());
            let socket = upstream_socket(endpoint, &OPTIONS, Some(source), None).unwrap();

            let bound = socket.local_addr().unwrap().as_socket().unwrap();
            assert_eq!((bound.ip(), bound.port()), (source.0, 0));

            match socket.connect(&endpoint.0.into()) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS)),
            }
            let (_, client) = listener.accept().unwrap();
            assert_eq!(client.ip(), source.0);
            assert_eq!(client, socket.local_addr().unwrap().as_socket().unwrap());
        }
    }

    #[test]
    fn bytes_are_unread_until_read_and_unacknowledged_until_received() {
        let (mut client, mut server) = pair();
        assert_eq!((unread(&server).unwrap(), unacknowledged(&client).unwrap()), (0, 0));
        client.write_all(b"12345").unwrap();
        eventually("five bytes arrive", || unread(&server).unwrap() == 5);
        eventually("they are acknowledged", || unacknowledged(&client).unwrap() == 0);
        server.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(unread(&server).unwrap(), 0);

        // A peer that reads nothing leaves bytes unacknowledged once its window is full.
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65_536]).is_ok() {}
        assert!(unacknowledged(&client).unwrap() > 0);
        assert!(unread(&server).unwrap() > 0);
    }

    #[test]
    fn queues_of_what_is_no_tcp_socket_are_errors() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(unread(&file).is_err() && unacknowledged(&file).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(unread(&listener).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_reset_on_close_reaches_the_peer_as_one_and_a_plain_close_does_not() {
        let (client, mut server) = pair();
        reset_on_close(&client).unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(tcp_state(&server).unwrap(), TcpState::Closed);

        let (client, mut server) = pair();
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(tcp_state(&server).unwrap(), TcpState::CloseWait);
    }
}
