//! As much of HTTP/1.1 as a fixed origin and its clients need: heads that end in an empty line, and
//! bodies by Content-Length.

/// The longest head that is read, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;

/// The body that the origin sends: the alphabet, over and over.
pub fn body(bytes: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(bytes).collect()
}

/// What the bytes of a body add up to.
pub fn sum(bytes: &[u8]) -> u64 {
    // In blocks that fit 32 bits, which the compiler turns into vector instructions.
    bytes.chunks(4096).map(|block| u64::from(block.iter().map(|&byte| u32::from(byte)).sum::<u32>())).sum()
}

/// The facts of a head, request or response.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes, with the empty line.
    pub length: usize,
    /// Content-Length, if there is a valid one.
    pub content_length: Option<usize>,
    /// Whether `Connection: close` stands in it.
    pub close: bool,
    /// Whether the body comes in a way not read here (Transfer-Encoding).
    pub encoded: bool,
}

impl Head {
    /// Reads the head at the start of `bytes`; `None` until its empty line is there.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut head = Self { length: 0, content_length: None, close: false, encoded: false };
        let mut rest = bytes;
        loop {
            let end = rest.iter().position(|&byte| byte == b'\n')?;
            let line = rest[..end].trim_ascii();
            rest = &rest[end + 1..];
            if line.is_empty() {
                head.length = bytes.len() - rest.len();
                return Some(head);
            }
            head.take_field(line);
        }
    }

    fn take_field(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.close |= value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encoded = true;
        }
    }
}

/// What every response has to be.
#[derive(Clone, Copy)]
pub struct Expected {
    length: usize,
    sum: u64,
    /// Whether there is no head, as an echo has none.
    bare: bool,
}

impl Expected {
    /// The origin's response with a body of `bytes`.
    pub fn body(bytes: usize) -> Self {
        Self { length: bytes, sum: sum(&body(bytes)), bare: false }
    }

    /// The same bytes without a head: what came back is what was sent.
    pub fn echo(bytes: usize) -> Self {
        Self { bare: true, ..Self::body(bytes) }
    }
}

/// Why a response is not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Not HTTP/1.1, no Content-Length, or a head without end.
    Head,
    /// A status other than 200.
    Status,
    /// Another Content-Length than expected.
    Length,
    /// The right length, but other bytes.
    Sum,
    /// Bytes beyond the response.
    Surplus,
}

/// A response that is being read.
#[derive(Default)]
pub struct Reply {
    head: Vec<u8>,
    body: Option<Body>,
}

struct Body {
    left: usize,
    sum: u64,
    close: bool,
}

/// Where a response stands after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More has to come.
    Partial,
    /// It is whole and right; `close` if the server will not take another request.
    Whole {
        /// `Connection: close` stood in its head.
        close: bool,
    },
}

impl Reply {
    /// Whether not one byte of it has come.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_none()
    }

    /// Takes the next bytes from the connection.
    pub fn take(&mut self, bytes: &[u8], expected: Expected) -> Result<Progress, Mismatch> {
        if let Some(body) = &mut self.body {
            return body.take(bytes, expected);
        }
        if expected.bare {
            let body = self.body.insert(Body { left: expected.length, sum: 0, close: false });
            return body.take(bytes, expected);
        }
        if self.head.is_empty() {
            // Nearly always the whole head comes at once: read it where it lies.
            return match Head::parse(bytes) {
                Some(head) => self.begin_body(&head, bytes, expected),
                None => self.keep_head(bytes),
            };
        }
        self.keep_head(bytes)?;
        let kept = std::mem::take(&mut self.head);
        match Head::parse(&kept) {
            Some(head) => self.begin_body(&head, &kept, expected),
            None => {
                self.head = kept;
                Ok(Progress::Partial)
            }
        }
    }

    fn keep_head(&mut self, bytes: &[u8]) -> Result<Progress, Mismatch> {
        self.head.extend_from_slice(bytes);
        if self.head.len() > MAX_HEAD { Err(Mismatch::Head) } else { Ok(Progress::Partial) }
    }

    fn begin_body(&mut self, head: &Head, bytes: &[u8], expected: Expected) -> Result<Progress, Mismatch> {
        if !bytes.starts_with(b"HTTP/1.1 ") {
            return Err(Mismatch::Head);
        }
        if !bytes[9..].starts_with(b"200") {
            return Err(Mismatch::Status);
        }
        let left = head.content_length.filter(|_| !head.encoded).ok_or(Mismatch::Head)?;
        if left != expected.length {
            return Err(Mismatch::Length);
        }
        let body = self.body.insert(Body { left, sum: 0, close: head.close });
        body.take(&bytes[head.length..], expected)
    }
}

impl Body {
    fn take(&mut self, bytes: &[u8], expected: Expected) -> Result<Progress, Mismatch> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(Mismatch::Surplus)?;
        self.sum += sum(bytes);
        match self.left {
            0 if self.sum != expected.sum => Err(Mismatch::Sum),
            0 => Ok(Progress::Whole { close: self.close }),
            _ => Ok(Progress::Partial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-LENGTH:  3 \r\n\r\nabc";

    fn read(bytes: &[u8], step: usize) -> Result<Progress, Mismatch> {
        let mut reply = Reply::default();
        let mut last = Ok(Progress::Partial);
        for piece in bytes.chunks(step) {
            last = reply.take(piece, Expected::body(3));
            if last.is_err() {
                break;
            }
        }
        last
    }

    #[test]
    fn a_response_is_whole_at_its_last_byte_however_it_is_cut() {
        for step in 1..=RESPONSE.len() {
            assert_eq!(read(RESPONSE, step), Ok(Progress::Whole { close: false }), "step {step}");
            assert_eq!(read(&RESPONSE[..RESPONSE.len() - 1], step), Ok(Progress::Partial), "step {step}");
        }
    }

    #[test]
    fn every_difference_is_seen() {
        for (text, mismatch) in [
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nabc", Mismatch::Status),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", Mismatch::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabd", Mismatch::Sum),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc!", Mismatch::Surplus),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Mismatch::Head),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", Mismatch::Head),
        ] {
            for step in [1, 7, text.len()] {
                assert_eq!(read(text.as_bytes(), step), Err(mismatch), "{text:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn an_echo_is_whole_when_all_of_it_is_back() {
        let mut reply = Reply::default();
        assert_eq!(reply.take(b"ab", Expected::echo(4)), Ok(Progress::Partial));
        assert_eq!(reply.take(b"cd", Expected::echo(4)), Ok(Progress::Whole { close: false }));
        assert_eq!(Reply::default().take(b"abce", Expected::echo(4)), Err(Mismatch::Sum));
        assert_eq!(Reply::default().take(b"abcde", Expected::echo(4)), Err(Mismatch::Surplus));
    }

    #[test]
    fn connection_close_is_heeded() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: Close\r\n\r\nabc";
        assert_eq!(read(text, 10), Ok(Progress::Whole { close: true }));
    }

    #[test]
    fn a_head_is_measured_with_its_empty_line() {
        let text = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let head = Head { length: text.len() - 5, content_length: Some(5), close: false, encoded: false };
        assert_eq!(Head::parse(text), Some(head));
        assert_eq!(Head::parse(&text[..20]), None);
    }
}
