//! Reads messages as RFC 9112 has them, and nothing that anybody could read otherwise. Slow and simple on
//! purpose, and without a line of the product's.

/// A message that may still be on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// It is whole.
    Whole(T),
    /// It may become one.
    Partial,
}

/// Why this is none.
pub type Wrong = String;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// A head with its empty line.
#[derive(Clone, Debug)]
pub struct Head {
    pub line: Vec<u8>,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its length in bytes.
    pub len: usize,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub line: Vec<u8>,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub framing: Framing,
    pub body: Vec<u8>,
    /// Its length in bytes.
    pub len: usize,
}

impl Head {
    /// The values of a field.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of a field that is there at most once.
    pub fn value(&self, name: &str) -> Result<Option<&[u8]>, Wrong> {
        match self.values(name)[..] {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(format!("{name} is repeated")),
        }
    }

    /// What the framing fields say, alone and together.
    fn lengths(&self) -> Result<Framing, Wrong> {
        for (name, _) in &self.fields {
            let dashed: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
            let is_framing = [&b"content-length"[..], b"transfer-encoding"]
                .iter()
                .any(|known| dashed.eq_ignore_ascii_case(known));
            if is_framing && dashed != *name {
                return Err("a framing field with an underscore".into());
            }
        }
        match (self.value("content-length")?, self.value("transfer-encoding")?) {
            (None, None) => Ok(Framing::None),
            (Some(_), Some(_)) => Err("both lengths".into()),
            (None, Some(b"chunked")) => Ok(Framing::Chunked),
            (None, Some(_)) => Err("a coding that is not chunked".into()),
            (Some(length), None) => {
                let text = std::str::from_utf8(length).map_err(|_| "a length that is no number")?;
                let is_canonical = text == "0" || !text.starts_with(['0', '+']);
                let number = text.parse::<i64>().map_err(|error| error.to_string())?;
                if number < 0 || !is_canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err("a length that can be read in two ways".into());
                }
                Ok(Framing::Length(number as u64))
            }
        }
    }
}

/// Reads a head from its front.
pub fn head(bytes: &[u8]) -> Result<Read<Head>, Wrong> {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    while let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") {
        let line = &bytes[at..at + end];
        at += end + 2;
        if line.iter().any(|byte| (byte.is_ascii_control() && *byte != b'\t') || *byte == 0x7f) {
            return Err("a control character in a line".into());
        }
        if line.is_empty() {
            let Some((first, rest)) = lines.split_first() else {
                return Err("an empty line in front".into());
            };
            let fields = rest.iter().map(|line| field(line)).collect::<Result<_, _>>()?;
            return Ok(Read::Whole(Head { line: first.to_vec(), fields, len: at }));
        }
        lines.push(line);
    }
    Ok(Read::Partial)
}

fn field(line: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Wrong> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a line without a colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
        return Err("a name that is no token".into());
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    Ok((name.to_vec(), value[start..end].to_vec()))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads a request that a proxy may forward, from its front.
pub fn request(bytes: &[u8]) -> Result<Read<Message>, Wrong> {
    let Read::Whole(head) = head(bytes)? else { return Ok(Read::Partial) };
    let framing = request_head(&head)?;
    with_body(head, framing, bytes)
}

/// Judges the head of a request; returns how long its body is.
pub fn request_head(head: &Head) -> Result<Framing, Wrong> {
    let words: Vec<&[u8]> = head.line.split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = words[..] else {
        return Err("a request line of another form".into());
    };
    if method.is_empty() || !method.iter().all(|byte| is_token_byte(*byte)) || method == b"CONNECT" {
        return Err("a method that is not forwarded".into());
    }
    if !(target.starts_with(b"/") || target == b"*" && method == b"OPTIONS")
        || !target.iter().all(u8::is_ascii_graphic)
    {
        return Err("a target that is not in origin-form".into());
    }
    let host = head.value("host")?.ok_or("no Host")?;
    if host.iter().any(|byte| b" \t,/?#@\\\"<>".contains(byte) || !byte.is_ascii()) {
        return Err("a Host that is none".into());
    }
    for name in ["te", "keep-alive", "proxy-connection", "proxy-authorization", "http2-settings"] {
        if !head.values(name).is_empty() {
            return Err(format!("{name} is for one hop"));
        }
    }
    let upgrades = head.value("upgrade")?.is_some();
    match head.value("connection")? {
        None if !upgrades => {}
        Some(b"upgrade") if upgrades => {}
        _ => return Err("a Connection that is not ours".into()),
    }
    for name in ["x-forwarded-for", "x-forwarded-proto"] {
        head.value(name)?.ok_or_else(|| format!("no {name}"))?;
    }
    head.value("x-forwarded-host")?;
    head.lengths()
}

/// Reads a response to a request with this method, from its front. `closed`: nothing more will come.
pub fn response(bytes: &[u8], method: &[u8], closed: bool) -> Result<Read<Message>, Wrong> {
    let Read::Whole(head) = head(bytes)? else { return Ok(Read::Partial) };
    let status = status(&head)?;
    let is_bare = status < 200 || status == 204;
    let lengths = head.lengths()?;
    if is_bare && lengths != Framing::None {
        return Err("a length where there can be no body".into());
    }
    let framing = match lengths {
        _ if is_bare || status == 304 || method == b"HEAD" => Framing::None,
        Framing::None => Framing::UntilClose,
        lengths => lengths,
    };
    if framing == Framing::UntilClose && !closed {
        return Ok(Read::Partial);
    }
    with_body(head, framing, bytes)
}

/// The status of a response head.
pub fn status(head: &Head) -> Result<u16, Wrong> {
    let code = head.line.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.split_first_chunk::<3>());
    let Some((code, [b' ', ..])) = code else { return Err("a status line of another form".into()) };
    let text = std::str::from_utf8(code).unwrap_or_default();
    text.parse().ok().filter(|code| *code >= 100).ok_or_else(|| "a status that is none".into())
}

