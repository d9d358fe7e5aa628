use super::*;
use crate::config::model::{
    AccessLog, Admin, AdminListen, ClientFin, ListenerLimit, ListenerTimeout, Log, LogFormat, Protocol,
    Runtime, TcpKeepalive,
};
use crate::observe::fixture;
use crate::sys::sock_diag::{self, ListenQueue};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

const KEEPALIVE: TcpKeepalive =
    TcpKeepalive { idle: Duration::from_secs(61), interval: Duration::from_secs(11), count: 5 };

fn listener(name: &str, bind: &[&str]) -> Listener {
    let second = Duration::from_secs(1);
    Listener {
        name: name.to_owned(),
        bind: bind.iter().map(|address| address.parse().unwrap()).collect(),
        protocol: Protocol::Http,
        upstream: 0,
        socket: ListenerSocket {
            reuse_address: true,
            reuse_port: true,
            no_delay: true,
            linger: Linger::Graceful,
            backlog: Backlog::Connections(9),
            defer_accept: None,
            user_timeout: Duration::from_millis(30_500),
            tcp_keepalive: Some(KEEPALIVE),
        },
        timeout: ListenerTimeout {
            header: second,
            idle: second,
            body: second,
            half_close: second,
            linger: second,
        },
        limit: ListenerLimit {
            connections: 0,
            connections_per_client: 0,
            connection_rate: None,
            request_rate: None,
            exempt_clients: Vec::new(),
            header_bytes: 1 << 15,
            headers: 100,
            target_bytes: 1 << 13,
            body_bytes: 0,
        },
        client_fin: ClientFin::Finish,
    }
}

fn config(workers: usize, listeners: Vec<Listener>) -> Config {
    Config {
        runtime: Runtime {
            workers,
            shutdown_timeout: Duration::from_secs(1),
            watch: false,
            census_interval: Duration::from_secs(2),
            buffer_memory: None,
            user: None,
            group: None,
        },
        admin: Admin { listen: AdminListen::Tcp(([127, 0, 0, 1], 0).into()), token_file: None },
        log: Log { level: "info".to_owned(), format: LogFormat::Text, access: AccessLog::Off },
        resolver: fixture::resolver(),
        listeners: listeners.into_iter().map(Arc::new).collect(),
        upstreams: Vec::new(),
    }
}

fn bind_one(workers: usize, listener: Listener) -> Bound {
    let mut bound = bind_all(&config(workers, vec![listener])).unwrap();
    assert_eq!(bound.len(), 1);
    bound.remove(0)
}

fn bind_error(workers: usize, listener: Listener) -> String {
    let errors = bind_all(&config(workers, vec![listener])).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

/// An address whose port is free, and stays so: below the range that the kernel chooses ports from for
/// everybody else (net.ipv4.ip_local_port_range), and no test asks for the same.
fn free(ip: &str) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 1000) as u16 * 20;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2000;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return SocketAddr::new(ip.parse().unwrap(), port);
        }
    }
}

/// Accepts one connection from whichever socket has it.
fn accept(bound: &Bound) -> (usize, TcpStream) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        for (index, socket) in bound.sockets.iter().enumerate() {
            match socket.accept() {
                Ok((stream, _)) => return (index, stream),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock, "the socket must not block"),
            }
        }
        assert!(Instant::now() < deadline, "nothing to accept within 5 s");
        std::thread::yield_now();
    }
}

#[track_caller]
fn assert_transport(socket: &impl std::os::fd::AsFd) {
    let socket = SockRef::from(socket);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(30_500)));
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE.idle);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE.interval);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE.count);
}

#[test]
fn every_option_is_on_each_listening_socket_and_on_what_it_accepts() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let bound = bind_one(2, listener("web", &[address]));
        for socket in &bound.sockets {
            assert_transport(socket);
            let socket = SockRef::from(socket);
            assert!(socket.reuse_address().unwrap() && socket.reuse_port().unwrap());
            assert!(socket.nonblocking().unwrap() && socket.linger().unwrap().is_none());
            assert_eq!(address.starts_with('['), bound.address.0.is_ipv6() && socket.only_v6().unwrap());
        }
        for _ in 0..8 {
            let _client = TcpStream::connect(bound.address.0).unwrap();
            let (_, accepted) = accept(&bound);
            assert_transport(&accepted);
            assert!(SockRef::from(&accepted).linger().unwrap().is_none());
        }
    }
}

