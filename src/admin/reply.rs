//! Answers: whole ones, and one that goes on.

use super::feed::Events;
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// The body of an answer.
pub(super) type Body = Either<Full<Bytes>, Events>;

/// An answer.
pub(super) type Reply = Response<Body>;

/// An answer that is there, or will be.
pub(super) enum Coming {
    Now(Reply),
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(reply) => f.debug_tuple("Now").field(reply).finish(),
            Self::Later(_) => f.debug_struct("Later").finish_non_exhaustive(),
        }
    }
}

impl From<Reply> for Coming {
    fn from(reply: Reply) -> Self {
        Self::Now(reply)
    }
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: &'static str) -> Reply {
    whole(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

/// Plain text made for this answer.
pub(super) fn owned_text(status: StatusCode, body: String) -> Reply {
    whole(status, "text/plain; charset=utf-8", body.into())
}

/// 503: not now, but in so many seconds.
pub(super) fn busy(body: &'static str, seconds: &'static str) -> Reply {
    let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, body);
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    reply
}

/// JSON for people too, with line breaks.
pub(super) fn json(value: &impl Serialize) -> Reply {
    serialised(serde_json::to_vec_pretty(value))
}

/// JSON for programs.
pub(super) fn compact_json(value: &impl Serialize) -> Reply {
    serialised(serde_json::to_vec(value))
}

/// Anything that is known as a whole.
pub(super) fn whole(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    with_type(status, content_type, Either::Left(Full::new(body)))
}

/// Server-sent events.
pub(super) fn events(events: Events) -> Reply {
    with_type(StatusCode::OK, "text/event-stream", Either::Right(events))
}

/// This method is not served here, but these are.
pub(super) fn not_allowed(allow: &'static str) -> Reply {
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "this path does not serve that method\n");
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    reply
}

fn serialised(json: serde_json::Result<Vec<u8>>) -> Reply {
    match json {
        Ok(mut body) => {
            body.push(b'\n');
            whole(StatusCode::OK, "application/json", body.into())
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written as JSON\n")
        }
    }
}

fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
