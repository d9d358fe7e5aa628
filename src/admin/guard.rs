//! Which requests are refused before they reach a route. Pure.

use super::reply::{Reply, text};
use super::token::{Access, Token};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, StatusCode};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How the server was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    /// No browser can be led to a Unix socket, so that any `Host` will do.
    Unix,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Verdict {
    Serve,
    Refuse(Reply),
    /// A token came that is not ours: [`Verdict::Refuse`], but slowly and with a line in the log.
    WrongToken(Reply),
}

/// Judges a request. `is_open`: what it asks for is for everybody who reaches the server.
///
/// With a token, a name that leads here by somebody else's DNS does no harm: a page from there has
/// no token to send. Without one, only names that cannot come from DNS are served.
pub(super) fn judge<B: hyper::body::Body>(
    request: &Request<B>,
    transport: Transport,
    token: Option<&Token>,
    is_open: bool,
) -> Verdict {
    let refuse = |status, why| Verdict::Refuse(text(status, why));
    if token.is_none() && transport == Transport::Tcp && !names_this_host(request) {
        return refuse(
            StatusCode::FORBIDDEN,
            "this server answers to localhost and loopback addresses only; Host names something else\n",
        );
    }
    if is_of_another_page(request) {
        return refuse(StatusCode::FORBIDDEN, "requests of other web pages are not served\n");
    }
    let access = token
        .filter(|_| !is_open)
        .map_or(Access::Granted, |token| token.judge(request.headers().get_all(AUTHORIZATION).iter()));
    match access {
        Access::Granted => {}
        Access::Missing => {
            return Verdict::Refuse(unauthorised(
                "Bearer",
                "a token is needed: Authorization: Bearer TOKEN\n",
            ));
        }
        Access::Wrong => {
            let challenge = "Bearer error=\"invalid_token\"";
            return Verdict::WrongToken(unauthorised(challenge, "that is not the token of this server\n"));
        }
    }
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_safe && request.headers().contains_key(ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "requests of web pages may not change anything here\n");
    }
    if !request.body().is_end_stream() {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body\n");
    }
    Verdict::Serve
}

/// The challenge is that of RFC 6750 section 3. Browsers ask nobody for a password because of it.
fn unauthorised(challenge: &'static str, why: &'static str) -> Reply {
    let mut reply = text(StatusCode::UNAUTHORIZED, why);
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    reply
}

/// Whether a page from elsewhere had a browser send this. Following a link to here is no such thing:
/// that page cannot see what comes of it. Browsers tell by `Sec-Fetch-Site` (Fetch Metadata), which
/// they send to loopback and to HTTPS only, and by `Origin`.
fn is_of_another_page<B>(request: &Request<B>) -> bool {
    let field = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    let is_link = *request.method() == Method::GET
        && field("sec-fetch-mode") == Some(b"navigate")
        && field("sec-fetch-dest") == Some(b"document");
    match field("sec-fetch-site") {
        Some(b"cross-site" | b"same-site") => !is_link,
        _ => is_of_another_origin(request.headers()),
    }
}

fn is_of_another_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN).map(HeaderValue::as_bytes) else { return false };
    let origin = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    !origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}

/// Whether the only `Host`, and the authority of an absolute target if there is one, are names that
/// cannot come from somebody else's DNS. The port is not compared: it may be forwarded.
fn names_this_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let named = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    named.is_some_and(|host| is_local(&host)) && request.uri().authority().is_none_or(is_local)
}

fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// How often requests came with a wrong token, told in few lines however many they are.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    untold: u64,
    told: Option<Instant>,
}

impl Failures {
    /// Between two lines.
    const QUIET: Duration = Duration::from_secs(10);

    /// Counts one; returns how many there are to tell of, if it is time.
    pub(super) fn count(&self, now: Instant) -> Option<u64> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.untold += 1;
        if count.told.is_some_and(|told| now.saturating_duration_since(told) < Self::QUIET) {
            return None;
        }
        count.told = Some(now);
        Some(std::mem::take(&mut count.untold))
    }
}

#[cfg(test)]
mod tests;
