//! The kernel has no port, although millpond counts some: somebody else has them.

use super::{From, GET, all_come_back, asking, figures, origin, unavailable};
use crate::harness::{Client, Gate, Proxy, Setup, eventually, kernel};
use libtest_mimic::Trial;
use millpond::addr::SourceAddr;
use millpond::source::level::Level;
use millpond::sys::sock_diag::TcpState;
use millpond::sys::sockopt::{reset_on_close, upstream_socket};
use socket2::Socket;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        a_request_for_which_the_kernel_has_no_port,
        another_source_is_tried,
        a_source_that_is_no_address_of_this_host,
        connections_come_from_the_configured_ports,
        a_close_by_fin_holds_its_port_and_one_by_reset_does_not,
    ]
}

/// Takes every port from the first source to the first endpoint, past the proxy's own count.
fn take_all(from: &From, proxy: &Proxy) -> Vec<Socket> {
    let (endpoint, upstream) = (proxy.endpoint(0).address, proxy.upstream(0));
    let options = &upstream.config.socket;
    let source = SourceAddr(from.addresses[0].parse().unwrap());
    let take = |_| {
        let socket = upstream_socket(endpoint, options, Some(source), Some(&from.ports)).unwrap();
        match socket.connect(&endpoint.0.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => None,
            _ => Some(socket),
        }
    };
    let taken: Vec<_> = (0..from.ports.len()).map_while(take).collect();
    assert!(taken.len() > from.ports.len() - 4, "{} of {:?}", taken.len(), from.ports);
    taken
}

fn a_request_for_which_the_kernel_has_no_port() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let from = From::new();
    let proxy = from.of(Setup::http([origin.address()])).start();
    let taken = take_all(&from, &proxy);
    let mut client = Client::connect(proxy.address());
    let answer = client.get("/");
    assert_eq!((answer.status(), answer.reason()), (503, Some("source_ports")));
    assert_eq!((unavailable(&proxy), figures(&proxy, 0).level), (1, Level::Refuse));
    assert_eq!(figures(&proxy, 0).free, 0);
    assert_eq!(client.get("/").reason(), Some("source_ports"));
    assert!(proxy.upstream(0).health.is_up(0), "it is not the endpoint's fault");
    for socket in taken {
        // No TIME_WAIT, so that the port is free again.
        reset_on_close(&socket).unwrap();
    }
    eventually("the ports are used again", || client.get("/").status() == 200);
}

fn another_source_is_tried() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let from = From::several(2);
    let proxy = from.of(Setup::http([origin.address()])).start();
    let _taken = take_all(&from, &proxy);
    assert_eq!(asking(&proxy, GET).response().text(), "ok");
    assert_eq!((proxy.opened(), figures(&proxy, 1).used), (1, 1));
    assert_eq!(proxy.endpoint(0).sources()[0].unavailable_total(), 1, "the first has its turn first");
    assert_eq!(proxy.endpoint(0).total(|w| &w.local_errors_total), 0);
}

fn a_source_that_is_no_address_of_this_host() {
    let gate = Gate::new();
    let origin = origin(&gate);
    // A documentation address, RFC 5737.
    let from = From { addresses: vec!["203.0.113.77".to_owned()], ..From::new() };
    let proxy = from.of(Setup::http([origin.address()])).start();
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status(), answer.reason()), (503, Some("source_ports")));
    }
    assert_eq!(unavailable(&proxy), 1, "tried once in ten seconds");
}

fn connections_come_from_the_configured_ports() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let from = From::new();
    let proxy = from.of(Setup::tcp([origin.address()])).start();
    let _sessions = super::sessions(&proxy, 0, super::MOST);
    let sockets = kernel::towards(origin.address(), &[TcpState::Established]);
    assert_eq!(sockets.len(), super::MOST);
    for socket in sockets {
        assert_eq!(socket.local.ip().to_string(), from.addresses[0]);
        assert!(from.ports.contains(&socket.local.port()), "{} is not in {:?}", socket.local, from.ports);
    }
}

fn a_close_by_fin_holds_its_port_and_one_by_reset_does_not() {
    for (close, time_waits) in [("graceful", 1), ("auto", 0)] {
        let gate = Gate::new();
        let origin = origin(&gate);
        let setup = From::new().of(Setup::http([origin.address()])).upstream("pool.max_idle = 0");
        let proxy = setup.upstream(&format!("socket.close = \"{close}\"")).start();
        assert_eq!(asking(&proxy, GET).response().text(), "ok");
        eventually("it is closed", || figures(&proxy, 0).used == 0);
        assert_eq!(figures(&proxy, 0).time_wait, time_waits, "{close}");
        // It lasts longer than it holds its port: on loopback, one of a second's age is reused.
        let found = || kernel::towards(origin.address(), &[TcpState::TimeWait]).len() as u32;
        eventually("the kernel agrees", || found() == time_waits);
        all_come_back(&proxy);
        assert_eq!(found(), time_waits);
    }
}
