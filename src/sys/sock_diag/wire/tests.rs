use super::super::TcpStates;
use super::*;
use proptest::prelude::*;

fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 2]);
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// struct inet_diag_msg as the kernel writes it.
fn answer(family: i32, state: u8, ips: [&[u8]; 2], ports: [u16; 2], numbers: [u32; 4]) -> Vec<u8> {
    let mut body = vec![family as u8, state, 0, 0];
    body.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    for ip in ips {
        let start = body.len();
        body.extend(ip);
        body.resize(start + 16, 0);
    }
    body.extend([0; 12 + 4]); // interface and cookie, expiry of the timer
    body.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
    body
}

fn established() -> Vec<u8> {
    answer(libc::AF_INET, 1, [&[127, 0, 0, 1], &[192, 0, 2, 7]], [8080, 40_000], [11, 22, 33, 44])
}

fn decode(datagram: &[u8]) -> Vec<Result<Message<'_>, Malformed>> {
    messages(datagram, 9).collect()
}

/// An attribute, with what fills it up.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((ATTRIBUTE + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn a_request_is_laid_out_as_the_kernel_reads_it() {
    let filter =
        Filter { states: TcpStates::of(&[TcpState::TimeWait]), local_port: Some(0x1234), remote_port: None };
    let bytes = request(Family::V6, &filter, None, Detail::None, 9);
    assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
    assert_eq!(bytes[4..8], [20_u16.to_ne_bytes(), 0x301_u16.to_ne_bytes()].concat());
    assert_eq!(bytes[8..12], 9_u32.to_ne_bytes());
    assert_eq!(bytes[16..20], [10, 6, 0, 0]);
    assert_eq!(bytes[20..24], (1_u32 << 6).to_ne_bytes());
    assert_eq!(bytes[24..28], [0x12, 0x34, 0, 0]);
    assert_eq!(bytes[28..64], [0; 36]);
    assert_eq!(bytes[64..], [0xff; 8]);

    let program = Program::any_of(&[80].into(), &[].into());
    let longer = request(Family::V6, &filter, Some(&program), Detail::Drops, 9);
    let length = 72 + 4 + program.bytes().len();
    assert_eq!(longer[..4], (length as u32).to_ne_bytes());
    assert_eq!((longer.len(), longer[18]), (length, 1 << 6));
    assert_eq!((&longer[20..72], &longer[76..]), (&bytes[20..], program.bytes()));
    assert_eq!(longer[72..76], [((length - 72) as u16).to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
    assert_eq!(request(Family::V4, &filter, None, Detail::Info, 9)[18], 1 << 1);
}

#[test]
fn every_field_of_an_answer_is_decoded() {
    let expected = Socket {
        family: Family::V4,
        state: TcpState::Established,
        local: "127.0.0.1:8080".parse().unwrap(),
        remote: "192.0.2.7:40000".parse().unwrap(),
        ends_in: None,
        rqueue: 11,
        wqueue: 22,
        uid: 33,
        inode: 44,
    };
    let bytes = message(20, 9, &established());
    let [Ok(Message::Socket(socket, attributes))] = decode(&bytes)[..] else { panic!() };
    assert_eq!((socket, attributes.drops(), attributes.info()), (expected, None, None));

    let mut waits = established();
    waits[2] = TIMER_TIME_WAIT;
    waits[52..56].copy_from_slice(&1500_u32.to_ne_bytes());
    let waits = message(20, 9, &waits);
    let [Ok(Message::Socket(socket, _))] = decode(&waits)[..] else { panic!() };
    assert_eq!(socket.ends_in, Some(Duration::from_millis(1500)));
}

#[test]
fn attributes_are_found_and_what_is_cut_is_none() {
    let memory: Vec<u8> = (0..9_u32).flat_map(u32::to_ne_bytes).collect();
    let all = [attribute(8, &[1]), attribute(MEMORY, &memory), attribute(INFO, &[1; 160])].concat();
    assert_eq!(Attributes(&all).drops(), Some(8));
    assert_eq!(Attributes(&all).info().map(|info| info.state), Some(TcpState::Established));
    let until_memory = all.len() - attribute(INFO, &[1; 160]).len();
    for length in 0..all.len() {
        let cut = Attributes(&all[..length]);
        assert_eq!(
            (cut.drops().is_some(), cut.info().is_some()),
            (length >= until_memory, false),
            "{length}"
        );
    }
    assert_eq!(Attributes(&attribute(MEMORY, &memory[..32])).drops(), None, "an older kernel");
    for claimed in [0_u16, 3, 5, 200] {
        let mut bytes = attribute(MEMORY, &memory);
        bytes[..2].copy_from_slice(&claimed.to_ne_bytes());
        assert_eq!(Attributes(&bytes).drops(), None, "{claimed}");
        assert_eq!(Attributes(&bytes).info(), None, "{claimed}");
    }
}

#[test]
fn ipv6_addresses_are_kept_and_mapped_ones_become_ipv4() {
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
    let own = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
    let body = answer(libc::AF_INET6, 12, [&mapped, &own], [1, 2], [0; 4]);
    let bytes = message(20, 9, &body);
    let [Ok(Message::Socket(socket, _))] = decode(&bytes)[..] else { panic!() };
    assert_eq!((socket.family, socket.state), (Family::V6, TcpState::SynRecv));
    assert_eq!(socket.local, "127.0.0.1:1".parse().unwrap());
    assert_eq!(socket.remote, "[2001:db8::1]:2".parse().unwrap());
}

#[test]
fn a_datagram_holds_many_messages_and_those_of_others_are_skipped() {
    let socket = message(20, 9, &established());
    let stale = message(20, 8, &established());
    let noop = message(NLMSG_NOOP, 9, &[]);
    let done = message(NLMSG_DONE, 9, &0_i32.to_ne_bytes());
    let bytes = [&socket[..], &stale, &noop, &socket, &done].concat();
    let decoded = decode(&bytes);
    assert!(matches!(decoded[..], [Ok(Message::Socket(..)), Ok(Message::Socket(..)), Ok(Message::Done)]));
}

#[test]
fn ends_and_errors() {
    let error = (-libc::ENOENT).to_ne_bytes();
    for (kind, body, expected) in [
        (NLMSG_DONE, &[][..], vec![Ok(Message::Done)]),
        (NLMSG_DONE, &[0; 4], vec![Ok(Message::Done)]),
        (NLMSG_DONE, &error, vec![Ok(Message::Error(libc::ENOENT))]),
        (NLMSG_ERROR, &error, vec![Ok(Message::Error(libc::ENOENT))]),
        (NLMSG_ERROR, &i32::MIN.to_ne_bytes(), vec![Ok(Message::Error(i32::MAX))]),
        (NLMSG_ERROR, &[0; 4], vec![]),
        (NLMSG_ERROR, &[0; 3], vec![Err(Malformed::Truncated)]),
        (NLMSG_OVERRUN, &[], vec![Err(Malformed::Overrun)]),
        (77, &[], vec![Err(Malformed::Type(77))]),
    ] {
        assert_eq!(decode(&message(kind, 9, body)), expected, "{kind} {body:?}");
    }
}

#[test]
fn what_does_not_follow_the_layout_is_malformed() {
    let whole = message(20, 9, &established());
    for length in 1..whole.len() {
        assert_eq!(decode(&whole[..length]), [Err(Malformed::Truncated)], "{length}");
    }
    for claimed in [0_u32, 15, 73, u32::MAX] {
        let mut bytes = whole.clone();
        bytes[..4].copy_from_slice(&claimed.to_ne_bytes());
        let decoded = decode(&bytes);
        assert!(decoded.contains(&Err(Malformed::Truncated)), "{claimed}: {decoded:?}");
    }
    for (at, value, expected) in [
        (HEADER, 1, Malformed::Family(1)),
        (HEADER + 1, 0, Malformed::State(0)),
        (HEADER + 1, 14, Malformed::State(14)),
    ] {
        let mut bytes = whole.clone();
        bytes[at] = value;
        assert_eq!(decode(&bytes), [Err(expected)]);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_run_on(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        lengths in prop::collection::vec((0_usize..300, 0_u32..120, 1_u16..25), 0..4),
    ) {
        for (at, length, kind) in lengths {
            let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 2], &9_u32.to_ne_bytes()];
            for (place, byte) in bytes.iter_mut().skip(at & !3).zip(header.concat()) {
                *place = byte;
            }
        }
        let mut count = 0;
        for message in messages(&bytes, 9) {
            count += 1;
            if let Ok(Message::Socket(_, attributes)) = message {
                let _ = (attributes.drops(), attributes.info());
            }
        }
        prop_assert!(count <= bytes.len() / HEADER + 1);
    }
}
