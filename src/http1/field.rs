//! The fields that a proxy acts on, and the values that decide framing and persistence.

use super::head::Version;

/// The most connection options that are kept to be looked for among the field names. No sender needs
/// more; without a bound, fields times options would be a cheap way to burn our time.
const MAX_NOMINATED: usize = 16;

/// What a field is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing special: passed on unless a connection option names it.
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    /// A framing field's name written with `_`: CGI and its heirs read it as that field, strict
    /// recipients do not.
    FramingAlias,
    Connection,
    KeepAlive,
    Upgrade,
    /// Meant for one hop (RFC 9110 section 7.6.1, RFC 2616 section 13.5.1); never passed on.
    HopByHop,
    Expect,
    Trailer,
    MaxForwards,
    /// X-Forwarded-For, to which the client's address is appended.
    ForwardedFor,
    /// A field that is ours to write, or an alias of one.
    ForwardedOwn,
}

impl Kind {
    /// The kind of the field called `name`, in any case.
    pub(super) fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Other };
        let (known, kind): (&[u8], Self) = match (name.len(), first.to_ascii_lowercase()) {
            (2, b't') => (b"te", Self::HopByHop),
            (4, b'h') => (b"host", Self::Host),
            (6, b'e') => (b"expect", Self::Expect),
            (7, b'u') => (b"upgrade", Self::Upgrade),
            (7, b't') => (b"trailer", Self::Trailer),
            (10, b'c') => (b"connection", Self::Connection),
            (10, b'k') => (b"keep-alive", Self::KeepAlive),
            (12, b'm') => (b"max-forwards", Self::MaxForwards),
            (14, b'c') => (b"content-length", Self::ContentLength),
            (14, b'h') => (b"http2-settings", Self::HopByHop),
            (15, b'x') => (b"x-forwarded-for", Self::ForwardedFor),
            (16, b'x') => (b"x-forwarded-host", Self::ForwardedOwn),
            (16, b'p') => (b"proxy-connection", Self::HopByHop),
            (17, b't') => (b"transfer-encoding", Self::TransferEncoding),
            (17, b'x') => (b"x-forwarded-proto", Self::ForwardedOwn),
            (18, b'p') => (b"proxy-authenticate", Self::HopByHop),
            (19, b'p') => (b"proxy-authorization", Self::HopByHop),
            _ => return Self::Other,
        };
        if is_called(name, known) {
            kind
        } else if folds_to(name, known) {
            kind.alias()
        } else {
            Self::Other
        }
    }

    /// What a name is that becomes this kind's when `_` is read as `-`.
    fn alias(self) -> Self {
        match self {
            Self::ContentLength | Self::TransferEncoding => Self::FramingAlias,
            Self::ForwardedFor | Self::ForwardedOwn => Self::ForwardedOwn,
            _ => Self::Other,
        }
    }
}

/// Whether `name`, a token, is `known`, which is written in lower case. Setting one bit makes letters
/// lower-case and leaves `-` and digits as they are; of what else it changes, nothing is in a token
/// (RFC 9110 section 5.6.2). Half the instructions of a comparison that looks at each letter's case.
fn is_called(name: &[u8], known: &[u8]) -> bool {
    let differs = |differs: u8, (byte, known): (&u8, &u8)| differs | ((byte | 0x20) ^ known);
    name.len() == known.len() && name.iter().zip(known).fold(0, differs) == 0
}

/// The body's length is ambiguous or malformed, so that two recipients could disagree about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramingError;

/// What the framing fields of one head say (RFC 9112 sections 6.1 to 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    /// Content-Length.
    pub(super) length: Option<u64>,
    /// Transfer-Encoding, which is then `chunked`.
    pub(super) chunked: bool,
}

impl Framing {
    /// Takes a Content-Length in. A second one is refused even if it says the same: RFC 9112 section
    /// 6.3 lets a recipient merge them, and no sender in good faith needs it.
    pub(super) fn add_length(&mut self, value: &[u8]) -> Result<(), FramingError> {
        let length = content_length(value).ok_or(FramingError)?;
        if self.length.replace(length).is_some() { Err(FramingError) } else { Ok(()) }
    }

    /// Takes a Transfer-Encoding in: one field that says `chunked` and nothing else (RFC 9112 section
    /// 6.1; no other coding is in use, and every list is a chance to disagree).
    pub(super) fn add_transfer(&mut self, value: &[u8]) -> Result<(), FramingError> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(FramingError);
        }
        self.chunked = true;
        Ok(())
    }

    /// Refuses what both fields together, or the version, make ambiguous (RFC 9112 sections 6.1, 6.3).
    pub(super) fn check(&self, version: Version) -> Result<(), FramingError> {
        if self.chunked && (self.length.is_some() || version == Version::Http10) {
            return Err(FramingError);
        }
        Ok(())
    }
}

