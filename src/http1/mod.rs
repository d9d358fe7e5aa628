//! HTTP/1.1 messages (RFC 9112) without sockets: strict heads, bodies, and what a proxy rewrites.
//!
//! A head is found by `scan` as it grows, split into tokens by `httparse`, judged by `request` or
//! `response` with the rules of `field` and `target`, and written anew by `rewrite`. What two
//! recipients could read in two ways is refused, never repaired: request smuggling lives in the
//! difference between two repairs. Nothing here allocates, apart from growing the caller's buffer.

pub mod body;
pub mod head;

mod chunk_line;
mod field;
mod lines;
mod request;
mod request_line;
mod response;
mod rewrite;
mod scan;
mod target;
#[cfg(test)]
mod tests;

pub use body::{ChunkedFilter, ChunkedOutput, Filtered, LAST_CHUNK, chunk_head};
pub use head::{
    Delivery, HeadLimits, MAX_FIELDS, Method, RequestBody, RequestContext, RequestHead, RequestParser,
    ResponseBody, ResponseContext, ResponseHead, ResponseParser, Version,
};
