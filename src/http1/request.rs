//! Request heads: found, judged and handed on (RFC 9112 sections 2, 3 and 6).

use super::field::{ConnectionOptions, Framing, FramingError, Kind, Upgrade, decimal};
use super::head::{HeadLimits, MAX_FIELDS, Method, RequestBody, RequestContext, RequestHead, Version};
use super::request_line::{LineCheck, RequestLine, token_error};
use super::rewrite::{self, RequestRewrite};
use super::scan::{HeadScan, ScanError};
use super::target::is_host;
use crate::reason::RejectReason;
use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// Reads one request head from a growing buffer.
#[derive(Debug, Default)]
pub struct RequestParser {
    scan: HeadScan,
    line: LineCheck,
}

impl RequestParser {
    /// Looks for a whole head at the front of `input`, which holds what `parse` was given before and
    /// possibly more. On `Ok(Some(_))`, `out` has the head to send to the endpoint appended, and the
    /// parser is ready for the next request.
    ///
    /// What can only be refused is refused as soon as it shows: garbage in front (a TLS ClientHello),
    /// an HTTP/0.9 or HTTP/2 line, a target that is too long. On an error `out` is as it was, and the
    /// parser must not be used again.
    ///
    /// Choices where the RFCs leave one: an empty Host is accepted and sent on (RFC 9112 section 3.2);
    /// an Expect other than `100-continue` is refused as [`RejectReason::BadHeader`] (RFC 9110 section
    /// 10.1.1 allows to); TRACE and OPTIONS with `Max-Forwards: 0`, which must not be forwarded (RFC
    /// 9110 section 7.6.2), are refused as [`RejectReason::MethodRefused`]; an Upgrade that cannot be
    /// forwarded is dropped and the request goes on without it (RFC 9110 section 7.8).
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        context: &RequestContext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<RequestHead>, RejectReason> {
        let scanned = self.scan.advance(input, limits);
        if let Ok(Some(end)) = scanned {
            let start = self.scan.start();
            *self = Self::default();
            let head = judge(&input[start..end], limits, context, out)?;
            return Ok(Some(RequestHead { len: end, ..head }));
        }
        // Before the error of the scan: a line that is wrong in itself is the better reason.
        self.line.advance(&self.scan, input, limits)?;
        match scanned {
            Ok(_) => Ok(None),
            Err(ScanError::Fields | ScanError::Bytes) => Err(RejectReason::HeaderTooLarge),
            Err(ScanError::LineEnd) if self.scan.first_line(input).is_some() => Err(RejectReason::BadHeader),
            Err(ScanError::LineEnd) => Err(RejectReason::BadRequestLine),
        }
    }
}

/// Judges a whole head, and writes the new one if it passes.
fn judge(
    head: &[u8],
    limits: &HeadLimits,
    context: &RequestContext<'_>,
    out: &mut Vec<u8>,
) -> Result<RequestHead, RejectReason> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let request = tokenise(head, &mut fields)?;
    let line = RequestLine::read(&request, limits)?;
    let mut facts = Facts::default();
    facts.gather(request.headers, context)?;
    let host = facts.host(&line, context)?;
    facts.framing.check(line.version)?;

    let body = match facts.framing {
        Framing { chunked: true, .. } => RequestBody::Chunked,
        Framing { length: None | Some(0), .. } => RequestBody::None,
        Framing { length: Some(length), .. } => RequestBody::Length(length),
    };
    let (is_1_1, is_bare) = (line.version == Version::Http11, body == RequestBody::None);
    // From an HTTP/1.0 client, both mean nothing (RFC 9110 sections 7.8 and 10.1.1). The content of a
    // request with an Upgrade would have to be sent whole before the tunnel; without content, there is
    // nothing to wait for, and an endpoint must not.
    let upgrade = is_1_1 && is_bare && facts.connection.upgrade && facts.upgrade.is_to_tunnel();
    let expect_continue = is_1_1 && !is_bare && facts.expect;
    let max_forwards = facts.max_forwards(line.method)?;

    let plan = RequestRewrite {
        head,
        line: &line,
        fields: request.headers,
        connection: &facts.connection,
        host,
        write_host: facts.host.is_none(),
        length: facts.framing.length,
        upgrade,
        expect_continue,
        max_forwards,
    };
    rewrite::request(&plan, context, out);
    Ok(RequestHead {
        len: head.len(),
        method: line.method,
        version: line.version,
        body,
        keep_alive: facts.connection.persists(line.version),
        expect_continue,
        upgrade,
        hash: facts.hash,
    })
}

