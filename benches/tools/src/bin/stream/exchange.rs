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

    fn check(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.wrong += u64::from(byte != pattern(self.bytes));
            self.bytes += 1;
        }
    }
}

/// Reads `count` bytes of pattern at a pace.
pub(crate) fn read_slowly(mut stream: &TcpStream, count: u64, pace: Pace) -> io::Result<Received> {
    let began = Instant::now();
    let mut received = Received::default();
    let mut buffer = vec![0; pace.step];
    while received.bytes < count {
        let step = (count - received.bytes).min(pace.step as u64) as usize;
        match stream.read(&mut buffer[..step])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            bytes => received.check(&buffer[..bytes]),
        }
        thread::sleep(pace.pause);
    }
    received.milliseconds = began.elapsed().as_millis() as u64;
    Ok(received)
}

/// Writes `count` bytes of pattern as fast as they are taken.
pub(crate) fn write_pattern(mut stream: &TcpStream, count: u64) -> io::Result<()> {
    let block: Vec<u8> = (0..BLOCK as u64 + PERIOD).map(pattern).collect();
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

fn pattern(position: u64) -> u8 {
    (position % PERIOD) as u8
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
        let sent: Vec<u8> = (0..1000).map(pattern).collect();
        let mut whole = Received::default();
        whole.check(&sent[..400]);
        whole.check(&sent[400..]);
        assert_eq!(whole, Received { bytes: 1000, wrong: 0, milliseconds: 0 });

        let mut cut = Received::default();
        cut.check(&sent[..400]);
        cut.check(&sent[401..]);
        assert_eq!(cut, Received { bytes: 999, wrong: 599, milliseconds: 0 });
    }
}
