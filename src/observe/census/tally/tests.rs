use super::*;
use crate::observe::fixture;
use crate::sys::sock_diag::Family;
use std::time::Duration;

fn socket(state: TcpState, local: &str, remote: &str) -> Socket {
    let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
    Socket { family: Family::V4, state, local, remote, ends_in: None, rqueue: 0, wqueue: 0, inode: 0, uid: 0 }
}

fn counted(sockets: &[Socket], before: &Since, now: Instant) -> Tally {
    let places = Places::of(&fixture::registry().running());
    let mut tally = Tally::new(&places);
    sockets.iter().for_each(|socket| tally.add(*socket, &places, before, now));
    tally
}

#[test]
fn every_state_of_every_place_is_counted_by_itself() {
    let mut sockets = Vec::new();
    for (times, state) in (1..).zip(TcpState::ALL) {
        for at in 0..times {
            sockets.push(socket(state, "127.0.0.1:8081", &format!("192.0.2.1:{}", 1000 + at)));
            sockets.push(socket(state, &format!("127.0.0.1:{}", 40_000 + at), "127.0.0.1:3001"));
        }
    }
    sockets.push(socket(TcpState::Established, "127.0.0.1:22", "192.0.2.1:5"));
    let tally = counted(&sockets, &Since::new(), Instant::now());
    let expected: Counts = std::array::from_fn(|at| at as u32 + 1);
    assert_eq!(tally.listeners, [[0; 11], expected, [0; 11]]);
    assert_eq!([0, 1].map(|endpoint| tally.towards(endpoint, None)), [[0; 11], expected]);
    assert_eq!(tally.sockets, 2 * 66 + 1, "what is not ours was listed too");
    assert_eq!(tally.close_wait.len(), 2 * (TcpState::CloseWait as usize));
}

#[test]
fn sources_are_told_apart_and_an_unknown_one_is_all_of_them() {
    let sockets = [("198.51.100.1:40000", TcpState::Established), ("198.51.100.1:40001", TcpState::TimeWait)];
    let sockets = sockets.into_iter().chain([("198.51.100.2:40000", TcpState::FinWait2)]);
    let sockets: Vec<_> = sockets.map(|(local, state)| socket(state, local, "127.0.0.1:3000")).collect();
    let tally = counted(&sockets, &Since::new(), Instant::now());
    let held = |source: &str| {
        let KernelPorts { open, time_wait } = ports(&tally.towards(0, Some(source.parse().unwrap())));
        (open, time_wait)
    };
    assert_eq!(held("198.51.100.1"), (1, 1));
    assert_eq!((held("198.51.100.2"), held("198.51.100.3")), ((1, 0), (0, 0)));
    assert_eq!((held("0.0.0.0"), held("::ffff:198.51.100.1")), ((2, 1), (1, 1)));
}

#[test]
fn the_time_in_a_state_begins_when_it_is_first_seen_and_again_with_another_state() {
    let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(5));
    let (local, remote) = ("127.0.0.1:8080", "192.0.2.1:5");
    let ends = Ends::new(local.parse().unwrap(), remote.parse().unwrap());
    let seen = |state, before: &Since, now| counted(&[socket(state, local, remote)], before, now).since;
    let first = seen(TcpState::CloseWait, &Since::new(), start);
    assert_eq!(seen(TcpState::CloseWait, &first, later)[&ends], (TcpState::CloseWait, start));
    assert_eq!(seen(TcpState::LastAck, &first, later)[&ends], (TcpState::LastAck, later));
    for state in [TcpState::Established, TcpState::TimeWait] {
        assert!(seen(state, &first, later).is_empty(), "others tell it");
    }
}
