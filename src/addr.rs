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
