//! Responses: what is refused, how the body is framed, and how the head is rewritten.

use super::*;
use std::time::Duration;

const TO_1_0: ResponseContext = ResponseContext { client: Version::Http10, ..ANSWER };
const TO_HEAD: ResponseContext = ResponseContext { method: Method::Head, ..ANSWER };
const TO_UPGRADE: ResponseContext = ResponseContext { upgrade: true, ..ANSWER };

#[test]
fn malformed_responses_are_refused() {
    let heads: [(&str, &[u8]); 24] = [
        ("RFC 9112 4, no name", b"HTP/1.1 200 OK\r\n\r\n"),
        ("RFC 9112 4, the name has a case", b"http/1.1 200 OK\r\n\r\n"),
        ("RFC 9112 2.3", b"HTTP/1.2 200 OK\r\n\r\n"),
        ("RFC 9112 2.3", b"HTTP/2 200 OK\r\n\r\n"),
        ("RFC 9112 2.3", b"HTTP/1.10 200 OK\r\n\r\n"),
        ("RFC 9112 4, one SP", b"HTTP/1.1  200 OK\r\n\r\n"),
        ("RFC 9112 4, SP", b"HTTP/1.1\t200 OK\r\n\r\n"),
        ("RFC 9112 4, three digits", b"HTTP/1.1 20 OK\r\n\r\n"),
        ("RFC 9112 4, three digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
        ("RFC 9112 4, three digits", b"HTTP/1.1 +20 OK\r\n\r\n"),
        ("RFC 9110 15, from 100", b"HTTP/1.1 099 OK\r\n\r\n"),
        ("RFC 9110 15, from 100", b"HTTP/1.1 000 OK\r\n\r\n"),
        ("RFC 9112 4, no code", b"HTTP/1.1 OK\r\n\r\n"),
        ("RFC 9112 4, CTL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n"),
        ("RFC 9112 2.2, bare CR", b"HTTP/1.1 200 OK\rX: y\r\n\r\n"),
        ("RFC 9112 2.2, bare LF", b"HTTP/1.1 200 OK\nX: y\n\n"),
        ("RFC 9112 2.2, empty line in front", b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
        ("RFC 9112 2.2, blank in front", b" HTTP/1.1 200 OK\r\n\r\n"),
        ("RFC 9112 5.2, obs-fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
        ("RFC 9112 5.1, blank before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"),
        ("RFC 9110 5.5, NUL", b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n"),
        ("RFC 9110 5.5, bare CR", b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n"),
        ("RFC 9112 5, no colon", b"HTTP/1.1 200 OK\r\nXy\r\n\r\n"),
        ("too many options", b"HTTP/1.1 200 OK\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n"),
    ];
    for (section, input) in heads {
        let result = answer(input, &ANSWER);
        assert_eq!(result, Err(RejectReason::BadResponse), "{section}: {}", input.escape_ascii());
    }
    let framing = [
        ("RFC 9112 6.3, both", "HTTP/1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("RFC 9112 6.3, twice", "HTTP/1.1", "Content-Length: 5\r\nContent-Length: 5"),
        ("RFC 9112 6.3, a list", "HTTP/1.1", "Content-Length: 5, 5"),
        ("RFC 9112 6.3, malformed", "HTTP/1.1", "Content-Length: 5x"),
        ("RFC 9112 6.3, malformed", "HTTP/1.1", "Content-Length:"),
        ("RFC 9112 6.3, too large", "HTTP/1.1", "Content-Length: 9223372036854775808"),
        ("RFC 9112 6.1, twice", "HTTP/1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("RFC 9112 6.1, another coding", "HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
        ("RFC 9112 6.1, another coding", "HTTP/1.1", "Transfer-Encoding: chunked, gzip"),
        ("RFC 9112 6.1, in 1.0", "HTTP/1.0", "Transfer-Encoding: chunked"),
    ];
    for (section, version, fields) in framing {
        for (status, context) in [(200, ANSWER), (204, ANSWER), (304, ANSWER), (200, TO_HEAD)] {
            let input = format!("{version} {status} OK\r\n{fields}\r\n\r\n");
            assert_eq!(
                answer(input.as_bytes(), &context),
                Err(RejectReason::BadResponse),
                "{section}: {input}"
            );
        }
    }
}

#[test]
fn status_lines() {
    let cases: [(&str, &[u8], u16, &str); 6] = [
        ("RFC 9112 4", b"HTTP/1.1 404 Not Found\r\n", 404, "HTTP/1.1 404 Not Found\r\n"),
        ("RFC 9112 4, no reason", b"HTTP/1.1 301\r\n", 301, "HTTP/1.1 301 \r\n"),
        ("RFC 9112 4, an empty reason", b"HTTP/1.1 200 \r\n", 200, "HTTP/1.1 200 \r\n"),
        ("RFC 9112 4, obs-text", b"HTTP/1.1 500 Ori\xebntatie\r\n", 500, "HTTP/1.1 500 Ori\u{eb}ntatie\r\n"),
        ("RFC 9112 2.3, we speak 1.1", b"HTTP/1.0 200 OK\r\n", 200, "HTTP/1.1 200 OK\r\n"),
        ("RFC 9110 15, met in practice", b"HTTP/1.1 999 No\r\n", 999, "HTTP/1.1 999 No\r\n"),
    ];
    for (section, line, status, expected) in cases {
        let input = [line, b"Content-Length: 0\r\n\r\n"].concat();
        let (head, out) = answer(&input, &ANSWER).expect(section);
        assert_eq!(head.status, status, "{section}");
        assert_eq!(out, format!("{expected}Content-Length: 0\r\n\r\n"), "{section}");
    }
}

/// The rest of a response head behind the version, and the body, its delivery, whether the endpoint's
/// connection goes on, whether the client's does, and the fields written.
type BodyCase<'a> = (&'a str, (ResponseBody, Delivery, bool, bool), &'a str);

fn assert_bodies(context: &ResponseContext, cases: &[BodyCase<'_>]) {
    for (rest, (body, delivery, keep_alive, persist), fields) in cases {
        let (head, out) = answer(format!("HTTP/1.1 {rest}\r\n\r\n").as_bytes(), context).expect(rest);
        let is = (head.body, head.delivery, head.keep_alive, head.persist);
        assert_eq!(is, (*body, *delivery, *keep_alive, *persist), "{rest}");
        let line = rest.split("\r\n").next().unwrap();
        assert_eq!(out, format!("HTTP/1.1 {line}\r\n{fields}\r\n"), "{rest}");
    }
}

/// RFC 9112 section 6.3, numbers 4 to 8.
#[test]
fn bodies() {
    use {Delivery::*, ResponseBody::*};
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_bodies(
        &ANSWER,
        &[
            ("200 OK\r\nContent-Length: 005", (Length(5), AsIs, true, true), "Content-Length: 5\r\n"),
            ("200 OK\r\nContent-Length: 0", (None, AsIs, true, true), "Content-Length: 0\r\n"),
            ("200 OK\r\nTransfer-Encoding: Chunked", (Chunked, AsIs, true, true), chunked),
            (
                "200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked",
                (Chunked, AsIs, true, true),
                "Trailer: X\r\nTransfer-Encoding: chunked\r\n",
            ),
            ("200 OK", (UntilClose, Chunk, false, true), chunked),
            ("200 OK\r\nConnection: keep-alive", (UntilClose, Chunk, false, true), chunked),
            ("200 OK\r\nTrailer: X", (UntilClose, Chunk, false, true), chunked),
            ("600 X\r\nContent-Length: 1", (Length(1), AsIs, true, true), "Content-Length: 1\r\n"),
        ],
    );
}

/// RFC 9112 section 6.3, number 1. The fields of HEAD and 304 tell of another response (RFC 9110 section
/// 8.6); those of 204 must not be there, and one that announces content condemns the connection.
#[test]
fn responses_without_content() {
    use {Delivery::AsIs, ResponseBody::None};
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    assert_bodies(
        &ANSWER,
        &[
            ("304 Not Modified\r\nContent-Length: 5", (None, AsIs, true, true), length),
            ("304 Not Modified\r\nTransfer-Encoding: chunked", (None, AsIs, true, true), chunked),
            ("204 No Content", (None, AsIs, true, true), ""),
            ("204 No Content\r\nContent-Length: 0", (None, AsIs, true, true), ""),
            ("204 No Content\r\nContent-Length: 5", (None, AsIs, false, true), ""),
            ("204 No Content\r\nTransfer-Encoding: chunked", (None, AsIs, false, true), ""),
            ("205 Reset Content\r\nContent-Length: 0", (None, AsIs, true, true), "Content-Length: 0\r\n"),
        ],
    );
    let to_head = [
        ("200 OK\r\nContent-Length: 5", (None, AsIs, true, true), length),
        ("200 OK\r\nTransfer-Encoding: chunked", (None, AsIs, true, true), chunked),
        ("200 OK", (None, AsIs, true, true), ""),
    ];
    assert_bodies(&TO_HEAD, &to_head);
}

/// RFC 9112 section 6.1: an HTTP/1.0 client knows no chunks, and gets none.
#[test]
fn bodies_for_http_1_0() {
    use {Delivery::*, ResponseBody::*};
    let (keep_alive, close) = ("Connection: keep-alive\r\n", "Connection: close\r\n");
    let length = "Content-Length: 5\r\nConnection: keep-alive\r\n";
    assert_bodies(
        &TO_1_0,
        &[
            ("200 OK\r\nContent-Length: 5", (Length(5), AsIs, true, true), length),
            ("200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X", (Chunked, Unchunk, true, false), close),
            ("200 OK", (UntilClose, AsIs, false, false), close),
            ("204 No Content", (None, AsIs, true, true), keep_alive),
        ],
    );
    let to_head = ResponseContext { method: Method::Head, ..TO_1_0 };
    let chunked = ("200 OK\r\nTransfer-Encoding: chunked", (None, AsIs, true, true), keep_alive);
    assert_bodies(&to_head, &[chunked]);
}

#[test]
fn the_client_is_told_when_its_connection_ends() {
    for client in [Version::Http11, Version::Http10] {
        let context = ResponseContext { client, persist: false, ..ANSWER };
        let (head, out) = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", &context).unwrap();
        assert!(!head.persist && head.keep_alive);
        assert_eq!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n", "RFC 9112 9.6");
    }
}

#[test]
fn the_endpoint_says_whether_its_connection_ends() {
    let cases = [
        ("RFC 9112 9.3, 1.1", "HTTP/1.1", "", true),
        ("RFC 9112 9.3, close", "HTTP/1.1", "Connection: keep-alive, Close\r\n", false),
        ("RFC 9112 9.3, 1.0", "HTTP/1.0", "", false),
        ("RFC 9112 9.3, 1.0 that says so", "HTTP/1.0", "Connection: keep-alive\r\n", true),
    ];
    for (section, version, fields, keep_alive) in cases {
        let input = format!("{version} 200 OK\r\nContent-Length: 1\r\n{fields}\r\n");
        let (head, out) = answer(input.as_bytes(), &ANSWER).unwrap();
        assert_eq!(head.keep_alive, keep_alive, "{section}");
        assert_eq!(
            out, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
            "{section}: not the client's business"
        );
    }
}

#[test]
fn idle_hints() {
    let cases = [
        ("timeout=5", Some(5)),
        ("max=100, Timeout=75", Some(75)),
        ("timeout=0", Some(0)),
        ("timeout=5s", None),
        ("timeout=", None),
        ("timeout=-1", None),
        ("max=5", None),
        ("timeout=18446744073709551615", Some(u64::from(u32::MAX))),
        ("timeout=18446744073709551616", None),
    ];
    for (value, seconds) in cases {
        let input = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nKeep-Alive: {value}\r\n\r\n");
        let (head, out) = answer(input.as_bytes(), &ANSWER).unwrap();
        assert_eq!(head.keep_alive_timeout, seconds.map(Duration::from_secs), "{value}");
        assert!(!out.contains("Keep-Alive"), "RFC 9110 7.6.1");
    }
}

#[test]
fn fields_for_one_hop_are_removed() {
    let input =
        b"HTTP/1.1 200 OK\r\nServer: s\r\nConnection: x-one, set-cookie, upgrade\r\nX-One: 1\r\nTE: x\r\n\
        Upgrade: h2, h2c\r\nProxy-Connection: close\r\nProxy-Authenticate: Basic\r\nContent_Length: 4\r\n\
        Set-Cookie: a\r\nset-cookie: b\r\nHost: h\r\nExpect: e\r\nX-Forwarded-For: f\r\nContent-Length: 1\r\n\
        Via: \xfc\r\n\r\n";
    let (_, out) = answer(input, &TO_UPGRADE).unwrap();
    let expected = "HTTP/1.1 200 OK\r\nServer: s\r\nSet-Cookie: a\r\nset-cookie: b\r\nHost: h\r\nExpect: e\r\n\
        X-Forwarded-For: f\r\nContent-Length: 1\r\nVia: \u{fc}\r\n\r\n";
    assert_eq!(out, expected);
}

#[test]
fn switching_protocols() {
    let switching =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\
        Content-Length: 4\r\n\r\n";
    let (head, out) = answer(switching, &TO_UPGRADE).unwrap();
    let expected =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: y\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(out, expected, "RFC 9110 7.8");
    assert_eq!((head.body, head.delivery, head.keep_alive), (ResponseBody::None, Delivery::AsIs, false));

    let refused = Err(RejectReason::BadResponse);
    assert_eq!(answer(switching, &ANSWER), refused, "RFC 9110 15.2.2: nobody asked");
    assert_eq!(answer(b"HTTP/1.1 101 X\r\n\r\n", &TO_UPGRADE), refused, "RFC 9110 15.2.2: to what?");
    let twice = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(answer(twice, &TO_UPGRADE), refused, "RFC 9110 7.8: to which?");
    let h2c = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    assert_eq!(answer(h2c, &TO_UPGRADE), refused, "RFC 9110 7.8: not what was forwarded");
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let input =
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    for (client, written) in
        [(Version::Http11, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), (Version::Http10, "")]
    {
        // RFC 9110 section 15.2: an HTTP/1.0 client gets none. What they say of persistence is nothing.
        let context = ResponseContext { client, persist: false, ..ANSWER };
        let (mut parser, mut out) = (ResponseParser::default(), Vec::new());
        let first = parser.parse(input, &LIMITS, &context, &mut out).unwrap().unwrap();
        assert_eq!((first.status, first.body, first.keep_alive), (103, ResponseBody::None, true));
        assert_eq!(latin1(&out), written);
        let second = parser.parse(&input[first.len..], &LIMITS, &context, &mut out).unwrap().unwrap();
        assert_eq!(second.status, 100);
        let last =
            parser.parse(&input[first.len + second.len..], &LIMITS, &context, &mut out).unwrap().unwrap();
        assert_eq!((last.status, last.body, last.keep_alive), (200, ResponseBody::Length(1), true));
    }
}

/// An interim response has no content (RFC 9110 section 15.2); an endpoint that frames one all the same
/// is not trusted with another request.
#[test]
fn a_framed_interim_response_condemns_the_connection() {
    for fields in ["Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n"] {
        let input = format!("HTTP/1.1 100 Continue\r\n{fields}\r\nHTTP/1.1 204 OK\r\n\r\n");
        let (mut parser, mut out) = (ResponseParser::default(), Vec::new());
        let first = parser.parse(input.as_bytes(), &LIMITS, &ANSWER, &mut out).unwrap().unwrap();
        assert_eq!(latin1(&out), "HTTP/1.1 100 Continue\r\n\r\n");
        let last = parser.parse(&input.as_bytes()[first.len..], &LIMITS, &ANSWER, &mut out).unwrap().unwrap();
        assert!(!first.keep_alive && !last.keep_alive, "{fields}");
        assert!(last.persist);
    }
}
