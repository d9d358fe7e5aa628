//! Request targets (RFC 9112 section 3.2) and the Host field (RFC 9110 section 7.2).

use super::field::{byte_table, decimal};
use super::head::Method;
use std::net::Ipv6Addr;

/// A request target in one of the forms that a reverse proxy serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The authority of a target in absolute-form, which takes the place of Host.
    pub(super) authority: Option<&'a [u8]>,
    /// `/` has to be written before [`Self::path`]: the URI had a query but no path.
    pub(super) slash: bool,
    /// What is sent on: a path and its query, or `*`.
    pub(super) path: &'a [u8],
}

impl<'a> Target<'a> {
    /// Reads the target of a request that is no CONNECT.
    pub(super) fn read(target: &'a [u8], method: Method) -> Option<Self> {
        // Not `all`: without its early exit the compiler makes vector code of this.
        let clean = target.iter().fold(true, |clean, &byte| clean & byte.is_ascii_graphic() & (byte != b'#'));
        if !clean {
            return None;
        }
        match target {
            [b'/', ..] => Some(Self { authority: None, slash: false, path: target }),
            b"*" => {
                (method == Method::Options).then_some(Self { authority: None, slash: false, path: target })
            }
            _ => Self::absolute(target, method),
        }
    }

    /// absolute-form, sent on as origin-form (RFC 9112 sections 3.2.2 and 3.2.4).
    fn absolute(target: &'a [u8], method: Method) -> Option<Self> {
        let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
            let (front, rest) = target.split_at_checked(scheme.len())?;
            front.eq_ignore_ascii_case(scheme).then_some(rest)
        })?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // A URI of these schemes without a host is invalid (RFC 9110 section 4.2.1).
        if authority.is_empty() || !is_host(authority) {
            return None;
        }
        let authority = Some(authority);
        Some(match path {
            [] if method == Method::Options => Self { authority, slash: false, path: b"*" },
            [] | [b'?', ..] => Self { authority, slash: true, path },
            _ => Self { authority, slash: false, path },
        })
    }
}

/// Whether this may stand in a Host field: `uri-host [ ":" port ]` (RFC 9110 section 7.2), where the
/// host is a registered name, an IPv4 address or an IPv6 address in brackets. Empty is allowed: it is
/// what RFC 9112 section 3.2 has a client send whose URI has no authority. A comma, which the grammar
/// of registered names includes, is refused: it is how a recipient that joins fields shows two hosts.
pub(super) fn is_host(value: &[u8]) -> bool {
    // Nearly all are such names, which take one look at each byte.
    let plain = value.iter().position(|&byte| !is_name_byte(byte) || byte == b'%').unwrap_or(value.len());
    if plain == value.len() {
        return true;
    }
    match value {
        [] => true,
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let address = std::str::from_utf8(&rest[..end]).ok();
            let port = &rest[end + 1..];
            address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
                && (port.is_empty() || port[0] == b':' && is_port(&port[1..]))
        }
        _ => {
            let end = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
            let (name, port) = value.split_at(end);
            !name.is_empty() && is_registered_name(name) && port.get(1..).is_none_or(is_port)
        }
    }
}

/// `reg-name` (RFC 3986 section 3.2.2), without the comma.
fn is_registered_name(name: &[u8]) -> bool {
    let escapes_are_whole = || {
        name.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
            name.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        })
    };
    name.iter().all(|&byte| is_name_byte(byte)) && escapes_are_whole()
}

/// `unreserved`, `%` and `sub-delims` (RFC 3986 section 2) but for the comma.
fn is_name_byte(byte: u8) -> bool {
    static TABLE: [bool; 256] = byte_table(b"-._~%!$&'()*+;=");
    TABLE[usize::from(byte)]
}

/// `*DIGIT` (RFC 3986 section 3.2.3), as far as TCP has ports.
fn is_port(port: &[u8]) -> bool {
    port.is_empty() || decimal(port).is_some_and(|port| port <= u64::from(u16::MAX))
}
