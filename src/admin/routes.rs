//! What each path answers.

use super::guard::{Transport, refusal};
use super::{AdminState, config_view};
use crate::metrics::host::Host;
use crate::metrics::render;
use crate::observe::access_log::AccessLog;
use crate::observe::snapshot::Snapshot;
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

/// A whole answer.
pub(super) type Reply = Response<Full<Bytes>>;

const INDEX: &str = concat!(
    "millpond ",
    env!("CARGO_PKG_VERSION"),
    "\n\n",
    "GET  /stats    statistics, as JSON\n",
    "GET  /metrics  metrics, as Prometheus text\n",
    "GET  /config   the running configuration, as JSON\n",
    "GET  /livez    200 while the process answers\n",
    "GET  /readyz   200 while new clients are served, 503 once it drains\n",
    "POST /drain    stop listening, finish what runs, exit\n",
);

/// Answers one request. Only POST changes anything.
pub(super) fn answer<B: Body>(request: &Request<B>, transport: Transport, state: &AdminState) -> Reply {
    let mut reply = refusal(request, transport).unwrap_or_else(|| route(request, state));
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

fn route<B>(request: &Request<B>, state: &AdminState) -> Reply {
    let get: fn(&AdminState) -> Reply = match request.uri().path() {
        "/" => |_| text(StatusCode::OK, INDEX),
        "/stats" => |state| json(&Snapshot::take(&state.registry, Host::read())),
        "/metrics" => metrics,
        "/config" => |state| json(&config_view::json(&state.config)),
        "/livez" => |_| text(StatusCode::OK, "ok\n"),
        "/readyz" => readiness,
        "/drain" => {
            return match *request.method() {
                Method::POST => drain(state),
                _ => not_allowed("POST"),
            };
        }
        _ => return text(StatusCode::NOT_FOUND, "there is nothing here; GET / lists what there is\n"),
    };
    match *request.method() {
        // hyper leaves the body out of an answer to HEAD.
        Method::GET | Method::HEAD => get(state),
        _ => not_allowed("GET, HEAD"),
    }
}

fn metrics(state: &AdminState) -> Reply {
    let lost = state.access_log.as_ref().map(AccessLog::lost);
    let text = render::render(&state.registry, &Host::read(), lost);
    reply(StatusCode::OK, render::CONTENT_TYPE, text.into())
}

fn readiness(state: &AdminState) -> Reply {
    if state.registry.is_draining() {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        text(StatusCode::OK, "ready\n")
    }
}

fn drain(state: &AdminState) -> Reply {
    tracing::info!("the admin server was asked to drain");
    (state.drain)();
    text(StatusCode::ACCEPTED, "draining\n")
}

fn not_allowed(allow: &'static str) -> Reply {
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "this path does not serve that method\n");
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    reply
}

/// A plain text answer.
pub(super) fn text(status: StatusCode, body: &'static str) -> Reply {
    reply(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn json(value: &impl Serialize) -> Reply {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            reply(StatusCode::OK, "application/json", body.into())
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written as JSON\n")
        }
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
