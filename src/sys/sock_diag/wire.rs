//! The bytes of sock_diag(7): requests encoded, answers decoded. No system call is made here, and no
//! answer, however malformed, is read beyond its end.
//!
//! Layouts: struct nlmsghdr in netlink(7); struct inet_diag_req_v2 and struct inet_diag_msg in
//! sock_diag(7). Numbers are in the byte order of the host, ports and addresses in that of the network.

use super::{Detail, Family, Filter, Program, Socket, TcpState};
use crate::sys::tcp_info::TcpInfo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Length of struct nlmsghdr.
const HEADER: usize = 16;
/// Length of struct inet_diag_req_v2.
const REQUEST: usize = 56;
/// Length of struct inet_diag_msg; attributes may follow it.
const ANSWER: usize = 72;
/// Length of struct rtattr, with which an attribute begins.
const ATTRIBUTE: usize = 4;

/// The kernel's filter for a dump (INET_DIAG_REQ_BYTECODE).
const BYTECODE: u16 = 1;
/// struct tcp_info (INET_DIAG_INFO).
const INFO: u16 = 2;
/// Memory and drops of a socket, as numbers of 32 bits (INET_DIAG_SKMEMINFO).
const MEMORY: u16 = 7;
/// Where among them the drops are (SK_MEMINFO_DROPS).
const DROPS: usize = 8;
/// The timer of a socket in TIME_WAIT, or in FIN_WAIT2 without an owner (idiag_timer in sock_diag(7)).
const TIMER_TIME_WAIT: u8 = 3;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;

/// What one netlink message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// One socket, and what else was asked for.
    Socket(Socket, Attributes<'a>),
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

/// What follows a socket in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// What TCP knows of the connection, if it was asked for ([`Detail::Info`]). The kernel has none for
    /// TIME_WAIT and for connections that are not established yet.
    pub fn info(&self) -> Option<TcpInfo> {
        TcpInfo::parse(self.get(INFO)?)
    }

    /// What the socket has dropped since it was made, if it was asked for ([`Detail::Drops`]): of a
    /// listening socket, SYNs and connections. Begins again after 2^32.
    pub fn drops(&self) -> Option<u32> {
        u32_at(self.get(MEMORY)?, DROPS * 4).ok()
    }

    /// The attribute of this type. What is malformed ends the search.
    fn get(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            let [low, high, kind_low, kind_high] = *rest.first_chunk::<ATTRIBUTE>()?;
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let value = rest.get(ATTRIBUTE..length)?;
            if u16::from_ne_bytes([kind_low, kind_high]) == wanted {
                return Some(value);
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }
}

/// A request for every socket of one family that passes the filter, and the program where there is one.
pub fn request(
    family: Family,
    filter: &Filter,
    program: Option<&Program>,
    detail: Detail,
    sequence: u32,
) -> Vec<u8> {
    let program = program.map(Program::bytes);
    let length = HEADER + REQUEST + program.map_or(0, |program| ATTRIBUTE + program.len());
    let mut bytes = vec![0; length];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &(length as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    put(8, &sequence.to_ne_bytes());

    let extensions = match detail {
        Detail::None => 0,
        Detail::Info => 1 << (INFO - 1),
        Detail::Drops => 1 << (MEMORY - 1),
    };
    put(HEADER, &[family_number(family), libc::IPPROTO_TCP as u8, extensions]);
    put(HEADER + 4, &filter.states.bits().to_ne_bytes());
    // In a dump, port 0 is any port, and addresses are not looked at.
    put(HEADER + 8, &filter.local_port.unwrap_or(0).to_be_bytes());
    put(HEADER + 10, &filter.remote_port.unwrap_or(0).to_be_bytes());
    const NO_COOKIE: [u8; 8] = [0xff; 8];
    put(HEADER + 48, &NO_COOKIE);
    if let Some(program) = program {
        let attribute = HEADER + REQUEST;
        put(attribute, &((ATTRIBUTE + program.len()) as u16).to_ne_bytes());
        put(attribute + 2, &BYTECODE.to_ne_bytes());
        put(attribute + ATTRIBUTE, program);
    }
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

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

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

impl<'a> Messages<'a> {
    /// Takes one message off the datagram; `None`: it is not for us.
    fn step(&mut self) -> Result<Option<Message<'a>>, Malformed> {
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
            SOCK_DIAG_BY_FAMILY => {
                let attributes = Attributes(body.get(ANSWER..).unwrap_or_default());
                Ok(Some(Message::Socket(socket(body)?, attributes)))
            }
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
        ends_in: match body[2] {
            TIMER_TIME_WAIT => Some(Duration::from_millis(u32_at(body, 52)?.into())),
            _ => None,
        },
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
mod tests;