fn tokenise<'f, 'h>(
    head: &'h [u8],
    fields: &'f mut [MaybeUninit<Header<'h>>],
) -> Result<httparse::Request<'f, 'h>, RejectReason> {
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, fields) {
        Ok(Status::Complete(len)) if len == head.len() => Ok(request),
        Ok(_) => Err(RejectReason::BadHeader),
        Err(error) => Err(token_error(error, head)),
    }
}

/// What the fields of a request say, each rule that concerns one field alone already applied.
#[derive(Debug, Default)]
struct Facts<'a> {
    host: Option<&'a [u8]>,
    framing: Framing,
    connection: ConnectionOptions<'a>,
    expect: bool,
    upgrade: Upgrade<'a>,
    max_forwards: Option<u64>,
    hash: Option<u64>,
}

impl<'a> Facts<'a> {
    /// Takes all fields in. In place: this is too large to be moved at each request.
    fn gather(&mut self, fields: &[Header<'a>], context: &RequestContext<'_>) -> Result<(), RejectReason> {
        for Header { name, value } in fields {
            match Kind::of(name.as_bytes()) {
                Kind::Host => self.set_host(value)?,
                Kind::ContentLength => self.framing.add_length(value)?,
                Kind::TransferEncoding => self.framing.add_transfer(value)?,
                Kind::FramingAlias => return Err(RejectReason::BadHeader),
                Kind::Connection => {
                    self.connection.add(value).map_err(|_| RejectReason::BadHeader)?;
                }
                Kind::Expect if self.expect || !value.eq_ignore_ascii_case(b"100-continue") => {
                    return Err(RejectReason::BadHeader);
                }
                Kind::Expect => self.expect = true,
                Kind::Upgrade => self.upgrade.add(value),
                Kind::MaxForwards => self.max_forwards = decimal(value),
                _ => {}
            }
            if self.hash.is_none() && context.hash_header.is_some_and(|key| name.eq_ignore_ascii_case(key)) {
                self.hash = Some(stable_hash(value));
            }
        }
        Ok(())
    }

    fn set_host(&mut self, value: &'a [u8]) -> Result<(), RejectReason> {
        if !is_host(value) || self.host.replace(value).is_some() {
            return Err(RejectReason::BadHost);
        }
        Ok(())
    }

    /// The host that the request is for (RFC 9112 sections 3.2 and 3.3).
    fn host(&self, line: &RequestLine<'a>, context: &RequestContext<'a>) -> Result<&'a [u8], RejectReason> {
        match (line.target.authority, self.host, line.version) {
            (_, None, Version::Http11) => Err(RejectReason::BadHost),
            (Some(authority), _, _) => Ok(authority),
            (None, Some(host), _) => Ok(host),
            (None, None, Version::Http10) => Ok(context.default_host.as_bytes()),
        }
    }

    /// What Max-Forwards says to the next hop, where this hop has to count (RFC 9110 section 7.6.2).
    fn max_forwards(&self, method: Method) -> Result<Option<u64>, RejectReason> {
        match (method, self.max_forwards) {
            (Method::Trace | Method::Options, Some(0)) => Err(RejectReason::MethodRefused),
            (Method::Trace | Method::Options, Some(hops)) => Ok(Some(hops - 1)),
            _ => Ok(None),
        }
    }
}

impl From<FramingError> for RejectReason {
    fn from(_: FramingError) -> Self {
        Self::BadFraming
    }
}

/// FNV-1a (64 bits), with MurmurHash3's finaliser because the last byte of FNV-1a reaches few bits.
fn stable_hash(value: &[u8]) -> u64 {
    let mut hash = value.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}
