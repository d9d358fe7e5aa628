//! The admin server's listening socket.

use crate::config::model::AdminListen;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Why the admin server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Anybody on the network could reach it.
    #[error("the admin server cannot listen on {0}: it has no passwords, so only a loopback address will do")]
    NotLoopback(SocketAddr),
    /// Another process serves there.
    #[error("the admin server cannot listen on {0}: another process does; change admin.listen or stop it")]
    InUse(String),
    /// A file is in the way.
    #[error("the admin server cannot listen on unix:{}: the file exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// Anything else.
    #[error("the admin server cannot listen on {address}: {error}")]
    Io {
        /// The address or path.
        address: String,
        /// What the kernel says.
        error: io::Error,
    },
}

/// A bound and listening socket, non-blocking. The file of a Unix socket is removed on drop.
#[derive(Debug)]
pub struct AdminSocket(pub(super) Bound);

#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl AdminSocket {
    /// The address, with the port that the kernel gave where 0 was asked for; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix(..) => None,
        }
    }
}

/// Listens where the configuration says. The file of a Unix socket has mode 0600, and one that a dead
/// process left behind is replaced; needs no runtime.
pub fn bind(listen: &AdminListen) -> Result<AdminSocket, BindError> {
    match listen {
        AdminListen::Tcp(address) => bind_tcp(*address),
        AdminListen::Unix(path) => bind_unix(path),
    }
}

fn bind_tcp(address: SocketAddr) -> Result<AdminSocket, BindError> {
    if !address.ip().is_loopback() {
        return Err(BindError::NotLoopback(address));
    }
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match bound {
        Ok(listener) => Ok(AdminSocket(Bound::Tcp(listener))),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(BindError::InUse(address.to_string())),
        Err(error) => Err(BindError::Io { address: address.to_string(), error }),
    }
}

fn bind_unix(path: &Path) -> Result<AdminSocket, BindError> {
    let name = format!("unix:{}", path.display());
    let failed = |error| BindError::Io { address: name.clone(), error };
    match occupant(path).map_err(failed)? {
        Occupant::Nothing => {}
        Occupant::DeadSocket => fs::remove_file(path).map_err(failed)?,
        Occupant::LiveSocket => return Err(BindError::InUse(name)),
        Occupant::OtherFile => return Err(BindError::NotASocket(path.to_owned())),
    }
    let (listener, file) = listen_unix(path).map_err(failed)?;
    Ok(AdminSocket(Bound::Unix(listener, file)))
}

/// Nobody can connect between bind(2), which creates the file with the mode that the umask leaves,
/// and listen(2): the mode is right before the socket listens.
fn listen_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::created(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from(socket), file))
}

/// What stands at the path of a Unix socket.
enum Occupant {
    Nothing,
    /// A socket that nobody listens on any more.
    DeadSocket,
    LiveSocket,
    OtherFile,
}

fn occupant(path: &Path) -> io::Result<Occupant> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupant::Nothing),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(Occupant::OtherFile),
        Ok(_) => {}
    }
    // Non-blocking, so that a process that hangs with a full queue cannot make this one hang too.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Occupant::DeadSocket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Occupant::Nothing),
        // Whatever else the answer is (accepted, a full queue, no permission), somebody is there.
        _ => Ok(Occupant::LiveSocket),
    }
}

/// The file of a Unix socket; removed on drop, unless another process has put its own there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn created(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // There is nothing to do about a failure: the next start replaces the dead socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn unix(path: &Path) -> AdminListen {
        AdminListen::Unix(path.to_owned())
    }

    #[test]
    fn tcp_is_loopback_only_and_not_shared() {
        let any = AdminListen::Tcp(SocketAddr::from(([0, 0, 0, 0], 0)));
        assert!(matches!(bind(&any), Err(BindError::NotLoopback(_))));
        let socket = bind(&AdminListen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let address = socket.address().unwrap();
        assert_ne!(address.port(), 0);
        assert!(matches!(bind(&AdminListen::Tcp(address)), Err(BindError::InUse(_))));
    }

    #[test]
    fn a_unix_socket_is_private_and_gone_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let socket = bind(&unix(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(socket.address(), None);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file behind");
        let socket = bind(&unix(&path)).unwrap();
        assert!(matches!(bind(&unix(&path)), Err(BindError::InUse(_))));
        assert!(UnixStream::connect(&path).is_ok(), "the live socket was not disturbed");
        drop(socket);
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&unix(&path)), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_file_of_a_successor_survives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let first = bind(&unix(&path)).unwrap();
        fs::rename(&path, directory.path().join("old.sock")).unwrap();
        let successor = UnixListener::bind(&path).unwrap();
        drop(first);
        let mut client = UnixStream::connect(&path).unwrap();
        drop(successor.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn an_error_names_the_address() {
        let error = bind(&unix(Path::new("/nonexistent/admin.sock"))).unwrap_err().to_string();
        assert!(error.contains("unix:/nonexistent/admin.sock"), "{error}");
    }
}
