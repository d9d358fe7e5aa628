//! A client that says exactly what it is told to, and panics when no answer comes in time.

use super::DEADLINE;
use super::message::Message;
use super::wire::Wire;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection to the proxy. Dropped, it closes with FIN.
#[derive(Debug)]
pub(crate) struct Client {
    wire: Wire,
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect_timeout(&address, DEADLINE).expect("the proxy accepts"))
    }

    /// One for which the kernel keeps no more than about twice this many bytes.
    #[track_caller]
    pub(crate) fn with_receive_buffer(address: SocketAddr, bytes: usize) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect_timeout(&address.into(), DEADLINE).expect("the proxy accepts");
        Self::on(socket.into())
    }

    /// One on a connection that is there.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { wire: Wire::new(stream) }
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.wire.stream()
    }

    /// Where it comes from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream().local_addr().unwrap()
    }

    /// Another handle to send with, from another thread.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream().try_clone().unwrap()
    }

    /// Every byte that came.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.wire.received().lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.wire.write(bytes.as_ref()).expect("the proxy reads");
    }

    /// Sends one byte after the other, each in a segment of its own.
    #[track_caller]
    pub(crate) fn drip(&self, bytes: impl AsRef<[u8]>) {
        bytes.as_ref().iter().for_each(|byte| self.send([*byte]));
    }

    /// A GET of this path, and its response.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Message {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.response()
    }

    /// Reads the response to a GET or POST.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Message {
        self.response_to("GET")
    }

    #[track_caller]
    pub(crate) fn response_to(&mut self, method: &str) -> Message {
        let response = self.wire.response(method);
        response.unwrap_or_else(|error| panic!("no response: {error}; received {:?}", self.text()))
    }

    /// Reads the response to a GET, which may be cut.
    pub(crate) fn try_response(&mut self) -> io::Result<Message> {
        let response = self.wire.response("GET");
        if let Err(error) = &response {
            assert!(!is_timeout(error), "neither a response nor an end; received {:?}", self.text());
        }
        response
    }

    /// Reads this many bytes.
    #[track_caller]
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.wire.exactly(count);
        bytes.unwrap_or_else(|error| panic!("not {count} bytes: {error}; received {:?}", self.text()))
    }

    /// Reads until this many bytes are there, and not one more; they are still to be dealt with.
    #[track_caller]
    pub(crate) fn gather(&mut self, count: usize) {
        let gathered = self.wire.gather(count);
        gathered.unwrap_or_else(|error| panic!("not {count} bytes: {error}"));
    }

    /// Reads what is left until the proxy's FIN.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let bytes = self.wire.rest();
        bytes.unwrap_or_else(|error| panic!("no end: {error}; received {:?}", self.text()))
    }

    /// The proxy closes with FIN, and nothing comes before that.
    #[track_caller]
    pub(crate) fn expect_eof(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "before the end came {:?}", String::from_utf8_lossy(&rest));
    }

    /// The proxy resets the connection; what comes before that is returned by [`Self::received`].
    #[track_caller]
    pub(crate) fn expect_reset(&mut self) {
        match self.wire.rest() {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("no reset but {other:?}; received {:?}", self.text()),
        }
    }

    /// Nothing comes for a while. What comes late is missed; what comes is always a failure.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        self.stream().set_read_timeout(Some(time)).unwrap();
        match self.wire.some() {
            Err(error) if is_timeout(&error) => {}
            other => panic!("no silence but {other:?}"),
        }
        self.stream().set_read_timeout(Some(DEADLINE)).unwrap();
    }

    /// Sends FIN.
    #[track_caller]
    pub(crate) fn half_close(&self) {
        self.wire.half_close().expect("connected");
    }

    /// Closes with RST.
    pub(crate) fn reset(self) {
        self.wire.reset_on_close();
    }

    /// The end of what came, for messages.
    fn text(&self) -> String {
        const SHOWN: usize = 400;
        let received = self.received();
        String::from_utf8_lossy(&received[received.len().saturating_sub(SHOWN)..]).into_owned()
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
