//! What holds for any input.

use super::chunked::run;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Fields that a request may or must not have, so that mixtures of them are often near to a trap.
const FIELDS: &[&str] = &[
    "Accept: */*",
    "X: caf\u{e9}",
    "Content-Length: 5",
    "content-length: 007",
    "Content-Length: 0",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Connection: x, keep-alive",
    "Connection: host, content-length",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "TE: trailers",
    "Trailer: x",
    "X-Forwarded-For: 1.2.3.4",
    "X-Forwarded-Host: evil",
    "Keep-Alive: timeout=3",
    "Max-Forwards: 3",
    "Via: 1.1 p",
    "Content_Length: 9",
    "Proxy-Connection: close",
    "Cookie: a=b",
    "Connection: transfer-encoding, x-forwarded-for",
];

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec!["GET", "HEAD", "POST", "OPTIONS", "TRACE", "PATCH"]);
    let target = select(vec!["/", "/a?b", "*", "http://b.example", "http://b:81/x", "https://[::1]?q"]);
    let version = select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let host = select(vec!["Host: a\r\n", "host:\r\n", "HOST: a.example:80\r\n", ""]);
    (method, target, version, host, vec(select(FIELDS), 0..5)).prop_map(
        |(method, target, version, host, fields)| {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            format!("{method} {target} {version}\r\n{host}{fields}\r\n").into_bytes()
        },
    )
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 \u{e9}",
        "HTTP/1.1 100",
        "HTTP/1.1 101 S",
    ]);
    (line, vec(select(FIELDS), 0..5)).prop_map(|(line, fields)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line}\r\n{fields}\r\n").into_bytes()
    })
}

fn context() -> impl Strategy<Value = ResponseContext> {
    let method = select(vec![Method::Get, Method::Head]);
    let client = select(vec![Version::Http11, Version::Http10]);
    (method, client, any::<bool>(), any::<bool>())
        .prop_map(|(method, client, upgrade, persist)| ResponseContext { method, client, upgrade, persist })
}

/// `input` with some bytes replaced by bytes that matter to a parser.
fn mutated(input: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let byte = select(b"\r\n\0\t :;,=\"0aZ_-/\x7f\xff".to_vec());
    (input, vec((any::<Index>(), byte), 0..3)).prop_map(|(mut input, changes)| {
        for (place, byte) in changes {
            if !input.is_empty() {
                let place = place.index(input.len());
                input[place] = byte;
            }
        }
        input
    })
}

/// Anything, or nearly a message.
fn near(message: impl Strategy<Value = Vec<u8>> + 'static) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => vec(any::<u8>(), 0..200), 3 => mutated(message)]
}

fn chunked_body() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let extension = select(vec!["", ";a", " ; b=c", ";d=\"e;\\\"\""]);
    let zeros = select(vec!["", "0", "000"]);
    let trailers = select(vec!["", "X: y\r\n", "Content-Length: 3\r\nX:z\r\n"]);
    (vec((vec(any::<u8>(), 1..40), extension, zeros), 0..5), trailers).prop_map(|(chunks, trailers)| {
        let (mut encoded, mut data) = (Vec::new(), Vec::new());
        for (chunk, extension, zeros) in chunks {
            encoded.extend_from_slice(format!("{zeros}{:X}{extension}\r\n", chunk.len()).as_bytes());
            encoded.extend_from_slice(&chunk);
            encoded.extend_from_slice(b"\r\n");
            data.extend_from_slice(&chunk);
        }
        encoded.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        (encoded, data)
    })
}

/// The pieces of `input` between `cuts`.
fn pieces<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut begin = 0;
    let prefixes = prefixes(input, cuts);
    prefixes
        .into_iter()
        .map(|prefix| &input[std::mem::replace(&mut begin, prefix.len())..prefix.len()])
        .collect()
}

