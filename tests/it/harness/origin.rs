//! A backend that follows a script on each connection and remembers what it received.

use super::message::Message;
use super::wire::Wire;
use super::{Gate, Refusing, eventually};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A thread a connection, and there may be a thousand.
const STACK: usize = 256 * 1024;

/// A backend. Dropped, it closes everything, and panics if a script has.
#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    links: Mutex<Vec<Arc<Link>>>,
    requests: Mutex<Vec<Received>>,
}

/// A request, and the number of the connection that it came on.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) connection: usize,
    pub(crate) message: Message,
}

/// What is known of one connection.
#[derive(Debug)]
struct Link {
    received: Arc<Mutex<Vec<u8>>>,
    ended: Arc<Mutex<Option<Ended>>>,
    stream: Weak<TcpStream>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How the proxy closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Fin,
    Reset,
}

/// One connection, as its script has it. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Its number, from 0.
    pub(crate) number: usize,
    wire: Wire,
    ended: Arc<Mutex<Option<Ended>>>,
    shared: Arc<Shared>,
}

/// A script that answers every request with these bytes.
pub(crate) fn always(response: impl AsRef<[u8]> + Send + Sync + 'static) -> impl Fn(&mut Conn) + Send + Sync {
    move |conn| {
        while conn.request().is_some() {
            conn.send(&response);
        }
    }
}

impl Origin {
    /// Runs the script on a thread of its own for each connection. When the script returns, the
    /// connection is closed.
    pub(crate) fn start(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        Self::on(Refusing::new().listen(), script)
    }

    /// The same on a socket that listens already.
    pub(crate) fn on(listener: TcpListener, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let listener = Arc::new(listener);
        let shared = Arc::new(Shared::default());
        let (there, listens) = (Arc::clone(&shared), Arc::clone(&listener));
        let acceptor = thread::spawn(move || there.accept(&listens, Arc::new(script)));
        Self { address, listener, shared, acceptor: Some(acceptor) }
    }

