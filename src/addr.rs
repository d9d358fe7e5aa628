//! Addresses, each with the role it plays, so that a signature tells which one it wants.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

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

/// The address as IPv6: one of IPv4 is mapped. RFC 4291 section 2.5.5.2
pub fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
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

/// Whom a limit a client counts: an IPv4 address, or the 64 bits of an IPv6 network, as one host has all
/// addresses of it (RFC 6177, RFC 7421).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(u128);

impl ClientNetwork {
    /// That of this address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64),
        }
    }
}

/// A network: an address, and how many of its first bits count. RFC 4632
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// As IPv6, an IPv4 address mapped; the bits that do not count are 0.
    first: u128,
    /// Of 128.
    bits: u32,
}

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(as_v6(address).to_bits(), self.bits) == self.first
    }
}

/// The first `bits` of an address, and zeroes.
fn masked(address: u128, bits: u32) -> u128 {
    address & u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

impl FromStr for Network {
    type Err = ();

    /// An address, or an address, a slash and a number of bits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| ())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(());
        }
        let bits = 128 - width + bits;
        Ok(Self { first: masked(as_v6(address).to_bits(), bits), bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from_bits(self.first);
        match first.to_ipv4_mapped().filter(|_| self.bits >= 96) {
            Some(first) if self.bits == 128 => first.fmt(f),
            Some(first) => write!(f, "{first}/{}", self.bits - 96),
            None if self.bits == 128 => first.fmt(f),
            None => write!(f, "{first}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_written_alike() {
        for (text, written) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::7/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1", "::1"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), written);
        }
        for wrong in
            ["", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/-1", "host", "192.0.2.7:80"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_network_has_its_addresses_in_either_spelling_and_no_others() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(has("192.0.2.0/24", "192.0.2.255") && has("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(!has("192.0.2.0/24", "192.0.3.0") && !has("192.0.2.1", "192.0.2.2"));
        assert!(has("0.0.0.0/0", "203.0.113.1") && !has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "192.0.2.1"));
        assert!(has("::/0", "2001:db8::1"));
    }
}
