//! What this host can do, found out without changing anything.

use super::local_ports::{IP_LOCAL_PORT_RANGE, chosen_source};
use super::sockopt;
use super::splice::Pipe;
use std::ffi::CString;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A socket option that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketOption {
    /// SO_REUSEPORT, Linux 3.9. socket(7)
    ReusePort,
    /// TCP_USER_TIMEOUT, Linux 2.6.37. tcp(7)
    UserTimeout,
    /// IP_BIND_ADDRESS_NO_PORT, Linux 4.2. ip(7)
    BindAddressNoPort,
    /// IP_LOCAL_PORT_RANGE, Linux 6.3. IP_LOCAL_PORT_RANGE(2const)
    LocalPortRange,
}

impl SocketOption {
    /// Whether a TCP socket has it.
    ///
    /// # Errors
    /// No socket can be made, or the kernel's answer is neither yes nor no.
    pub fn is_there(self) -> io::Result<bool> {
        let socket = sockopt::tcp_socket(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))?;
        let (level, name) = self.number();
        match sockopt::get(&socket, level, name, &mut [0; 4]) {
            Ok(_) => Ok(true),
            // A level that knows no option of this number; EOPNOTSUPP is what sandboxes answer.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn number(self) -> (libc::c_int, libc::c_int) {
        match self {
            Self::ReusePort => (libc::SOL_SOCKET, libc::SO_REUSEPORT),
            Self::UserTimeout => (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
            Self::BindAddressNoPort => (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
            Self::LocalPortRange => (libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE),
        }
    }
}

/// What a path may be wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Writing to a file.
    Write,
    /// Creating a file in a directory.
    CreateIn,
}

/// Whether this process may do something with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Granted,
    /// There is no such path.
    Missing,
    /// It may not, for this reason.
    Denied(String),
}

/// Asks the kernel without opening anything: faccessat(2) with the effective user.
///
/// # Errors
/// The question cannot be asked, or the answer is about something else.
#[allow(unsafe_code)]
pub fn access(path: &Path, purpose: Purpose) -> io::Result<Access> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mode = match purpose {
        Purpose::Write => libc::W_OK,
        Purpose::CreateIn => libc::W_OK | libc::X_OK,
    };
    // SAFETY: the name ends with a null byte and outlives the call, which only reads it.
    if unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), mode, libc::AT_EACCESS) } == 0 {
        return Ok(Access::Granted);
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(Access::Missing),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Ok(Access::Denied(error.to_string())),
        _ => Err(error),
    }
}

/// Whether an address is one of this host's: whether a packet to it would come from it.
///
/// # Errors
/// The kernel's answer is not about routes.
pub fn is_local(address: IpAddr) -> io::Result<bool> {
    if address.is_loopback() {
        return Ok(true);
    }
    // The port means nothing: 9 is that of the discard protocol (RFC 863).
    match chosen_source(SocketAddr::new(address, 9)) {
        Ok(source) => Ok(source == address),
        // Without a route, or without that family, it is not here.
        Err(error) => match error.raw_os_error() {
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => {
                Ok(false)
            }
            _ => Err(error),
        },
    }
}

/// Whether splice(2) moves bytes from a socket into a pipe of `capacity` bytes and on into a socket.
///
/// # Errors
/// What is in the way.
pub fn splice(capacity: usize) -> io::Result<()> {
    let (mut from, source) = UnixStream::pair()?;
    let (target, _to) = UnixStream::pair()?;
    from.write_all(&[0])?;
    let mut pipe = Pipe::with_capacity(capacity)?;
    pipe.fill(&source.as_fd(), 1)?;
    pipe.drain(&target.as_fd())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn options_of_old_are_there_and_what_no_kernel_has_is_not() {
        for option in [SocketOption::ReusePort, SocketOption::UserTimeout, SocketOption::BindAddressNoPort] {
            assert!(option.is_there().unwrap(), "{option:?}");
        }
        // It depends on the kernel, but the question has an answer.
        SocketOption::LocalPortRange.is_there().unwrap();
        let socket = sockopt::tcp_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = sockopt::get(&socket, libc::IPPROTO_IP, 250, &mut [0; 4]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOPROTOOPT));
    }

    #[test]
    fn access_is_granted_denied_or_has_nothing_to_ask_about() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        assert_eq!(access(&file, Purpose::Write).unwrap(), Access::Missing);
        File::create(&file).unwrap();
        assert_eq!(access(&file, Purpose::Write).unwrap(), Access::Granted);
        assert_eq!(access(directory.path(), Purpose::CreateIn).unwrap(), Access::Granted);
        assert_eq!(access(&file.join("x"), Purpose::Write).unwrap(), Access::Missing);
        // Nobody may search a file that is not executable, not even root.
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(access(&file, Purpose::CreateIn).unwrap(), Access::Denied(_)));
        assert!(access(Path::new("a\0b"), Purpose::Write).is_err());
    }

    #[test]
    fn only_this_hosts_addresses_are_local() {
        for (address, local) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("192.0.2.1", false)]
        {
            assert_eq!(is_local(address.parse().unwrap()).unwrap(), local, "{address}");
        }
    }

    #[test]
    fn splicing_through_a_pipe_that_is_too_large_is_an_error() {
        splice(64 * 1024).unwrap();
        assert!(splice(usize::MAX).is_err());
    }
}
