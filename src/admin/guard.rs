//! Which requests are refused before they reach a route. Pure.

use super::routes::{Reply, text};
use hyper::header::{HOST, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode};
use std::net::IpAddr;

/// How the server was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    /// No browser can be led to a Unix socket, so that any `Host` will do.
    Unix,
}

/// The answer to a request that must not be served; `None`: go on.
pub(super) fn refusal<B: hyper::body::Body>(request: &Request<B>, transport: Transport) -> Option<Reply> {
    if transport == Transport::Tcp && !names_this_host(request) {
        return Some(text(
            StatusCode::FORBIDDEN,
            "this server answers to localhost and loopback addresses only; Host names something else\n",
        ));
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !safe && request.headers().contains_key(ORIGIN) {
        return Some(text(StatusCode::FORBIDDEN, "requests of web pages may not change anything here\n"));
    }
    if !request.body().is_end_stream() {
        return Some(text(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body\n"));
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Empty, Full};
    use hyper::body::Bytes;

    fn refused(method: &str, target: &str, headers: &[(&str, &str)], transport: Transport) -> Option<u16> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        refusal(&request.body(Empty::<Bytes>::new()).unwrap(), transport).map(|reply| reply.status().as_u16())
    }

    #[test]
    fn only_names_of_this_host_are_served() {
        let refused = |host| refused("GET", "/stats", &[("host", host)], Transport::Tcp);
        for host in ["localhost", "LocalHost:9900", "127.0.0.1:9900", "127.9.9.9", "[::1]:80", "[::1]"] {
            assert_eq!(refused(host), None, "{host}");
        }
        for host in ["example.com", "localhost.example.com", "192.0.2.1", "127.0.0.1.example.com", "", "a b"]
        {
            assert_eq!(refused(host), Some(403), "{host}");
        }
    }

    #[test]
    fn host_must_stand_once_and_agree_with_an_absolute_target() {
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(refused("GET", "/", &twice, Transport::Tcp), Some(403));
        assert_eq!(refused("GET", "/", &[], Transport::Tcp), Some(403));
        let absolute = |target| refused("GET", target, &[("host", "localhost")], Transport::Tcp);
        assert_eq!(absolute("http://example.com/stats"), Some(403));
        assert_eq!(absolute("http://localhost/stats"), None);
    }

    #[test]
    fn a_unix_socket_answers_to_any_name() {
        assert_eq!(refused("GET", "/", &[], Transport::Unix), None);
        assert_eq!(refused("GET", "/", &[("host", "example.com")], Transport::Unix), None);
    }

    #[test]
    fn a_page_may_read_where_it_is_let_but_never_change() {
        for origin in ["http://example.com", "http://localhost:9900", "null"] {
            let headers = [("host", "localhost"), ("origin", origin)];
            assert_eq!(refused("GET", "/stats", &headers, Transport::Tcp), None);
            assert_eq!(refused("POST", "/drain", &headers, Transport::Tcp), Some(403));
            assert_eq!(refused("POST", "/drain", &headers, Transport::Unix), Some(403));
        }
        assert_eq!(refused("POST", "/drain", &[("host", "localhost")], Transport::Tcp), None);
    }

    #[test]
    fn bodies_are_refused() {
        let request = Request::post("/drain").header("host", "localhost");
        let request = request.body(Full::new(Bytes::from_static(b"x"))).unwrap();
        assert_eq!(refusal(&request, Transport::Tcp).unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
