//! The kernel's answer for 100,000 sockets, decoded and counted by whose they are.

use crate::bodies::Run;
use crate::fixture::{self, ENDPOINT, LISTENER};
use millpond::metrics::census::Since;
use millpond::observe::census::tally::Tally;
use millpond::observe::places::Places;
use millpond::sys::sock_diag::TcpState;
use millpond::sys::sock_diag::wire::{self, Message};
use std::hint::black_box;
use std::time::Instant;

const SOCKETS: u32 = 100_000;
/// Messages in one datagram of the kernel's, about 32 KiB.
const A_DATAGRAM: usize = 370;
const SEQUENCE: u32 = 7;

/// A third are clients, a third connections to an endpoint, and the rest are others'; one in 50 is in a state
/// that it is soon to leave.
pub(crate) fn take() -> Run {
    let places = Places::of(&fixture::running(fixture::config("", "")));
    let sockets: Vec<Vec<u8>> = (0..SOCKETS).map(message).collect();
    let datagrams: Vec<Vec<u8>> = sockets.chunks(A_DATAGRAM).map(<[Vec<u8>]>::concat).collect();
    let (before, now) = (Since::new(), Instant::now());
    Box::new(move || {
        let mut tally = Tally::new(&places);
        for datagram in &datagrams {
            for message in wire::messages(black_box(datagram), SEQUENCE) {
                let Ok(Message::Socket(socket, _)) = message else { panic!("{message:?}") };
                tally.add(socket, &places, &before, now);
            }
        }
        assert_eq!(black_box(&tally).sockets, u64::from(SOCKETS));
    })
}

/// struct nlmsghdr and struct inet_diag_msg, netlink(7) and sock_diag(7).
fn message(number: u32) -> Vec<u8> {
    const SOURCE: [u8; 4] = [192, 0, 2, 2];
    let port = 1024 + (number % 60_000) as u16;
    let far = ([203, 0, 113, (number / 60_000) as u8], port);
    let (local, remote) = match number % 3 {
        0 => (LISTENER, far),
        1 => ((SOURCE, port), ENDPOINT),
        _ => ((SOURCE, port), far),
    };
    let state = if number.is_multiple_of(50) { TcpState::FinWait2 } else { TcpState::Established };
    let mut bytes = vec![0; 88];
    bytes[0..4].copy_from_slice(&88u32.to_ne_bytes());
    // SOCK_DIAG_BY_FAMILY
    bytes[4..6].copy_from_slice(&20u16.to_ne_bytes());
    bytes[8..12].copy_from_slice(&SEQUENCE.to_ne_bytes());
    // AF_INET
    bytes[16..18].copy_from_slice(&[2, state as u8]);
    bytes[20..22].copy_from_slice(&local.1.to_be_bytes());
    bytes[22..24].copy_from_slice(&remote.1.to_be_bytes());
    bytes[24..28].copy_from_slice(&local.0);
    bytes[40..44].copy_from_slice(&remote.0);
    bytes[84..88].copy_from_slice(&(number + 1).to_ne_bytes());
    bytes
}
