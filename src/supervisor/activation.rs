//! Sockets that the service manager has opened: socket activation.

use super::takeover::Inherited;
use crate::config::model::{AdminListen, Config};
use crate::sys::service_manager;
use socket2::{Domain, SockRef, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

/// The name of the admin server's socket, where it is not told by its address.
const ADMIN: &str = "admin";

/// Why a socket that was passed is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The variables, or the descriptors, are not as they should be.
    #[error("socket activation: {0}")]
    Io(#[from] io::Error),
    /// It is another kind of socket.
    #[error(
        "socket activation: descriptor {place} (\"{name}\") is not a TCP socket that listens, nor a Unix one for the \
         admin server: write ListenStream= in the .socket unit, and Accept=no"
    )]
    Kind {
        /// Its place, from 0.
        place: usize,
        /// Its name.
        name: String,
    },
    /// The configuration does not want it.
    #[error(
        "socket activation: no listener is for the socket \"{name}\" on {address}: write `bind = \"{address}\"` in a \
         [[listener]], or FileDescriptorName= with the name of a listener in the .socket unit, or take the \
         ListenStream= out of it"
    )]
    Unwanted {
        /// Its name.
        name: String,
        /// Where it listens.
        address: String,
    },
}

/// Takes the sockets that the service manager has opened for this process.
///
/// # Errors
/// When there is one that the configuration does not want.
pub(super) fn sockets(config: &Config) -> Result<Inherited, ActivationError> {
    let variable = |name: &str| std::env::var(name).ok();
    let names = service_manager::passed(&variable, std::process::id())?;
    if names.is_empty() {
        return Ok(Inherited::default());
    }
    let descriptors = service_manager::take_passed(names.len())?;
    assign(config, names.into_iter().zip(descriptors).collect())
}

/// Gives each socket to a listener: by its name, or else by its address.
fn assign(config: &Config, passed: Vec<(String, OwnedFd)>) -> Result<Inherited, ActivationError> {
    let binds: Vec<(&str, usize, SocketAddr)> = config
        .listeners
        .iter()
        .flat_map(|l| l.bind.iter().map(move |bind| (l.name.as_str(), l.bind.len(), *bind)))
        .collect();
    let mut inherited = Inherited { is_shared: true, ..Inherited::default() };
    inherited.listeners.resize_with(binds.len(), Vec::new);
    for (place, (name, descriptor)) in passed.into_iter().enumerate() {
        let address = match listens_on(&descriptor) {
            Some(Listens::Tcp(address)) => address,
            Some(Listens::Unix(path)) => {
                take_admin(config, &mut inherited, name, format!("unix:{path}"), descriptor)?;
                continue;
            }
            None => return Err(ActivationError::Kind { place, name }),
        };
        let by_name = || binds.iter().position(|(listener, count, _)| *listener == name && *count == 1);
        match binds.iter().position(|(_, _, bind)| *bind == address).or_else(by_name) {
            Some(place) => inherited.listeners[place].push(TcpListener::from(descriptor)),
            None => take_admin(config, &mut inherited, name, address.to_string(), descriptor)?,
        }
    }
    Ok(inherited)
}

/// The admin server's socket, if it is that one.
fn take_admin(
    config: &Config,
    inherited: &mut Inherited,
    name: String,
    address: String,
    descriptor: OwnedFd,
) -> Result<(), ActivationError> {
    let is_kind = matches!(config.admin.listen, AdminListen::Unix(_)) == address.starts_with("unix:");
    if crate::admin::name(&config.admin.listen) != address && !(name == ADMIN && is_kind) {
        return Err(ActivationError::Unwanted { name, address });
    }
    inherited.admin = Some(descriptor);
    inherited.keeps_admin_file = true;
    Ok(())
}

enum Listens {
    Tcp(SocketAddr),
    Unix(String),
}

fn listens_on(descriptor: &OwnedFd) -> Option<Listens> {
    let socket = SockRef::from(descriptor);
    if !socket.is_listener().ok()? || socket.r#type().ok()? != Type::STREAM {
        return None;
    }
    let address = socket.local_addr().ok()?;
    match socket.domain().ok()? {
        Domain::UNIX => Some(Listens::Unix(address.as_pathname()?.display().to_string())),
        _ => address.as_socket().map(Listens::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::fixture;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn tcp() -> (SocketAddr, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener.into())
    }

    fn config(binds: &[SocketAddr]) -> Config {
        let mut config = fixture::config();
        config.listeners.truncate(1);
        let mut web = (*config.listeners[0]).clone();
        (web.name, web.bind) = ("web".into(), binds.to_vec());
        config.listeners = vec![web.into()];
        config
    }

    #[test]
    fn sockets_go_by_address_and_else_by_name() {
        let ((one, first), (other, second), (_, third)) = (tcp(), tcp(), tcp());
        let passed = vec![("x.socket".into(), second), ("x.socket".into(), first)];
        let inherited = assign(&config(&[one, other]), passed).unwrap();
        let addresses: Vec<SocketAddr> =
            inherited.listeners.iter().map(|sockets| sockets[0].local_addr().unwrap()).collect();
        assert_eq!(addresses, [one, other]);
        let by_name =
            assign(&config(&["127.0.0.1:1".parse().unwrap()]), vec![("web".into(), third)]).unwrap();
        assert_eq!(by_name.listeners[0].len(), 1);
    }

    #[test]
    fn what_nobody_wants_is_an_error_that_says_what_to_write() {
        let ((address, socket), (_, other)) = (tcp(), tcp());
        let config = config(&["127.0.0.1:1".parse().unwrap()]);
        let error = assign(&config, vec![("x.socket".into(), socket)]).unwrap_err().to_string();
        assert!(error.contains(&format!("bind = \"{address}\"")), "{error}");
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error =
            assign(&config, vec![("web".into(), other), ("web".into(), datagram.into())]).unwrap_err();
        assert!(matches!(error, ActivationError::Kind { place: 1, .. }), "{error}");
        let connected = UnixStream::pair().unwrap().0;
        assert!(assign(&config, vec![("web".into(), connected.into())]).is_err());
    }

    #[test]
    fn the_admin_server_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let mut config = config(&["127.0.0.1:1".parse().unwrap()]);
        config.admin.listen = AdminListen::Unix(path.clone());
        let listener = UnixListener::bind(&path).unwrap();
        let inherited = assign(&config, vec![("x.socket".into(), listener.into())]).unwrap();
        assert!(inherited.admin.is_some());
        let (_, socket) = tcp();
        assert!(assign(&config, vec![("admin".into(), socket)]).is_err(), "another kind");
        config.admin.listen = AdminListen::Tcp("127.0.0.1:1".parse().unwrap());
        let (_, socket) = tcp();
        assert!(assign(&config, vec![("admin".into(), socket)]).unwrap().admin.is_some());
    }
}
