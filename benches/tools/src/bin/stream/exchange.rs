//! What both ends of a session do: write the pattern, read it slowly, check it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bench_tools::http::MAX_HEAD;

/// A read or write that moves nothing for so long has failed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// The receipt: bytes received, bytes that were wrong, and the milliseconds that it took, each a u64 in
/// network order.
pub(crate) const RECEIPT: usize = 24;

/// The pattern repeats after a prime, so that a block lost or doubled is seen.
const PERIOD: u64 = 251;
const BLOCK: usize = 64 * 1024;

/// How an end reads.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) step: usize,
    pub(crate) pause: Duration,
    /// Whether its sockets are [narrow](bench_tools::sys::make_narrow).
    pub(crate) narrow: bool,
}

/// What an end has read of the other's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    pub(crate) wrong: u64,
    pub(crate) milliseconds: u64,
}

impl Received {
    pub(crate) fn receipt(self) -> [u8; RECEIPT] {
        let mut receipt = [0; RECEIPT];
        for (field, number) in receipt.chunks_mut(8).zip([self.bytes, self.wrong, self.milliseconds]) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        receipt
    }

    pub(crate) fn from_receipt(receipt: [u8; RECEIPT]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        let [bytes, wrong, milliseconds] = [0, 8, 16].map(|start| number(&receipt[start..start + 8]));
        Self { bytes, wrong, milliseconds }
    }

    /// Holds `bytes` against `expected`, which is [`pattern`] for as many at least.
    fn check(&mut self, bytes: &[u8], expected: &[u8]) {
        let start = (self.bytes % PERIOD) as usize;
        // Nearly always all is right, and the comparison of slices is the fastest there is.
        let right = &expected[start..start + bytes.len()];
        if bytes != right {
            self.wrong += bytes.iter().zip(right).filter(|(is, should)| is != should).count() as u64;
        }
        self.bytes += bytes.len() as u64;
    }
}

/// Reads `count` bytes of pattern at a pace.
pub(crate) fn read_slowly(mut stream: &TcpStream, count: u64, pace: Pace) -> io::Result<Received> {
    let began = Instant::now();
    let mut received = Received::default();
    let mut buffer = vec![0; pace.step];
    let expected = pattern(pace.step);
    while received.bytes < count {
        let step = (count - received.bytes).min(pace.step as u64) as usize;
        match stream.read(&mut buffer[..step])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            bytes => received.check(&buffer[..bytes], &expected),
        }
        if !pace.pause.is_zero() {
            thread::sleep(pace.pause);
        }
    }
    received.milliseconds = began.elapsed().as_millis() as u64;
    Ok(received)
}

/// Writes `count` bytes of pattern as fast as they are taken.
pub(crate) fn write_pattern(mut stream: &TcpStream, count: u64) -> io::Result<()> {
    let block = pattern(BLOCK);
    let mut sent = 0;
    while sent < count {
        let start = (sent % PERIOD) as usize;
        let length = (count - sent).min(BLOCK as u64) as usize;
        stream.write_all(&block[start..start + length])?;
        sent += length as u64;
    }
    Ok(())
}

/// Reads a head byte for byte to its empty line, so that nothing of the body is taken with it.
pub(crate) fn read_head(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 || head.len() > MAX_HEAD {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    Ok(head)
}

/// Ends both directions, which wakes a thread that waits for the other one.
pub(crate) fn give_up(stream: &TcpStream) {
    // An error means that the connection is gone, which is what is wanted.
    drop(stream.shutdown(Shutdown::Both));
}

/// The pattern from its start, long enough for `bytes` of it from any position in its period.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..PERIOD as u8).cycle().take(bytes + PERIOD as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_says_what_was_received() {
        let received = Received { bytes: 5 << 33, wrong: 7, milliseconds: 1 << 60 };
        assert_eq!(Received::from_receipt(received.receipt()), received);
    }

    #[test]
    fn lost_and_changed_bytes_are_wrong() {
        let expected = pattern(1000);
        let sent = &expected[..1000];
        let mut whole = Received::default();
        whole.check(&sent[..400], &expected);
        whole.check(&sent[400..], &expected);
        assert_eq!(whole, Received { bytes: 1000, wrong: 0, milliseconds: 0 });

        let mut cut = Received::default();
        cut.check(&sent[..400], &expected);
        cut.check(&sent[401..], &expected);
        assert_eq!(cut, Received { bytes: 999, wrong: 599, milliseconds: 0 });
    }
}
