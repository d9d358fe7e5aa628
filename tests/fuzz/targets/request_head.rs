//! A request head: however it is split, it is accepted or refused alike, and what is sent on is one request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::http1::{HeadLimits, RequestBody, RequestContext, RequestHead, RequestParser};
use millpond_fuzz::judge::{self, Framing, Read};
use millpond_fuzz::{Splits, Steering};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32, target: 1024 };
const CLIENT: RequestContext<'_> =
    RequestContext { client_ip: "192.0.2.17", scheme: "http", default_host: "app", hash_header: Some("x") };

fuzz_target!(|input: &[u8]| {
    let (mut steering, head) = Steering::split(input, 4);
    let splits = Splits::new(&mut steering, 4);
    let whole = parse(head, Splits::none());
    let split = parse(head, splits);
    assert_eq!(whole, split, "a split changes what it is");
    let Some((found, out)) = whole else { return };
    let Ok(Read::Whole(read)) = judge::head(&out) else {
        panic!("no head: {:?}", out.escape_ascii().to_string())
    };
    assert_eq!(read.len, out.len(), "something follows the head");
    let framing =
        judge::request_head(&read).unwrap_or_else(|wrong| panic!("{wrong}: {}", out.escape_ascii()));
    let meant = match found.body {
        RequestBody::None => [Framing::None, Framing::Length(0)].contains(&framing),
        RequestBody::Length(length) => framing == Framing::Length(length),
        RequestBody::Chunked => framing == Framing::Chunked,
    };
    assert!(meant, "{:?} is sent as {framing:?}", found.body);
});

fn parse(head: &[u8], splits: Splits) -> Option<(RequestHead, Vec<u8>)> {
    let (mut parser, mut out) = (RequestParser::default(), Vec::new());
    for end in splits.ends(head.len()) {
        match parser.parse(&head[..end], &LIMITS, &CLIENT, &mut out) {
            Ok(None) => assert!(out.is_empty(), "written before it was judged"),
            Ok(Some(found)) => return Some((found, out)),
            Err(_) => {
                assert!(out.is_empty(), "written although it is refused");
                return None;
            }
        }
    }
    None
}
