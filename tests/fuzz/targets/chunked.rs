//! Chunks: however they are split, the same comes out, in a form that can be read in one way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::http1::{ChunkedFilter, ChunkedOutput};
use millpond_fuzz::judge::{self, Read};
use millpond_fuzz::{Splits, Steering};

/// What a filter has made of an input.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    out: Vec<u8>,
    data: u64,
    consumed: usize,
    done: bool,
}

fuzz_target!(|input: &[u8]| {
    let (mut steering, body) = Steering::split(input, 4);
    let splits = Splits::new(&mut steering, 4);
    let chunks = filter(body, ChunkedOutput::Chunks, Splits::none());
    assert_eq!(chunks, filter(body, ChunkedOutput::Chunks, splits.clone()), "a split changes the chunks");
    let data = filter(body, ChunkedOutput::Data, splits);
    assert_eq!(chunks.is_some(), data.is_some(), "one form is refused and the other is not");
    let Some((chunks, data)) = chunks.zip(data) else { return };
    assert_eq!((chunks.done, chunks.consumed, chunks.data), (data.done, data.consumed, data.data));
    assert_eq!(data.out.len() as u64, data.data);
    match judge::chunked(&chunks.out).unwrap_or_else(|wrong| panic!("{wrong}: {}", chunks.out.escape_ascii()))
    {
        Read::Whole((read, len)) => {
            assert!(chunks.done && len == chunks.out.len(), "it ends early: {}", chunks.out.escape_ascii());
            assert_eq!(read, data.out);
        }
        Read::Partial => assert!(!chunks.done, "it does not end: {}", chunks.out.escape_ascii()),
    }
});

/// What comes of it all; `None`: it is refused.
fn filter(input: &[u8], output: ChunkedOutput, splits: Splits) -> Option<Made> {
    let mut filter = ChunkedFilter::new(output);
    let mut made = Made { out: Vec::new(), data: 0, consumed: 0, done: false };
    let (mut waiting, mut begin) = (Vec::new(), 0);
    for end in splits.ends(input.len()) {
        waiting.extend_from_slice(&input[begin..end]);
        begin = end;
        let filtered = filter.filter(&mut waiting).ok()?;
        assert!(filtered.output <= filtered.consumed && filtered.consumed <= waiting.len());
        made.out.extend_from_slice(&waiting[..filtered.output]);
        waiting.drain(..filtered.consumed);
        (made.data, made.consumed) = (made.data + filtered.data, made.consumed + filtered.consumed);
        made.done = filtered.done;
        if filtered.done {
            break;
        }
        assert!(waiting.len() <= ChunkedFilter::MAX_LINE, "it waits for more than a line");
    }
    Some(made)
}
