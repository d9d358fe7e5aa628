//! The lines of the chunked coding: sizes with their extensions (RFC 9112 section 7.1.1), and trailer
//! fields (section 7.1.2).

use super::field::{folds_to, is_token, is_token_byte};
use std::ops::Range;

/// A size has at most so many digits, leading zeros included…
const MAX_DIGITS: usize = 16;
/// …of which so many count: with sixteen, the size would not fit a signed 64-bit integer.
const MAX_SIGNIFICANT: usize = 15;

/// What a chunk-size line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SizeLine {
    /// The chunk's length.
    pub(super) size: u64,
    /// Where the size's digits stand, without leading zeros; extensions may follow.
    pub(super) digits: Range<usize>,
}

/// Reads a chunk-size line without its CRLF: `chunk-size [ chunk-ext ]`.
pub(super) fn size(line: &[u8]) -> Option<SizeLine> {
    let end = line.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_hexdigit()).count();
    if end == 0 || end > MAX_DIGITS || !extensions(&line[end..]) {
        return None;
    }
    // The last digit stays even if it is a zero.
    let zeros = line[..end - 1].iter().take_while(|&&byte| byte == b'0').count();
    if end - zeros > MAX_SIGNIFICANT {
        return None;
    }
    let digit = |byte: &u8| u64::from((*byte as char).to_digit(16).unwrap_or_default());
    let size = line[zeros..end].iter().fold(0, |size, byte| size << 4 | digit(byte));
    Some(SizeLine { size, digits: zeros..end })
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`, so that blanks at the end, and a
/// semicolon with nothing behind it, are refused.
fn extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = skip_blanks(rest).strip_prefix(b";").map(skip_blanks) else { return false };
        let Some(after) = skip_token(after) else { return false };
        rest = match skip_blanks(after).strip_prefix(b"=").map(skip_blanks) {
            None => after,
            Some(value) => match skip_quoted(value).or_else(|| skip_token(value)) {
                Some(after) => after,
                None => return false,
            },
        };
    }
    true
}

fn skip_blanks(rest: &[u8]) -> &[u8] {
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &rest[blanks..]
}

fn skip_token(rest: &[u8]) -> Option<&[u8]> {
    let len = rest.iter().take_while(|&&byte| is_token_byte(byte)).count();
    (len > 0).then(|| &rest[len..])
}

/// `quoted-string` (RFC 9110 section 5.6.4).
fn skip_quoted(rest: &[u8]) -> Option<&[u8]> {
    let mut rest = rest.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', escaped, after @ ..] if is_text(*escaped) => after,
            [byte, after @ ..] if is_text(*byte) => after,
            _ => return None,
        };
    }
}

/// A byte of a field value or of a quoted string: anything but control characters, of which HTAB is let
/// through (RFC 9110 section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// What becomes of a trailer field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailer {
    Forwarded,
    Dropped,
}

/// Reads a trailer line without its CRLF: `field-name ":" OWS field-value OWS`.
pub(super) fn trailer(line: &[u8]) -> Option<Trailer> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = line.split_at(colon);
    if !is_token(name) || !value.iter().copied().all(is_text) {
        return None;
    }
    Some(if is_forbidden(name) { Trailer::Dropped } else { Trailer::Forwarded })
}

/// Whether a field must not come after the content, because it decides about framing, routing, rights
/// or the content itself (RFC 9110 section 6.5.1), or is for one hop, or says who asked: recipients that
/// merge trailers into the head would take it for true.
fn is_forbidden(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 5] = [b"content-", b"if-", b"proxy-", b"sec-", b"x-forwarded-"];
    const NAMES: [&[u8]; 30] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"connection",
        b"cookie",
        b"date",
        b"expect",
        b"expires",
        b"forwarded",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"origin",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"status",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"vary",
        b"via",
        b"warning",
        b"www-authenticate",
        b"x-http-method-override",
        b"x-real-ip",
    ];
    let begins_with = |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|part| folds_to(part, prefix));
    PREFIXES.iter().any(begins_with) || NAMES.iter().any(|known| folds_to(name, known))
}
