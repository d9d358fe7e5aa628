//! A response head: however it is split, it is accepted or refused alike, and what the client is sent is one head.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::http1::{
    Delivery, HeadLimits, Method, ResponseBody, ResponseContext, ResponseHead, ResponseParser, Version,
};
use millpond_fuzz::judge::{self, Framing, Read};
use millpond_fuzz::{Splits, Steering};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32, target: 0 };

fuzz_target!(|input: &[u8]| {
    let (mut steering, heads) = Steering::split(input, 5);
    let flags = steering.byte();
    let client = if flags & 2 == 0 { Version::Http11 } else { Version::Http10 };
    let context = ResponseContext {
        method: if flags & 1 == 0 { Method::Get } else { Method::Head },
        client,
        // From an HTTP/1.0 client, none is forwarded.
        upgrade: flags & 4 != 0 && client == Version::Http11,
        persist: flags & 8 == 0,
    };
    let whole = parse(heads, &context, Splits::none());
    assert_eq!(whole, parse(heads, &context, Splits::new(&mut steering, 4)), "a split changes what it is");
    let Some((found, out)) = whole else { return };
    let mut rest = &out[..];
    loop {
        let Ok(Read::Whole(head)) = judge::head(rest) else { panic!("no head: {}", rest.escape_ascii()) };
        rest = &rest[head.len..];
        let status = judge::status(&head).unwrap_or_else(|wrong| panic!("{wrong}: {}", out.escape_ascii()));
        if rest.is_empty() {
            assert_eq!(status, found.status);
            return judge_last(&found, &out[out.len() - head.len..], &context);
        }
        assert!(status < 200 && context.client == Version::Http11, "a head behind the last");
    }
});

/// The client reads it as it was meant.
fn judge_last(found: &ResponseHead, head: &[u8], context: &ResponseContext) {
    let method = if context.method == Method::Head { &b"HEAD"[..] } else { b"GET" };
    let read = judge::response(head, method, true)
        .unwrap_or_else(|wrong| panic!("{wrong}: {}", head.escape_ascii()));
    let is_empty = match (found.body, found.delivery) {
        (ResponseBody::None, _) | (ResponseBody::UntilClose, Delivery::AsIs) => true,
        (_, Delivery::Unchunk) => true,
        (ResponseBody::Length(_) | ResponseBody::Chunked | ResponseBody::UntilClose, _) => false,
    };
    match read {
        Read::Whole(message) => {
            assert!(is_empty, "its body is lost: {found:?}");
            let until_close = message.framing == Framing::UntilClose;
            assert!(!(until_close && found.persist), "its end cannot be seen: {found:?}");
        }
        Read::Partial => assert!(!is_empty, "a body is awaited: {found:?}"),
    }
}

/// All heads up to the final one, which the parser is for.
fn parse(input: &[u8], context: &ResponseContext, splits: Splits) -> Option<(ResponseHead, Vec<u8>)> {
    let (mut parser, mut out, mut start) = (ResponseParser::default(), Vec::new(), 0);
    for end in splits.ends(input.len()) {
        while start < end {
            let mark = out.len();
            match parser.parse(&input[start..end], &LIMITS, context, &mut out) {
                Ok(Some(found)) if found.status >= 200 || found.status == 101 => return Some((found, out)),
                Ok(Some(found)) => start += found.len,
                Ok(None) => {
                    assert_eq!(out.len(), mark, "written before it was judged");
                    break;
                }
                Err(_) => {
                    assert_eq!(out.len(), mark, "written although it is refused");
                    return None;
                }
            }
        }
    }
    None
}
