use super::*;
use crate::observe::fixture;
use crate::sys::sock_diag::TcpState;
use std::sync::Arc;

const S: fn(u64) -> Duration = Duration::from_secs;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn socket(local: &str, remote: &str) -> Socket {
    let (local, remote) = (address(local), address(remote));
    Socket {
        family: Family::V4,
        state: TcpState::Established,
        local,
        remote,
        ends_in: None,
        rqueue: 0,
        wqueue: 0,
        inode: 7,
        uid: 0,
    }
}

fn families(places: &Places) -> Vec<Family> {
    places.questions().map(|(family, _)| family).collect()
}

#[test]
fn a_listener_of_its_own_comes_before_a_wildcard() {
    let mut config = fixture::config();
    for (listener, (bind, half_close)) in
        config.listeners.iter_mut().zip([("0.0.0.0:80", S(10)), ("127.0.0.1:80", S(20))])
    {
        let listener = Arc::make_mut(listener);
        (listener.bind, listener.timeout.half_close) = (vec![address(bind)], half_close);
    }
    let places = Places::of(&fixture::registry_of(&config).running());
    let found = |local| places.find(&socket(local, "192.0.2.1:5")).map(|place| places.describe(place));
    assert_eq!(found("127.0.0.1:80"), Some((Peer::Client, "db", S(20))));
    assert_eq!(found("198.51.100.1:80"), Some((Peer::Client, "web", S(10))));
    assert_eq!(found("198.51.100.1:81"), None);
    assert_eq!(families(&places), [Family::V4]);
    let listening = |local| places.listening(&socket(local, "0.0.0.0:0"));
    assert_eq!(listening("0.0.0.0:80"), Some(0));
    assert_eq!((listening("127.0.0.1:80"), listening("127.0.0.2:80")), (Some(1), None));
}

#[test]
fn a_wildcard_is_for_sockets_of_its_family() {
    let mut config = fixture::config();
    Arc::make_mut(&mut config.listeners[0]).bind = vec![address("[::]:80")];
    let places = Places::of(&fixture::registry_of(&config).running());
    let v4_over_v6 = Socket { family: Family::V6, ..socket("192.0.2.9:80", "192.0.2.1:5") };
    let v6 = Socket { family: Family::V6, ..socket("[2001:db8::1]:80", "[2001:db8::2]:5") };
    let v4 = socket("192.0.2.9:80", "192.0.2.1:5");
    let found = [v4_over_v6, v6, v4].map(|socket| places.find(&socket).is_some());
    assert_eq!(found, [true, true, false]);
    assert_eq!(families(&places), [Family::V4, Family::V6]);
    let listening = |family| places.listening(&Socket { family, ..socket("[::]:80", "[::]:0") });
    assert_eq!((listening(Family::V6), listening(Family::V4)), (Some(0), None));
}

#[test]
fn an_endpoint_of_two_upstreams_is_one_place_with_the_longer_deadline() {
    let mut config = fixture::config();
    let mut other = fixture::upstream("other", &[3000]);
    other.timeout.half_close = S(90);
    config.upstreams.push(other.into());
    let places = Places::of(&fixture::registry_of(&config).running());
    let found = |remote| places.find(&socket("127.0.0.1:5", remote)).map(|place| places.describe(place));
    assert_eq!(found("127.0.0.1:3000"), Some((Peer::Endpoint, "app", S(90))));
    assert_eq!(found("127.0.0.1:3001"), Some((Peer::Endpoint, "app", S(30))));
    assert_eq!(places.len().1, 2);
}
