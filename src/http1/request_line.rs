//! Request lines (RFC 9112 section 3): judged whole, and as far as they have come.

use super::field::is_token_byte;
use super::head::{HeadLimits, Method, Version};
use super::scan::{HeadScan, first_line};
use super::target::Target;
use crate::reason::RejectReason;
use memchr::memchr;

/// A request line that may be forwarded.
#[derive(Debug)]
pub(super) struct RequestLine<'a> {
    pub(super) name: &'a str,
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    pub(super) version: Version,
}

impl<'a> RequestLine<'a> {
    /// Judges the line that `httparse` split.
    pub(super) fn read(
        request: &httparse::Request<'_, 'a>,
        limits: &HeadLimits,
    ) -> Result<Self, RejectReason> {
        let (Some(name), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
            return Err(RejectReason::BadRequestLine);
        };
        if target.len() > limits.target {
            return Err(RejectReason::TargetTooLong);
        }
        if name == "CONNECT" {
            return Err(RejectReason::MethodRefused);
        }
        let method = Method::of(name);
        let target = Target::read(target.as_bytes(), method).ok_or(RejectReason::BadRequestLine)?;
        Ok(Self { name, method, target, version: Version::of(minor) })
    }
}

/// How far the request line of an unfinished head has been judged; each byte is judged once.
#[derive(Debug)]
pub(super) enum LineCheck {
    /// What comes before `end` may be a method.
    Method { end: usize },
    /// The target begins at `start`.
    Target { start: usize },
    /// The line is whole and has passed.
    Whole,
}

impl Default for LineCheck {
    fn default() -> Self {
        Self::Method { end: 0 }
    }
}

impl LineCheck {
    /// Refuses a line that cannot be continued, or whose end leaves it wrong.
    pub(super) fn advance(
        &mut self,
        scan: &HeadScan,
        input: &[u8],
        limits: &HeadLimits,
    ) -> Result<(), RejectReason> {
        let begin = match (&*self, scan.first_line(input)) {
            (Self::Whole, _) => return Ok(()),
            (_, Some(line)) => {
                *self = Self::Whole;
                return check_whole(line, limits);
            }
            (Self::Target { start }, None) => return check_target(&input[*start..], limits),
            (Self::Method { end }, None) => (*end).max(scan.start()),
        };
        let len = input[begin..].iter().take_while(|&&byte| is_token_byte(byte)).count();
        let end = begin + len;
        *self = Self::Method { end };
        let is_empty = end == scan.start();
        match &input[end..] {
            [] => Ok(()),
            // It may become an empty line in front.
            [b'\r'] if is_empty => Ok(()),
            [b' ', target @ ..] if !is_empty => {
                *self = Self::Target { start: end + 1 };
                check_target(target, limits)
            }
            _ => Err(RejectReason::BadRequestLine),
        }
    }
}

/// Judges a whole line before the fields behind it have come.
fn check_whole(line: &[u8], limits: &HeadLimits) -> Result<(), RejectReason> {
    let mut request = httparse::Request::new(&mut []);
    request.parse(line).map_err(|error| token_error(error, line))?;
    RequestLine::read(&request, limits).map(drop)
}

/// Judges by its length what has come behind the method of a line without an end.
fn check_target(rest: &[u8], limits: &HeadLimits) -> Result<(), RejectReason> {
    const VERSION: usize = " HTTP/1.1\r".len();
    if rest.len() <= limits.target + VERSION {
        return Ok(());
    }
    let is_within = memchr(b' ', rest).is_some_and(|end| end <= limits.target);
    Err(if is_within { RejectReason::BadRequestLine } else { RejectReason::TargetTooLong })
}

/// The reason for what `httparse` says of `head`, in which every LF follows a CR.
#[cold]
pub(super) fn token_error(error: httparse::Error, head: &[u8]) -> RejectReason {
    use httparse::Error;
    let line = first_line(head);
    match error {
        Error::Version if names_a_version(line) => RejectReason::BadVersion,
        Error::Version | Error::Token | Error::Status => RejectReason::BadRequestLine,
        Error::NewLine if line.starts_with(b"\r") || !names_a_version(line) => RejectReason::BadRequestLine,
        Error::NewLine | Error::HeaderName | Error::HeaderValue => RejectReason::BadHeader,
        Error::TooManyHeaders => RejectReason::HeaderTooLarge,
    }
}

/// Whether a line is of three words, the last of the form of `HTTP-version` (RFC 9112 section 2.3).
fn names_a_version(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    let version = words.next().unwrap_or_default();
    words.next().is_none()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}