    /// Answers every request with 200 and this body.
    pub(crate) fn saying(body: &str) -> Self {
        Self::start(always(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())))
    }

    /// Answers every request with 200 and "ok" once the gate is open.
    pub(crate) fn gated() -> (Self, Gate) {
        let gate = Gate::new();
        let wait = gate.clone();
        let origin = Self::start(move |conn| {
            while conn.request().is_some() {
                wait.wait();
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        (origin, gate)
    }

    /// Origins at addresses of their own and one port, which answer with their numbers.
    pub(crate) fn at_one_port<const N: usize>() -> [Self; N] {
        let mut port = 0;
        std::array::from_fn(|number| {
            let listener = Refusing::at_port(port).listen();
            port = listener.local_addr().unwrap().port();
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            Self::on(listener, always(response))
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.links.lock().unwrap().len()
    }

    /// Requests read whole so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until there are this many requests, and returns them.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests"), || self.requests().len() >= count);
        self.requests()
    }

    #[track_caller]
    pub(crate) fn wait_for_connections(&self, count: usize) {
        eventually(&format!("{count} connections"), || self.connections() >= count);
    }

    /// The one request that came.
    #[track_caller]
    pub(crate) fn only_request(&self) -> Message {
        let mut requests = self.wait_for_requests(1);
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0).message
    }

    /// Every byte that a connection has received so far.
    pub(crate) fn received(&self, connection: usize) -> Vec<u8> {
        let links = self.shared.links.lock().unwrap();
        links[connection].received.lock().unwrap().clone()
    }

    /// Waits until a script has read the end of this connection.
    #[track_caller]
    pub(crate) fn wait_for_end(&self, connection: usize) -> Ended {
        self.wait_for_connections(connection + 1);
        let ended = Arc::clone(&self.shared.links.lock().unwrap()[connection].ended);
        eventually("the end of a connection", || ended.lock().unwrap().is_some());
        let ended = *ended.lock().unwrap();
        ended.unwrap()
    }

    /// How a connection ended, if a script has read its end.
    pub(crate) fn ended(&self, connection: usize) -> Option<Ended> {
        *self.shared.links.lock().unwrap()[connection].ended.lock().unwrap()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
        // Wakes the acceptor, whatever a test has done to the packets that arrive here.
        SockRef::from(&*self.listener).shutdown(Shutdown::Both).expect("it listens");
        let acceptor = self.acceptor.take().expect("dropped once").join();
        let links = std::mem::take(&mut *self.shared.links.lock().unwrap());
        for link in &links {
            if let Some(stream) = link.stream.upgrade() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        let threads = links.iter().filter_map(|link| link.thread.lock().unwrap().take());
        let failed = threads.map(JoinHandle::join).filter(Result::is_err).count();
        if !thread::panicking() {
            assert!(acceptor.is_ok() && failed == 0, "{failed} scripts of an origin have panicked");
        }
    }
}

impl Shared {
    fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        script: Arc<impl Fn(&mut Conn) + Send + Sync + 'static>,
    ) {
        for stream in listener.incoming() {
            if self.stopped.load(Relaxed) {
                return;
            }
            let wire = Wire::new(stream.expect("a connection"));
            let mut links = self.links.lock().unwrap();
            let link = Arc::new(Link {
                received: wire.received(),
                ended: Arc::default(),
                stream: Arc::downgrade(wire.stream()),
                thread: Mutex::default(),
            });
            let shared = Arc::clone(self);
            let mut conn = Conn { number: links.len(), wire, ended: Arc::clone(&link.ended), shared };
            let script = Arc::clone(&script);
            let thread = thread::Builder::new().stack_size(STACK).spawn(move || script(&mut conn)).unwrap();
            *link.thread.lock().unwrap() = Some(thread);
            links.push(link);
        }
    }
}

impl Conn {
    /// Reads a request and remembers it; `None` when the proxy has closed instead.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let read = self.wire.request();
        let message = self.unless_closed(read)?;
        let received = Received { connection: self.number, message: message.clone() };
        self.shared.requests.lock().unwrap().push(received);
        Some(message)
    }

    /// The same, unless nothing comes for this long.
    pub(crate) fn request_within(&mut self, time: Duration) -> Option<Message> {
        let stream = Arc::clone(self.wire.stream());
        stream.set_read_timeout(Some(time)).unwrap();
        let comes = stream.peek(&mut [0]);
        stream.set_read_timeout(None).unwrap();
        match comes {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            comes => self.noted(comes).and_then(|_| self.request()),
        }
    }

    /// Reads the head of a request, with its empty line.
    pub(crate) fn head(&mut self) -> Option<Message> {
        let read = self.wire.head();
        self.unless_closed(read).map(|head| Message::of_head(&head))
    }

    /// Reads this many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let read = self.wire.exactly(count);
        self.noted(read)
    }

    /// Reads what comes next; nothing at the end.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        let read = self.wire.some();
        self.unless_closed(read.map(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty())))
            .unwrap_or_default()
    }

    /// Sends. A proxy that is gone is no failure here: the test looks at what it has seen.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.write(bytes.as_ref());
    }

    /// Another handle to send with, from another thread.
    pub(crate) fn sender(&self) -> Arc<TcpStream> {
        Arc::clone(self.wire.stream())
    }

    /// Sends one byte after the other, each in a segment of its own.
    pub(crate) fn drip(&self, bytes: impl AsRef<[u8]>) {
        bytes.as_ref().iter().for_each(|byte| self.send([*byte]));
    }

    /// Sends FIN.
    pub(crate) fn half_close(&self) {
        let _ = self.wire.half_close();
    }

    /// The end of the script will be an RST.
    pub(crate) fn reset_on_close(&self) {
        self.wire.reset_on_close();
    }

    /// Reads, and answers nothing, until the proxy closes; returns how it did.
    pub(crate) fn hold(&mut self) -> Ended {
        while !self.some().is_empty() {}
        self.ended.lock().unwrap().unwrap_or(Ended::Fin)
    }

    /// Nothing is the proxy's FIN.
    fn unless_closed<T>(&self, read: io::Result<Option<T>>) -> Option<T> {
        self.noted(read.and_then(|read| read.ok_or_else(|| ErrorKind::UnexpectedEof.into())))
    }

    /// Remembers how the connection ended, if it did.
    fn noted<T>(&self, read: io::Result<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                let how = if error.kind() == ErrorKind::UnexpectedEof { Ended::Fin } else { Ended::Reset };
                self.ended.lock().unwrap().get_or_insert(how);
                None
            }
        }
    }
}
