//! TCP listeners: bytes both ways, each end and each reset passed on by itself.

use crate::harness::{
    Client, Conn, Ended, Gate, Origin, Proxy, Refusing, Setup, Unaccepting, eventually, kernel, pattern,
    within,
};
use libtest_mimic::Trial;
use millpond::reason::{CloseReason, RejectReason};
use millpond::sys::sock_diag::TcpState;
use std::io::Write;
use std::thread;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        what_is_sent_comes_back,
        the_server_may_speak_first,
        large_data_both_ways_at_once,
        the_clients_fin_is_passed_on_alone,
        the_endpoints_fin_is_passed_on_alone,
        the_clients_reset_is_passed_on,
        the_endpoints_reset_is_passed_on,
        a_reset_destroys_nothing_that_was_read_before,
        a_silent_session_ends,
        a_session_in_use_goes_on,
        a_half_closed_client_has_a_deadline,
        a_half_closed_endpoint_has_a_deadline,
        an_endpoint_that_refuses_closes_the_client,
        another_endpoint_is_tried,
        a_client_that_leaves_at_once_leaves_nothing,
        a_client_that_leaves_takes_its_dial_along,
        a_session_waits_for_its_turn,
        warm_connections_are_used_once,
    ]
}

fn echo(conn: &mut Conn) {
    loop {
        let bytes = conn.some();
        if bytes.is_empty() {
            return;
        }
        conn.send(bytes);
    }
}

/// A proxy with this script behind it.
fn proxy(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> (Origin, Proxy) {
    let origin = Origin::start(script);
    let proxy = Setup::tcp([origin.address()]).start();
    (origin, proxy)
}

fn what_is_sent_comes_back() {
    let (_origin, proxy) = proxy(echo);
    let mut client = Client::connect(proxy.address());
    for word in ["hello", "\0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        client.send(word);
        assert_eq!(client.exactly(word.len()), word.as_bytes());
    }
    client.half_close();
    client.expect_eof();
    proxy.settle();
    assert_eq!((proxy.closes(CloseReason::TunnelDone), proxy.idle()), (1, 0));
}

fn the_server_may_speak_first() {
    let (_origin, proxy) = proxy(|conn| {
        conn.send("220 ready\r\n");
        echo(conn);
    });
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.exactly(11), b"220 ready\r\n");
}

fn large_data_both_ways_at_once() {
    const LARGE: usize = 10 << 20;
    let (_origin, proxy) = proxy(|conn| {
        let writer = conn.sender();
        thread::scope(|scope| {
            scope.spawn(move || (&*writer).write_all(&pattern(LARGE)).unwrap());
            assert!(conn.exactly(LARGE).unwrap() == pattern(LARGE));
        });
        conn.hold();
    });
    let mut client = Client::connect(proxy.address());
    let mut sender = client.sender();
    let sending = thread::spawn(move || sender.write_all(&pattern(LARGE)));
    assert!(client.exactly(LARGE) == pattern(LARGE));
    sending.join().unwrap().unwrap();
    client.half_close();
    client.expect_eof();
    proxy.settle();
    let listener = proxy.listener();
    assert_eq!(listener.total(|w| &w.sent_bytes), LARGE as u64);
    assert_eq!(listener.total(|w| &w.received_bytes), LARGE as u64);
}

fn the_clients_fin_is_passed_on_alone() {
    let (origin, proxy) = proxy(|conn| {
        assert_eq!(conn.hold(), Ended::Fin);
        conn.send("after your end");
    });
    let mut client = Client::connect(proxy.address());
    client.send("my end");
    client.half_close();
    assert_eq!(client.rest(), b"after your end");
    assert_eq!(origin.received(0), b"my end");
}

fn the_endpoints_fin_is_passed_on_alone() {
    let (origin, proxy) = proxy(|conn| {
        conn.send("my end");
        conn.half_close();
        conn.hold();
    });
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.rest(), b"my end");
    client.send("after your end");
    client.half_close();
    assert_eq!(origin.wait_for_end(0), Ended::Fin);
    assert_eq!(origin.received(0), b"after your end");
}

fn the_clients_reset_is_passed_on() {
    let (origin, proxy) = proxy(echo);
    let mut client = Client::connect(proxy.address());
    client.send("x");
    client.exactly(1);
    client.reset();
    assert_eq!(origin.wait_for_end(0), Ended::Reset);
    proxy.settle();
    assert_eq!(proxy.closes(CloseReason::ClientReset), 1);
    assert_eq!(kernel::towards(origin.address(), &TcpState::ALL), []);
}

fn the_endpoints_reset_is_passed_on() {
    let (_origin, proxy) = proxy(|conn| {
        conn.some();
        conn.reset_on_close();
    });
    let mut client = Client::connect(proxy.address());
    client.send("x");
    client.expect_reset();
    proxy.settle();
    assert_eq!(proxy.closes(CloseReason::Reset), 1);
    assert_eq!(kernel::session(proxy.address(), client.address(), &TcpState::ALL), None);
}

