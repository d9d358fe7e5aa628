//! Addresses, each with the role it plays, so that a signature tells which one it wants.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

address! {
    /// The remote address of a client's connection.
    ClientAddr(SocketAddr)
}
address! {
    /// The local address that a listener is bound to.
    ListenAddr(SocketAddr)
}
address! {
    /// The address of one endpoint of an upstream.
    EndpointAddr(SocketAddr)
}
address! {
    /// A local address that connections to an upstream are dialled from.
    SourceAddr(IpAddr)
}

/// An address as the kernel lists it: an IPv4-mapped one as IPv4, without scope and flow label.
pub fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The two addresses of a connection, both [`plain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Ours.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

impl Ends {
    /// The ends of the connection between these.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local: plain(local), remote: plain(remote) }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.local, self.remote)
    }
}
