//! The bytes of sock_diag(7): requests encoded, answers decoded. No system call is made here, and no
//! answer, however malformed, is read beyond its end.
//!
//! Layouts: struct nlmsghdr in netlink(7); struct inet_diag_req_v2 and struct inet_diag_msg in
//! sock_diag(7). Numbers are in the byte order of the host, ports and addresses in that of the network.

use super::{Family, Filter, Socket, TcpState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Length of struct nlmsghdr.
const HEADER: usize = 16;
/// Length of struct inet_diag_req_v2.
const REQUEST: usize = 56;
/// Length of struct inet_diag_msg; attributes may follow it.
const ANSWER: usize = 72;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;

/// What one netlink message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// One socket.
    Socket(Socket),
    /// The dump is complete.
    Done,
    /// The dump failed, with this errno.
    Error(i32),
}

/// An answer that does not follow the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A message ends before what it must hold, or says it is longer than the datagram.
    #[error("sock_diag: a message of the kernel is cut short")]
    Truncated,
    /// The kernel lost a part of the dump.
    #[error("sock_diag: the kernel lost a part of its answer")]
    Overrun,
    /// Neither a socket nor an end nor an error.
    #[error("sock_diag: unknown message type {0}")]
    Type(u16),
    /// Neither AF_INET nor AF_INET6.
    #[error("sock_diag: unknown address family {0}")]
    Family(u8),
    /// No state that TCP has.
    #[error("sock_diag: unknown TCP state {0}")]
    State(u8),
}

/// A request for every socket of one family that passes the filter.
pub fn request(family: Family, filter: &Filter, sequence: u32) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &((HEADER + REQUEST) as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    put(8, &sequence.to_ne_bytes());

    put(HEADER, &[family_number(family), libc::IPPROTO_TCP as u8]);
    put(HEADER + 4, &filter.states.bits().to_ne_bytes());
    // In a dump, port 0 is any port, and addresses are not looked at.
    put(HEADER + 8, &filter.local_port.unwrap_or(0).to_be_bytes());
    put(HEADER + 10, &filter.remote_port.unwrap_or(0).to_be_bytes());
    const NO_COOKIE: [u8; 8] = [0xff; 8];
    put(HEADER + 48, &NO_COOKIE);
    bytes
}

/// The messages of one datagram that answer the request with this sequence number. Ends after the
/// first malformed one.
pub fn messages(datagram: &[u8], sequence: u32) -> Messages<'_> {
    Messages { rest: datagram, sequence }
}

/// See [`messages`].
#[derive(Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    sequence: u32,
}

impl Iterator for Messages<'_> {
    type Item = Result<Message, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.step() {
                Ok(None) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(malformed) => {
                    self.rest = &[];
                    return Some(Err(malformed));
                }
            }
        }
        None
    }
}

impl Messages<'_> {
    /// Takes one message off the datagram; `None`: it is not for us.
    fn step(&mut self) -> Result<Option<Message>, Malformed> {
        let header: &[u8; HEADER] = self.rest.first_chunk().ok_or(Malformed::Truncated)?;
        let length = u32_at(header, 0)? as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let ours = u32_at(header, 8)? == self.sequence;

        let message = self.rest.get(..length).ok_or(Malformed::Truncated)?;
        let body = message.get(HEADER..).ok_or(Malformed::Truncated)?;
        // Messages begin at multiples of four; the last one may come without its padding.
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        if !ours {
            return Ok(None);
        }
        match kind {
            NLMSG_NOOP => Ok(None),
            NLMSG_OVERRUN => Err(Malformed::Overrun),
            // A dump that fails midway says so in the message that ends it.
            NLMSG_DONE if body.is_empty() => Ok(Some(Message::Done)),
            NLMSG_DONE => Ok(Some(errno(body)?.map_or(Message::Done, Message::Error))),
            NLMSG_ERROR => Ok(errno(body)?.map(Message::Error)),
            SOCK_DIAG_BY_FAMILY => Ok(Some(Message::Socket(socket(body)?))),
            other => Err(Malformed::Type(other)),
        }
    }
}

