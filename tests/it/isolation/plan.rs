//! What happens in one exchange, from its number and the seed alone.

/// One exchange.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) id: u64,
    pub(super) method: Method,
    /// Bytes of the request's body, where it has one.
    pub(super) sent: usize,
    /// Bytes of the response's body, where it has one.
    length: usize,
    coding: Coding,
    pub(super) fault: Fault,
    pub(super) client: Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    /// A POST in chunks.
    Chunks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Length,
    Chunks,
    UntilClose,
    /// 204.
    None,
}

/// What the backend does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Closes after this many bytes of its response.
    Fin(usize),
    /// Resets after this many.
    Reset(usize),
    /// Sends this behind it.
    Excess(&'static str),
    /// Sends this many bytes more than it has said.
    Short(usize),
    /// Says this many bytes more than it sends, and closes.
    Long(usize),
    /// Closes its side behind the response.
    HalfClose,
    /// Says that it closes, and does not.
    Close,
    /// Answers when it has read the head.
    Early,
    /// Sends an interim response before, which is no fault.
    Interim,
}

/// What the client does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    Never,
    /// Resets after this many bytes of its request.
    InRequest(usize),
    /// Resets after this many bytes of its response.
    InResponse(usize),
}

/// Bytes that are still to come of a request that is answered early.
const EARLY: usize = 300_000;

/// A response that nobody has asked for.
pub(super) const FORGED: &str =
    "HTTP/1.1 200 OK\r\nX-Id: ffffffffffffffff\r\nContent-Length: 17\r\n\r\nffffffffffffffff ";
/// What may stand behind a response.
const EXCESS: [&str; 5] = [
    FORGED,
    "x",
    "\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 408 Request Timeout\r\nX-Id: ffffffffffffffff\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
];

impl Plan {
    /// The plan of this exchange.
    pub(super) fn of(seed: u64, id: u64) -> Self {
        let mut random = Random::new(seed, id);
        let method = [Method::Get, Method::Get, Method::Head, Method::Post, Method::Chunks][random.below(5)];
        let sent = if random.below(50) == 0 { random.below(30_000) } else { random.below(300) };
        let length = if random.below(50) == 0 { random.below(30_000) } else { random.below(300) };
        let coding = match random.below(20) {
            0..10 => Coding::Length,
            10..18 => Coding::Chunks,
            18 => Coding::UntilClose,
            _ => Coding::None,
        };
        let mut plan = Self { id, method, sent, length, coding, fault: Fault::None, client: Leaving::Never };
        plan.fault = plan.fault(&mut random);
        if plan.fault == Fault::Early {
            plan.sent += EARLY;
        }
        plan.client = match random.below(100) {
            0 => Leaving::InRequest(random.below(plan.request().len())),
            1 => Leaving::InResponse(random.below(200)),
            _ => Leaving::Never,
        };
        plan
    }

    /// A fault that the response can have: one exchange in five.
    fn fault(&self, random: &mut Random) -> Fault {
        let has_body = self.method != Method::Head && self.coding != Coding::None;
        let has_length = has_body && self.coding == Coding::Length;
        let ends = self.coding != Coding::UntilClose || self.method == Method::Head;
        match random.below(45) {
            0 => Fault::Fin(random.below(self.answer().len() + 1)),
            1 => Fault::Reset(random.below(self.answer().len() + 1)),
            // In one segment with the response, so that it is there before anybody can use the connection.
            2 | 3 if ends && self.length < 8000 => Fault::Excess(EXCESS[random.below(EXCESS.len())]),
            4 if has_length && (1..8000).contains(&self.length) => {
                Fault::Short(1 + random.below(self.length))
            }
            5 if has_length => Fault::Long(1 + random.below(100)),
            6 => Fault::HalfClose,
            7 => Fault::Close,
            8 if matches!(self.method, Method::Post | Method::Chunks) => Fault::Early,
            9 => Fault::Interim,
            _ => Fault::None,
        }
    }

