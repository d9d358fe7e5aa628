//! Dialling an endpoint, and whose fault it is when that fails.

use crate::addr::EndpointAddr;
use crate::config::model::UpstreamSocket;
use crate::reason::RejectReason;
use crate::source::ports::{SourcePorts, Unavailable};
use crate::sys::sockopt;
use crate::timer::Timer;
use std::io;
use std::time::Instant;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint did not accept in time.
    #[error("no answer within timeout.connect")]
    Timeout,
    /// The endpoint or the network to it refused.
    #[error("{0}")]
    Endpoint(io::ErrorKind),
    /// This host lacked something: never the endpoint's fault, and no mark against its health.
    #[error("local shortage: {0}")]
    Local(Shortage),
}

/// What this host lacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// EMFILE, ENFILE, or the descriptor budget.
    #[error("no descriptor left")]
    Descriptors,
    /// No source port left for this endpoint, by our own count or by EADDRNOTAVAIL at connect(2), ip(7).
    #[error("no source port left")]
    SourcePorts,
    /// EADDRNOTAVAIL at bind(2): the source is not an address of this host.
    #[error("the source is not an address of this host")]
    SourceAddress,
    /// ENOBUFS, ENOMEM.
    #[error("no memory for a socket")]
    Memory,
}

impl ConnectError {
    /// The label under which a request that failed for it is answered.
    pub fn reason(&self) -> RejectReason {
        match self {
            Self::Timeout => RejectReason::ConnectTimeout,
            Self::Endpoint(_) => RejectReason::ConnectFailed,
            Self::Local(Shortage::Descriptors) => RejectReason::Descriptors,
            Self::Local(Shortage::SourcePorts | Shortage::SourceAddress) => RejectReason::SourcePorts,
            Self::Local(Shortage::Memory) => RejectReason::Memory,
        }
    }

    /// Whether this host lacked what may be had from another source, or once something gives way.
    pub fn may_pass(&self) -> bool {
        self.unavailable().is_some() || matches!(self, Self::Local(Shortage::Descriptors))
    }

    /// Whether this host lacked something.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// What the kernel did not give, if another source may do better.
    pub fn unavailable(&self) -> Option<Unavailable> {
        match self {
            Self::Local(Shortage::SourcePorts) => Some(Unavailable::Ports),
            Self::Local(Shortage::SourceAddress) => Some(Unavailable::Address),
            _ => None,
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => Self::Local(Shortage::Descriptors),
            Some(libc::EADDRNOTAVAIL) => Self::Local(Shortage::SourcePorts),
            Some(libc::ENOBUFS | libc::ENOMEM) => Self::Local(Shortage::Memory),
            Some(libc::ETIMEDOUT) => Self::Timeout,
            _ => Self::Endpoint(error.kind()),
        }
    }
}

/// Opens a connection on a port taken from `source`, without the options of one that
/// [lasts](sockopt::set_lasting), giving up when `timer`, set by the caller, expires.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    endpoint: EndpointAddr,
    options: &UpstreamSocket,
    source: &SourcePorts,
    timer: &Timer,
) -> Result<TcpStream, ConnectError> {
    let socket = sockopt::upstream_socket(endpoint, options, source.bind_to(), source.range());
    let socket = socket.map_err(|error| match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => ConnectError::Local(Shortage::SourceAddress),
        _ => error.into(),
    })?;
    match socket.connect(&endpoint.0.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error.into()),
        _ => {}
    }
    let mut dialling = Dialling(Some(TcpStream::from_std(socket.into())?));
    tokio::select! {
        biased;
        connected = dialling.established() => connected,
        () = timer.expired() => Err(ConnectError::Timeout),
    }
}

/// A socket that is being connected. Given up when dropped: by RST, as a FIN of ours, should the endpoint have
/// accepted at that moment, would leave a TIME_WAIT that nobody knows of.
struct Dialling(Option<TcpStream>);

impl Dialling {
    async fn established(&mut self) -> Result<TcpStream, ConnectError> {
        if let Some(stream) = &self.0 {
            let ready = stream.ready(Interest::WRITABLE | Interest::ERROR).await?;
            // A failure shows in the event. SO_ERROR, which the runtime's own connect asks for each time, is not
            // asked for without one.
            let has_failed = ready.is_error() || ready.is_write_closed();
            if let Some(error) = has_failed.then(|| stream.take_error()).transpose()?.flatten() {
                return Err(error.into());
            }
        }
        Ok(self.0.take().expect("taken when established alone"))
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            // On failure close(2) sends what it sends.
            let _ = sockopt::reset_on_close(stream);
        }
    }
}

/// When a connection established at `now` is too old, with 10 % of jitter so that connections
/// opened together are not replaced together. `random` is any number.
pub fn retire_at(max_age: std::time::Duration, now: Instant, random: u64) -> Option<Instant> {
    let jitter = 900 + u32::try_from(random % 201).unwrap_or(0);
    (!max_age.is_zero()).then(|| now + max_age / 1000 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_local_shortage_is_never_the_endpoints_fault() {
        let local = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM];
        for errno in local {
            assert!(ConnectError::from(io::Error::from_raw_os_error(errno)).is_local());
        }
        for errno in [libc::ECONNREFUSED, libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ETIMEDOUT] {
            assert!(!ConnectError::from(io::Error::from_raw_os_error(errno)).is_local());
        }
    }

    #[test]
    fn max_age_is_jittered_by_ten_percent() {
        let (now, age) = (Instant::now(), Duration::from_secs(1000));
        assert_eq!(retire_at(Duration::ZERO, now, 7), None);
        assert_eq!(retire_at(age, now, 0), Some(now + Duration::from_secs(900)));
        assert_eq!(retire_at(age, now, 200), Some(now + Duration::from_secs(1100)));
    }
}
