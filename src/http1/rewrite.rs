//! What a proxy changes in a head: hop-by-hop fields, forwarding fields, connection persistence (RFC
//! 9110 section 7.6). Fields keep their order and case; values keep their bytes.

use super::field::{ConnectionOptions, Kind};
use super::head::RequestContext;
use super::lines::Lines;
use super::request_line::RequestLine;
use httparse::Header;

/// Room for what is added to most heads, in bytes.
const ADDED: usize = 160;

/// The request to write, all judged.
pub(super) struct RequestRewrite<'a> {
    /// The head as it came.
    pub(super) head: &'a [u8],
    pub(super) line: &'a RequestLine<'a>,
    pub(super) fields: &'a [Header<'a>],
    pub(super) connection: &'a ConnectionOptions<'a>,
    /// The value of Host.
    pub(super) host: &'a [u8],
    /// The request came without Host.
    pub(super) write_host: bool,
    /// The value of Content-Length.
    pub(super) length: Option<u64>,
    /// Upgrade is sent on.
    pub(super) upgrade: bool,
    /// Expect is sent on.
    pub(super) expect_continue: bool,
    /// The new value of Max-Forwards, where it changes.
    pub(super) max_forwards: Option<u64>,
}

/// Appends the head to send to the endpoint.
pub(super) fn request(plan: &RequestRewrite<'_>, context: &RequestContext<'_>, out: &mut Vec<u8>) {
    out.reserve(plan.head.len() + ADDED);
    let target = &plan.line.target;
    for part in [plan.line.name.as_bytes(), b" ", if target.slash { b"/" } else { b"" }, target.path] {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut lines = Lines::new(plan.head, 0, out);
    if plan.write_host {
        lines.write("Host", plan.host);
    }
    let mut forwarded_for = false;
    for field in plan.fields {
        let name = field.name.as_bytes();
        match Kind::of(name) {
            Kind::Other | Kind::Trailer if plan.connection.nominates(name) => {}
            Kind::Other | Kind::Trailer => lines.keep(field),
            Kind::Host => lines.keep_as(field, plan.host),
            Kind::ContentLength => write_number(&mut lines, field, plan.length),
            Kind::TransferEncoding => lines.keep_as(field, b"chunked"),
            Kind::Upgrade if plan.upgrade => lines.keep(field),
            Kind::Expect if plan.expect_continue => lines.keep(field),
            Kind::MaxForwards if plan.max_forwards.is_some() => {
                write_number(&mut lines, field, plan.max_forwards);
            }
            Kind::MaxForwards => lines.keep(field),
            Kind::ForwardedFor => forwarded_for = true,
            Kind::Upgrade | Kind::Expect | Kind::FramingAlias | Kind::ForwardedOwn => {}
            Kind::Connection | Kind::KeepAlive | Kind::HopByHop => {}
        }
    }
    write_forwarded(plan, context, forwarded_for, &mut lines);
    if plan.upgrade {
        lines.write("Connection", b"upgrade");
    }
    lines.raw().extend_from_slice(b"\r\n");
}

/// Who asked, how, and for what: what the endpoint can no longer see of the connection.
fn write_forwarded(
    plan: &RequestRewrite<'_>,
    context: &RequestContext<'_>,
    forwarded_for: bool,
    lines: &mut Lines<'_, '_>,
) {
    let out = lines.raw();
    out.extend_from_slice(b"X-Forwarded-For: ");
    if forwarded_for {
        let is_ours = |field: &&Header<'_>| Kind::of(field.name.as_bytes()) == Kind::ForwardedFor;
        for field in plan.fields.iter().filter(is_ours).filter(|field| !field.value.is_empty()) {
            out.extend_from_slice(field.value);
            out.extend_from_slice(b", ");
        }
    }
    out.extend_from_slice(context.client_ip.as_bytes());
    out.extend_from_slice(b"\r\n");
    lines.write("X-Forwarded-Proto", context.scheme.as_bytes());
    if !plan.host.is_empty() {
        lines.write("X-Forwarded-Host", plan.host);
    }
}

/// The response to write, all judged.
pub(super) struct ResponseRewrite<'a> {
    /// The head as it came.
    pub(super) head: &'a [u8],
    /// The status code's digits.
    pub(super) code: &'a [u8],
    pub(super) reason: &'a [u8],
    pub(super) fields: &'a [Header<'a>],
    pub(super) connection: &'a ConnectionOptions<'a>,
    /// The value of Content-Length, where it is sent on.
    pub(super) length: Option<u64>,
    /// Transfer-Encoding, and with it Trailer, is sent on.
    pub(super) chunked: bool,
    /// `Transfer-Encoding: chunked` is ours to say.
    pub(super) add_chunked: bool,
    /// Upgrade is sent on.
    pub(super) upgrade: bool,
    /// The connection option that the client is told.
    pub(super) option: Option<&'static str>,
}

/// Appends the head to send to the client.
pub(super) fn response(plan: &ResponseRewrite<'_>, out: &mut Vec<u8>) {
    out.reserve(plan.head.len() + ADDED);
    let mut lines = match same_status_line(plan) {
        Some(line) => Lines::new(plan.head, line, out),
        None => {
            for part in [b"HTTP/1.1 ", plan.code, b" ", plan.reason, b"\r\n"] {
                out.extend_from_slice(part);
            }
            Lines::new(plan.head, 0, out)
        }
    };
    for field in plan.fields {
        let name = field.name.as_bytes();
        match Kind::of(name) {
            Kind::ContentLength => write_number(&mut lines, field, plan.length),
            Kind::TransferEncoding if plan.chunked => lines.keep_as(field, b"chunked"),
            Kind::Trailer if plan.chunked => lines.keep(field),
            Kind::Upgrade if plan.upgrade => lines.keep(field),
            Kind::TransferEncoding | Kind::Trailer | Kind::Upgrade => {}
            Kind::Connection | Kind::KeepAlive | Kind::HopByHop | Kind::FramingAlias => {}
            _ if plan.connection.nominates(name) => {}
            _ => lines.keep(field),
        }
    }
    if plan.add_chunked {
        lines.write("Transfer-Encoding", b"chunked");
    }
    if let Some(option) = plan.option {
        lines.write("Connection", option.as_bytes());
    }
    lines.raw().extend_from_slice(b"\r\n");
}

/// The length of the status line, if it stays as it came.
fn same_status_line(plan: &ResponseRewrite<'_>) -> Option<usize> {
    let length = b"HTTP/1.1 200 \r\n".len() + plan.reason.len();
    let stays = plan.head.starts_with(b"HTTP/1.1 ") && plan.head.get(length - 2..length) == Some(b"\r\n");
    stays.then_some(length)
}

/// Keeps a field whose value is a number, in canonical form, if there is one.
fn write_number<'h>(lines: &mut Lines<'h, '_>, field: &Header<'h>, value: Option<u64>) {
    if let Some(value) = value {
        lines.keep_as(field, itoa::Buffer::new().format(value).as_bytes());
    }
}
