use super::*;
use http_body_util::{Empty, Full};
use hyper::body::Bytes;
use std::path::Path;

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

fn status(verdict: &Verdict) -> Option<u16> {
    match verdict {
        Verdict::Serve => None,
        Verdict::Refuse(reply) | Verdict::WrongToken(reply) => Some(reply.status().as_u16()),
    }
}

/// Without a token.
fn refused(method: &str, target: &str, headers: &[(&str, &str)], transport: Transport) -> Option<u16> {
    status(&judge(&request(method, target, headers), transport, None, false))
}

fn token() -> Token {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = &directory.path().join("token");
    std::fs::write(path, "0123456789abcdef").unwrap();
    Token::read(path).unwrap()
}

#[test]
fn only_names_of_this_host_are_served() {
    let refused = |host| refused("GET", "/stats", &[("host", host)], Transport::Tcp);
    for host in ["localhost", "LocalHost:9900", "127.0.0.1:9900", "127.9.9.9", "[::1]:80", "[::1]"] {
        assert_eq!(refused(host), None, "{host}");
    }
    for host in ["example.com", "localhost.example.com", "192.0.2.1", "127.0.0.1.example.com", "", "a b"] {
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
fn the_dashboard_may_read_other_pages_may_nothing_and_none_may_change() {
    let own = [("host", "localhost:9900"), ("origin", "http://localhost:9900")];
    assert_eq!(refused("GET", "/stats", &own, Transport::Tcp), None);
    assert_eq!(refused("POST", "/drain", &own, Transport::Tcp), Some(403));
    for origin in ["http://example.com", "http://localhost:9901", "http://localhost", "null"] {
        let headers = [("host", "localhost:9900"), ("origin", origin)];
        assert_eq!(refused("GET", "/events", &headers, Transport::Tcp), Some(403), "{origin}");
        assert_eq!(refused("POST", "/drain", &headers, Transport::Tcp), Some(403), "{origin}");
        assert_eq!(refused("POST", "/drain", &headers, Transport::Unix), Some(403), "{origin}");
    }
    assert_eq!(refused("POST", "/drain", &[("host", "localhost")], Transport::Tcp), None);
}

#[test]
fn what_a_browser_says_of_the_page_counts_and_links_may_be_followed() {
    let site = |method, site, mode, dest| {
        let headers = [
            ("host", "localhost"),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", mode),
            ("sec-fetch-dest", dest),
        ];
        refused(method, "/events", &headers, Transport::Tcp)
    };
    for ours in ["same-origin", "none"] {
        assert_eq!(site("GET", ours, "cors", "empty"), None, "{ours}");
    }
    for other in ["cross-site", "same-site"] {
        assert_eq!(site("GET", other, "no-cors", "image"), Some(403), "{other}");
        assert_eq!(site("GET", other, "navigate", "iframe"), Some(403), "{other}");
        assert_eq!(site("GET", other, "navigate", "document"), None, "{other}");
        assert_eq!(site("POST", other, "navigate", "document"), Some(403), "{other}");
    }
}

#[test]
fn with_a_token_the_name_does_not_matter_and_the_token_does() {
    let token = token();
    let verdict = |method: &str, headers: &[(&str, &str)], transport, is_open| {
        judge(&request(method, "/stats", headers), transport, Some(&token), is_open)
    };
    let (host, right) = (("host", "proxy.example.com"), ("authorization", "Bearer 0123456789abcdef"));
    let wrong = ("authorization", "Bearer 0123456789abcdeF");
    for transport in [Transport::Tcp, Transport::Unix] {
        assert_eq!(status(&verdict("GET", &[host, right], transport, false)), None);
        assert_eq!(status(&verdict("POST", &[host, right], transport, false)), None);
        let missing = verdict("GET", &[("host", "localhost")], transport, false);
        assert!(matches!(&missing, Verdict::Refuse(reply) if reply.status() == 401), "{missing:?}");
        let refused = verdict("POST", &[host, wrong], transport, false);
        let Verdict::WrongToken(reply) = refused else { panic!("{refused:?}") };
        assert_eq!(reply.status(), 401);
        assert_eq!(reply.headers()[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
        assert_eq!(status(&verdict("GET", &[host], transport, true)), None, "open to all");
    }
    let page = ("origin", "http://example.com");
    assert_eq!(status(&verdict("GET", &[host, right, page], Transport::Tcp, false)), Some(403));
    let own = ("origin", "http://proxy.example.com");
    assert_eq!(status(&verdict("GET", &[host, right, own], Transport::Tcp, false)), None);
    assert_eq!(status(&verdict("POST", &[host, right, own], Transport::Tcp, false)), Some(403));
}

#[test]
fn bodies_are_refused() {
    let request = Request::post("/drain").header("host", "localhost");
    let request = request.body(Full::new(Bytes::from_static(b"x"))).unwrap();
    assert_eq!(status(&judge(&request, Transport::Tcp, None, false)), Some(413));
}

#[test]
fn failures_are_told_at_once_and_then_together() {
    let (failures, start) = (Failures::default(), Instant::now());
    let count = |ms| failures.count(start + Duration::from_millis(ms));
    assert_eq!((count(0), count(1), count(9_999)), (Some(1), None, None));
    assert_eq!((count(10_000), count(10_001), count(60_000)), (Some(3), None, Some(2)));
}
