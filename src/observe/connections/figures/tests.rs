//! The kernel's counts in each state of a close, with real sockets.

use super::*;
use crate::sys::sock_diag::{Detail, Family, Filter, TcpStates, visit_detailed};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

/// A connection: who dialled, and who accepted.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialled, listener.accept().unwrap().0)
}

/// The figures of the socket between these addresses once it is in this state and they are as wanted:
/// received, sent, unread and unacknowledged bytes.
#[track_caller]
fn expect(local: SocketAddr, remote: SocketAddr, peer: Peer, state: TcpState, wanted: [u64; 4]) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut found = None;
        let filter = Filter {
            local_port: Some(local.port()),
            remote_port: Some(remote.port()),
            states: TcpStates::of(&[state]),
        };
        visit_detailed(Family::V4, &filter, None, Detail::Info, |socket, attributes| {
            let figures = attributes.info().and_then(|info| Figures::of(&socket, &info, peer));
            found = figures.map(|f| [f.received.unwrap(), f.sent.unwrap(), f.unread, f.unacknowledged]);
        })
        .unwrap();
        if found == Some(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{state:?}: {found:?} and not {wanted:?}");
        std::thread::yield_now();
    }
}

#[test]
fn neither_syn_nor_fin_is_a_byte() {
    let (mut dialled, mut accepted) = pair();
    let (near, far) = (dialled.local_addr().unwrap(), accepted.local_addr().unwrap());
    let dialled_is = |state, wanted| expect(near, far, Peer::Endpoint, state, wanted);
    let accepted_is = |state, wanted| expect(far, near, Peer::Client, state, wanted);
    dialled.write_all(b"12345").unwrap();
    dialled_is(TcpState::Established, [0, 5, 0, 0]);
    accepted_is(TcpState::Established, [5, 0, 5, 0]);
    accepted.write_all(b"123").unwrap();
    accepted_is(TcpState::Established, [5, 3, 5, 0]);
    dialled.read_exact(&mut [0; 3]).unwrap();

    dialled.shutdown(Shutdown::Write).unwrap();
    dialled_is(TcpState::FinWait2, [3, 5, 0, 0]);
    accepted_is(TcpState::CloseWait, [5, 3, 5, 0]);
    accepted.read_exact(&mut [0; 5]).unwrap();
    accepted_is(TcpState::CloseWait, [5, 3, 0, 0]);
    assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
    accepted_is(TcpState::CloseWait, [5, 3, 0, 0]);
}

#[test]
fn who_accepted_may_close_first() {
    let (dialled, accepted) = pair();
    let (near, far) = (dialled.local_addr().unwrap(), accepted.local_addr().unwrap());
    (&accepted).write_all(b"123").unwrap();
    accepted.shutdown(Shutdown::Write).unwrap();
    expect(far, near, Peer::Client, TcpState::FinWait2, [0, 3, 0, 0]);
    expect(near, far, Peer::Endpoint, TcpState::CloseWait, [3, 0, 3, 0]);
}

/// A FIN waits behind bytes that the peer has no room for.
#[test]
fn a_fin_that_waits_is_no_byte_either() {
    let (dialled, accepted) = pair();
    let (near, far) = (dialled.local_addr().unwrap(), accepted.local_addr().unwrap());
    accepted.set_nonblocking(true).unwrap();
    let mut written = 0;
    while let Ok(count) = (&accepted).write(&[0; 65_536]) {
        written += count as u64;
    }
    accepted.shutdown(Shutdown::Write).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut found = None;
        let filter =
            Filter { local_port: Some(far.port()), remote_port: Some(near.port()), states: TcpStates::ALL };
        visit_detailed(Family::V4, &filter, None, Detail::Info, |socket, attributes| {
            let figures = attributes.info().and_then(|info| Figures::of(&socket, &info, Peer::Client));
            found = figures.map(|figures| (socket.state, figures));
        })
        .unwrap();
        let (state, figures) = found.expect("the kernel has it");
        assert_eq!(state, TcpState::FinWait1);
        if figures.sent.unwrap() + figures.unacknowledged == written {
            break;
        }
        assert!(Instant::now() < deadline, "{figures:?} of {written}");
        std::thread::yield_now();
    }
    drop(dialled);
}

#[test]
fn nothing_is_counted_before_there_is_a_connection() {
    let (dialled, _accepted) = pair();
    let info = TcpInfo::of(&dialled).unwrap();
    let socket = |state| Socket {
        family: Family::V4,
        state,
        local: dialled.local_addr().unwrap(),
        remote: dialled.peer_addr().unwrap(),
        ends_in: None,
        rqueue: 0,
        wqueue: 1,
        inode: 1,
        uid: 0,
    };
    assert_eq!(Figures::of(&socket(TcpState::SynSent), &info, Peer::Endpoint), None);
    assert!(Figures::of(&socket(TcpState::Established), &info, Peer::Endpoint).is_some());
}