#[test]
fn what_is_off_stays_as_the_kernel_has_it() {
    let mut plain = listener("web", &["127.0.0.1:0"]);
    plain.socket.reuse_address = false;
    plain.socket.reuse_port = false;
    plain.socket.no_delay = false;
    plain.socket.user_timeout = Duration::ZERO;
    plain.socket.tcp_keepalive = None;
    let bound = bind_one(1, plain);
    let socket = SockRef::from(&bound.sockets[0]);
    assert!(!socket.reuse_address().unwrap() && !socket.reuse_port().unwrap());
    assert!(!socket.tcp_nodelay().unwrap() && !socket.keepalive().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    assert_eq!(sockopt::defer_accept(&bound.sockets[0]).unwrap(), 0);
}

#[test]
fn a_timed_linger_is_inherited_and_a_reset_is_left_to_the_closer() {
    for (linger, expected) in [
        (Linger::Timed(Duration::from_millis(6_500)), Some(Duration::from_secs(7))),
        (Linger::Graceful, None),
        (Linger::Reset, None),
    ] {
        let mut web = listener("web", &["127.0.0.1:0"]);
        web.socket.linger = linger;
        let bound = bind_one(1, web);
        assert_eq!(SockRef::from(&bound.sockets[0]).linger().unwrap(), expected);
        let _client = TcpStream::connect(bound.address.0).unwrap();
        assert_eq!(SockRef::from(&accept(&bound).1).linger().unwrap(), expected);
    }
}

#[test]
fn a_deferred_connection_is_accepted_with_its_first_bytes() {
    let mut web = listener("web", &["127.0.0.1:0"]);
    web.socket.defer_accept = Some(Duration::from_secs(5));
    let bound = bind_one(1, web);
    // 5 s are three retransmissions of the SYN-ACK, after 1, 3 and 7 s.
    assert_eq!(sockopt::defer_accept(&bound.sockets[0]).unwrap(), 7);
    let mut client = TcpStream::connect(bound.address.0).unwrap();
    assert_eq!(bound.sockets[0].accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    client.write_all(b"!").unwrap();
    let (_, mut accepted) = accept(&bound);
    accepted.read_exact(&mut [0]).unwrap();
}

#[test]
fn with_reuse_port_each_worker_has_its_own_queue_and_a_share_of_the_clients() {
    let bound = bind_one(3, listener("web", &["127.0.0.1:0"]));
    assert!(bound.sockets.iter().all(|s| s.local_addr().unwrap() == bound.address.0));
    let queue = ListenQueue { depth: 0, limit: 9 };
    assert_eq!(sock_diag::listen_queue(bound.address.0).unwrap(), [queue; 3]);

    let mut shares = [0; 3];
    for _ in 0..150 {
        let _client = TcpStream::connect(bound.address.0).unwrap();
        shares[accept(&bound).0] += 1;
    }
    assert!(shares.iter().all(|share| *share > 10), "{shares:?}");
}

#[test]
fn without_reuse_port_the_workers_share_one_queue() {
    let mut web = listener("web", &["127.0.0.1:0"]);
    web.socket.reuse_port = false;
    let bound = bind_one(3, web);
    assert_eq!(bound.sockets.len(), 1, "which each of them accepts on");
    let queues = sock_diag::listen_queue(bound.address.0).unwrap();
    assert_eq!(queues, [ListenQueue { depth: 0, limit: 9 }]);
    for socket in &bound.sockets {
        let _client = TcpStream::connect(bound.address.0).unwrap();
        socket.accept().unwrap();
        assert!(SockRef::from(socket).nonblocking().unwrap());
    }
}

#[test]
fn ipv4_and_ipv6_take_the_same_port_side_by_side() {
    let port = free("127.7.0.1").port();
    let both = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
    for order in [[0, 1], [1, 0]] {
        let web = listener("web", &order.map(|i| both[i].as_str()));
        assert_eq!(bind_all(&config(2, vec![web])).unwrap().len(), 2);
    }
}

#[test]
fn a_port_that_anybody_listens_on_is_refused_even_with_reuse_port() {
    for theirs_shares in [false, true] {
        let theirs = sockopt::tcp_socket(([127, 7, 0, 2], 0).into()).unwrap();
        theirs.set_reuse_address(true).unwrap();
        theirs.set_reuse_port(theirs_shares).unwrap();
        theirs.bind(&SocketAddr::from(([127, 7, 0, 2], 0)).into()).unwrap();
        theirs.listen(1).unwrap();
        let address = theirs.local_addr().unwrap().as_socket().unwrap();
        for wanted in [address.to_string(), format!("0.0.0.0:{}", address.port())] {
            let error = bind_error(2, listener("web", &[&wanted]));
            assert!(error.starts_with(&format!("listener \"web\" cannot bind {wanted}: ")), "{error}");
            assert!(error.contains(&format!("listens on {address} already")), "{error}");
        }
    }
}

#[test]
fn of_two_that_start_at_once_at_most_one_gets_the_port() {
    for _ in 0..100 {
        let address = free("127.7.0.3").to_string();
        let barrier = Barrier::new(2);
        let start = || {
            let configuration = config(2, vec![listener("web", &[&address])]);
            barrier.wait();
            let bound = bind_all(&configuration);
            barrier.wait();
            bound.is_ok()
        };
        let (one, other) = std::thread::scope(|scope| {
            let (one, other) = (scope.spawn(start), scope.spawn(start));
            (one.join().unwrap(), other.join().unwrap())
        });
        assert!(!(one && other), "both listen on {address}");
    }
}

#[test]
fn connections_of_a_previous_run_hinder_only_without_reuse_address() {
    for reuse_address in [true, false] {
        let mut web = listener("web", &["127.7.0.4:0"]);
        web.socket.reuse_address = reuse_address;
        let bound = bind_one(2, web.clone());
        // One connection is left in TIME_WAIT, if the host has room for it, and one is left open.
        let mut closed = TcpStream::connect(bound.address.0).unwrap();
        drop(accept(&bound).1);
        assert_eq!(closed.read(&mut [0]).unwrap(), 0);
        drop(closed);
        let _open = (TcpStream::connect(bound.address.0).unwrap(), accept(&bound).1);
        drop(bound.sockets);

        web.bind = vec![bound.address.0];
        match bind_all(&config(2, vec![web])) {
            Ok(_) => assert!(reuse_address),
            Err(errors) => {
                let error = errors[0].to_string();
                assert!(!reuse_address && error.contains("socket.reuse_address = true"), "{error}");
            }
        }
    }
}

#[test]
fn every_error_is_said_and_nothing_stays_bound() {
    let theirs = TcpListener::bind("127.7.0.5:0").unwrap();
    let taken = theirs.local_addr().unwrap().to_string();
    let good = [free("127.7.0.6"), free("127.7.0.7")];
    let listeners = vec![
        listener("good", &[&good[0].to_string()]),
        listener("bad", &["192.0.2.1:8080", &taken]),
        listener("fine", &[&good[1].to_string()]),
    ];
    let errors = bind_all(&config(2, listeners)).unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("listener \"bad\" cannot bind 192.0.2.1:8080: no interface"), "{lines:?}");
    assert!(lines[1].starts_with(&format!("listener \"bad\" cannot bind {taken}: a socket")), "{lines:?}");
    for address in good {
        assert_eq!(sock_diag::listen_queue(address).unwrap(), []);
        TcpListener::bind(address).unwrap();
    }
}

#[test]
fn an_address_that_another_listener_of_the_configuration_has_is_named_so() {
    let port = free("127.7.0.8").port();
    let (all, one) = (format!("0.0.0.0:{port}"), format!("127.7.0.8:{port}"));
    let errors = bind_all(&config(1, vec![listener("a", &[&all]), listener("b", &[&one])])).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        format!(
            "listener \"b\" cannot bind {one}: listener \"a\" of this configuration has {all} already: \
             give one of them another port"
        ),
    );
}

#[test]
fn a_backlog_beyond_somaxconn_is_clamped_and_said_so() {
    let somaxconn = limits::somaxconn().unwrap();
    for (backlog, effective, warned) in [
        (Backlog::Auto, somaxconn, false),
        (Backlog::Connections(somaxconn), somaxconn, false),
        (Backlog::Connections(somaxconn + 1), somaxconn, true),
        (Backlog::Connections(u32::MAX), somaxconn, true),
    ] {
        let mut web = listener("web", &["127.0.0.1:0"]);
        web.socket.backlog = backlog;
        let (bound, log) = logged(|| bind_one(1, web));
        assert_eq!(bound.backlog, effective);
        assert_eq!(sock_diag::listen_queue(bound.address.0).unwrap()[0].limit, effective);
        assert_eq!(log.contains("listener \"web\": socket.backlog = "), warned, "{backlog:?}: {log}");
        if let Backlog::Connections(wanted) = backlog {
            let command = format!("`sysctl -w net.core.somaxconn={wanted}`");
            assert_eq!(log.contains(&command), warned, "{log}");
        }
    }
}

/// What `run` logs, besides its result.
fn logged<T>(run: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let result = tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (result, text)
}
