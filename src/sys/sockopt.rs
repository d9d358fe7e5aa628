//! Socket options and queues of live sockets.

use crate::addr::{EndpointAddr, SourceAddr};
use crate::config::model::UpstreamSocket;
use socket2::Socket;
use std::io;
use std::os::fd::AsFd;

/// A non-blocking socket to dial this endpoint with, all options set; bound to `source` with
/// IP_BIND_ADDRESS_NO_PORT where one is given, so that the port is chosen at connect(2).
pub fn upstream_socket(
    _endpoint: EndpointAddr,
    _options: &UpstreamSocket,
    _source: Option<SourceAddr>,
) -> io::Result<Socket> {
    todo!()
}

/// Makes the next close(2) send RST and leave no TIME_WAIT (SO_LINGER with time 0).
pub fn reset_on_close(_socket: &impl AsFd) -> io::Result<()> {
    todo!()
}

/// Bytes written but not yet acknowledged by the peer (SIOCOUTQ, tcp(7)).
pub fn unacknowledged(_socket: &impl AsFd) -> io::Result<usize> {
    todo!()
}

/// Bytes received but not yet read (SIOCINQ, tcp(7)).
pub fn unread(_socket: &impl AsFd) -> io::Result<usize> {
    todo!()
}
