//! Strict parsing of request and response heads (RFC 9112 sections 2 to 6).

use crate::reason::RejectReason;
use std::time::Duration;

/// A request's method, as far as forwarding cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Other,
}

/// The version in a request or status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    Http10,
    Http11,
}

/// Bounds of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// The whole head, in bytes.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
    /// The request target, in bytes.
    pub target: usize,
}

/// What the rewritten request says of the client.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The client's address, appended to X-Forwarded-For.
    pub client_ip: &'a str,
    /// `http` or `https`, for X-Forwarded-Proto.
    pub scheme: &'a str,
    /// The Host of a request from an HTTP/1.0 client that sent none.
    pub default_host: &'a str,
    /// The lower-case name of the header whose value is hashed for balancing.
    pub hash_header: Option<&'a str>,
}

/// How a request's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RequestBody {
    None,
    Length(u64),
    Chunked,
}

/// What forwarding needs to know of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes of the head in the input, with what was skipped before it.
    pub len: usize,
    /// The method.
    pub method: Method,
    /// The client's version.
    pub version: Version,
    /// The body's framing.
    pub body: RequestBody,
    /// Whether the client is willing to send another request on this connection.
    pub keep_alive: bool,
    /// `Expect: 100-continue`.
    pub expect_continue: bool,
    /// The client asked for an Upgrade and it is forwarded.
    pub upgrade: bool,
    /// The hash of [`RequestContext::hash_header`]'s value.
    pub hash: Option<u64>,
}

/// How a response's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ResponseBody {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// How the body is delivered to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In the framing that it came in.
    AsIs,
    /// It came until close; the client gets chunks.
    Chunk,
    /// It came in chunks; the client (HTTP/1.0) gets the bare data until close.
    Unchunk,
}

/// What the rewritten response depends on.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    /// The request's method.
    pub method: Method,
    /// The client's version.
    pub client: Version,
    /// The request was forwarded with its Upgrade.
    pub upgrade: bool,
    /// The client's connection may go on after this response.
    pub persist: bool,
}

/// What forwarding needs to know of a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Bytes of the head in the input.
    pub len: usize,
    /// The status code.
    pub status: u16,
    /// The body's framing.
    pub body: ResponseBody,
    /// How the body reaches the client.
    pub delivery: Delivery,
    /// Whether the endpoint keeps its connection open after this response.
    pub keep_alive: bool,
    /// `Keep-Alive: timeout=` where the endpoint sent one.
    pub keep_alive_timeout: Option<Duration>,
    /// Whether the client's connection goes on after this response, as the rewritten head says.
    pub persist: bool,
}

impl Method {
    /// Whether repeating the request has the effect of one (RFC 9110 section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        todo!()
    }
}

/// Reads one request head from a growing buffer.
#[derive(Debug, Default)]
pub struct RequestParser {}

impl RequestParser {
    /// Looks for a whole head at the front of `input`, which holds what `parse` was given before and
    /// possibly more. On `Ok(Some(_))`, `out` has the head to send to the endpoint appended, and the
    /// parser is ready for the next request.
    pub fn parse(
        &mut self,
        _input: &[u8],
        _limits: &HeadLimits,
        _context: &RequestContext<'_>,
        _out: &mut Vec<u8>,
    ) -> Result<Option<RequestHead>, RejectReason> {
        todo!()
    }
}

/// Reads one response head from a growing buffer.
#[derive(Debug, Default)]
pub struct ResponseParser {}

impl ResponseParser {
    /// Looks for a whole head at the front of `input`, as [`RequestParser::parse`] does. On
    /// `Ok(Some(_))`, `out` has the head to send to the client appended.
    pub fn parse(
        &mut self,
        _input: &[u8],
        _limits: &HeadLimits,
        _context: &ResponseContext,
        _out: &mut Vec<u8>,
    ) -> Result<Option<ResponseHead>, RejectReason> {
        todo!()
    }
}