/// Too many connection options to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyOptions;

/// The options of all Connection fields of one head (RFC 9110 section 7.6.1).
#[derive(Debug, Default)]
pub(super) struct ConnectionOptions<'a> {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    nominated: [&'a [u8]; MAX_NOMINATED],
    count: usize,
}

impl<'a> ConnectionOptions<'a> {
    /// Takes one Connection field in.
    pub(super) fn add(&mut self, value: &'a [u8]) -> Result<(), TooManyOptions> {
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                *self.nominated.get_mut(self.count).ok_or(TooManyOptions)? = option;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Whether the sender keeps its connection open afterwards (RFC 9112 section 9.3).
    pub(super) fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Whether an option names this field, so that it goes no further. An option that names a field
    /// meant for every recipient is an attempt to strip it, and has no effect.
    pub(super) fn nominates(&self, name: &[u8]) -> bool {
        self.nominated[..self.count].iter().any(|option| option.eq_ignore_ascii_case(name))
            && !is_end_to_end(name)
    }
}

/// Whether a field is meant for every recipient of the message. RFC 9110 section 7.6.1 forbids to name
/// such a field in Connection; a client that does so would take credentials, or what proxies before us
/// said of it, out of the request.
fn is_end_to_end(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 5] = [b"accept", b"content-", b"if-", b"sec-", b"x-forwarded-"];
    const NAMES: [&[u8]; 16] = [
        b"authorization",
        b"cache-control",
        b"cookie",
        b"date",
        b"etag",
        b"forwarded",
        b"location",
        b"origin",
        b"range",
        b"set-cookie",
        b"trailer",
        b"user-agent",
        b"vary",
        b"via",
        b"www-authenticate",
        b"x-real-ip",
    ];
    let begins_with = |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|part| folds_to(part, prefix));
    PREFIXES.iter().any(begins_with) || NAMES.iter().any(|known| folds_to(name, known))
}

/// The elements of a comma-separated list, without the empty ones (RFC 9110 section 5.6.1).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The Upgrade fields of one head (RFC 9110 section 7.8).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Upgrade<'a> {
    value: Option<&'a [u8]>,
    is_repeated: bool,
}

impl<'a> Upgrade<'a> {
    /// Takes one Upgrade field in.
    pub(super) fn add(&mut self, value: &'a [u8]) {
        self.is_repeated = self.value.replace(value).is_some();
    }

    /// Whether there is one field, and every protocol in it is one after which the connection is a
    /// tunnel. Not so h2c (RFC 7540 section 3.2) and other HTTP, which would carry requests that nobody
    /// here judges, nor TLS (RFC 2817), which is for the first hop alone.
    pub(super) fn is_to_tunnel(&self) -> bool {
        let mut protocols = elements(self.value.unwrap_or_default()).peekable();
        !self.is_repeated && protocols.peek().is_some() && protocols.all(is_tunnel)
    }
}

/// Whether a tunnel follows one `protocol-name [ "/" protocol-version ]` (RFC 9110 section 7.8).
fn is_tunnel(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |&byte| byte == b'/');
    let name = parts.next().unwrap_or_default();
    let is_refused = [&b"http"[..], b"h2", b"tls"].iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.windows(3).any(|part| part.eq_ignore_ascii_case(b"h2c"));
    is_token(name) && parts.all(is_token) && !is_refused
}

/// A Content-Length: digits alone, at most `i64::MAX`, which every implementation can count to.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    decimal(value).filter(|&length| i64::try_from(length).is_ok())
}

/// 1*DIGIT.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// `tchar` (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    static TABLE: [bool; 256] = byte_table(b"!#$%&'*+-.^_`|~");
    TABLE[usize::from(byte)]
}

/// A table that is true for letters, digits and `others`.
pub(super) const fn byte_table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut other = 0;
    while other < others.len() {
        table[others[other] as usize] = true;
        other += 1;
    }
    table
}

/// `token` (RFC 9110 section 5.6.2).
pub(super) fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().copied().all(is_token_byte)
}

/// Whether `name` is the lower-case `known`, in any case and with `_` for `-`.
pub(super) fn folds_to(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len() && name.iter().zip(known).all(|(&byte, &known)| fold(byte) == known)
}

fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}
