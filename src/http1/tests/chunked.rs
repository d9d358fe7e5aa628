//! The chunked coding, whole and in every split.

use super::*;

/// What a filter made of an input that came in pieces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) output: Vec<u8>,
    pub(super) data: u64,
    pub(super) done: bool,
    /// What was not consumed.
    pub(super) rest: Vec<u8>,
}

/// Runs a filter as a connection does: each piece is read behind what is left of the one before.
pub(super) fn run(kind: ChunkedOutput, pieces: &[&[u8]]) -> Result<Run, RejectReason> {
    let mut filter = ChunkedFilter::new(kind);
    let mut run = Run { output: Vec::new(), data: 0, done: false, rest: Vec::new() };
    for piece in pieces {
        run.rest.extend_from_slice(piece);
        let filtered = filter.filter(&mut run.rest)?;
        assert!(filtered.output <= filtered.consumed && filtered.consumed <= run.rest.len());
        run.output.extend_from_slice(&run.rest[..filtered.output]);
        run.rest.drain(..filtered.consumed);
        run.data += filtered.data;
        run.done = filtered.done;
        assert!(run.done || run.rest.len() < ChunkedFilter::MAX_LINE, "the buffer would fill up");
    }
    Ok(run)
}

fn bytes_of(input: &[u8]) -> Vec<&[u8]> {
    input.chunks(1).collect()
}

/// Asserts what both outputs are, in one piece and byte by byte.
fn assert_chunks(section: &str, input: &[u8], chunks: &[u8], data: &[u8]) {
    for pieces in [vec![input], bytes_of(input)] {
        for (kind, expected) in [(ChunkedOutput::Chunks, chunks), (ChunkedOutput::Data, data)] {
            let run = run(kind, &pieces).unwrap_or_else(|_| panic!("{section}: {}", input.escape_ascii()));
            assert_eq!(latin1(&run.output), latin1(expected), "{section}");
            assert_eq!(run.data, data.len() as u64, "{section}");
            assert!(run.done && run.rest.is_empty(), "{section}");
        }
    }
}

/// The section, an encoded body, its canonical chunks, its data.
type Accepted<'a> = (&'a str, &'a [u8], &'a [u8], &'a [u8]);

