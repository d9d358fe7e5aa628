//! One side has closed and the other has not: every such connection is noticed, has a deadline, and
//! leaves nothing behind. Half-closed connections pile up as CLOSE_WAIT here if nobody looks.

mod abort;
mod closes;
mod hidden;
mod linger;
mod many;
mod phases;
mod waiting;

use crate::harness::{Client, Conn, DEADLINE, Origin, Proxy, eventually, kernel};
use libtest_mimic::Trial;
use millpond::sys::sock_diag::TcpState;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    [
        hidden::tests(),
        waiting::tests(),
        phases::tests(),
        abort::tests(),
        closes::tests(),
        linger::tests(),
        many::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A deadline, and what happens at it must be well before the other ones.
const SHORT: &str = "\"500ms\"";
const SOON: Duration = Duration::from_secs(8);

/// An origin that reads the head of a request, if `http`, and gives the rest of the conversation to the
/// test: it neither reads nor answers until the test says so.
fn puppet(http: bool) -> (Origin, Strings) {
    let ((give, streams), (go_on, told)) = (mpsc::channel(), mpsc::channel::<()>());
    let told = Arc::new(Mutex::new(told));
    let origin = Origin::start(move |conn: &mut Conn| {
        if http && conn.head().is_none() {
            return;
        }
        // The test may be over.
        let _ = give.send(conn.sender());
        let _ = told.lock().unwrap().recv();
        conn.hold();
    });
    (origin, Strings { streams, go_on })
}

/// What a puppet hangs on. Dropped, the origin reads until the proxy closes.
struct Strings {
    streams: mpsc::Receiver<Arc<TcpStream>>,
    go_on: mpsc::Sender<()>,
}

impl Strings {
    /// The origin's next connection.
    #[track_caller]
    fn stream(&self) -> Arc<TcpStream> {
        self.streams.recv_timeout(DEADLINE).expect("a connection to the origin")
    }

    /// One origin connection reads on.
    fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }
}

/// The proxy's end of this client's connection is in CLOSE_WAIT.
fn client_is_half_closed(proxy: SocketAddr, client: &Client) -> bool {
    kernel::session(proxy, client.address(), &[TcpState::CloseWait]).is_some()
}

/// No session of the proxy's is left, nor a half-closed socket of it.
#[track_caller]
fn is_clean(proxy: &Proxy, origin: SocketAddr) {
    proxy.settle();
    eventually("no half-closed socket is left", || {
        kernel::of_listener(proxy.address(), &[TcpState::CloseWait]).is_empty()
            && kernel::towards(origin, &[TcpState::CloseWait]).is_empty()
    });
}
