//! A connection to another process of this host over which descriptors go with the messages: SCM_RIGHTS,
//! unix(7).
//!
//! SOCK_SEQPACKET keeps messages apart and descriptors with the message that they came with, and tells when
//! the other side is gone.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The longest message, in bytes: below net.core.wmem_default as Linux comes (212,992), which bounds what
/// one message may be.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// The most descriptors with one message; the kernel takes 253 (SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 64;

/// One end of the connection. It is closed on exec(2).
#[derive(Debug)]
pub struct FdSocket(OwnedFd);

/// What came in one message.
#[derive(Debug, Default)]
pub struct Received {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptors, closed on exec(2).
    pub descriptors: Vec<OwnedFd>,
}

impl FdSocket {
    /// Both ends of a connection.
    ///
    /// # Errors
    /// When there is no descriptor.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        Ok((Self(one.into()), Self(other.into())))
    }

    /// The end that this process was started with as its standard input, in whose place /dev/null is put.
    ///
    /// # Errors
    /// When standard input is no such socket; then it is left alone.
    pub fn from_stdin() -> io::Result<Self> {
        let stdin = io::stdin();
        let socket = SockRef::from(&stdin);
        if socket.domain()? != Domain::UNIX || socket.r#type()? != Type::SEQPACKET {
            return Err(io::Error::other("standard input is another kind of socket"));
        }
        let end = stdin.as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Self(end))
    }

    /// What a child process is given as its standard input.
    pub fn into_stdin(self) -> OwnedFd {
        self.0
    }

    /// Sends a message with these descriptors, which stay open here. Waits for at most `patience` where the
    /// other side does not read.
    ///
    /// # Errors
    /// `BrokenPipe` when the other side is gone, `WouldBlock` when it does not read, `InvalidInput` when
    /// there is more than one message may have.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>], patience: Duration) -> io::Result<()> {
        if bytes.is_empty() || bytes.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        SockRef::from(&self.0).set_write_timeout(Some(patience.max(LEAST)))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let sent =
            rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
    }

    /// The next message; `None` when the other side is gone. Waits for at most `patience`.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came, `InvalidData` when a message is longer than [`MAX_MESSAGE`], and
    /// `Other` when this process has no room for its descriptors.
    pub fn receive(&self, patience: Duration) -> io::Result<Option<Received>> {
        SockRef::from(&self.0).set_read_timeout(Some(patience.max(LEAST)))?;
        let mut bytes = vec![0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = rustix::net::recvmsg(
            &self.0,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let mut descriptors = Vec::new();
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(all) = part {
                descriptors.extend(all);
            }
        }
        if message.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("no room for the descriptors of a message: RLIMIT_NOFILE"));
        }
        if message.bytes == 0 {
            return Ok(None);
        }
        bytes.truncate(message.bytes);
        Ok(Some(Received { bytes, descriptors }))
    }
}

/// A timeout of 0 would mean none.
const LEAST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn descriptors_come_with_their_message_and_work() {
        let (one, other) = FdSocket::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        one.send(b"first", &[far.as_fd()], SOON).unwrap();
        one.send(b"second", &[], SOON).unwrap();
        drop((far, one));
        let first = other.receive(SOON).unwrap().unwrap();
        assert_eq!((&first.bytes[..], first.descriptors.len()), (&b"first"[..], 1));
        let far = first.descriptors.into_iter().next().unwrap();
        assert!(rustix::io::fcntl_getfd(&far).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        UnixStream::from(far).write_all(b"!").unwrap();
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"!");
        let second = other.receive(SOON).unwrap().unwrap();
        assert_eq!((&second.bytes[..], second.descriptors.len()), (&b"second"[..], 0));
        assert!(other.receive(SOON).unwrap().is_none(), "the other side is gone");
        assert_eq!(other.send(b"x", &[], SOON).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn as_many_as_allowed_go_at_once_and_no_more() {
        let (one, other) = FdSocket::pair().unwrap();
        let all: Vec<UnixStream> = (0..=MAX_DESCRIPTORS).map(|_| UnixStream::pair().unwrap().0).collect();
        let fds: Vec<BorrowedFd<'_>> = all.iter().map(AsFd::as_fd).collect();
        assert_eq!(one.send(b"x", &fds, SOON).unwrap_err().kind(), ErrorKind::InvalidInput);
        let longest = vec![b'x'; MAX_MESSAGE];
        one.send(&longest, &fds[1..], SOON).unwrap();
        let received = other.receive(SOON).unwrap().unwrap();
        assert_eq!((received.bytes.len(), received.descriptors.len()), (MAX_MESSAGE, MAX_DESCRIPTORS));
        for bad in [&longest[..0], &[&longest[..], b"x"].concat()] {
            assert_eq!(one.send(bad, &[], SOON).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_longer_message_than_allowed_is_refused_whole() {
        let (one, other) = FdSocket::pair().unwrap();
        let (_near, far) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [far.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let long = vec![b'x'; MAX_MESSAGE + 1];
        rustix::net::sendmsg(&one.0, &[IoSlice::new(&long)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        assert_eq!(other.receive(SOON).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn neither_side_waits_for_longer_than_it_is_told() {
        let (one, other) = FdSocket::pair().unwrap();
        let start = std::time::Instant::now();
        assert_eq!(other.receive(Duration::from_millis(20)).unwrap_err().kind(), ErrorKind::WouldBlock);
        let full = loop {
            if let Err(error) = one.send(&[0; 4096], &[], Duration::from_millis(20)) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() < SOON);
    }
}
