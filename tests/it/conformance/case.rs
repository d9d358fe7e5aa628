//! What a case says, and how it is written.

/// What a client sends, and what comes of it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) name: &'static str,
    /// The section of RFC 9110 or RFC 9112, or of another document that it names.
    pub(super) rule: &'static str,
    pub(super) sent: &'static str,
    pub(super) then: Forwarding,
}

/// What becomes of a request. Text of the backend's is every byte that it receives, in its form of
/// [`expand`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Forwarding {
    /// Answered by millpond with this status and reason, and closed. Not even a connection is made for it.
    Refused(u16, &'static str),
    /// The same when a part of it has reached the backend, which never sees its end.
    RefusedLate(u16, &'static str),
    /// Received so, and the client's connection goes on.
    Kept(&'static str),
    /// Received so, and the client's connection ends behind the last answer.
    Last(&'static str),
    /// Received so and answered; what follows is refused, and the connection ends.
    ThenRefused(&'static str, u16, &'static str),
    /// The client's FIN comes before its end, is answered as [`Self::RefusedLate`] is, and the backend never
    /// sees the end.
    Cut,
}

/// Row of a table: refused before a backend hears of it.
pub(super) const fn refused(
    name: &'static str,
    rule: &'static str,
    sent: &'static str,
    status: u16,
    reason: &'static str,
) -> Request {
    Request { name, rule, sent, then: Forwarding::Refused(status, reason) }
}

/// Row of a table: forwarded.
pub(super) const fn kept(
    name: &'static str,
    rule: &'static str,
    sent: &'static str,
    received: &'static str,
) -> Request {
    Request { name, rule, sent, then: Forwarding::Kept(received) }
}

/// Row of a table: whatever else.
pub(super) const fn request(
    name: &'static str,
    rule: &'static str,
    sent: &'static str,
    then: Forwarding,
) -> Request {
    Request { name, rule, sent, then }
}

/// What a backend answers, and what comes of it.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) name: &'static str,
    /// As that of a [`Request`].
    pub(super) rule: &'static str,
    /// The head of the request, which has no body.
    pub(super) asked: &'static str,
    pub(super) answer: &'static str,
    pub(super) after: After,
    pub(super) then: Delivery,
    /// How often the answer is cut shows in the chunks that are made of it: it is not cut.
    pub(super) is_whole: bool,
}

/// What the backend does behind its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Goes on to answer requests.
    Stay,
    Fin,
    Reset,
    /// Sends this once the client has its response.
    Late(&'static str),
}

/// What becomes of a response.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delivery {
    /// 502 with this reason; the client may go on, and the backend's connection is closed.
    Refused(&'static str),
    /// The same, or, once a part of the response has reached the client, an end in its midst.
    Broken(&'static str),
    /// The client receives this, and both connections are used again.
    Kept(&'static str),
    /// The client receives this and goes on; the backend's connection is closed.
    Condemned(&'static str),
    /// The client receives this and its connection ends; the backend's is used again.
    Last(&'static str),
    /// The client receives this, and both connections end.
    Both(&'static str),
    /// The client receives this and can tell from the end of its connection that something is missing.
    Cut(&'static str),
}

/// Row of a table: a response to a GET.
pub(super) const fn response(
    name: &'static str,
    rule: &'static str,
    answer: &'static str,
    then: Delivery,
) -> Response {
    Response { name, rule, asked: "{get}\r\n", answer, after: After::Stay, then, is_whole: false }
}

impl Response {
    /// The response to another request.
    pub(super) const fn to(self, asked: &'static str) -> Self {
        Self { asked, ..self }
    }

    /// Another end.
    pub(super) const fn and(self, after: After) -> Self {
        Self { after, ..self }
    }

    /// Not cut into pieces.
    pub(super) const fn whole(self) -> Self {
        Self { is_whole: true, ..self }
    }
}

/// How bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// In one write.
    AtOnce,
    /// One by one, each in a segment of its own; of what is long, more together.
    Dripping,
}

impl Pace {
    /// The pieces in which this is sent.
    pub(super) fn pieces<'a>(self, bytes: &'a [u8]) -> std::slice::Chunks<'a, u8> {
        const PIECES: usize = 1000;
        bytes.chunks(match self {
            Self::AtOnce => bytes.len().max(1),
            Self::Dripping => bytes.len().div_ceil(PIECES).max(1),
        })
    }
}

/// The bytes that a text of a table stands for:
///
/// - `{get}` and `{post}`: a request line and Host, for a request of `/` at `t`;
/// - `{us}`: what millpond says of a client, in every request that it forwards;
/// - `{x*100}`: the text before the star (which has neither braces nor stars) a hundred times;
/// - `{ff}`: the byte 0xff.
pub(super) fn expand(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((front, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').unwrap_or_else(|| panic!("no end of a brace: {text:?}"));
        bytes.extend_from_slice(front.as_bytes());
        match name {
            "get" => bytes.extend_from_slice(b"GET / HTTP/1.1\r\nHost: t\r\n"),
            "post" => bytes.extend_from_slice(b"POST / HTTP/1.1\r\nHost: t\r\n"),
            "us" => bytes.extend_from_slice(
                b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: t\r\n",
            ),
            "ff" => bytes.push(0xff),
            _ => {
                let (part, count) = name.split_once('*').unwrap_or_else(|| panic!("{{{name}}} in {text:?}"));
                bytes.extend(part.repeat(count.parse().expect("a count")).into_bytes());
            }
        }
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
