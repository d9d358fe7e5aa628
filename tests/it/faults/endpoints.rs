//! Endpoints that are killed under load and come back.

use crate::harness::{Client, Origin, Refusing, Setup, always, within};
use crate::reload::Load;
use libtest_mimic::Trial;
use socket2::SockRef;
use std::net::TcpListener;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![one_of_two_that_is_killed_costs_no_request, the_only_one_is_back_at_once_when_it_is_back]
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Where a listener that is gone can be put back at once, whatever is left of its connections: they inherit this
/// from it, socket(7).
fn again(listener: TcpListener) -> TcpListener {
    SockRef::from(&listener).set_reuse_address(true).unwrap();
    listener
}

/// A request for which nothing was answered yet is tried elsewhere where that is safe.
fn one_of_two_that_is_killed_costs_no_request() {
    let [place, other] = [Refusing::new(), Refusing::new()];
    let addresses = [place.address(), other.address()];
    let _other = Origin::on(other.listen(), always(OK));
    let mut listener = place.listen();
    let proxy = Setup::http(addresses).workers(2).start();
    let load = Load::keeping(proxy.address(), 4);
    for _ in 0..3 {
        let origin = Origin::on(again(listener), always(OK));
        load.more(100);
        drop(origin);
        load.more(100);
        listener = TcpListener::bind(addresses[0]).unwrap();
    }
    assert!(load.end() >= 600);
}

/// By default an endpoint that does not accept is tried again after a second at the latest, at first.
fn the_only_one_is_back_at_once_when_it_is_back() {
    let place = Refusing::new();
    let address = place.address();
    let proxy = Setup::http([address]).upstream("passive.retry_after = \"200ms\"").start();
    let origin = Origin::on(again(place.listen()), always(OK));
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").text(), "ok");
    drop(origin);
    for _ in 0..20 {
        let response = client.get("/");
        assert_eq!((response.status(), response.reason()), (502, Some("connect_failed")));
    }
    let _origin = Origin::on(TcpListener::bind(address).unwrap(), always(OK));
    within(Duration::from_secs(1), "it is found again", || client.get("/").status() == 200);
    assert!((0..20).all(|_| client.get("/").status() == 200), "from then on for everybody");
}
