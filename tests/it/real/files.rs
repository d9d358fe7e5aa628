//! Files whose every block differs, and whether what arrived is what was sent.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

const BLOCK: usize = 64 * 1024;

/// Creates a file of pseudo-random bytes.
pub(super) fn create(directory: &Path, name: &str, bytes: u64) -> PathBuf {
    let path = directory.join(name);
    let mut file = File::create(&path).expect("a directory of this test");
    let mut block = noise();
    let mut left = bytes;
    let mut number = 0_u64;
    while left > 0 {
        // A block that is lost, doubled or out of place shows by its number.
        block[..8].copy_from_slice(&number.to_le_bytes());
        let count = left.min(BLOCK as u64);
        file.write_all(&block[..usize::try_from(count).expect("below BLOCK")]).expect("room on the disk");
        left -= count;
        number += 1;
    }
    path
}

/// Panics at the first byte in which they differ.
#[track_caller]
pub(super) fn assert_same(sent: &Path, received: &Path) {
    let open = |path: &Path| File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (sent_file, received_file) = (open(sent), open(received));
    let length = |file: &File| file.metadata().expect("an open file").len();
    let names = format!("{} and {}", sent.display(), received.display());
    assert_eq!(length(&sent_file), length(&received_file), "bytes of {names}");
    let (mut sent, mut received) = (BufReader::new(sent_file), BufReader::new(received_file));
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    for number in 0.. {
        let count = fill(&mut sent, &mut left);
        assert_eq!(count, fill(&mut received, &mut right));
        assert!(left[..count] == right[..count], "{names} differ in the 64 KiB block {number}");
        if count == 0 {
            return;
        }
    }
}

fn fill(file: &mut impl Read, block: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]).expect("a readable file") {
            0 => break,
            count => filled += count,
        }
    }
    filled
}

/// Xorshift (Marsaglia, 2003): what compresses or repeats could hide a mistake.
fn noise() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..BLOCK / 8).flat_map(|_| next()).collect()
}
