//! Response heads: found, judged and handed on (RFC 9112 sections 4 and 6).

use super::field::{ConnectionOptions, Framing, Kind, Upgrade, decimal, elements};
use super::head::{
    Delivery, HeadLimits, MAX_FIELDS, Method, ResponseBody, ResponseContext, ResponseHead, Version,
};
use super::rewrite::{self, ResponseRewrite};
use super::scan::{HeadScan, ScanError, first_line};
use crate::reason::RejectReason;
use httparse::{Header, ParserConfig, Status};
use std::mem::MaybeUninit;
use std::time::Duration;

/// The bytes of a status line up to the code, and with it.
const CODE: std::ops::Range<usize> = 9..12;

/// Reads one response head from a growing buffer.
#[derive(Debug, Default)]
pub struct ResponseParser {
    scan: HeadScan,
    /// The status line of an unfinished head has passed.
    line_passed: bool,
    /// An interim response has shown that the endpoint's connection must not be used again.
    condemned: bool,
}

impl ResponseParser {
    /// Looks for a whole head at the front of `input`, as [`RequestParser::parse`] does. On
    /// `Ok(Some(_))`, `out` has the head to send to the client appended: nothing for an interim
    /// response to an HTTP/1.0 client, which must not get one (RFC 9110 section 15.2).
    ///
    /// A parser is for the responses to one request, the interim ones first. Errors are
    /// [`RejectReason::BadResponse`] and [`RejectReason::ResponseTooLarge`]; after one, `out` is as it
    /// was and the parser must not be used again.
    ///
    /// [`RequestParser::parse`]: super::RequestParser::parse
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        context: &ResponseContext,
        out: &mut Vec<u8>,
    ) -> Result<Option<ResponseHead>, RejectReason> {
        match self.scan.advance(input, limits) {
            Ok(Some(len)) if self.scan.start() == 0 => {
                let head = judge(&input[..len], context, self.condemned, out)?;
                let interim = head.status < 200;
                *self = Self { condemned: interim && !head.keep_alive, ..Self::default() };
                Ok(Some(head))
            }
            Ok(None) => {
                self.check_line(input)?;
                Ok(None)
            }
            Err(ScanError::Bytes | ScanError::Fields) => Err(RejectReason::ResponseTooLarge),
            Ok(Some(_)) | Err(ScanError::LineEnd) => Err(RejectReason::BadResponse),
        }
    }

    /// Refuses what cannot become a status line, and a whole one that is wrong.
    fn check_line(&mut self, input: &[u8]) -> Result<(), RejectReason> {
        if self.line_passed {
            return Ok(());
        }
        let same = input.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
        if !same {
            return Err(RejectReason::BadResponse);
        }
        if let Some(line) = self.scan.first_line(input) {
            let mut response = httparse::Response::new(&mut []);
            response.parse(line).map_err(|_| RejectReason::BadResponse)?;
            self.line_passed = true;
        }
        Ok(())
    }
}

/// Judges a whole head, and writes the new one if it passes.
fn judge(
    head: &[u8],
    context: &ResponseContext,
    condemned: bool,
    out: &mut Vec<u8>,
) -> Result<ResponseHead, RejectReason> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let response = tokenise(head, &mut fields)?;
    let (Some(minor), Some(status @ 100..)) = (response.version, response.code) else {
        return Err(RejectReason::BadResponse);
    };
    let version = Version::of(minor);
    let mut facts = Facts::default();
    facts.gather(response.headers)?;
    facts.framing.check(version).map_err(|_| RejectReason::BadResponse)?;
    // Switching is an answer to an Upgrade that was forwarded, and says to what (RFC 9110 section
    // 15.2.2). Anything else would make a tunnel that the client does not know of.
    if status == 101 && !(context.upgrade && facts.upgrade.is_to_tunnel()) {
        return Err(RejectReason::BadResponse);
    }

    let body = body(status, context.method, &facts.framing);
    let delivery = match (body, context.client) {
        (ResponseBody::UntilClose, Version::Http11) => Delivery::Chunk,
        (ResponseBody::Chunked, Version::Http10) => Delivery::Unchunk,
        _ => Delivery::AsIs,
    };
    let ends_with_close =
        delivery == Delivery::Unchunk || (body == ResponseBody::UntilClose && delivery == Delivery::AsIs);
    let persist = context.persist && !ends_with_close;
    if status >= 200 || context.client == Version::Http11 {
        let plan = ResponseRewrite {
            head,
            code: &head[CODE],
            reason: reason(head),
            fields: response.headers,
            connection: &facts.connection,
            length: facts.framing.length.filter(|_| !is_bare(status)),
            chunked: facts.framing.chunked && !is_bare(status) && context.client == Version::Http11,
            add_chunked: delivery == Delivery::Chunk,
            upgrade: status == 101,
            option: connection_option(status, context.client, persist),
        };
        rewrite::response(&plan, out);
    }
    Ok(ResponseHead {
        len: head.len(),
        status,
        body,
        delivery,
        keep_alive: !condemned && facts.allows_reuse(status, version, body),
        keep_alive_timeout: facts.keep_alive_timeout,
        persist,
    })
}

