//! What each path answers.

use super::feed::Pulse;
use super::guard::{self, Transport, Verdict};
use super::reply::{Coming, Reply, busy, compact_json, events, json, not_allowed, text, whole};
use super::site::Site;
use super::{AdminState, page, reload, upgrade};
use crate::config::view;
use crate::metrics::host::Host;
use crate::metrics::render;
use crate::observe::access_log::AccessLog;
use crate::observe::connections::Query;
use crate::observe::snapshot::Snapshot;
use hyper::body::Body;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::sync::Arc;

/// Who asks.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) transport: Transport,
    /// The address, or `unix`.
    pub(super) peer: String,
    /// What keeps the connection of a stream.
    pub(super) pulse: Arc<Pulse>,
}

/// An answer, and whether whoever asked tried a wrong token.
#[derive(Debug)]
pub(super) struct Answer {
    reply: Coming,
    pub(super) wrong_token: bool,
}

const INDEX: &str = concat!(
    "millpond ",
    env!("CARGO_PKG_VERSION"),
    "\n\n",
    "GET  /             the dashboard for browsers, this list for others\n",
    "GET  /stats        statistics, as JSON\n",
    "GET  /events       the same every second, as server-sent events\n",
    "GET  /history      the last 15 minutes, as columns of JSON; ?after=MS: since that Unix time\n",
    "GET  /connections  every TCP connection with its owner, as JSON, one a line; ?state=close-wait&older_than=10s,\n",
    "                   listener=, upstream=, endpoint=, side=, phase=, sort=, limit=\n",
    "GET  /metrics      metrics, as Prometheus text\n",
    "GET  /config       the running configuration, as JSON\n",
    "GET  /livez        200 while the process answers\n",
    "GET  /readyz       200 while new clients are served, 503 once it drains\n",
    "GET  /help         this list\n",
    "POST /reload       read the configuration again; answers what is different, as JSON\n",
    "POST /upgrade      start the program again, and let the new process take over; answers what it has, as JSON\n",
    "POST /drain        stop listening, finish what runs, exit\n",
);

/// For all answers: nothing is stored, guessed at, or given to other pages.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Answers one request. Only POST changes anything.
pub(super) fn answer<B: Body>(request: &Request<B>, visitor: &Visitor, site: &Site) -> Answer {
    let page = page::answer(request);
    let is_open = page.is_some() || is_probe(request.uri().path());
    let verdict = guard::judge(request, visitor.transport, site.token.as_ref(), is_open);
    let wrong_token = matches!(verdict, Verdict::WrongToken(_));
    let reply = match (verdict, page) {
        (Verdict::Refuse(reply) | Verdict::WrongToken(reply), _) => reply.into(),
        (Verdict::Serve, Some(page)) => for_get(request, || page).into(),
        (Verdict::Serve, None) if request.uri().path() == "/connections" => connections(request, site),
        (Verdict::Serve, None) if request.uri().path() == "/reload" => match *request.method() {
            Method::POST => Coming::Later(Box::pin(reload(Arc::clone(&site.state)))),
            _ => not_allowed("POST").into(),
        },
        (Verdict::Serve, None) if request.uri().path() == "/upgrade" => match *request.method() {
            Method::POST => Coming::Later(Box::pin(upgrade(Arc::clone(&site.state)))),
            _ => not_allowed("POST").into(),
        },
        (Verdict::Serve, None) => route(request, visitor, site).into(),
    };
    Answer { reply, wrong_token }
}

impl Answer {
    /// Waits for the answer, if it is still to come.
    pub(super) async fn reply(self) -> Reply {
        let mut reply = match self.reply {
            Coming::Now(reply) => reply,
            Coming::Later(reply) => reply.await,
        };
        for (name, value) in HEADERS {
            reply.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        reply
    }
}

/// Open without the token: orchestrators ask these without credentials, and learn one bit from each.
fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz")
}