fn a_reset_destroys_nothing_that_was_read_before() {
    let gate = Gate::new();
    let wait = gate.clone();
    let (_origin, proxy) = proxy(move |conn| {
        conn.send(pattern(1000));
        wait.wait();
        conn.reset_on_close();
    });
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.exactly(1000), pattern(1000));
    gate.open();
    client.expect_reset();
}

fn a_silent_session_ends() {
    let origin = Origin::start(echo);
    let proxy = Setup::tcp([origin.address()]).listener("timeout.idle = \"200ms\"").start();
    let mut client = Client::connect(proxy.address());
    client.send("x");
    client.exactly(1);
    client.expect_eof();
    drop(client);
    origin.wait_for_end(0);
    proxy.settle();
    assert_eq!(proxy.closes(CloseReason::IdleTimeout), 1);
}

fn a_session_in_use_goes_on() {
    let origin = Origin::start(echo);
    let proxy = Setup::tcp([origin.address()]).listener("timeout.idle = \"500ms\"").start();
    let mut client = Client::connect(proxy.address());
    for _ in 0..10 {
        client.send("x");
        client.exactly(1);
        client.expect_silence(Duration::from_millis(100));
    }
}

fn a_half_closed_client_has_a_deadline() {
    let origin = Origin::start(|conn| {
        conn.hold();
        // It goes on, as if there was more to say.
        while (&*conn.sender()).write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let proxy = Setup::tcp([origin.address()]).listener("timeout.half_close = \"200ms\"").start();
    let client = Client::connect(proxy.address());
    client.half_close();
    assert_eq!(origin.wait_for_end(0), Ended::Fin);
    within(Duration::from_secs(5), "the deadline", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
}

fn a_half_closed_endpoint_has_a_deadline() {
    let origin = Origin::start(|conn| {
        conn.half_close();
        conn.hold();
    });
    let proxy = Setup::tcp([origin.address()]).upstream("timeout.half_close = \"200ms\"").start();
    let mut client = Client::connect(proxy.address());
    client.expect_eof();
    origin.wait_for_end(0);
    drop(client);
    within(Duration::from_secs(5), "the deadline", || proxy.closes(CloseReason::HalfCloseDeadline) == 1);
}

fn an_endpoint_that_refuses_closes_the_client() {
    let endpoint = Refusing::new();
    let proxy = Setup::tcp([endpoint.address()]).start();
    let mut client = Client::connect(proxy.address());
    client.send("hello");
    client.expect_eof();
    assert_eq!(proxy.rejects(RejectReason::ConnectFailed), 1);
    drop(client);
    eventually("the session's end", || proxy.closes(CloseReason::UpstreamFailed) == 1);
}

fn another_endpoint_is_tried() {
    let (refusing, origin) = (Refusing::new(), Origin::start(echo));
    let proxy = Setup::tcp([refusing.address(), origin.address()]).start();
    for _ in 0..10 {
        let mut client = Client::connect(proxy.address());
        client.send("x");
        assert_eq!(client.exactly(1), b"x");
    }
}

fn a_client_that_leaves_at_once_leaves_nothing() {
    let (origin, proxy) = proxy(echo);
    for _ in 0..20 {
        drop(Client::connect(proxy.address()));
        Client::connect(proxy.address()).reset();
    }
    proxy.settle();
    eventually("no connection is left", || {
        let open = [TcpState::Established, TcpState::CloseWait, TcpState::FinWait2];
        kernel::towards(origin.address(), &open).is_empty()
    });
}

fn a_client_that_leaves_takes_its_dial_along() {
    let endpoint = Unaccepting::new();
    let proxy = Setup::tcp([endpoint.address()]).upstream("timeout.connect = \"30s\"").start();
    let client = Client::connect(proxy.address());
    eventually("a connect is under way", || proxy.endpoint(0).gauge(|w| &w.connecting) == 1);
    client.reset();
    proxy.settle();
    assert_eq!((proxy.opened(), proxy.idle()), (0, 0));
}

fn a_session_waits_for_its_turn() {
    let origin = Origin::start(echo);
    let proxy = Setup::tcp([origin.address()]).upstream("pool.max_connections = 1").start();
    let mut clients = [(); 3].map(|()| Client::connect(proxy.address()));
    clients[0].send("0");
    assert_eq!(clients[0].exactly(1), b"0");
    eventually("two wait", || proxy.waiting() == 2);
    for (number, mut client) in clients.into_iter().enumerate() {
        client.send("x");
        assert_eq!(client.exactly(1), b"x");
        assert_eq!(proxy.opened(), number as u64 + 1);
    }
    proxy.settle();
}

fn warm_connections_are_used_once() {
    let origin = Origin::start(echo);
    let proxy = Setup::tcp([origin.address()]).upstream("pool.min_idle = 1").start();
    for number in 0..5 {
        within(Duration::from_secs(2), "another warm connection", || proxy.idle() == 1);
        let mut client = Client::connect(proxy.address());
        client.send("x");
        assert_eq!(client.exactly(1), b"x");
        assert_eq!(origin.received(number), b"x");
    }
}
