use super::*;
use crate::observe::fixture;
use socket2::{Domain, Socket as Raw, Type};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// Addresses of this test's own: others leave sockets between the usual ones.
const DESTINATION: Ipv4Addr = Ipv4Addr::new(127, 79, 67, 80);
const NEAR: Ipv4Addr = Ipv4Addr::new(127, 79, 67, 81);
const FAR: Ipv4Addr = Ipv4Addr::new(127, 79, 67, 82);

/// A connection from this address, and its other end.
fn connect(source: Ipv4Addr, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let socket = Raw::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&listener.local_addr().unwrap().into()).unwrap();
    (socket.into(), listener.accept().unwrap().0)
}

fn listeners(count: usize) -> Vec<TcpListener> {
    (0..count).map(|_| TcpListener::bind((DESTINATION, 0)).unwrap()).collect()
}

#[test]
fn ports_are_counted_by_source_and_destination_however_many_there_are() {
    for count in [2, PORTS_APART + 1] {
        let listeners = listeners(count);
        let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let near: Vec<_> = (0..3).map(|_| connect(NEAR, &listeners[0])).collect();
        let far = connect(FAR, &listeners[0]);
        let (first, second) = connect(NEAR, &listeners[1]);
        // The side that dialled closes first, and has the TIME_WAIT.
        drop(first);
        drop(second);

        let held = held(addresses.iter().copied()).unwrap();
        let ports = |to: usize, source: Ipv4Addr| {
            let ports = from(source.into(), &held[&addresses[to]]);
            (ports.open, ports.time_wait)
        };
        assert_eq!((ports(0, NEAR), ports(0, FAR)), ((3, 0), (1, 0)), "{count} ports");
        assert_eq!(ports(0, Ipv4Addr::UNSPECIFIED), (4, 0), "whichever the kernel chose");
        assert_eq!((ports(1, NEAR), ports(1, FAR)), ((0, 1), (0, 0)));
        assert_eq!(held.len(), count, "nothing but what was asked for");
        drop((near, far));
    }
}

#[test]
fn the_source_of_an_endpoint_is_told_once_the_endpoint_was_dialled() {
    let listeners = listeners(2);
    let mut config = fixture::config();
    let upstream = Arc::make_mut(&mut config.upstreams[0]);
    for (endpoint, listener) in upstream.endpoints.iter_mut().zip(&listeners) {
        endpoint.address = listener.local_addr().unwrap();
    }
    let running = fixture::registry_of(&config).running();
    let endpoints = &running.upstreams[0].endpoints;
    endpoints.iter().for_each(|endpoint| endpoint.sources[0].note_source(NEAR.into()));
    let _connections = [0, 0, 1].map(|to: usize| connect(NEAR, &listeners[to]));
    let used = |at| [0, 1].map(|endpoint: usize| endpoints[endpoint].sources[0].figures(at).used);

    let now = Instant::now();
    count(&running, now).unwrap();
    assert_eq!(used(now), [2, 0]);
    endpoints[1].workers[1].connect_errors_total.inc();
    let now = Instant::now();
    count(&running, now).unwrap();
    assert_eq!(used(now), [2, 1]);
}