    /// Whether the request may be sent a second time.
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head)
    }

    /// What the client sends.
    pub(super) fn request(&self) -> Vec<u8> {
        let (name, framing) = match self.method {
            Method::Get => ("GET", String::new()),
            Method::Head => ("HEAD", String::new()),
            Method::Post => ("POST", format!("Content-Length: {}\r\n", self.sent)),
            Method::Chunks => ("POST", "Transfer-Encoding: chunked\r\n".to_owned()),
        };
        let mut bytes = format!("{name} /{:016x} HTTP/1.1\r\nHost: t\r\n{framing}\r\n", self.id).into_bytes();
        match self.method {
            Method::Get | Method::Head => {}
            Method::Post => bytes.extend(pattern(self.id, self.sent)),
            Method::Chunks => bytes.extend(chunks(&pattern(self.id, self.sent))),
        }
        bytes
    }

    /// What the backend sends, with what is wrong in it but for how it ends.
    pub(super) fn answer(&self) -> Vec<u8> {
        let (says, sends) = match self.fault {
            Fault::Short(count) => (self.length - count, self.length),
            Fault::Long(count) => (self.length + count, self.length),
            _ => (self.length, self.length),
        };
        let (status, framing) = match self.coding {
            Coding::Length => ("200 OK", format!("Content-Length: {says}\r\n")),
            Coding::Chunks => ("200 OK", "Transfer-Encoding: chunked\r\n".to_owned()),
            Coding::UntilClose => ("200 OK", String::new()),
            Coding::None => ("204 No Content", String::new()),
        };
        let interim = if self.fault == Fault::Interim { "HTTP/1.1 103 Early Hints\r\n\r\n" } else { "" };
        let close = if self.fault == Fault::Close { "Connection: close\r\n" } else { "" };
        let id = self.id;
        let mut bytes =
            format!("{interim}HTTP/1.1 {status}\r\nX-Id: {id:016x}\r\n{framing}{close}\r\n").into_bytes();
        match self.coding {
            _ if self.method == Method::Head => {}
            Coding::None => {}
            Coding::Length | Coding::UntilClose => bytes.extend(pattern(id, sends)),
            Coding::Chunks => bytes.extend(chunks(&pattern(id, sends))),
        }
        if let Fault::Excess(excess) = self.fault {
            bytes.extend_from_slice(excess.as_bytes());
        }
        bytes
    }

    /// Whether the backend's connection must not be used again, although it is open.
    pub(super) fn condemns(&self) -> bool {
        matches!(self.fault, Fault::Excess(_) | Fault::Short(_) | Fault::Close)
    }

    /// Whether the response ends with its connection.
    pub(super) fn ends_with_close(&self) -> bool {
        self.coding == Coding::UntilClose && self.method != Method::Head
    }

    /// The whole body of the response, where nothing is wrong with it.
    pub(super) fn body(&self) -> Option<usize> {
        let is_right = matches!(self.fault, Fault::None | Fault::HalfClose | Fault::Close | Fault::Interim);
        let is_empty = self.method == Method::Head || self.coding == Coding::None;
        is_right.then_some(if is_empty { 0 } else { self.length })
    }
}

/// Bytes that tell at each place whose they are.
pub(super) fn pattern(id: u64, len: usize) -> Vec<u8> {
    format!("{id:016x} ").into_bytes().into_iter().cycle().take(len).collect()
}

fn chunks(data: &[u8]) -> Vec<u8> {
    const SIZE: usize = 100;
    let mut bytes = Vec::new();
    for chunk in data.chunks(SIZE) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// SplitMix64.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Numbers of their own for each `id`.
    pub(super) fn new(seed: u64, id: u64) -> Self {
        Self(seed ^ id.wrapping_mul(0xd129_0d3b_21a6_9c75))
    }

    /// A number below `bound`, or 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}