fn parse_in_prefixes(input: &[u8], cuts: &[usize]) -> (Result<Option<RequestHead>, RejectReason>, Vec<u8>) {
    let (mut parser, mut out) = (RequestParser::default(), Vec::new());
    for prefix in prefixes(input, cuts) {
        match parser.parse(prefix, &LIMITS, &CLIENT, &mut out) {
            Ok(None) => {}
            over => return (over, out),
        }
    }
    (Ok(None), out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a request head is split, it is accepted or refused alike. The reason may differ: early
    /// on, less of what is wrong has come.
    #[test]
    fn a_split_changes_no_request(input in near(request()), cuts in vec(0..300_usize, 0..8)) {
        let (whole, whole_out) = parse_in_prefixes(&input, &[]);
        let (split, split_out) = parse_in_prefixes(&input, &cuts);
        prop_assert_eq!(whole.ok(), split.ok());
        prop_assert_eq!(whole_out, split_out);
    }

    #[test]
    fn a_split_changes_no_response(
        input in near(response()), context in context(), cuts in vec(0..300_usize, 0..8),
    ) {
        let parse = |cuts: &[usize]| {
            let (mut parser, mut out) = (ResponseParser::default(), Vec::new());
            let mut result = Ok(None);
            for prefix in prefixes(&input, cuts) {
                result = parser.parse(prefix, &LIMITS, &context, &mut out);
                if !matches!(result, Ok(None)) {
                    break;
                }
            }
            (result, out)
        };
        prop_assert_eq!(parse(&[]), parse(&cuts));
    }

    /// What is sent to an endpoint stands up to our own rules, and means the same as what came.
    #[test]
    fn a_rewritten_request_is_strict(input in mutated(request())) {
        let Ok(Some(head)) = parse_in_prefixes(&input, &[]).0 else { return Ok(()) };
        let (_, out) = parse_in_prefixes(&input, &[]);
        let (again, out_again) = parse_in_prefixes(&out, &[]);
        let again = again.expect("accepted again").expect("whole");
        prop_assert_eq!(again.len, out.len());
        prop_assert_eq!((again.method, again.body, again.version), (head.method, head.body, Version::Http11));
        prop_assert_eq!((again.upgrade, again.expect_continue), (head.upgrade, head.expect_continue));
        let names = |out: &[u8]| -> Vec<String> {
            let name = |line: &str| Some(line.split_once(':')?.0.to_ascii_lowercase());
            latin1(out).split("\r\n").skip(1).filter_map(name).collect()
        };
        let count = |name: &str| names(&out).iter().filter(|other| *other == name).count();
        prop_assert_eq!(count("host"), 1);
        prop_assert_eq!(count("x-forwarded-for"), 1);
        prop_assert_eq!(count("x-forwarded-proto"), 1);
        prop_assert!(count("content-length") + count("transfer-encoding") <= 1);
        prop_assert_eq!(count("connection"), usize::from(head.upgrade));
        prop_assert_eq!(count("te") + count("keep-alive") + count("proxy-connection"), 0);
        prop_assert_eq!(names(&out).len(), names(&out_again).len(), "nothing is left to remove");
    }

    /// What is sent to a client stands up to our own rules, and is framed as was said.
    #[test]
    fn a_rewritten_response_is_strict(input in mutated(response()), context in context()) {
        let Ok((head, out)) = answer_bytes(&input, &context) else { return Ok(()) };
        prop_assume!(!out.is_empty());
        let (again, _) = answer_bytes(&out, &context).expect("accepted again");
        prop_assert_eq!(again.status, head.status);
        if head.status != 101 && head.status >= 200 {
            prop_assert_eq!(again.keep_alive, head.persist, "the client reads what was meant");
        }
        let seen = match (head.body, head.delivery) {
            (_, Delivery::Chunk) => ResponseBody::Chunked,
            (_, Delivery::Unchunk) => ResponseBody::UntilClose,
            (body, Delivery::AsIs) => body,
        };
        prop_assert_eq!(again.body, seen);
    }

    #[test]
    fn chunks_keep_their_data((encoded, data) in chunked_body(), cuts in vec(0..300_usize, 0..8)) {
        let pieces = pieces(&encoded, &cuts);
        let chunks = run(ChunkedOutput::Chunks, &pieces).expect("valid");
        prop_assert!(chunks.done && chunks.rest.is_empty());
        prop_assert_eq!(chunks.data, data.len() as u64);
        let bare = run(ChunkedOutput::Data, &pieces).expect("valid");
        prop_assert_eq!(&bare.output, &data);
        let again = run(ChunkedOutput::Data, &[&chunks.output]).expect("what is sent is valid");
        prop_assert!(again.done);
        prop_assert_eq!(again.output, data);
        let canonical = run(ChunkedOutput::Chunks, &[&chunks.output]).expect("valid");
        prop_assert_eq!(canonical.output, chunks.output, "one canonical form");
    }

    #[test]
    fn a_split_changes_no_chunks(
        input in near(chunked_body().prop_map(|(encoded, _)| encoded)),
        cuts in vec(0..300_usize, 0..8),
        kind in select(vec![ChunkedOutput::Chunks, ChunkedOutput::Data]),
    ) {
        prop_assert_eq!(run(kind, &[&input]), run(kind, &pieces(&input, &cuts)));
    }

    /// Short strings over the bytes that matter reach corners that mutations do not.
    #[test]
    fn a_split_changes_no_short_chunks(input in vec(select(b"0015aF;=\"\\ \t\r\n\r\nX:".to_vec()), 0..24)) {
        let pieces: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(run(ChunkedOutput::Chunks, &[&input]), run(ChunkedOutput::Chunks, &pieces));
    }
}

fn answer_bytes(input: &[u8], context: &ResponseContext) -> Result<(ResponseHead, Vec<u8>), RejectReason> {
    let mut out = Vec::new();
    let head = ResponseParser::default().parse(input, &LIMITS, context, &mut out)?;
    head.map(|head| (head, out)).ok_or(RejectReason::ResponseTimeout)
}
