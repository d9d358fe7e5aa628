//! The connection between the two processes: messages with deadlines.

use super::frame::{self, FrameError};
use crate::sys::fd_passing::{FdSocket, Received};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// One end; `S` is said here, `H` is heard.
#[derive(Debug)]
pub struct Link<S, H> {
    socket: FdSocket,
    says: PhantomData<fn(S) -> H>,
}

/// Why nothing was heard, or could be said.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other process has ended, or has closed the connection.
    #[error("the other process has ended")]
    Gone,
    /// It said nothing for so long.
    #[error("the other process said nothing for {0:?}")]
    Silent(Duration),
    /// Whoever waited has something else to do.
    #[error("given up")]
    GivenUp,
    /// It said what is not understood here.
    #[error("the other process said {0}")]
    Nonsense(#[from] FrameError),
    /// Anything else.
    #[error(transparent)]
    Io(io::Error),
}

/// How often a process that waits looks up.
const LOOK: Duration = Duration::from_millis(100);

impl<S: Serialize, H: DeserializeOwned> Link<S, H> {
    /// A conversation over this connection.
    pub fn new(socket: FdSocket) -> Self {
        Self { socket, says: PhantomData }
    }

    /// Says something, with these descriptors.
    ///
    /// # Errors
    /// When the other process is gone, or has not taken it within `patience`.
    pub fn say(
        &self,
        message: &S,
        descriptors: &[BorrowedFd<'_>],
        patience: Duration,
    ) -> Result<(), LinkError> {
        let bytes = frame::encode(message)?;
        self.socket.send(&bytes, descriptors, patience).map_err(|error| classify(error, patience))
    }

    /// Waits for what is said next.
    ///
    /// # Errors
    /// When that is nothing, or no sense; [`LinkError::GivenUp`] as soon as `has_to_end` says so.
    pub fn hear(
        &self,
        patience: Duration,
        has_to_end: &dyn Fn() -> bool,
    ) -> Result<(H, Vec<OwnedFd>), LinkError> {
        let deadline = Instant::now() + patience;
        loop {
            if has_to_end() {
                return Err(LinkError::GivenUp);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.socket.receive(left.min(LOOK)) {
                Ok(Some(Received { bytes, descriptors })) => {
                    return Ok((frame::decode(&bytes)?, descriptors));
                }
                Ok(None) => return Err(LinkError::Gone),
                Err(error) if is_timeout(&error) && left > LOOK => {}
                Err(error) => return Err(classify(error, patience)),
            }
        }
    }
}

fn classify(error: io::Error, patience: Duration) -> LinkError {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => LinkError::Gone,
        _ if is_timeout(&error) => LinkError::Silent(patience),
        ErrorKind::InvalidData => {
            LinkError::Nonsense(FrameError::TooLong(crate::sys::fd_passing::MAX_MESSAGE + 1))
        }
        _ => LinkError::Io(error),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::{FromNew, FromOld};

    type Old = Link<FromOld, FromNew>;
    type New = Link<FromNew, FromOld>;
    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (Old, FdSocket) {
        let (old, new) = FdSocket::pair().unwrap();
        (Old::new(old), new)
    }

    fn why(old: &Old, patience: Duration) -> LinkError {
        old.hear(patience, &|| false).unwrap_err()
    }

    #[test]
    fn both_sides_hear_what_is_said() {
        let (old, new) = pair();
        let new = New::new(new);
        old.say(&FromOld::Serve, &[], SOON).unwrap();
        new.say(&FromNew::Serving, &[], SOON).unwrap();
        assert_eq!(new.hear(SOON, &|| false).unwrap().0, FromOld::Serve);
        assert_eq!(old.hear(SOON, &|| false).unwrap().0, FromNew::Serving);
    }

    #[test]
    fn every_way_not_to_answer_is_told_apart() {
        let (old, new) = pair();
        let silent = why(&old, Duration::from_millis(120));
        assert!(matches!(silent, LinkError::Silent(_)), "{silent:?}");
        new.send(b"hello", &[], SOON).unwrap();
        let nonsense = why(&old, SOON);
        assert!(matches!(nonsense, LinkError::Nonsense(FrameError::Foreign(_))), "{nonsense:?}");
        assert!(matches!(old.hear(SOON, &|| true), Err(LinkError::GivenUp)));
        drop(new);
        assert!(matches!(why(&old, SOON), LinkError::Gone));
        assert!(matches!(old.say(&FromOld::Serve, &[], SOON), Err(LinkError::Gone)));
    }
}
