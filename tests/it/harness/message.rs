//! HTTP/1.1 messages as they are on the wire, read strictly: what a lenient peer would forgive fails
//! the test.

/// How a body was delimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length,
    /// With the size of each chunk, without the last.
    Chunked(Vec<usize>),
    UntilClose,
}

/// A request or a response.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    /// In their order, with the case that they have.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) framing: Framing,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Message {
    /// Reads a head, given with its empty line. The body is still to come.
    pub(crate) fn of_head(head: &[u8]) -> Self {
        // Values may have bytes that are no text (RFC 9110 section 5.5).
        let text = String::from_utf8_lossy(head);
        let lines = text.strip_suffix("\r\n\r\n").expect("an empty line at the end");
        let mut lines = lines.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "a bare CR or LF: {text:?}");
        Self {
            start,
            fields: lines.map(field).collect(),
            framing: Framing::None,
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    /// The status of a response.
    #[track_caller]
    pub(crate) fn status(&self) -> u16 {
        let rest = self.start.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{:?}", self.start));
        rest[..3].parse().unwrap_or_else(|_| panic!("{:?}", self.start))
    }

    /// The value of a field that is there at most once.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is repeated: {:?}", self.fields);
        value
    }

    /// The names of the fields, as they are written.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Why millpond itself answered.
    #[track_caller]
    pub(crate) fn reason(&self) -> Option<&str> {
        self.field("x-millpond-reason")
    }

    /// Whether the sender said that it will close.
    #[track_caller]
    pub(crate) fn says_close(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of Content-Length.
    #[track_caller]
    pub(crate) fn length(&self) -> Option<usize> {
        self.field("content-length").map(|value| value.parse().expect("a number"))
    }

    /// Whether the body comes in chunks.
    #[track_caller]
    pub(crate) fn is_chunked(&self) -> bool {
        let coding = self.field("transfer-encoding");
        assert!(coding.is_none() || self.field("content-length").is_none(), "{:?}", self.fields);
        coding.is_some_and(|coding| coding == "chunked")
    }
}

/// One field line.
pub(crate) fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").or_else(|| line.split_once(':')).expect("a field");
    assert!(!name.is_empty() && !name.contains([' ', '\t']), "{line:?}");
    (name.to_owned(), value.to_owned())
}
