//! The admin server's listening socket.

use super::token::{Token, TokenError};
use crate::config::model::{Admin, AdminListen};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Why the admin server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Anybody on the network could use it.
    #[error("the admin server cannot listen on {0}, which other hosts can reach, without admin.token_file")]
    NoToken(SocketAddr),
    /// There is to be a token, and there is none.
    #[error("the admin server cannot start: {0}")]
    Token(#[from] TokenError),
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

/// A bound and listening socket, non-blocking, and the token that those who come to it must have.
/// The file of a Unix socket is removed on drop.
#[derive(Debug)]
pub struct AdminSocket {
    pub(super) bound: Bound,
    pub(super) token: Option<Token>,
}

#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The socket once more, for a process that takes over from this one.
#[derive(Clone, Debug)]
pub struct AdminHandle {
    listen: AdminListen,
    descriptor: Arc<OwnedFd>,
    is_kept: Arc<AtomicBool>,
    keeps_file: bool,
}

impl AdminHandle {
    /// Where it listens, as the configuration has it.
    pub fn listen(&self) -> &AdminListen {
        &self.listen
    }

    /// The socket.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Whether the file of a Unix socket is the service manager's.
    pub fn keeps_file(&self) -> bool {
        self.keeps_file
    }

    /// The file of a Unix socket is another process's: it is not removed.
    pub fn leave_file(&self) {
        self.is_kept.store(true, Relaxed);
    }

    /// It is this process's: it is removed in the end.
    pub fn own_file(&self) {
        self.is_kept.store(false, Relaxed);
    }
}

/// The address as the configuration has it: `host:port`, or `unix:/path`.
pub fn name(listen: &AdminListen) -> String {
    match listen {
        AdminListen::Tcp(address) => address.to_string(),
        AdminListen::Unix(path) => format!("unix:{}", path.display()),
    }
}

impl AdminSocket {
    /// The socket once more. `keeps_file`: the file of a Unix socket is the service manager's.
    ///
    /// # Errors
    /// When there is no descriptor.
    pub fn handle(&self, admin: &Admin, keeps_file: bool) -> io::Result<AdminHandle> {
        let (descriptor, is_kept) = match &self.bound {
            Bound::Tcp(listener) => (listener.as_fd(), Arc::default()),
            Bound::Unix(listener, file) => (listener.as_fd(), Arc::clone(&file.is_kept)),
        };
        let descriptor = Arc::new(descriptor.try_clone_to_owned()?);
        Ok(AdminHandle { listen: admin.listen.clone(), descriptor, is_kept, keeps_file })
    }

    /// The address, with the port that the kernel gave where 0 was asked for; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.bound {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix(..) => None,
        }
    }
}

/// Listens where the configuration says, with the token that it names. The file of a Unix socket has
/// mode 0600, and one that a dead process left behind is replaced; needs no runtime.
pub fn bind(admin: &Admin) -> Result<AdminSocket, BindError> {
    let token = admin.token_file.as_deref().map(Token::read).transpose()?;
    let bound = match &admin.listen {
        AdminListen::Tcp(address) if token.is_none() && !address.ip().is_loopback() => {
            return Err(BindError::NoToken(*address));
        }
        AdminListen::Tcp(address) => bind_tcp(*address)?,
        AdminListen::Unix(path) => bind_unix(path)?,
    };
    Ok(AdminSocket { bound, token })
}

/// Goes on with a socket that listens already where the configuration says. Its file is another process's until
/// [`AdminHandle::own_file`].
pub fn adopt(admin: &Admin, descriptor: OwnedFd) -> Result<AdminSocket, BindError> {
    let failed = |error| BindError::Io { address: name(&admin.listen), error };
    let token = admin.token_file.as_deref().map(Token::read).transpose()?;
    let bound = match &admin.listen {
        AdminListen::Tcp(address) if token.is_none() && !address.ip().is_loopback() => {
            return Err(BindError::NoToken(*address));
        }
        AdminListen::Tcp(_) => Bound::Tcp(TcpListener::from(descriptor)),
        AdminListen::Unix(path) => {
            let file = SocketFile::created(path).map_err(failed)?;
            file.is_kept.store(true, Relaxed);
            Bound::Unix(UnixListener::from(descriptor), file)
        }
    };
    match &bound {
        Bound::Tcp(listener) => listener.set_nonblocking(true),
        Bound::Unix(listener, _) => listener.set_nonblocking(true),
    }
    .map_err(failed)?;
    Ok(AdminSocket { bound, token })
}

fn bind_tcp(address: SocketAddr) -> Result<Bound, BindError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match bound {
        Ok(listener) => Ok(Bound::Tcp(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(BindError::InUse(address.to_string())),
        Err(error) => Err(BindError::Io { address: address.to_string(), error }),
    }
}

fn bind_unix(path: &Path) -> Result<Bound, BindError> {
    let name = format!("unix:{}", path.display());
    let failed = |error| BindError::Io { address: name.clone(), error };
    match occupant(path).map_err(failed)? {
        Occupant::Nothing => {}
        Occupant::DeadSocket => fs::remove_file(path).map_err(failed)?,
        Occupant::LiveSocket => return Err(BindError::InUse(name)),
        Occupant::OtherFile => return Err(BindError::NotASocket(path.to_owned())),
    }
    let (listener, file) = listen_unix(path).map_err(failed)?;
    Ok(Bound::Unix(listener, file))
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
    is_kept: Arc<AtomicBool>,
}

impl SocketFile {
    fn created(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)?, is_kept: Arc::default() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = !self.is_kept.load(Relaxed);
        if is_ours && identity(&self.path).is_ok_and(|found| found == self.identity) {
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

    fn unix(path: &Path) -> Admin {
        Admin { listen: AdminListen::Unix(path.to_owned()), token_file: None }
    }

    fn tcp(address: impl Into<SocketAddr>) -> Admin {
        Admin { listen: AdminListen::Tcp(address.into()), token_file: None }
    }

    #[test]
    fn tcp_without_a_token_is_loopback_only_and_not_shared() {
        assert!(matches!(bind(&tcp(([0, 0, 0, 0], 0))), Err(BindError::NoToken(_))));
        let socket = bind(&tcp(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.address().unwrap();
        assert_ne!(address.port(), 0);
        assert!(socket.token.is_none());
        assert!(matches!(bind(&tcp(address)), Err(BindError::InUse(_))));
    }

    #[test]
    fn with_a_token_it_may_listen_anywhere_and_without_its_file_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let anywhere = Admin { token_file: Some(file.clone()), ..tcp(([0, 0, 0, 0], 0)) };
        let loopback = Admin { token_file: Some(file.clone()), ..tcp(([127, 0, 0, 1], 0)) };
        for admin in [&anywhere, &loopback] {
            assert!(matches!(bind(admin), Err(BindError::Token(TokenError::Unreadable { .. }))));
        }
        fs::write(&file, "short\n").unwrap();
        assert!(matches!(bind(&loopback), Err(BindError::Token(TokenError::Short { .. }))));
        fs::write(&file, "0123456789abcdef\n").unwrap();
        for admin in [&anywhere, &loopback] {
            assert!(bind(admin).unwrap().token.is_some());
        }
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
