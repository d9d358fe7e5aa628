//! What a proxy changes in a head: hop-by-hop fields, forwarding fields, connection persistence (RFC
//! 9110 section 7.6). Fields keep their order and case; values keep their bytes.

use super::field::{ConnectionOptions, Kind};
use super::head::RequestContext;
use super::request_line::RequestLine;
use httparse::Header;

/// The request to write, all judged.
pub(super) struct RequestRewrite<'a> {
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
    let target = &plan.line.target;
    for part in [plan.line.name.as_bytes(), b" ", if target.slash { b"/" } else { b"" }, target.path] {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if plan.write_host {
        write_field(out, "Host", plan.host);
    }
    let mut forwarded_for = false;
    for &Header { name, value } in plan.fields {
        match Kind::of(name.as_bytes()) {
            Kind::Other | Kind::Trailer if plan.connection.nominates(name.as_bytes()) => {}
            Kind::Other | Kind::Trailer => write_field(out, name, value),
            Kind::Host => write_field(out, name, plan.host),
            Kind::ContentLength => write_number(out, name, plan.length),
            Kind::TransferEncoding => write_field(out, name, b"chunked"),
            Kind::Upgrade if plan.upgrade => write_field(out, name, value),
            Kind::Expect if plan.expect_continue => write_field(out, name, value),
            Kind::MaxForwards if plan.max_forwards.is_some() => write_number(out, name, plan.max_forwards),
            Kind::MaxForwards => write_field(out, name, value),
            Kind::ForwardedFor => forwarded_for = true,
            Kind::Upgrade | Kind::Expect | Kind::FramingAlias | Kind::ForwardedOwn => {}
            Kind::Connection | Kind::KeepAlive | Kind::HopByHop => {}
        }
    }
    write_forwarded(plan, context, forwarded_for, out);
    if plan.upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Who asked, how, and for what: what the endpoint can no longer see of the connection.
fn write_forwarded(
    plan: &RequestRewrite<'_>,
    context: &RequestContext<'_>,
    forwarded_for: bool,
    out: &mut Vec<u8>,
) {
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
    write_field(out, "X-Forwarded-Proto", context.scheme.as_bytes());
    if !plan.host.is_empty() {
        write_field(out, "X-Forwarded-Host", plan.host);
    }
}

/// The response to write, all judged.
pub(super) struct ResponseRewrite<'a> {
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
    for part in [b"HTTP/1.1 ", plan.code, b" ", plan.reason, b"\r\n"] {
        out.extend_from_slice(part);
    }
    for &Header { name, value } in plan.fields {
        match Kind::of(name.as_bytes()) {
            Kind::ContentLength => write_number(out, name, plan.length),
            Kind::TransferEncoding if plan.chunked => write_field(out, name, b"chunked"),
            Kind::Trailer if plan.chunked => write_field(out, name, value),
            Kind::Upgrade if plan.upgrade => write_field(out, name, value),
            Kind::TransferEncoding | Kind::Trailer | Kind::Upgrade => {}
            Kind::Connection | Kind::KeepAlive | Kind::HopByHop | Kind::FramingAlias => {}
            _ if plan.connection.nominates(name.as_bytes()) => {}
            _ => write_field(out, name, value),
        }
    }
    if plan.add_chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if let Some(option) = plan.option {
        write_field(out, "Connection", option.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field whose value is a number, in canonical form, if there is one.
fn write_number(out: &mut Vec<u8>, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        write_field(out, name, itoa::Buffer::new().format(value).as_bytes());
    }
}
