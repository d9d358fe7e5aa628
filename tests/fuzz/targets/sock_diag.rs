//! Answers of the kernel's sock_diag: every message within its datagram, none without an end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::sys::sock_diag::wire::{Message, messages};

fuzz_target!(|input: &[u8]| {
    let Some((sequence, datagram)) = input.split_first_chunk::<4>() else { return };
    let mut count = 0;
    let mut is_broken = false;
    for message in messages(datagram, u32::from_ne_bytes(*sequence)) {
        assert!(!is_broken, "something follows what is malformed");
        count += 1;
        match message {
            Ok(Message::Socket(_, attributes)) => {
                let _ = (attributes.info(), attributes.drops());
            }
            Ok(Message::Done | Message::Error(_)) => {}
            Err(malformed) => {
                is_broken = true;
                assert!(!malformed.to_string().is_empty());
            }
        }
    }
    // A message has a header of 16 bytes.
    assert!(count <= datagram.len() / 16 + 1);
});
