//! Each rule with the section that it comes from, then what must hold for any input.

use super::*;
use crate::reason::RejectReason;

mod chunked;
mod incremental;
mod properties;
mod refused;
mod request;
mod response;

const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 20, target: 256 };
const CLIENT: RequestContext<'_> =
    RequestContext { client_ip: "192.0.2.17", scheme: "http", default_host: "app", hash_header: None };
const ANSWER: ResponseContext =
    ResponseContext { method: Method::Get, client: Version::Http11, upgrade: false, persist: true };

/// Parses a whole request head and returns it with its rewritten form.
fn forward(input: &[u8]) -> Result<(RequestHead, String), RejectReason> {
    let mut out = Vec::new();
    let head = RequestParser::default().parse(input, &LIMITS, &CLIENT, &mut out)?;
    let head = head.unwrap_or_else(|| panic!("no whole head: {}", input.escape_ascii()));
    Ok((head, latin1(&out)))
}

/// Parses a whole response head and returns it with its rewritten form.
fn answer(input: &[u8], context: &ResponseContext) -> Result<(ResponseHead, String), RejectReason> {
    let mut out = Vec::new();
    let head = ResponseParser::default().parse(input, &LIMITS, context, &mut out)?;
    let head = head.unwrap_or_else(|| panic!("no whole head: {}", input.escape_ascii()));
    Ok((head, latin1(&out)))
}

/// Bytes as text, one character each, so that obs-text can be compared.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// The input in pieces that end at `cuts`, as a parser meets it: each time with what it has not dealt
/// with before.
fn prefixes<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    ends.into_iter().map(|end| &input[..end]).collect()
}
