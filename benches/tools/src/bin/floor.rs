//! The floor: what a proxied exchange costs when nothing is looked at.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Duration;

use bench_tools::args::{self, Args};
use bench_tools::serve;
use bench_tools::sys::{self, Epoll, READ};

const USAGE: &str = "\
floor: forwards bytes without looking at them, for the lowest cost a proxy can have

One thread, one epoll loop, one upstream connection for each client connection, kept for as long as
the client stays. An exchange is four system calls, read and write on either side, and a share of an
epoll_wait. A yardstick for short messages, not a proxy: the end of one direction ends both, and a
full socket holds up everyone.

usage: floor --listen 127.0.0.1:PORT --upstream 127.0.0.1:PORT [--life SECONDS]

  --listen ADDR     where clients connect (loopback only)
  --upstream ADDR   where their bytes go (loopback only)
  --life SECONDS    ends by itself after that long (default 3600); SIGTERM ends it at once";

fn main() -> ExitCode {
    args::run(USAGE, |mut args: Args| {
        let listen = args.loopback("--listen")?;
        let upstream = args.loopback("--upstream")?;
        let life = Duration::from_secs(args.value("--life", 3600)?);
        args.finish()?;
        let mut floor = Floor::new(listen, upstream)?;
        serve::until_stopped(life, vec![Box::new(move || floor.run())])?;
        Ok(true)
    })
}

struct Floor {
    epoll: Epoll,
    listener: TcpListener,
    upstream: SocketAddrV4,
    /// By descriptor: a socket and the one that its bytes go to.
    pairs: Vec<Option<Half>>,
    buffer: Box<[u8]>,
}

struct Half {
    stream: TcpStream,
    peer: usize,
}

impl Floor {
    fn new(listen: SocketAddrV4, upstream: SocketAddrV4) -> io::Result<Self> {
        let listener = sys::listen(listen)?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new()?;
        epoll.add(&listener, descriptor(&listener), READ)?;
        Ok(Self { epoll, listener, upstream, pairs: Vec::new(), buffer: vec![0; 64 * 1024].into() })
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            for index in 0..self.epoll.wait(None)? {
                let token = self.epoll.token(index);
                if token == descriptor(&self.listener) {
                    self.accept()?;
                } else if self.forward(token).is_err() {
                    self.close(token);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let client = match self.listener.accept() {
            Ok((client, _)) => client,
            // Gone before it was accepted.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Ok(upstream) = TcpStream::connect(self.upstream) else { return Ok(()) };
        let (a, b) = (descriptor(&client), descriptor(&upstream));
        self.pairs.resize_with(self.pairs.len().max(a.max(b) + 1), || None);
        for (stream, peer) in [(client, b), (upstream, a)] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let token = descriptor(&stream);
            self.epoll.add(&stream, token, READ)?;
            self.pairs[token] = Some(Half { stream, peer });
        }
        Ok(())
    }

    /// One read and one write; an error means that the pair is to be closed.
    fn forward(&mut self, token: usize) -> io::Result<()> {
        // A pair closed earlier in the same batch of events may still have one in it.
        let Some(from) = self.pairs.get(token).and_then(Option::as_ref) else { return Ok(()) };
        let count = match (&from.stream).read(&mut self.buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        let Some(to) = self.pairs.get(from.peer).and_then(Option::as_ref) else {
            return Err(ErrorKind::NotConnected.into());
        };
        write_all(&to.stream, &self.buffer[..count])
    }

    fn close(&mut self, token: usize) {
        if let Some(half) = self.pairs[token].take() {
            self.pairs[half.peer] = None;
        }
    }
}

fn write_all(mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => sys::wait_writable(stream)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn descriptor(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative")
}
