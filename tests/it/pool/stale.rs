//! What the endpoint does to an idle connection, and to one that it thought was idle.

use super::{GET, OK};
use crate::harness::{
    Client, Conn, Gate, Origin, Proxy, Setup, Unaccepting, always, eventually, kernel, within,
};
use libtest_mimic::Trial;
use millpond::reason::DiscardReason;
use millpond::sys::sock_diag::TcpState;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_thousand_idle_connections_closed_together_leave_no_close_wait,
        an_idle_connection_that_is_reset_is_let_go_of,
        a_post_right_behind_a_close_goes_to_a_fresh_connection,
        bytes_on_an_idle_connection_condemn_it,
        bytes_on_an_idle_connection_never_reach_the_next_client,
        bytes_behind_a_response_condemn_the_connection,
        an_idempotent_request_is_sent_again,
        an_idempotent_request_is_sent_again_only_once,
        a_request_sent_again_does_not_take_what_another_returns,
        a_first_use_is_not_sent_again,
        a_post_that_was_sent_is_not_sent_again,
        a_request_with_part_of_its_response_is_not_sent_again,
        a_response_that_is_cut_is_not_asked_for_again,
        a_small_body_is_sent_again_with_its_request,
        a_large_body_is_not_sent_again,
    ]
}

fn a_response_that_is_cut_is_not_asked_for_again() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(OK);
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    eventually("the connection is idle", || proxy.idle() == 1);
    client.send(GET);
    assert!(client.rest().ends_with(b"\r\n\r\nhalf"));
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(proxy.endpoint(0).total(|w| &w.retries_total), 0);
}

fn a_thousand_idle_connections_closed_together_leave_no_close_wait() {
    const MANY: usize = 1000;
    let (all, close) = (Gate::new(), Gate::new());
    let (wait, closing) = (all.clone(), close.clone());
    let origin = Origin::start(move |conn| {
        conn.request();
        wait.wait();
        conn.send(OK);
        closing.wait();
    });
    let setup = Setup::http([origin.address()]).upstream("pool.max_idle = 1000");
    let proxy = setup.upstream("pool.idle_timeout = \"60s\"").start();
    let mut clients = super::asking(&proxy, MANY);
    origin.wait_for_requests(MANY);
    all.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    eventually("a thousand are idle", || proxy.idle() == MANY as u64);

    close.open();
    eventually("none is idle", || proxy.idle() == 0);
    within(Duration::from_millis(50), "no CLOSE_WAIT is left", || {
        kernel::towards(origin.address(), &[TcpState::CloseWait]).is_empty()
    });
    assert_eq!(proxy.rested().discards(DiscardReason::EndpointClosed), MANY as u64);
    assert_eq!(kernel::towards(origin.address(), &[TcpState::TimeWait]), [], "the origin closed first");
}

fn an_idle_connection_that_is_reset_is_let_go_of() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |conn| {
        conn.request();
        conn.send(OK);
        wait.wait();
        conn.reset_on_close();
    });
    let proxy = Proxy::http(origin.address());
    assert_eq!(Client::connect(proxy.address()).get("/").text(), "ok");
    gate.open();
    eventually("it is counted", || proxy.discards(DiscardReason::EndpointReset) == 1);
    assert_eq!(proxy.rested().idle(), 0);
}

/// An origin that answers one request on each connection and then does something to the idle
/// connection when it is told to; the test is told when that is done.
struct Disturbing {
    origin: Origin,
    go: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
}

impl Disturbing {
    fn start(disturb: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        let ((go, told), (tell, done)) = (mpsc::channel::<()>(), mpsc::channel());
        let told = Arc::new(Mutex::new(told));
        let origin = Origin::start(move |conn| {
            conn.request();
            conn.send(OK);
            // The end of the test is the end of the channel.
            if told.lock().unwrap().recv().is_ok() {
                disturb(conn);
                tell.send(()).unwrap();
            }
            conn.hold();
        });
        Self { origin, go, done }
    }

    fn disturb(&self) {
        self.go.send(()).unwrap();
        self.done.recv_timeout(crate::harness::DEADLINE).unwrap();
    }
}

