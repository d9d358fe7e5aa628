//! Requests that are forwarded, and how they are rewritten.

use super::*;

/// What every request to `host` gets appended.
fn forwarded(host: &str) -> String {
    format!("X-Forwarded-For: 192.0.2.17\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\n")
}

/// Asserts that `input` is forwarded as `lines` and the fields appended for host `a`.
fn assert_forwarded(section: &str, input: &str, lines: &str) -> RequestHead {
    let (head, out) = forward(input.as_bytes()).unwrap_or_else(|reason| panic!("{section}: {reason}"));
    assert_eq!(out, format!("{lines}{}\r\n", forwarded("a")), "{section}: {input:?}");
    assert_eq!(head.len, input.len(), "{section}: {input:?}");
    head
}

#[test]
fn fields_keep_order_case_and_value() {
    let cases = [
        ("RFC 9110 5.3", "hOsT: a\r\nb: 2\r\nA: 1\r\nb: 3\r\n", "hOsT: a\r\nb: 2\r\nA: 1\r\nb: 3\r\n"),
        ("RFC 9112 5.1, OWS is no part of a value", "Host:a\r\nX: \t v \t\r\n", "Host: a\r\nX: v\r\n"),
        ("RFC 9110 5.5, empty value", "Host: a\r\nX:\r\n", "Host: a\r\nX: \r\n"),
        ("RFC 9110 5.5, HTAB within", "Host: a\r\nX: b\tc\r\n", "Host: a\r\nX: b\tc\r\n"),
        (
            "RFC 9110 5.6.2, token bytes",
            "Host: a\r\n!#$%&'*+-.^_`|~9: x\r\n",
            "Host: a\r\n!#$%&'*+-.^_`|~9: x\r\n",
        ),
        ("RFC 9110 5.1, underscores are names", "Host: a\r\nMy_Name: x\r\n", "Host: a\r\nMy_Name: x\r\n"),
        ("RFC 9110 6.6.2, Trailer stays", "Host: a\r\nTrailer: X\r\n", "Host: a\r\nTrailer: X\r\n"),
    ];
    for (section, fields, expected) in cases {
        let input = format!("GET /p HTTP/1.1\r\n{fields}\r\n");
        assert_forwarded(section, &input, &format!("GET /p HTTP/1.1\r\n{expected}"));
    }
    let (_, out) = forward(b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9\r\n\r\n").unwrap();
    assert!(out.contains("X: caf\u{e9}\r\n"), "RFC 9110 5.5, obs-text: {out}");
}

#[test]
fn targets() {
    let cases = [
        ("RFC 9112 3.2.1", "GET /a/b?c=d&e HTTP/1.1", "GET /a/b?c=d&e HTTP/1.1", "a"),
        (
            "RFC 9112 3.2.1, unusual bytes",
            "GET ///%00|{}\"<>^`\\?? HTTP/1.1",
            "GET ///%00|{}\"<>^`\\?? HTTP/1.1",
            "a",
        ),
        ("RFC 9112 3.2.4", "OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1", "a"),
        ("RFC 9112 3.2.2", "GET http://b.example:80/x?y HTTP/1.1", "GET /x?y HTTP/1.1", "b.example:80"),
        ("RFC 9110 4.2.2, scheme in any case", "GET HTTPS://b/x HTTP/1.1", "GET /x HTTP/1.1", "b"),
        ("RFC 9112 3.2.2, empty path", "GET http://b HTTP/1.1", "GET / HTTP/1.1", "b"),
        ("RFC 9112 3.2.1, query without path", "GET http://b?x=/ HTTP/1.1", "GET /?x=/ HTTP/1.1", "b"),
        ("RFC 9112 3.2.4, no path", "OPTIONS http://b HTTP/1.1", "OPTIONS * HTTP/1.1", "b"),
        ("RFC 9112 3.2.4, a path", "OPTIONS http://b/ HTTP/1.1", "OPTIONS / HTTP/1.1", "b"),
        ("RFC 3986 3.2.2", "GET http://[2001:db8::1]:8/ HTTP/1.1", "GET / HTTP/1.1", "[2001:db8::1]:8"),
        ("RFC 9110 9.1, methods of others", "REPORT / HTTP/1.1", "REPORT / HTTP/1.1", "a"),
        ("RFC 9110 9.1, methods have a case", "get / HTTP/1.1", "get / HTTP/1.1", "a"),
        ("RFC 9112 2.3, we speak 1.1", "GET / HTTP/1.0", "GET / HTTP/1.1", "a"),
    ];
    for (section, line, expected, host) in cases {
        let (_, out) = forward(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).expect(section);
        assert_eq!(out, format!("{expected}\r\nHost: {host}\r\n{}\r\n", forwarded(host)), "{section}");
    }
}

#[test]
fn hosts() {
    let accepted = [
        "a",
        "a.b-c_d~e",
        "a:80",
        "a:",
        "a:65535",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:443",
        "0.0.0.0=5000",
        "%41b",
        "a;b",
        "!$&'()*+",
    ];
    for host in accepted {
        let (_, out) = forward(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect(host);
        assert_eq!(out, format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", forwarded(host)));
    }
    // RFC 9112 section 3.2: an empty Host is what a URI without authority gives.
    let (_, out) = forward(b"GET / HTTP/1.1\r\nHost: \r\n\r\n").unwrap();
    assert!(out.starts_with("GET / HTTP/1.1\r\nHost: \r\n") && !out.contains("X-Forwarded-Host"), "{out}");
    // RFC 9112 section 3.2 asks only HTTP/1.1 for a Host; the endpoint, which gets 1.1, must have one.
    let (_, out) = forward(b"GET / HTTP/1.0\r\nA: 1\r\n\r\n").unwrap();
    assert_eq!(out, format!("GET / HTTP/1.1\r\nHost: app\r\nA: 1\r\n{}\r\n", forwarded("app")));
    let (_, out) = forward(b"GET http://b/ HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(out, format!("GET / HTTP/1.1\r\nHost: b\r\n{}\r\n", forwarded("b")));
}

#[test]
fn framing() {
    let largest = "Content-Length: 9223372036854775807";
    let cases = [
        ("RFC 9112 6.3, neither field", "POST", "", "", RequestBody::None),
        ("RFC 9112 6.2", "POST", "content-length: 5\r\n", "content-length: 5\r\n", RequestBody::Length(5)),
        (
            "RFC 9110 8.6, GET may",
            "GET",
            "Content-Length: 5\r\n",
            "Content-Length: 5\r\n",
            RequestBody::Length(5),
        ),
        (
            "RFC 9110 8.6, canonical",
            "PUT",
            "Content-Length: 0010\r\n",
            "Content-Length: 10\r\n",
            RequestBody::Length(10),
        ),
        ("RFC 9110 8.6, zero", "GET", "Content-Length: 000\r\n", "Content-Length: 0\r\n", RequestBody::None),
        (
            "RFC 9112 5.1, OWS",
            "PUT",
            "Content-Length:\t7 \r\n",
            "Content-Length: 7\r\n",
            RequestBody::Length(7),
        ),
        (
            "RFC 9112 6.1",
            "PUT",
            "transfer-encoding: CHUNKED\r\n",
            "transfer-encoding: chunked\r\n",
            RequestBody::Chunked,
        ),
        (
            "RFC 9112 6.1, OWS",
            "PUT",
            "Transfer-Encoding: \tchunked\t\r\n",
            "Transfer-Encoding: chunked\r\n",
            RequestBody::Chunked,
        ),
        (
            "the largest",
            "PUT",
            &format!("{largest}\r\n"),
            &format!("{largest}\r\n"),
            RequestBody::Length(i64::MAX as u64),
        ),
    ];
    for (section, method, fields, expected, body) in cases {
        let input = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let head =
            assert_forwarded(section, &input, &format!("{method} / HTTP/1.1\r\nHost: a\r\n{expected}"));
        assert_eq!(head.body, body, "{section}");
    }
}

#[test]
fn fields_for_one_hop_are_removed() {
    let removed = [
        ("RFC 9110 7.6.1", "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n"),
        ("RFC 9110 7.6.1, nominated", "Connection: x-one , X-TWO\r\nX-One: 1\r\nX-Two: 2\r\n"),
        ("RFC 9110 7.6.1, nominated later", "X-One: 1\r\nConnection: close\r\nConnection: ,, x-one,\r\n"),
        ("RFC 9110 7.6.1", "Proxy-Connection: keep-alive\r\n"),
        ("RFC 9110 10.1.4", "TE: trailers\r\nConnection: TE\r\n"),
        ("RFC 9110 11.7.2", "Proxy-Authorization: Basic eA==\r\n"),
        ("RFC 7540 3.2.1", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        ("RFC 9110 7.8, not asked for in Connection", "Upgrade: websocket\r\n"),
        ("RFC 9110 10.1.1, no content", "Expect: 100-continue\r\n"),
        ("ours to say", "X-Forwarded-Proto: https\r\nx-forwarded-host: evil\r\n"),
        ("ours to say, as CGI reads it", "X_Forwarded_For: 1.2.3.4\r\nX_FORWARDED-PROTO: https\r\n"),
    ];
    for (section, fields) in removed {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_forwarded(section, &input, "GET / HTTP/1.1\r\nHost: a\r\n");
    }
}

/// RFC 9110 section 7.6.1: fields for all recipients are not to be nominated, and nominating them does
/// not take them away.
#[test]
fn fields_for_all_recipients_cannot_be_nominated_away() {
    let fields = "Host: a\r\nAuthorization: x\r\nCookie: y\r\nCache-Control: no-cache\r\nX-Real-IP: 1.2.3.4\r\n\
                  Content-Type: z\r\nTransfer-Encoding: chunked\r\n";
    let nominated = "Connection: host, authorization, COOKIE, cache-control, x-real-ip\r\n\
                     Connection: content-type, transfer-encoding, content-length, x-forwarded-for\r\n";
    let input = format!("PUT / HTTP/1.1\r\n{fields}{nominated}\r\n");
    assert_forwarded("RFC 9110 7.6.1", &input, &format!("PUT / HTTP/1.1\r\n{fields}"));
}

#[test]
fn client_addresses_are_joined_in_one_field() {
    let input = b"GET / HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1\r\nHost: a\r\nx-forwarded-for:\r\n\
                  x-forwarded-for: 2.2.2.2, 3.3.3.3\r\nConnection: x-forwarded-for\r\n\r\n";
    let (_, out) = forward(input).unwrap();
    let expected = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.17\r\n\
                    X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n";
    assert_eq!(out, expected);
}

#[test]
fn persistence() {
    let cases = [
        ("RFC 9112 9.3, 1.1", "HTTP/1.1", "", true),
        ("RFC 9112 9.3, close", "HTTP/1.1", "Connection: Close\r\n", false),
        ("RFC 9112 9.3, close among others", "HTTP/1.1", "Connection: x\r\nConnection: y, close\r\n", false),
        ("RFC 9112 9.3, close wins", "HTTP/1.1", "Connection: close, keep-alive\r\n", false),
        ("RFC 9112 9.3, 1.0", "HTTP/1.0", "", false),
        ("RFC 9112 9.3, 1.0 that asks", "HTTP/1.0", "Connection: Keep-Alive\r\n", true),
        ("RFC 9112 C.2.2", "HTTP/1.0", "Proxy-Connection: keep-alive\r\n", false),
    ];
    for (section, version, fields, keep_alive) in cases {
        let input = format!("GET / {version}\r\nHost: a\r\n{fields}\r\n");
        let head = assert_forwarded(section, &input, "GET / HTTP/1.1\r\nHost: a\r\n");
        assert_eq!(head.keep_alive, keep_alive, "{section}");
    }
}

#[test]
fn upgrades() {
    let forwarded_as_asked = ["websocket", "WebSocket, foo/2", "a/1, b"];
    for protocol in forwarded_as_asked {
        let fields = format!("Host: a\r\nUpgrade: {protocol}\r\n");
        let (head, out) = forward(
            format!("GET / HTTP/1.1\r\n{fields}Connection: keep-alive, Upgrade\r\nContent-Length: 0\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
        assert!(head.upgrade, "{protocol}");
        let expected = format!(
            "GET / HTTP/1.1\r\n{fields}Content-Length: 0\r\n{}Connection: upgrade\r\n\r\n",
            forwarded("a")
        );
        assert_eq!(out, expected, "RFC 9110 7.8");
    }
    let dropped = [
        (
            "RFC 7540 3.2, would carry requests past us",
            "GET / HTTP/1.1",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
        ),
        ("RFC 7540 3.2, hidden", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C-16\r\n"),
        ("RFC 9110 7.8, HTTP", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n"),
        ("RFC 2817", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: TLS/1.2\r\n"),
        ("RFC 9110 7.8, malformed", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: web socket\r\n"),
        ("RFC 9110 7.8, malformed", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: a/b/c\r\n"),
        ("RFC 9110 7.8, empty", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: ,\r\n"),
        ("two fields", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: websocket\r\n"),
        ("RFC 9110 7.8, from HTTP/1.0", "GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ("RFC 9110 7.8, not nominated", "GET / HTTP/1.1", "Upgrade: websocket\r\n"),
        ("nothing to upgrade to", "GET / HTTP/1.1", "Connection: upgrade\r\n"),
    ];
    for (section, line, fields) in dropped {
        let head = assert_forwarded(
            section,
            &format!("{line}\r\nHost: a\r\n{fields}\r\n"),
            "GET / HTTP/1.1\r\nHost: a\r\n",
        );
        assert!(!head.upgrade, "{section}");
    }
    let kept = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n";
    let with_body = format!("{kept}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let head = assert_forwarded("a body", &with_body, kept);
    assert!(!head.upgrade);
}

#[test]
fn expectations() {
    let cases = [
        ("RFC 9110 10.1.1", "HTTP/1.1", "Content-Length: 3\r\n", true),
        ("RFC 9110 10.1.1, chunked", "HTTP/1.1", "Transfer-Encoding: chunked\r\n", true),
        ("RFC 9110 10.1.1, nothing to wait with", "HTTP/1.1", "Content-Length: 0\r\n", false),
        ("RFC 9110 10.1.1, ignored from 1.0", "HTTP/1.0", "Content-Length: 3\r\n", false),
    ];
    for (section, version, fields, is_forwarded) in cases {
        let input = format!("PUT / {version}\r\nHost: a\r\n{fields}Expect: 100-Continue\r\n\r\n");
        let kept = if is_forwarded { "Expect: 100-Continue\r\n" } else { "" };
        let head = assert_forwarded(section, &input, &format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}{kept}"));
        assert_eq!(head.expect_continue, is_forwarded, "{section}");
    }
}

#[test]
fn hops_are_counted() {
    let cases = [("TRACE", "2", "1"), ("OPTIONS", "001", "0"), ("OPTIONS", "x", "x"), ("GET", "0", "0")];
    for (method, hops, left) in cases {
        let input = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n");
        let lines = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\n");
        assert_forwarded("RFC 9110 7.6.2", &input, &lines);
    }
}

#[test]
fn empty_lines_in_front_are_skipped() {
    let (head, out) = forward(b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap();
    assert_eq!(head.len, 8 + 27, "RFC 9112 2.2");
    assert!(out.starts_with("GET / HTTP/1.1\r\nHost: a\r\n"));
}

#[test]
fn methods() {
    use Method::*;
    let known = [
        ("GET", Get, true),
        ("HEAD", Head, true),
        ("POST", Post, false),
        ("PUT", Put, true),
        ("DELETE", Delete, true),
        ("OPTIONS", Options, true),
        ("TRACE", Trace, true),
        ("PATCH", Other, false),
        ("get", Other, false),
    ];
    for (name, method, is_idempotent) in known {
        let (head, _) = forward(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(head.method, method);
        assert_eq!(method.is_idempotent(), is_idempotent, "RFC 9110 9.2.2: {name}");
    }
}

#[test]
fn the_hash_is_of_the_named_header() {
    let hash = |fields: &str| {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let context = RequestContext { hash_header: Some("x-user"), ..CLIENT };
        let head = RequestParser::default().parse(input.as_bytes(), &LIMITS, &context, &mut Vec::new());
        head.unwrap().unwrap().hash
    };
    // Endpoints must not change with a release: the value itself is part of the contract.
    assert_eq!(hash("X-User: alice\r\nX-User: bob\r\n"), Some(0x3507_d047_a67c_08f4));
    assert_ne!(hash("x-user: bob\r\n"), hash("x-user: alice\r\n"));
    assert_eq!(hash("X-Other: alice\r\n"), None);
    assert_eq!(forward(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().0.hash, None);
}

/// The parser starts afresh behind each head: pipelined requests come out one by one.
#[test]
fn a_parser_serves_one_request_after_the_other() {
    let input = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut parser, mut out) = (RequestParser::default(), Vec::new());
    let first = parser.parse(input, &LIMITS, &CLIENT, &mut out).unwrap().unwrap();
    let second = parser.parse(&input[first.len..], &LIMITS, &CLIENT, &mut out).unwrap().unwrap();
    assert_eq!(first.len + second.len, input.len());
    assert!(latin1(&out).contains("GET /2 "), "appended");
}
