//! SYNs that no connection follows. They are the kernel's, and stay so.

use super::namespace::{NFT, nft, trials};
use crate::attack::scene::Scene;
use libtest_mimic::Trial;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[NFT]; a_flood_of_syns_costs_the_process_nothing]
}

const SYNS: u16 = 5000;
const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

fn a_flood_of_syns_costs_the_process_nothing() {
    // This host would answer each SYN-ACK with a RST, as no socket has sent the SYN.
    nft(&format!(
        "table inet flood {{
            chain out {{
                type filter hook output priority 0
                ip saddr {FROM} tcp flags & rst == rst drop
            }}
        }}"
    ));
    let scene = Scene::new("socket.backlog = 64");
    let descriptors = || scene.process.statistics()["process"]["fds"]["used"].as_u64().unwrap();
    let before = descriptors();
    scene.withstand(flood);
    let statistics = scene.process.statistics();
    assert!(statistics["kernel"]["syncookies_sent"].as_u64().unwrap() > 0, "{}", statistics["kernel"]);
    // The bystander's, and those that ask.
    assert!(descriptors() < before + 20, "{before} descriptors before, {} now", descriptors());
}

fn flood(address: SocketAddr) {
    let SocketAddr::V4(to) = address else { panic!("IPv4") };
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap();
    socket.bind(&SockAddr::from(SocketAddrV4::new(FROM, 0))).unwrap();
    for port in 10_000..10_000 + SYNS {
        socket.send_to(&syn(port, to), &SockAddr::from(to)).unwrap();
    }
}

/// A segment with SYN alone. RFC 9293 section 3.1
fn syn(from: u16, to: SocketAddrV4) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[0..2].copy_from_slice(&from.to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..8].copy_from_slice(&u32::from(from).to_be_bytes());
    // Five words of header, and the flag.
    (segment[12], segment[13]) = (5 << 4, 2);
    segment[14..16].copy_from_slice(&1024_u16.to_be_bytes());
    let pseudo = [FROM.octets(), to.ip().octets(), [0, 6, 0, 20]].concat();
    let words = pseudo.chunks(2).chain(segment.chunks(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    segment
}
