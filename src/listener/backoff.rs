//! What to do when accept(2) fails. Pure.

use std::io;
use std::time::Duration;

/// What an error of accept(2) is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// One connection, which is gone: accept the next at once.
    Connection,
    /// The process or the host has run out of something, or the error is not known: wait, because
    /// the next attempt would fail the same way and the connection stays in the queue.
    Exhausted,
    /// The listening socket itself, which will accept nothing any more.
    Fatal,
}

/// Tells which. accept(2): Linux hands over the pending network errors of the new connection as
/// errors of accept, "and the application should treat them like EAGAIN by retrying".
pub fn classify(error: &io::Error) -> AcceptError {
    use AcceptError::{Connection, Exhausted, Fatal};
    match error.raw_os_error() {
        Some(
            // Nothing to accept (any more), or a signal came.
            libc::EAGAIN | libc::EINTR | libc::ECONNABORTED
            // A firewall forbids this connection.
            | libc::EPERM
            // Pending errors of the connection, as accept(2) lists them for TCP/IP …
            | libc::ENETDOWN | libc::EPROTO | libc::ENOPROTOOPT | libc::EHOSTDOWN | libc::ENONET
            | libc::EHOSTUNREACH | libc::EOPNOTSUPP | libc::ENETUNREACH
            // … and those that "various Linux kernels can return".
            | libc::ECONNRESET | libc::ETIMEDOUT | libc::ESOCKTNOSUPPORT | libc::EPROTONOSUPPORT,
        ) => Connection,
        // No descriptor, or not a socket, or it does not listen (shutdown(2) was called on it).
        Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL | libc::EFAULT) => Fatal,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSR and whatever else there is.
        _ => Exhausted,
    }
}

/// How long to wait after [`AcceptError::Exhausted`]: 5 ms, doubled each time, up to 1 s.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: Self::SHORTEST }
    }
}

impl Backoff {
    /// The first wait.
    pub const SHORTEST: Duration = Duration::from_millis(5);
    /// No wait is longer.
    pub const LONGEST: Duration = Duration::from_secs(1);

    /// The wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        wait
    }

    /// A connection was accepted: the next wait is the shortest again.
    pub fn succeeded(&mut self) {
        self.next = Self::SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_number_is_classified() {
        let connection = [
            libc::EAGAIN,
            libc::EINTR,
            libc::ECONNABORTED,
            libc::EPERM,
            libc::ENETDOWN,
            libc::EPROTO,
            libc::ENOPROTOOPT,
            libc::EHOSTDOWN,
            libc::ENONET,
            libc::EHOSTUNREACH,
            libc::EOPNOTSUPP,
            libc::ENETUNREACH,
            libc::ECONNRESET,
            libc::ETIMEDOUT,
            libc::ESOCKTNOSUPPORT,
            libc::EPROTONOSUPPORT,
        ];
        let fatal = [libc::EBADF, libc::ENOTSOCK, libc::EINVAL, libc::EFAULT];
        for errno in 1..=133 {
            let expected = match errno {
                e if connection.contains(&e) => AcceptError::Connection,
                e if fatal.contains(&e) => AcceptError::Fatal,
                _ => AcceptError::Exhausted,
            };
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(classify(&error), expected, "{error}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(classify(&io::Error::from_raw_os_error(errno)), AcceptError::Exhausted);
        }
        assert_eq!(classify(&io::Error::other("of no number")), AcceptError::Exhausted);
    }

    #[test]
    fn a_listener_that_was_shut_down_is_a_fatal_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(classify(&listener.accept().unwrap_err()), AcceptError::Fatal);
    }

    #[test]
    fn waits_double_up_to_a_second_and_start_again_after_a_success() {
        let mut backoff = Backoff::default();
        for round in 0..2 {
            let waits: Vec<u128> = (0..12).map(|_| backoff.failed().as_millis()).collect();
            let doubled = [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000];
            assert_eq!(waits, doubled, "round {round}");
            backoff.succeeded();
        }
    }
}