#[test]
fn accepted() {
    let cases: &[Accepted<'_>] = &[
        ("RFC 9112 7.1, empty", b"0\r\n\r\n", b"0\r\n\r\n", b""),
        ("RFC 9112 7.1", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        ("RFC 9112 7.1, two", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (
            "RFC 9112 7.1, hex",
            b"A\r\n0123456789\r\n0\r\n\r\n",
            b"A\r\n0123456789\r\n0\r\n\r\n",
            b"0123456789",
        ),
        (
            "RFC 9112 7.1, data like framing",
            b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
            b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
            b"\r\n0\r\n\r\n",
        ),
        ("leading zeros", b"0000000000000005\r\nhello\r\n000\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        ("RFC 9112 7.1.1", b"2;a\r\nhi\r\n0;b=c\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n", b"hi"),
        ("RFC 9112 7.1.1, BWS", b"2 ; a\t= b ;c\r\nhi\r\n0\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n", b"hi"),
        (
            "RFC 9112 7.1.1, quoted",
            b"2;a=\"x;\\\"\t\xe9\\\\ \"\r\nhi\r\n0\r\n\r\n",
            b"2\r\nhi\r\n0\r\n\r\n",
            b"hi",
        ),
        (
            "RFC 9112 7.1.2",
            b"1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
            b"1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
            b"a",
        ),
        ("RFC 9110 6.5.1", b"0\r\nContent-Length: 5\r\nX: y\r\nHOST: b\r\n\r\n", b"0\r\nX: y\r\n\r\n", b""),
        ("RFC 9110 6.5.1, as CGI reads it", b"0\r\nTransfer_Encoding: x\r\n\r\n", b"0\r\n\r\n", b""),
    ];
    for (section, input, chunks, data) in cases {
        assert_chunks(section, input, chunks, data);
    }
}

#[test]
fn refused() {
    let cases: &[(&str, &[u8])] = &[
        ("RFC 9112 7.1, no size", b"\r\n"),
        ("RFC 9112 7.1, no size", b";a\r\n"),
        ("RFC 9112 7.1, no hex", b"G\r\n"),
        ("RFC 9112 7.1, sign", b"-1\r\n"),
        ("RFC 9112 7.1, sign", b"+1\r\n"),
        ("RFC 9112 7.1, prefix", b"0x1\r\n"),
        ("RFC 9112 7.1, grouped", b"0_2\r\n"),
        ("RFC 9112 7.1, blank in front", b" 1\r\n"),
        ("RFC 9112 7.1, blank behind", b"1 \r\na\r\n"),
        ("RFC 9112 7.1, more behind", b"1 a\r\n"),
        ("too many digits that count", b"1000000000000000\r\n"),
        ("too many digits", b"00000000000000001\r\n"),
        ("RFC 9112 2.2, bare LF", b"1\na\r\n"),
        ("RFC 9112 2.2, bare CR", b"1\ra\r\n"),
        ("RFC 9112 2.2, CR CR LF", b"1\r\r\n"),
        ("RFC 9112 7.1.1, no name", b"1;\r\n"),
        ("RFC 9112 7.1.1, no name", b"1;=a\r\n"),
        ("RFC 9112 7.1.1, no value", b"1;a=\r\n"),
        ("RFC 9112 7.1.1, blank behind", b"1;a \r\n"),
        ("RFC 9112 7.1.1, two names", b"1;a b\r\n"),
        ("RFC 9112 7.1.1, open quote", b"1;a=\"b\r\n"),
        ("RFC 9112 7.1.1, open escape", b"1;a=\"b\\\"\r\n"),
        ("RFC 9112 7.1.1, behind the quote", b"1;a=\"b\"c\r\n"),
        ("RFC 9112 7.1.1, CTL", b"1;a=\"\x01\"\r\n"),
        ("RFC 9110 5.6.4, CTL escaped", b"1;a=\"\\\x01\"\r\n"),
        ("RFC 9112 7.1.1, bare LF", b"1;a\nb\r\n"),
        ("RFC 9112 7.1.1, bare CR", b"1;a\rb\r\n"),
        ("RFC 9112 7.1, data too long", b"1\r\nab\r\n"),
        ("RFC 9112 7.1, data too short", b"2\r\na\r\n0\r\n"),
        ("RFC 9112 7.1, bare LF behind data", b"1\r\na\n0\r\n\r\n"),
        ("RFC 9112 7.1, bare CR behind data", b"1\r\na\r0\r\n\r\n"),
        ("RFC 9112 7.1.2, no colon", b"0\r\nGET / HTTP/1.1\r\n"),
        ("RFC 9112 7.1.2, no name", b"0\r\n: x\r\n"),
        ("RFC 9112 5.1, blank before the colon", b"0\r\nX : y\r\n"),
        ("RFC 9112 5.2, obs-fold", b"0\r\nX: y\r\n z\r\n"),
        ("RFC 9110 5.5, CTL", b"0\r\nX: \x01\r\n"),
        ("RFC 9112 2.2, bare LF", b"0\r\nX: y\n\r\n"),
        ("RFC 9112 2.2, bare LF at the end", b"0\r\n\n"),
        ("RFC 9112 2.2, bare CR", b"0\r\n\rX: y\r\n\r\n"),
    ];
    for (section, input) in cases {
        for pieces in [vec![*input], bytes_of(input)] {
            let run = run(ChunkedOutput::Chunks, &pieces);
            assert_eq!(run, Err(RejectReason::BadChunk), "{section}: {}", input.escape_ascii());
        }
    }
}

#[test]
fn what_cannot_become_a_chunk_is_refused_at_once() {
    for input in [&b"x"[..], b"5;\0", b"5\rx", b"5;a\x01", b"1\r\nax", b"1\r\na\n", b"0\r\nX\x7f"] {
        assert_eq!(
            run(ChunkedOutput::Data, &[input]),
            Err(RejectReason::BadChunk),
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn what_follows_the_body_is_left_alone() {
    let mut input = b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n".to_vec();
    let mut filter = ChunkedFilter::new(ChunkedOutput::Chunks);
    let first = filter.filter(&mut input).unwrap();
    assert_eq!(first, Filtered { output: 11, consumed: 11, data: 1, done: true });
    assert_eq!(&input[11..], b"GET / HTTP/1.1\r\n");
    let again = filter.filter(&mut input[11..]).unwrap();
    assert_eq!(again, Filtered { done: true, ..Filtered::default() }, "over is over");
}

/// Data goes out as it comes: a chunk need not be whole.
#[test]
fn data_is_not_held_back() {
    let mut filter = ChunkedFilter::new(ChunkedOutput::Chunks);
    let mut input = *b"fffffff\r\nabc";
    assert_eq!(filter.filter(&mut input), Ok(Filtered { output: 12, consumed: 12, data: 3, done: false }));
    assert_eq!(filter.filter(&mut [b'd']), Ok(Filtered { output: 1, consumed: 1, data: 1, done: false }));
    assert_eq!(filter.filter(&mut []), Ok(Filtered::default()));
}

/// RFC 9110 section 6.5.1: what decides about framing, routing, rights or content comes in the head.
#[test]
fn forbidden_trailers_are_dropped() {
    let forbidden = [
        "Transfer-Encoding",
        "Content-Length",
        "Host",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "Cache-Control",
        "Content-Encoding",
        "Content-Type",
        "Content-Range",
        "Expect",
        "Max-Forwards",
        "Range",
        "If-Match",
        "X-Forwarded-For",
        "Forwarded",
        "X_Real_IP",
        "content_length",
    ];
    for name in forbidden {
        let input = format!("0\r\n{name}: 1\r\n\r\n");
        assert_chunks(name, input.as_bytes(), b"0\r\n\r\n", b"");
    }
    for name in ["Digest", "Server-Timing", "X-Checksum", "ETag", "grpc-status"] {
        let input = format!("0\r\n{name}: 1\r\n\r\n");
        assert_chunks(name, input.as_bytes(), input.as_bytes(), b"");
    }
}

#[test]
fn framing_is_bounded() {
    let line = |len: usize| format!("1;{}\r\n", "a".repeat(len - 4)).into_bytes();
    let whole = line(ChunkedFilter::MAX_LINE);
    assert!(
        run(ChunkedOutput::Data, &[&whole]).is_ok() && run(ChunkedOutput::Data, &bytes_of(&whole)).is_ok()
    );
    let longer = line(ChunkedFilter::MAX_LINE + 1);
    for pieces in [vec![&longer[..]], bytes_of(&longer), vec![&longer[..ChunkedFilter::MAX_LINE]]] {
        assert_eq!(run(ChunkedOutput::Data, &pieces), Err(RejectReason::BadChunk));
    }
    // 1 KiB of extension with each byte of data: 16 are let through, not a seventeenth.
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(1023));
    assert!(run(ChunkedOutput::Data, &[chunk.repeat(16).as_bytes()]).is_ok());
    assert_eq!(run(ChunkedOutput::Data, &[chunk.repeat(17).as_bytes()]), Err(RejectReason::BadChunk));
    let trailers =
        |count: usize, len: usize| format!("0\r\n{}", format!("X:{}\r\n", "y".repeat(len - 4)).repeat(count));
    assert!(run(ChunkedOutput::Data, &[trailers(100, 10).as_bytes()]).is_ok());
    assert_eq!(run(ChunkedOutput::Data, &[trailers(101, 10).as_bytes()]), Err(RejectReason::BadChunk));
    assert!(run(ChunkedOutput::Data, &[trailers(32, 1024).as_bytes()]).is_ok());
    assert_eq!(run(ChunkedOutput::Data, &[trailers(33, 1024).as_bytes()]), Err(RejectReason::BadChunk));
}

#[test]
fn chunks_of_our_own() {
    let cases = [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0x1234_abcd, "1234abcd\r\n"),
        (u64::MAX, "ffffffffffffffff\r\n"),
    ];
    for (len, line) in cases {
        assert_eq!(chunk_head(len, &mut [0; 18]), line.as_bytes());
    }
    let body = [chunk_head(3, &mut [0; 18]), b"abc\r\n", LAST_CHUNK].concat();
    assert_chunks("our own", &body, &body, b"abc");
}