fn a_post_right_behind_a_close_goes_to_a_fresh_connection() {
    let backend = Disturbing::start(|conn| conn.half_close());
    let proxy = Proxy::http(backend.origin.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    for _ in 0..50 {
        backend.disturb();
        // The FIN is in the proxy's socket before the request is.
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
        let response = client.response();
        assert_eq!((response.text().as_str(), response.reason()), ("ok", None));
    }
    assert_eq!((proxy.opened(), proxy.rested().discards(DiscardReason::EndpointClosed)), (51, 50));
    drop(backend.go);
}

const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";

fn bytes_on_an_idle_connection_condemn_it() {
    let backend = Disturbing::start(|conn| conn.send("HTTP/1.1 408 Request Timeout\r\n\r\n"));
    let proxy = Proxy::http(backend.origin.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    backend.disturb();
    eventually("it is counted", || proxy.discards(DiscardReason::UnexpectedBytes) == 1);
    assert_eq!((proxy.rested().idle(), client.get("/").text().as_str()), (0, "ok"));
    drop(backend.go);
}

fn bytes_on_an_idle_connection_never_reach_the_next_client() {
    let backend = Disturbing::start(|conn| conn.send(FORGED));
    let proxy = Proxy::http(backend.origin.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    for _ in 0..50 {
        backend.disturb();
        // The bytes are in the proxy's socket before the request is.
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(proxy.rested().discards(DiscardReason::UnexpectedBytes), 50);
    drop(backend.go);
}

fn bytes_behind_a_response_condemn_the_connection() {
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(format!("{OK}{FORGED}"));
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!((proxy.opened(), proxy.rested().discards(DiscardReason::UnexpectedBytes)), (5, 5));
}

/// Answers this many requests on the first connection; reads one more and closes without an answer,
/// after sending `last`. Other connections are as their number says.
fn stale(last: &'static str, fresh_ones_answer: bool) -> Origin {
    Origin::start(move |conn| {
        if conn.number == 0 || fresh_ones_answer {
            conn.request();
            conn.send(OK);
        }
        if conn.number > 0 && fresh_ones_answer {
            conn.hold();
        } else {
            conn.request();
            conn.send(last);
        }
    })
}

/// The answer to a request on a connection that was used once and ends under it.
fn on_a_stale_connection(origin: &Origin, proxy: &Proxy, request: &str) -> (String, Option<String>) {
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    client.send(request);
    let response = client.response();
    let answer = (response.text(), response.reason().map(str::to_owned));
    origin.wait_for_requests(2);
    answer
}

fn an_idempotent_request_is_sent_again() {
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let origin = stale("", true);
        let proxy = Proxy::http(origin.address());
        let request = format!("{method} /again HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(on_a_stale_connection(&origin, &proxy, &request), ("ok".to_owned(), None), "{method}");
        assert_eq!((proxy.retries(), proxy.opened()), (1, 2));
        let requests = origin.requests();
        assert_eq!(requests[1].message.start, requests[2].message.start);
        assert_eq!(requests[1].message.fields, requests[2].message.fields);
    }
}

fn an_idempotent_request_is_sent_again_only_once() {
    let origin = stale("", false);
    let proxy = Proxy::http(origin.address());
    let (_, reason) = on_a_stale_connection(&origin, &proxy, GET);
    assert_eq!(reason.as_deref(), Some("upstream_closed"));
    assert_eq!((proxy.retries(), proxy.opened(), origin.requests().len()), (1, 2, 3));
}

/// What another request returns has been used, and may be as stale as the one that failed.
fn a_request_sent_again_does_not_take_what_another_returns() {
    let mut endpoint = Unaccepting::with_room();
    let proxy = Proxy::http(endpoint.address());
    let mut clients = [Client::connect(proxy.address()), Client::connect(proxy.address())];
    let mut connections = Vec::new();
    for client in &clients {
        client.send(GET);
        let mut connection = endpoint.accept();
        connection.request().unwrap().unwrap();
        connections.push(connection);
    }
    let [mut failing, returned] = <[_; 2]>::try_from(connections).unwrap();
    failing.write(OK.as_bytes()).unwrap();
    assert_eq!(clients[0].response().text(), "ok");

    // A dial takes as long as nothing is accepted.
    endpoint.fill();
    clients[0].send(GET);
    failing.request().unwrap().unwrap();
    drop(failing);
    eventually("it is dialled for", || proxy.endpoint(0).gauge(|w| &w.connecting) == 1);
    returned.write(OK.as_bytes()).unwrap();
    assert_eq!(clients[1].response().text(), "ok");
    eventually("it is idle", || proxy.idle() == 1);
    assert_eq!(proxy.waiting(), 1);

    let _fresh = Origin::on(endpoint.listen(), always(OK));
    assert_eq!(clients[0].response().text(), "ok");
    assert_eq!((proxy.retries(), proxy.opened()), (1, 3));
    drop(clients);
}

fn a_first_use_is_not_sent_again() {
    let origin = Origin::start(|conn| drop(conn.request()));
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").reason(), Some("upstream_closed"));
    assert_eq!((proxy.retries(), origin.requests().len()), (0, 1));
}

fn a_post_that_was_sent_is_not_sent_again() {
    let origin = stale("", true);
    let proxy = Proxy::http(origin.address());
    let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody";
    let (_, reason) = on_a_stale_connection(&origin, &proxy, request);
    assert_eq!(reason.as_deref(), Some("upstream_closed"));
    assert_eq!((proxy.retries(), origin.requests().len()), (0, 2));
}

fn a_request_with_part_of_its_response_is_not_sent_again() {
    let origin = stale("HTTP/1.1 2", true);
    let proxy = Proxy::http(origin.address());
    let (_, reason) = on_a_stale_connection(&origin, &proxy, GET);
    assert_eq!(reason.as_deref(), Some("upstream_closed"));
    assert_eq!((proxy.retries(), origin.requests().len()), (0, 2));
}

fn a_small_body_is_sent_again_with_its_request() {
    for request in [
        "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody",
        "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
    ] {
        let origin = stale("", true);
        let proxy = Proxy::http(origin.address());
        assert_eq!(on_a_stale_connection(&origin, &proxy, request), ("ok".to_owned(), None));
        let requests = origin.requests();
        assert_eq!((proxy.retries(), requests.len()), (1, 3));
        assert!(requests[1..].iter().all(|request| request.message.text() == "body"));
    }
}

fn a_large_body_is_not_sent_again() {
    let origin = stale("", true);
    let proxy = Proxy::http(origin.address());
    let body = "x".repeat(100_000);
    let request = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (_, reason) = on_a_stale_connection(&origin, &proxy, &request);
    assert_eq!(reason.as_deref(), Some("upstream_closed"));
    assert_eq!((proxy.retries(), origin.requests().len()), (0, 2));
}
