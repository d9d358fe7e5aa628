//! recv(2) and send(2), straight from the kernel.
//!
//! The C library's are points at which a thread can be cancelled: where there are threads, each call has an
//! atomic operation before it and one behind it. Nobody cancels threads here.

use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::AsFd;

/// Reads into `space`; 0 is the peer's FIN, or no space.
///
/// # Errors
/// The kernel's own.
pub fn recv(socket: &impl AsFd, space: &mut [u8]) -> io::Result<usize> {
    let (read, _) = rustix::net::recv(socket, space, RecvFlags::empty())?;
    Ok(read)
}

/// Writes the front of `bytes`; no signal where nobody reads any more.
///
/// # Errors
/// The kernel's own.
pub fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?)
}
