//! What a request head and a response head mean to forwarding (RFC 9112 sections 2 to 6).

pub use super::request::RequestParser;
pub use super::response::ResponseParser;
use std::time::Duration;

/// The most fields that a head may have, whatever [`HeadLimits::fields`] says.
pub const MAX_FIELDS: usize = 1024;

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

impl Method {
    /// The method of that name; names are case-sensitive (RFC 9110 section 9.1).
    pub(super) fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// Whether the client asked for nothing to be changed (RFC 9110 section 9.2.1).
    pub fn is_safe(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options | Self::Trace => true,
            Self::Post | Self::Put | Self::Delete | Self::Other => false,
        }
    }

    /// Whether repeating the request has the effect of one (RFC 9110 section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace => true,
            Self::Post | Self::Other => false,
        }
    }
}

/// The version in a request or status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    /// The version 1.`minor`, of the two that `httparse` lets through.
    pub(super) fn of(minor: u8) -> Self {
        if minor == 0 { Self::Http10 } else { Self::Http11 }
    }
}

/// Bounds of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// The whole head, in bytes.
    pub bytes: usize,
    /// Fields; no more than [`MAX_FIELDS`] count.
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
pub enum RequestBody {
    /// There is none: no framing field, or `Content-Length: 0`.
    None,
    /// That many bytes, at least one.
    Length(u64),
    /// Chunks.
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
    /// Whether the client is willing to send another request on this connection (RFC 9112 section
    /// 9.3; from HTTP/1.0 only with `Connection: keep-alive`).
    pub keep_alive: bool,
    /// `Expect: 100-continue`, which was forwarded.
    pub expect_continue: bool,
    /// The client asked for an Upgrade and it is forwarded.
    pub upgrade: bool,
    /// The hash of the value of the first [`RequestContext::hash_header`] field: FNV-1a, finished with
    /// MurmurHash3's mixer. The same in every version and on every machine.
    pub hash: Option<u64>,
}

/// How a response's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// There is none: by the method, by the status, or by `Content-Length: 0`.
    None,
    /// That many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Whatever comes until the endpoint closes.
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
    /// The status code, 100 to 999: those from 600 are no HTTP status, but are met in practice and are
    /// framed like any other final response (RFC 9110 section 15).
    pub status: u16,
    /// The body's framing.
    pub body: ResponseBody,
    /// How the body reaches the client.
    pub delivery: Delivery,
    /// Whether the endpoint keeps its connection open after this response. What an interim (1xx)
    /// response said against it also holds for the final one.
    pub keep_alive: bool,
    /// `Keep-Alive: timeout=` where the endpoint sent one.
    pub keep_alive_timeout: Option<Duration>,
    /// Whether the client's connection goes on after this response, as the rewritten head says.
    pub persist: bool,
}
