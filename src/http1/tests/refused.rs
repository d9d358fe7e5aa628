//! Requests that are refused, and why: what two recipients could read in two ways.

use super::*;
use RejectReason::*;

/// Asserts the reason for which each input is refused, that nothing is written for it, and that it is
/// refused when it comes byte by byte, too.
fn assert_refused(cases: &[(&str, &[u8], RejectReason)]) {
    for (section, input, reason) in cases {
        let mut out = b"before".to_vec();
        let result = RequestParser::default().parse(input, &LIMITS, &CLIENT, &mut out);
        assert_eq!(result, Err(*reason), "{section}: {}", input.escape_ascii());
        assert_eq!(out, b"before", "{section}: {}", input.escape_ascii());
        let mut parser = RequestParser::default();
        let refusal =
            (0..=input.len()).find_map(|end| parser.parse(&input[..end], &LIMITS, &CLIENT, &mut out).err());
        assert!(refusal.is_some(), "{section}, byte by byte: {}", input.escape_ascii());
    }
}

/// Asserts that fields are refused behind a good line and a good Host.
fn assert_fields_refused(cases: &[(&str, &[u8], RejectReason)]) {
    for (section, fields, reason) in cases {
        let input = [b"POST / HTTP/1.1\r\nHost: a\r\n", *fields, b"\r\n"].concat();
        assert_refused(&[(section, &input, *reason)]);
    }
}

