//! Pipes, through which splice(2) moves bytes between sockets without copying them.
#![allow(unsafe_code)]

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

/// A pipe, and how many bytes are in it.
///
/// It is filled only while it is empty and drained only while it is not, so that "would block" always
/// tells of the socket: EAGAIN of splice(2) alone does not say which of the two ends it is about.
#[derive(Debug)]
pub struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    held: usize,
}

impl Pipe {
    /// An empty pipe with room for `capacity` bytes. pipe(7), F_SETPIPE_SZ in fcntl(2)
    ///
    /// # Errors
    /// Without descriptors, or when `capacity` is above what the kernel lets this user have
    /// (`fs.pipe-max-size`, `fs.pipe-user-pages-soft`).
    pub fn with_capacity(capacity: usize) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let size = libc::c_int::try_from(capacity).map_err(|_| ErrorKind::InvalidInput)?;
        // SAFETY: the call takes numbers, and the descriptor is open.
        if unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, size) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { reader, writer, held: 0 })
    }

    /// The bytes in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves up to `count` bytes from `socket` into the empty pipe; 0 is the peer's FIN.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing that splice(2) would take, which may also be because of urgent
    /// data; see [`is_unsupported`]; or the socket's own.
    pub fn fill(&mut self, socket: &impl AsFd, count: usize) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "EAGAIN would be ambiguous");
        self.held = splice(socket.as_fd(), self.writer.as_fd(), count)?;
        Ok(self.held)
    }

    /// Moves bytes from the pipe, which holds some, to `socket`, and returns how many.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes none; see [`is_unsupported`]; or the socket's own.
    pub fn drain(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        debug_assert!(self.held > 0, "EAGAIN would be ambiguous");
        let moved = splice(self.reader.as_fd(), socket.as_fd(), self.held)?;
        self.held -= moved;
        Ok(moved)
    }

    /// Copies bytes out of the pipe, which holds some, and returns how many.
    ///
    /// # Errors
    /// None is known of a pipe that holds bytes.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        debug_assert!(self.held > 0, "would wait for ever");
        let count = into.len().min(self.held);
        let read = self.reader.read(&mut into[..count])?;
        self.held -= read;
        Ok(read)
    }
}

/// Whether the error tells that splice(2) is not to be had here at all (sandboxes, other kernels).
pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM))
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    loop {
        // SAFETY: both descriptors are borrowed and so open, and null asks for no offset. A write to a
        // closed peer raises SIGPIPE here, which the standard library's start has set to be ignored.
        let moved = unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), count, flags) };
        if let Ok(moved) = usize::try_from(moved) {
            return Ok(moved);
        }
        let error = io::Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    /// Both non-blocking.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        (client, server)
    }

    #[test]
    fn bytes_pass_from_socket_to_socket() {
        let ((mut from, source), (target, mut to)) = (pair(), pair());
        let mut pipe = Pipe::with_capacity(256 * 1024).unwrap();
        assert_eq!(pipe.fill(&source, 100).unwrap_err().kind(), ErrorKind::WouldBlock);
        from.write_all(b"over the millpond").unwrap();
        assert_eq!((pipe.fill(&source, 8).unwrap(), pipe.held()), (8, 8));
        assert_eq!((pipe.drain(&target).unwrap(), pipe.held()), (8, 0));
        pipe.fill(&source, 100).unwrap();
        let mut rest = [0; 3];
        assert_eq!((pipe.read(&mut rest).unwrap(), pipe.held(), &rest), (3, 6, b" mi"));
        pipe.drain(&target).unwrap();
        from.shutdown(Shutdown::Write).unwrap();
        assert_eq!(pipe.fill(&source, 100).unwrap(), 0);

        let mut seen = [0; 14];
        to.set_nonblocking(false).unwrap();
        to.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"over thellpond");
    }

    #[test]
    fn a_full_socket_would_block_and_the_bytes_stay() {
        let ((mut from, source), (target, _to)) = (pair(), pair());
        let mut pipe = Pipe::with_capacity(64 * 1024).unwrap();
        let blocked = loop {
            match from.write(&[7; 65_536]) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                Ok(written) => assert!(written > 0),
            }
            pipe.fill(&source, 65_536).unwrap();
            let mut drained = Ok(0);
            while pipe.held() > 0 && drained.is_ok() {
                drained = pipe.drain(&target);
            }
            if let Err(error) = drained {
                break error;
            }
        };
        assert_eq!(blocked.kind(), ErrorKind::WouldBlock);
        assert!(pipe.held() > 0);
    }

    #[test]
    fn what_cannot_be_spliced_is_told_from_what_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut pipe = Pipe::with_capacity(4096).unwrap();
        // splice(2): EINVAL for a target opened in append mode.
        let file = std::fs::File::options().append(true).open("/dev/null").unwrap();
        let refused = splice(pipe.reader.as_fd(), file.as_fd(), 1).unwrap_err();
        assert!(is_unsupported(&refused), "{refused}");
        let failed = pipe.fill(&listener, 100).unwrap_err();
        assert!(!is_unsupported(&failed) && failed.kind() != ErrorKind::WouldBlock, "{failed}");
        assert!(Pipe::with_capacity(usize::MAX).is_err());
    }
}
