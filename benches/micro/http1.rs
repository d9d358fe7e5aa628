//! Heads and bodies, as a browser and a server send them.

use crate::bodies::Run;
use millpond::http1::{
    ChunkedFilter, ChunkedOutput, HeadLimits, Method, RequestContext, RequestParser, ResponseContext,
    ResponseParser, Version,
};
use std::fmt::Write;
use std::hint::black_box;

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100, target: 8 * 1024 };

const SMALL: &str =
    "GET /ping HTTP/1.1\r\nHost: app.example.org\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: app/2.4.1\r\nDate: Sat, 28 Nov 2026 18:00:00 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 10240\r\nConnection: keep-alive\r\n\
    Cache-Control: private, max-age=0, must-revalidate\r\nETag: W/\"2800-5f3c7a9e\"\r\n\
    Vary: Accept-Encoding\r\nX-Request-Id: 5b7c1f7e-0a5c-4c0a-9c43-0a6a1f9f1d11\r\n\
    Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\r\n";

pub(crate) fn small_request() -> Run {
    request(SMALL.to_owned())
}

/// Twenty fields, 1.2 KB.
pub(crate) fn browser_request() -> Run {
    let mut head = String::from(
        "GET /products/1234567/reviews?page=2&sort=newest HTTP/1.1\r\nHost: www.example.org\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: de,en-US;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Referer: https://www.example.org/products/1234567\r\nConnection: keep-alive\r\n\
         Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1\r\n\
         Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n",
    );
    for number in 0..6 {
        let _ = write!(head, "X-Trace-{number}: {}\r\n", "0123456789abcdef".repeat(5));
    }
    request(head + "\r\n")
}

fn request(head: String) -> Run {
    let context =
        RequestContext { client_ip: "192.0.2.17", scheme: "http", default_host: "app", hash_header: None };
    let mut out = Vec::with_capacity(4096);
    Box::new(move || {
        out.clear();
        let parsed = RequestParser::default().parse(black_box(head.as_bytes()), &LIMITS, &context, &mut out);
        assert!(matches!(black_box(parsed), Ok(Some(_))), "a whole head");
        black_box(&out);
    })
}

pub(crate) fn response() -> Run {
    let context =
        ResponseContext { method: Method::Get, client: Version::Http11, upgrade: false, persist: true };
    let mut out = Vec::with_capacity(4096);
    Box::new(move || {
        out.clear();
        let parsed =
            ResponseParser::default().parse(black_box(RESPONSE.as_bytes()), &LIMITS, &context, &mut out);
        assert!(matches!(black_box(parsed), Ok(Some(_))), "a whole head");
        black_box(&out);
    })
}

/// 64 KiB in chunks of 1,000 bytes, each with an extension that is dropped, in one buffer.
pub(crate) fn chunked() -> Run {
    let mut body = Vec::new();
    for chunk in [b'x'; 64 * 1024].chunks(1000) {
        body.extend_from_slice(format!("{:x};name=value\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\nTrailer-Of: this\r\n\r\n");
    let mut buffer = body.clone();
    Box::new(move || {
        buffer.copy_from_slice(&body);
        let filtered = ChunkedFilter::new(ChunkedOutput::Chunks).filter(black_box(&mut buffer));
        assert!(filtered.is_ok_and(|filtered| filtered.done), "a whole body");
    })
}
