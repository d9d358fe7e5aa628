//! The system calls that std does not offer; the only unsafe code of this crate.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

/// Readable, or the peer has finished sending.
pub const READ: u32 = libc::EPOLLIN as u32;
/// Writable, or a connect has ended.
pub const WRITE: u32 = libc::EPOLLOUT as u32;
/// Wake one of the threads that wait for a shared descriptor, not all (`EPOLLEXCLUSIVE`).
pub const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

const EVENTS_AT_ONCE: usize = 256;

/// A level-triggered epoll(7) instance and the room for its events.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Creates the instance; fails where the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed, and the descriptor returned is ours alone.
        let fd = unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC))? };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_AT_ONCE] })
    }

    /// Watches `socket` for `interest` and reports it as `token`.
    pub fn add(&self, socket: &impl AsRawFd, token: usize, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), token, interest)
    }

    /// Changes what a watched `socket` is watched for.
    pub fn modify(&self, socket: &impl AsRawFd, token: usize, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), token, interest)
    }

    /// Waits for events, at most for `timeout` (rounded up to milliseconds; `None`: for ever), and
    /// returns how many there are. A signal counts as none.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let milliseconds = timeout.map_or(-1, |t| t.as_micros().div_ceil(1000).min(60_000) as i32);
        // SAFETY: `events` is a live buffer of EVENTS_AT_ONCE initialised entries.
        let count = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS_AT_ONCE as i32,
                milliseconds,
            )
        };
        found(i64::from(count))
    }

    /// The same without the rounding (epoll_pwait2(2), Linux 5.11), for what has to happen on time.
    pub fn wait_exactly(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().min(60) as libc::time_t,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: `events` is as above, `timeout` lives through the call, and there is no signal mask.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS_AT_ONCE as i32,
                &raw const timeout,
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        found(count)
    }

    /// The token of event `index` of the last `wait`.
    pub fn token(&self, index: usize) -> usize {
        self.events[index].u64 as usize
    }

    fn control(&self, operation: i32, fd: RawFd, token: usize, interest: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: token as u64 };
        // SAFETY: `event` lives through the call, and the kernel copies it.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &mut event) }).map(drop)
    }
}

/// Lets the kernel wake this thread when it asked to be woken, not up to 50 us later
/// (PR_SET_TIMERSLACK, prctl(2)).
pub fn wake_on_time() -> io::Result<()> {
    // SAFETY: prctl takes numbers alone here.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) }).map(drop)
}

/// Listens on this port of every address of the loopback device, 127.0.0.1 to 127.255.255.254, and of
/// no other device (SO_BINDTODEVICE, socket(7)), with the longest queue that there may be.
pub fn listen_all_loopback(port: u16) -> io::Result<TcpListener> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: no pointer is passed, and the descriptor returned is ours alone.
    let fd = unsafe { owned(libc::socket(libc::AF_INET, kind, 0))? };
    set_option(&fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo\0")?;
    set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32)?;
    let (address, length) = socket_address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
    // SAFETY: `address` is a sockaddr_in of `length` bytes that lives through the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), length) })?;
    let listener = TcpListener::from(fd);
    lengthen_queue(&listener)?;
    Ok(listener)
}

/// Listens with the longest queue that there may be. std's has 128 places: of 1,000 clients that come at once, some
/// would send their SYN again after 1, 3, 7 and 15 s.
pub fn listen(address: SocketAddrV4) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    lengthen_queue(&listener)?;
    Ok(listener)
}

fn lengthen_queue(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: listen takes numbers alone; the kernel cuts the second to net.core.somaxconn.
    check(unsafe { libc::listen(listener.as_raw_fd(), i32::MAX) }).map(drop)
}

/// Starts a non-blocking connect; it has ended once the socket is writable, and
/// `TcpStream::take_error` tells how.
///
/// `source` is bound without a port (`IP_BIND_ADDRESS_NO_PORT`, ip(7)), so that the kernel chooses the
/// port at connect time and may take one whose TIME_WAIT belongs to another destination.
/// `narrow` makes it a narrow path, see [`make_narrow`].
pub fn connect(target: SocketAddrV4, source: Option<Ipv4Addr>, narrow: bool) -> io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointer is passed, and the descriptor returned is ours alone.
    let fd = unsafe { owned(libc::socket(libc::AF_INET, kind, 0))? };
    if narrow {
        make_narrow(&fd)?;
    }
    if let Some(source) = source {
        set_option(&fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1_i32)?;
        let (address, length) = socket_address(SocketAddrV4::new(source, 0));
        // SAFETY: `address` is a sockaddr_in of `length` bytes that lives through the call.
        check(unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), length) })?;
    }
    let (address, length) = socket_address(target);
    // SAFETY: as above.
    match check(unsafe { libc::connect(fd.as_raw_fd(), ptr::from_ref(&address).cast(), length) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from(fd)),
    }
}

/// Makes the next close of `socket` a reset, which leaves no TIME_WAIT (SO_LINGER of 0, socket(7)).
pub fn reset_on_close(socket: &impl AsRawFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Gives `socket` the segment size of Ethernet (TCP_MAXSEG) and buffers of 64 KiB (SO_SNDBUF and
/// SO_RCVBUF, which the kernel doubles and then no longer tunes; socket(7)).
///
/// Set before the handshake; a listening socket hands both on to those it accepts. The segments matter
/// for the peer: with the 64 KiB ones of loopback the kernel gives its send buffer 2.6 MB at once, room
/// for ten segments and their overhead, and what a slow reader leaves waiting would wait there.
pub fn make_narrow(socket: &impl AsRawFd) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, &1460_i32)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &(64 * 1024_i32))?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &(64 * 1024_i32))
}

/// Waits until `socket` can be written to.
pub fn wait_writable(socket: &impl AsRawFd) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `poll` is one live entry.
    match check(unsafe { libc::poll(&mut poll, 1, -1) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Raises the soft limit on descriptors to the hard one and returns it (RLIMIT_NOFILE).
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and writable through both calls.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// SIGTERM and SIGINT, blocked in this thread and in all that it starts.
pub struct StopSignals(libc::sigset_t);

impl StopSignals {
    /// Blocks the signals; call it before the first thread starts.
    ///
    /// SIGALRM comes too after `life`, so that a forgotten server ends by itself.
    pub fn block(life: Duration) -> io::Result<Self> {
        // SAFETY: the set is initialised by sigemptyset before anything reads it.
        let set = unsafe {
            let mut set = mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGALRM] {
                libc::sigaddset(&mut set, signal);
            }
            set
        };
        // SAFETY: `set` is live, and the old mask is not asked for.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: alarm takes a number and cannot fail.
        unsafe { libc::alarm(life.as_secs().max(1) as u32) };
        Ok(Self(set))
    }

    /// Sleeps until one of the signals comes.
    pub fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both pointers are to live values; the only error is an invalid set.
        unsafe { libc::sigwait(&self.0, &mut signal) };
    }
}

/// What a wait for events came to; a signal counts as none.
fn found(count: i64) -> io::Result<usize> {
    let count = if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) };
    match count {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        result => result,
    }
}

fn set_option<T>(socket: &impl AsRawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is live and `length` bytes long.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), length) })
        .map(drop)
}

fn socket_address(address: SocketAddrV4) -> (libc::sockaddr_in, libc::socklen_t) {
    let raw = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    (raw, mem::size_of::<libc::sockaddr_in>() as libc::socklen_t)
}

/// Takes ownership of a descriptor just returned by the kernel, or of its error.
///
/// # Safety
/// A non-negative `fd` must be open and owned by nothing else.
unsafe fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