fn with_body(head: Head, framing: Framing, bytes: &[u8]) -> Result<Read<Message>, Wrong> {
    let rest = &bytes[head.len..];
    let (body, used) = match framing {
        Framing::None => (Vec::new(), 0),
        Framing::Length(length) => match rest.get(..usize::try_from(length).unwrap_or(usize::MAX)) {
            Some(body) => (body.to_vec(), body.len()),
            None => return Ok(Read::Partial),
        },
        Framing::UntilClose => (rest.to_vec(), rest.len()),
        Framing::Chunked => match chunked(rest)? {
            Read::Whole((body, used)) => (body, used),
            Read::Partial => return Ok(Read::Partial),
        },
    };
    Ok(Read::Whole(Message { line: head.line, fields: head.fields, framing, body, len: head.len + used }))
}

/// Reads chunks in canonical form; returns their data and their length in bytes.
pub fn chunked(bytes: &[u8]) -> Result<Read<(Vec<u8>, usize)>, Wrong> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            let digits = &bytes[at..];
            let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
            let is_size = digits.len() <= 15 && digits.iter().all(u8::is_ascii_hexdigit);
            return if is_size { Ok(Read::Partial) } else { Err("a chunk size that is none".into()) };
        };
        let digits = &bytes[at..at + end];
        let is_size = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
        if !is_size || (digits.len() > 1 && digits[0] == b'0') {
            return Err("a chunk size in another form".into());
        }
        let text = std::str::from_utf8(digits).map_err(|error| error.to_string())?;
        let size = usize::from_str_radix(text, 16).map_err(|error| error.to_string())?;
        at += end + 2;
        if size == 0 {
            return trailers(&bytes[at..]).map(|read| match read {
                Read::Whole(len) => Read::Whole((data, at + len)),
                Read::Partial => Read::Partial,
            });
        }
        let Some(chunk) = at.checked_add(size).and_then(|end| bytes.get(at..end)) else {
            return Ok(Read::Partial);
        };
        data.extend_from_slice(chunk);
        at += size;
        match &bytes[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Ok(Read::Partial),
            _ => return Err("a chunk without its end".into()),
        }
    }
}

fn trailers(bytes: &[u8]) -> Result<Read<usize>, Wrong> {
    let mut at = 0;
    while let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") {
        let line = &bytes[at..at + end];
        at += end + 2;
        if line.is_empty() {
            return Ok(Read::Whole(at));
        }
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err("a control character in a trailer".into());
        }
        let (name, _) = field(line)?;
        let name = name.to_ascii_lowercase();
        let is_framing = name.starts_with(b"content-") || name.starts_with(b"x-forwarded-");
        if is_framing || [&b"host"[..], b"transfer-encoding", b"connection"].contains(&&name[..]) {
            return Err("a trailer that may not be one".into());
        }
    }
    Ok(Read::Partial)
}
