//! Heads that grow: limits, early refusals, and nothing looked at twice.

use super::*;
use RejectReason::*;

fn parse(input: &[u8]) -> Result<Option<RequestHead>, RejectReason> {
    RequestParser::default().parse(input, &LIMITS, &CLIENT, &mut Vec::new())
}

fn parse_response(input: &[u8]) -> Result<Option<ResponseHead>, RejectReason> {
    ResponseParser::default().parse(input, &LIMITS, &ANSWER, &mut Vec::new())
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let input = b"\r\nPUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let (mut parser, mut out) = (RequestParser::default(), Vec::new());
    for end in 0..input.len() - 5 {
        assert_eq!(parser.parse(&input[..end], &LIMITS, &CLIENT, &mut out), Ok(None), "{end}");
        assert!(out.is_empty());
    }
    let head = parser.parse(input, &LIMITS, &CLIENT, &mut out).unwrap().unwrap();
    assert_eq!((head.len, head.body), (input.len() - 5, RequestBody::Length(5)));
    assert_eq!(latin1(&out), forward(input).unwrap().1);
}

#[test]
fn what_cannot_become_a_head_is_refused_at_once() {
    let cases: [(&[u8], RejectReason); 12] = [
        (b"\x16", BadRequestLine),
        (b" ", BadRequestLine),
        (b"\rG", BadRequestLine),
        (b"GE\x01", BadRequestLine),
        (b"GET\r", BadRequestLine),
        (b"GET /\r\n", BadRequestLine),
        (b"GET / HTTP/1.1\n", BadRequestLine),
        (b"GET foo HTTP/1.1\r\n", BadRequestLine),
        (b"GET / HTTP/3.0\r\n", BadVersion),
        (b"CONNECT a:1 HTTP/1.1\r\n", MethodRefused),
        (b"GET / HTTP/1.1\r\nX: y\n", BadHeader),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", BadHeader),
    ];
    for (input, reason) in cases {
        assert_eq!(parse(input), Err(reason), "{}", input.escape_ascii());
    }
    for input in
        [&b"h"[..], b"\r", b"\r\n", b"HTTP/2", b"HTTP/1.1 200 OK\n", b"HTTP/1.1 2x", b"HTTP/1.1 99 x\r\n"]
    {
        // Of a status line, the front is judged at once, and the rest when it is whole.
        let expected = if input.ends_with(b"x") { Ok(None) } else { Err(BadResponse) };
        assert_eq!(parse_response(input), expected, "{}", input.escape_ascii());
    }
    for input in
        [&b""[..], b"\r", b"\r\n", b"\r\n\r", b"GET", b"GET ", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHo"]
    {
        assert_eq!(parse(input), Ok(None), "{}", input.escape_ascii());
    }
}

#[test]
fn a_head_may_be_as_long_as_the_limit() {
    let head = |len: usize| {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        head.resize(len - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        head
    };
    let whole = head(LIMITS.bytes);
    assert_eq!(parse(&whole).unwrap().unwrap().len, LIMITS.bytes);
    assert_eq!(parse(&whole[..LIMITS.bytes - 1]), Ok(None));
    let longer = head(LIMITS.bytes + 1);
    assert_eq!(parse(&longer), Err(HeaderTooLarge));
    assert_eq!(parse(&longer[..LIMITS.bytes]), Err(HeaderTooLarge), "no byte more can help");
    let response = [b"HTTP/1.1 200 OK\r\nX: ", vec![b'x'; LIMITS.bytes].as_slice()].concat();
    assert_eq!(parse_response(&response), Err(ResponseTooLarge));
}

#[test]
fn a_head_may_have_as_many_fields_as_the_limit() {
    let fields = |count: usize| "X: y\r\n".repeat(count);
    let request = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(count - 1));
    assert!(matches!(parse(request(LIMITS.fields).as_bytes()), Ok(Some(_))));
    let more = request(LIMITS.fields + 1);
    assert_eq!(parse(more.as_bytes()), Err(HeaderTooLarge));
    assert_eq!(parse(&more.as_bytes()[..more.len() - 2]), Err(HeaderTooLarge), "before the end has come");
    let response = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", fields(count));
    assert!(matches!(parse_response(response(LIMITS.fields).as_bytes()), Ok(Some(_))));
    assert_eq!(parse_response(response(LIMITS.fields + 1).as_bytes()), Err(ResponseTooLarge));

    let limits = HeadLimits { bytes: 1 << 20, fields: usize::MAX, target: 256 };
    let parse =
        |input: String| RequestParser::default().parse(input.as_bytes(), &limits, &CLIENT, &mut Vec::new());
    assert!(matches!(parse(request(MAX_FIELDS)), Ok(Some(_))));
    assert_eq!(parse(request(MAX_FIELDS + 1)), Err(HeaderTooLarge));
}

#[test]
fn a_target_may_be_as_long_as_the_limit() {
    let line = |len: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(len - 1));
    let fields = "Host: a\r\n\r\n";
    assert!(matches!(parse((line(LIMITS.target) + fields).as_bytes()), Ok(Some(_))));
    assert_eq!(parse((line(LIMITS.target + 1) + fields).as_bytes()), Err(TargetTooLong));
    assert_eq!(parse(line(LIMITS.target + 1).as_bytes()), Err(TargetTooLong), "before the fields");
    // A line without an end: refused as soon as it can only be too long.
    let endless = format!("GET /{}", "x".repeat(LIMITS.target + 20));
    assert_eq!(parse(endless.as_bytes()), Err(TargetTooLong));
    let babble = format!("GET / {}", "x".repeat(LIMITS.target + 20));
    assert_eq!(parse(babble.as_bytes()), Err(BadRequestLine));
    let huge = format!("GET /{}", "x".repeat(LIMITS.bytes));
    assert_eq!(parse(huge.as_bytes()), Err(TargetTooLong), "the better reason of two");
    let huge_method = "G".repeat(LIMITS.bytes);
    assert_eq!(parse(huge_method.as_bytes()), Err(HeaderTooLarge));
}

/// What has been looked through is not looked at again: a byte changed behind the parser's back, which
/// its contract forbids, goes unseen until the head is whole.
#[test]
fn bytes_are_scanned_once() {
    let mut input = b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyy".to_vec();
    let mut parser = RequestParser::default();
    assert_eq!(parser.parse(&input, &LIMITS, &CLIENT, &mut Vec::new()), Ok(None));
    input[40] = b'\n';
    assert_eq!(parser.parse(&input, &LIMITS, &CLIENT, &mut Vec::new()), Ok(None));
    assert_eq!(parse(&input), Err(BadHeader));
}