fn tokenise<'f, 'h>(
    head: &'h [u8],
    fields: &'f mut [MaybeUninit<Header<'h>>],
) -> Result<httparse::Response<'f, 'h>, RejectReason> {
    let mut response = httparse::Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, fields) {
        Ok(Status::Complete(len)) if len == head.len() => Ok(response),
        _ => Err(RejectReason::BadResponse),
    }
}

/// What the fields of a response say.
#[derive(Debug, Default)]
struct Facts<'a> {
    framing: Framing,
    connection: ConnectionOptions<'a>,
    upgrade: Upgrade<'a>,
    keep_alive_timeout: Option<Duration>,
}

impl<'a> Facts<'a> {
    /// Takes all fields in. In place: this is too large to be moved at each request.
    fn gather(&mut self, fields: &[Header<'a>]) -> Result<(), RejectReason> {
        for Header { name, value } in fields {
            match Kind::of(name.as_bytes()) {
                Kind::ContentLength => {
                    self.framing.add_length(value).map_err(|_| RejectReason::BadResponse)?;
                }
                Kind::TransferEncoding => {
                    self.framing.add_transfer(value).map_err(|_| RejectReason::BadResponse)?;
                }
                Kind::Connection => {
                    self.connection.add(value).map_err(|_| RejectReason::BadResponse)?;
                }
                Kind::Upgrade => self.upgrade.add(value),
                Kind::KeepAlive => self.keep_alive_timeout = self.keep_alive_timeout.or(idle_hint(value)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the endpoint's connection can serve another request. Not after content announced where
    /// there can be none: the endpoint may send it, too.
    fn allows_reuse(&self, status: u16, version: Version, body: ResponseBody) -> bool {
        let is_framed_in_vain = is_bare(status) && (self.framing.chunked || self.framing.length > Some(0));
        self.connection.persists(version)
            && !is_framed_in_vain
            && status != 101
            && body != ResponseBody::UntilClose
    }
}

/// The body's framing, in the order of RFC 9112 section 6.3.
fn body(status: u16, method: Method, framing: &Framing) -> ResponseBody {
    if is_bare(status) || status == 304 || method == Method::Head {
        return ResponseBody::None;
    }
    match framing {
        Framing { chunked: true, .. } => ResponseBody::Chunked,
        Framing { length: Some(0), .. } => ResponseBody::None,
        Framing { length: Some(length), .. } => ResponseBody::Length(*length),
        Framing { length: None, .. } => ResponseBody::UntilClose,
    }
}

/// Whether responses of this status have neither content nor fields that frame it (RFC 9110 section
/// 8.6, RFC 9112 section 6.1).
fn is_bare(status: u16) -> bool {
    status < 200 || status == 204
}

/// The connection option that the client is told (RFC 9112 section 9.3). An interim response says
/// nothing of what comes after the final one. HTTP/1.0 clients get `close`, too: our status line says
/// HTTP/1.1, where silence means that the connection persists.
fn connection_option(status: u16, client: Version, persist: bool) -> Option<&'static str> {
    match (status, client, persist) {
        (101, ..) => Some("upgrade"),
        (..=199, ..) => None,
        (_, _, false) => Some("close"),
        (_, Version::Http10, true) => Some("keep-alive"),
        (_, Version::Http11, true) => None,
    }
}

/// The reason phrase as it came, which `httparse` does not give away when it is not ASCII.
fn reason(head: &[u8]) -> &[u8] {
    first_line(head).get(CODE.end + 1..).unwrap_or_default()
}

/// `timeout=` of a Keep-Alive field, in seconds (RFC 2068 section 19.7.1.1); capped, so that it can be
/// added to a point in time.
fn idle_hint(value: &[u8]) -> Option<Duration> {
    const PREFIX: &[u8] = b"timeout=";
    elements(value).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(PREFIX.len())?;
        let seconds = decimal(seconds).filter(|_| name.eq_ignore_ascii_case(PREFIX))?;
        Some(Duration::from_secs(seconds.min(u64::from(u32::MAX))))
    })
}
