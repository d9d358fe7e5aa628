//! HTTP/1.1 messages (RFC 9112) without sockets: strict heads, bodies, and what a proxy rewrites.

pub mod body;
pub mod head;
pub mod rewrite;