fn route<B>(request: &Request<B>, visitor: &Visitor, site: &Site) -> Reply {
    let state = &*site.state;
    match request.uri().path() {
        "/" | "/help" => for_get(request, || text(StatusCode::OK, INDEX)),
        "/stats" => for_get(request, || json(&Snapshot::take(&state.registry, Host::read()))),
        "/events" => for_get(request, || stream(request, visitor, site)),
        "/history" => for_get(request, || history(request, site)),
        "/metrics" => for_get(request, || metrics(state)),
        "/config" => for_get(request, || json(&view::json(&state.registry.running().config))),
        "/livez" => for_get(request, || text(StatusCode::OK, "ok\n")),
        "/readyz" => for_get(request, || readiness(state)),
        "/drain" => match *request.method() {
            Method::POST => drain(state),
            _ => not_allowed("POST"),
        },
        _ => text(StatusCode::NOT_FOUND, "there is nothing here; GET /help lists what there is\n"),
    }
}

/// hyper leaves the body out of an answer to HEAD.
fn for_get<B>(request: &Request<B>, get: impl FnOnce() -> Reply) -> Reply {
    match *request.method() {
        Method::GET | Method::HEAD => get(),
        _ => not_allowed("GET, HEAD"),
    }
}

fn stream<B>(request: &Request<B>, visitor: &Visitor, site: &Site) -> Reply {
    if *request.method() == Method::HEAD {
        return whole(StatusCode::OK, "text/event-stream", Default::default());
    }
    match site.feed.subscribe(visitor.pulse.clone()) {
        Some(stream) => events(stream),
        None => busy("too many listen to the events already\n", "10"),
    }
}

fn connections<B>(request: &Request<B>, site: &Site) -> Coming {
    match *request.method() {
        Method::GET | Method::HEAD => {
            let query = Query::parse(request.uri().query().unwrap_or_default());
            Coming::Later(Box::pin(site.lists.clone().answer(query)))
        }
        _ => not_allowed("GET, HEAD").into(),
    }
}

fn history<B>(request: &Request<B>, site: &Site) -> Reply {
    match request.uri().query().map(|query| query.strip_prefix("after=").map(str::parse)) {
        None => compact_json(&site.history().after(0)),
        Some(Some(Ok(ms))) => compact_json(&site.history().after(ms)),
        Some(_) => text(StatusCode::BAD_REQUEST, "write ?after= and a Unix time in milliseconds\n"),
    }
}

fn metrics(state: &AdminState) -> Reply {
    let lost = state.access_log.as_ref().map(AccessLog::lost);
    let text = render::render(&state.registry, &Host::read(), lost);
    whole(StatusCode::OK, render::CONTENT_TYPE, text.into())
}

fn readiness(state: &AdminState) -> Reply {
    if state.registry.is_draining() {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        text(StatusCode::OK, "ready\n")
    }
}

/// Reads files, binds sockets and waits for the workers: on a thread of its own.
async fn reload(state: Arc<AdminState>) -> Reply {
    tracing::info!("the admin server was asked to reload");
    match tokio::task::spawn_blocking(move || (state.reload)()).await {
        Ok(Ok(done)) => json(&reload::Answer::from(&done)),
        Ok(Err(error)) => {
            let mut reply = json(&reload::Failure::from(&error));
            *reply.status_mut() = error.status();
            reply
        }
        Err(error) => {
            tracing::error!(%error, "a reload broke off");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the reload broke off; the log says why\n")
        }
    }
}

/// Starts a process and waits for it: on a thread of its own.
async fn upgrade(state: Arc<AdminState>) -> Reply {
    tracing::info!("the admin server was asked to upgrade");
    match tokio::task::spawn_blocking(move || (state.upgrade)()).await {
        Ok(Ok(done)) => json(&done),
        Ok(Err(error)) => {
            let mut reply = json(&upgrade::Failure { error: error.to_string() });
            *reply.status_mut() = error.status();
            reply
        }
        Err(error) => {
            tracing::error!(%error, "an upgrade broke off");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the upgrade broke off; the log says why\n")
        }
    }
}

fn drain(state: &AdminState) -> Reply {
    tracing::info!("the admin server was asked to drain");
    (state.drain)();
    text(StatusCode::ACCEPTED, "draining\n")
}