#[test]
fn request_lines() {
    assert_refused(&[
        ("HTTP/0.9", b"GET /\r\n", BadRequestLine),
        ("HTTP/0.9", b"GET / \r\n\r\n", BadRequestLine),
        ("RFC 9112 3, one SP", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 3, one SP", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 3, SP alone", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 3, SP alone", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 3, nothing behind", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 3, four words", b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.2, no blank in front", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.2, bare LF", b"GET / HTTP/1.1\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.2, bare CR", b"GET / HTTP/1.1\rHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.2, bare CR", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.2, bare LF in front", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.2, bare CR in front", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("too many empty lines", b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9110 9.1, a token", b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9110 9.1, a token", b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("a NUL", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.3, the name has a case", b"GET / http/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.3, one digit", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9112 2.3, one digit", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("not HTTP", b"GET / ICE/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("RFC 9110 2.5", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", BadVersion),
        ("RFC 9110 2.5", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", BadVersion),
        ("RFC 9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BadVersion),
        ("RFC 9110 9.3.6", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", MethodRefused),
        ("RFC 9110 7.6.2", b"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", MethodRefused),
        ("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BadRequestLine),
        ("a PROXY header, version 2", b"\r\n\r\n\0\r\nQUIT\n", BadRequestLine),
        ("an SSH client", b"SSH-2.0-OpenSSH_9.9\r\n", BadRequestLine),
    ]);
}

#[test]
fn targets() {
    let refused: [(&str, &[u8]); 15] = [
        ("RFC 9112 3.2, no form", b"foo"),
        ("RFC 9112 3.2.3, authority-form", b"a:443"),
        ("RFC 9112 3.2.4, for OPTIONS alone", b"*"),
        ("RFC 9112 3.2, no fragment", b"/a#b"),
        ("RFC 3986 2, ASCII", "/é".as_bytes()),
        ("RFC 3986 2, ASCII", b"/\xff"),
        ("DEL", b"/\x7f"),
        ("a CTL", b"/\x01"),
        ("RFC 9110 4.2.4, userinfo", b"http://user@b/"),
        ("RFC 9110 4.2.4, userinfo", b"http://user:pass@b/"),
        ("RFC 9110 4.2.1, no host", b"http:///x"),
        ("RFC 9110 4.2.1, no host", b"http://:80/x"),
        ("RFC 3986 3.2.2", b"http://a\\b/"),
        ("another scheme", b"ftp://b/"),
        ("half a scheme", b"http:/b"),
    ];
    for (section, target) in refused {
        let input = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_refused(&[(section, &input, BadRequestLine)]);
    }
}

#[test]
fn hosts() {
    let malformed = [
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a@b",
        "a\\b",
        "a#",
        "<a>",
        "\"a\"",
        "a\tb",
        "é",
        "{a}",
        "a|b",
        "a^",
        "a`",
        "%4",
        "a%zz",
        "a:b",
        "a:80:80",
        "a:-1",
        "a:65536",
        ":80",
        "[::1",
        "[::1]x",
        "[::1]:x",
        "[a]",
        "[]",
        "[fe80::1%25e]",
        "http://a",
        "::1",
        "a:99999999999999999999",
    ];
    for host in malformed {
        let input = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_refused(&[("RFC 9110 7.2", input.as_bytes(), BadHost)]);
    }
    assert_refused(&[
        ("RFC 9112 3.2, none", b"GET / HTTP/1.1\r\nX: y\r\n\r\n", BadHost),
        ("RFC 9112 3.2, none", b"GET http://a/ HTTP/1.1\r\n\r\n", BadHost),
        ("RFC 9112 3.2, two", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BadHost),
        ("RFC 9112 3.2, two, one empty", b"GET / HTTP/1.1\r\nHost:\r\nhost: a\r\n\r\n", BadHost),
        ("RFC 9112 3.2, two in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BadHost),
        ("RFC 9112 3.2.2, bad even if replaced", b"GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n", BadHost),
    ]);
}

#[test]
fn field_lines() {
    assert_fields_refused(&[
        ("RFC 9112 5.1, blank before the colon", b"X : y\r\n", BadHeader),
        ("RFC 9112 5.1, blank before the colon", b"Content-Length : 3\r\n", BadHeader),
        ("RFC 9112 5.1, blank before the colon", b"Transfer-Encoding\t: chunked\r\n", BadHeader),
        ("RFC 9112 5.2, obs-fold", b"X: y\r\n z\r\n", BadHeader),
        ("RFC 9112 5.2, obs-fold", b"Transfer-Encoding:\r\n\tchunked\r\n", BadHeader),
        ("RFC 9112 5.2, obs-fold of nothing", b"X: y\r\n \r\n", BadHeader),
        ("RFC 9112 5, a name", b": y\r\n", BadHeader),
        ("RFC 9112 5, a colon", b"Xy\r\n", BadHeader),
        ("RFC 9110 5.1, a token", b"X(y): z\r\n", BadHeader),
        ("RFC 9110 5.1, a token", b"\xefX: z\r\n", BadHeader),
        ("RFC 9110 5.1, a token", b"X\0: z\r\n", BadHeader),
        ("RFC 9110 5.5, NUL", b"X: a\0b\r\n", BadHeader),
        ("RFC 9110 5.5, CTL", b"X: a\x01b\r\n", BadHeader),
        ("RFC 9110 5.5, VT", b"Transfer-Encoding: \x0bchunked\r\n", BadHeader),
        ("RFC 9110 5.5, DEL", b"X: a\x7f\r\n", BadHeader),
        ("RFC 9110 5.5, bare CR", b"X: a\rTransfer-Encoding: chunked\r\n", BadHeader),
        ("RFC 9110 5.5, CR CR LF", b"X: a\r\r\n", BadHeader),
        ("RFC 9112 2.2, bare LF", b"X: a\nY: b\r\n", BadHeader),
        ("RFC 9112 2.2, bare LF ends the head", b"X: a\n\nGET / HTTP/1.1\r\nHost: a\r\n", BadHeader),
        ("RFC 9112 2.2, bare LF ends the head", b"X: a\r\n\n", BadHeader),
        ("a framing field as CGI reads it", b"Content_Length: 3\r\n", BadHeader),
        ("a framing field as CGI reads it", b"transfer_encoding: chunked\r\n", BadHeader),
        ("RFC 9110 10.1.1, unknown", b"Expect: x\r\nContent-Length: 3\r\n", BadHeader),
        ("RFC 9110 10.1.1, obscured", b"Expect: y 100-continue\r\nContent-Length: 3\r\n", BadHeader),
        ("RFC 9110 10.1.1, twice", b"Expect: 100-continue\r\nExpect: 100-continue\r\n", BadHeader),
        ("too many options", b"Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n", BadHeader),
    ]);
}

#[test]
fn framing() {
    assert_fields_refused(&[
        ("RFC 9112 6.1, both", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", BadFraming),
        ("RFC 9112 6.1, both", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", BadFraming),
        ("RFC 9112 6.3, twice", b"Content-Length: 5\r\nContent-Length: 6\r\n", BadFraming),
        ("RFC 9112 6.3, twice the same", b"Content-Length: 5\r\nContent-Length: 5\r\n", BadFraming),
        ("RFC 9112 6.3, a list", b"Content-Length: 5, 5\r\n", BadFraming),
        ("RFC 9112 6.3, a list", b"Content-Length: 5,\r\n", BadFraming),
        ("RFC 9110 8.6, empty", b"Content-Length:\r\n", BadFraming),
        ("RFC 9110 8.6, sign", b"Content-Length: +5\r\n", BadFraming),
        ("RFC 9110 8.6, sign", b"Content-Length: -5\r\n", BadFraming),
        ("RFC 9110 8.6, hex", b"Content-Length: 0x5\r\n", BadFraming),
        ("RFC 9110 8.6, blank", b"Content-Length: 5 5\r\n", BadFraming),
        ("RFC 9110 8.6, grouped", b"Content-Length: 1_0\r\n", BadFraming),
        ("RFC 9110 8.6, other digits", "Content-Length: ٥\r\n".as_bytes(), BadFraming),
        ("RFC 9110 8.6, too large", b"Content-Length: 9223372036854775808\r\n", BadFraming),
        ("RFC 9110 8.6, too large", b"Content-Length: 18446744073709551621\r\n", BadFraming),
        ("RFC 9112 6.1, twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BadFraming),
        ("RFC 9112 6.1, another coding", b"Transfer-Encoding: gzip\r\n", BadFraming),
        ("RFC 9112 6.1, a list", b"Transfer-Encoding: gzip, chunked\r\n", BadFraming),
        ("RFC 9112 6.1, a list", b"Transfer-Encoding: chunked, identity\r\n", BadFraming),
        ("RFC 9112 6.1, a list", b"Transfer-Encoding: ,chunked\r\n", BadFraming),
        ("RFC 9112 7, a parameter", b"Transfer-Encoding: chunked;q=1\r\n", BadFraming),
        ("RFC 9112 6.1, identity is gone", b"Transfer-Encoding: identity\r\n", BadFraming),
        ("RFC 9112 6.1, quoted", b"Transfer-Encoding: \"chunked\"\r\n", BadFraming),
        ("RFC 9112 6.1, other blanks", b"Transfer-Encoding: \xa0chunked\r\n", BadFraming),
        ("RFC 9112 6.1, empty", b"Transfer-Encoding:\r\n", BadFraming),
        ("RFC 9112 6.1, nearly", b"Transfer-Encoding: chunkedd\r\n", BadFraming),
    ]);
    let from_1_0: &[u8] = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_refused(&[("RFC 9112 6.1, 1.0 knows no chunks", from_1_0, BadFraming)]);
}