/// Decodes struct inet_diag_msg.
fn socket(body: &[u8]) -> Result<Socket, Malformed> {
    let body: &[u8; ANSWER] = body.first_chunk().ok_or(Malformed::Truncated)?;
    let family = match i32::from(body[0]) {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return Err(Malformed::Family(body[0])),
    };
    Ok(Socket {
        family,
        state: TcpState::from_kernel(body[1]).ok_or(Malformed::State(body[1]))?,
        local: address(family, body, 8, 4)?,
        remote: address(family, body, 24, 6)?,
        rqueue: u32_at(body, 56)?,
        wqueue: u32_at(body, 60)?,
        uid: u32_at(body, 64)?,
        inode: u32_at(body, 68)?,
    })
}

fn address(family: Family, body: &[u8], ip_at: usize, port_at: usize) -> Result<SocketAddr, Malformed> {
    let ip: IpAddr = match family {
        Family::V4 => Ipv4Addr::from(bytes_at::<4>(body, ip_at)?).into(),
        Family::V6 => Ipv6Addr::from(bytes_at::<16>(body, ip_at)?).into(),
    };
    let port = u16::from_be_bytes(bytes_at(body, port_at)?);
    Ok(SocketAddr::new(ip.to_canonical(), port))
}

/// The errno at the start of a body, which carries it negated; `None`: it is 0.
fn errno(body: &[u8]) -> Result<Option<i32>, Malformed> {
    let number = i32::from_ne_bytes(bytes_at(body, 0)?);
    Ok((number != 0).then_some(number.saturating_neg()))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(Malformed::Truncated)
}

fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    }
}

#[cfg(test)]
mod tests {
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

    fn decode(datagram: &[u8]) -> Vec<Result<Message, Malformed>> {
        messages(datagram, 9).collect()
    }

    #[test]
    fn a_request_is_laid_out_as_the_kernel_reads_it() {
        let filter = Filter {
            states: TcpStates::of(&[TcpState::TimeWait]),
            local_port: Some(0x1234),
            remote_port: None,
        };
        let bytes = request(Family::V6, &filter, 9);
        assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
        assert_eq!(bytes[4..8], [20_u16.to_ne_bytes(), 0x301_u16.to_ne_bytes()].concat());
        assert_eq!(bytes[8..12], 9_u32.to_ne_bytes());
        assert_eq!(bytes[16..20], [10, 6, 0, 0]);
        assert_eq!(bytes[20..24], (1_u32 << 6).to_ne_bytes());
        assert_eq!(bytes[24..28], [0x12, 0x34, 0, 0]);
        assert_eq!(bytes[28..64], [0; 36]);
        assert_eq!(bytes[64..], [0xff; 8]);
    }

    #[test]
    fn every_field_of_an_answer_is_decoded() {
        let expected = Socket {
            family: Family::V4,
            state: TcpState::Established,
            local: "127.0.0.1:8080".parse().unwrap(),
            remote: "192.0.2.7:40000".parse().unwrap(),
            rqueue: 11,
            wqueue: 22,
            uid: 33,
            inode: 44,
        };
        assert_eq!(decode(&message(20, 9, &established())), [Ok(Message::Socket(expected))]);
        let mut with_attributes = established();
        with_attributes.extend([5, 0, 1, 0, 7]);
        assert_eq!(decode(&message(20, 9, &with_attributes)), [Ok(Message::Socket(expected))]);
    }

    #[test]
    fn ipv6_addresses_are_kept_and_mapped_ones_become_ipv4() {
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        let own = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        let body = answer(libc::AF_INET6, 12, [&mapped, &own], [1, 2], [0; 4]);
        let [Ok(Message::Socket(socket))] = decode(&message(20, 9, &body))[..] else { panic!() };
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
        let decoded = decode(&[&socket[..], &stale, &noop, &socket, &done].concat());
        assert!(matches!(decoded[..], [Ok(Message::Socket(_)), Ok(Message::Socket(_)), Ok(Message::Done)]));
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
            prop_assert!(messages(&bytes, 9).count() <= bytes.len() / HEADER + 1);
        }
    }
}
