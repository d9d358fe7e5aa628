//! Which connections are wanted, as a query says it (pure).

use crate::addr::plain;
use crate::command::Peer;
use crate::config::suggest::closest;
use crate::session::Phase;
use crate::sys::sock_diag::{TcpState, TcpStates};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a query may say.
const KEYS: [&str; 9] =
    ["state", "listener", "upstream", "endpoint", "side", "phase", "older_than", "sort", "limit"];

/// Connections listed unless a query says otherwise.
const LIMIT: usize = 1000;
/// The most that a query may ask for.
const LIMIT_MAX: usize = 100_000;

/// Names for several states, with those that they leave out; the last three are those of ss(8).
pub const STATE_GROUPS: [(&str, &[TcpState]); 4] = [
    ("all", &[]),
    ("synchronized", &[TcpState::SynSent]),
    ("big", &[TcpState::SynRecv, TcpState::TimeWait]),
    (
        "bucket",
        &[
            TcpState::Established,
            TcpState::SynSent,
            TcpState::FinWait1,
            TcpState::FinWait2,
            TcpState::CloseWait,
            TcpState::LastAck,
            TcpState::Closing,
        ],
    ),
];

/// What ss(8) calls a state, where that is another name.
const ALIASES: [(&str, TcpState); 1] = [("estab", TcpState::Established)];

/// What a session or a dial may be at.
const PHASES: [&str; 8] = [
    Phase::Idle.label(),
    Phase::ReadingHead.label(),
    Phase::Waiting.label(),
    Phase::Exchange.label(),
    Phase::Tunnel.label(),
    Phase::Closing.label(),
    super::join::CONNECTING,
    NO_PHASE,
];
/// What has no owner.
const NO_PHASE: &str = "none";

const SIDES: [(&str, Peer); 2] = [("client", Peer::Client), ("upstream", Peer::Endpoint)];

const SORTS: [(&str, Sort); 5] = [
    ("age", Sort::Age),
    ("idle", Sort::Idle),
    ("state_age", Sort::StateAge),
    ("bytes", Sort::Bytes),
    ("rtt", Sort::Rtt),
];

/// What is wrong with a query, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongQuery(pub(super) String);

/// What comes first: the largest. What is not known comes last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Since it was established.
    #[default]
    Age,
    /// Since a byte came or went.
    Idle,
    /// Since it came into its state.
    StateAge,
    /// Received and sent.
    Bytes,
    /// Round-trip time.
    Rtt,
}

/// Which connections are wanted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// In any of these states; `None`: in whichever, and where none is known.
    pub(super) states: Option<TcpStates>,
    pub(super) side: Option<Peer>,
    /// Of this listener, by name or address.
    pub(super) listener: Option<String>,
    /// Of this upstream, by name or by an address that is one of its endpoints.
    pub(super) upstream: Option<String>,
    pub(super) endpoint: Option<Target>,
    /// At this; `Some(None)`: without an owner.
    pub(super) phase: Option<Option<&'static str>>,
    pub(super) older_than: Option<Duration>,
    pub(super) sort: Sort,
    pub(super) limit: usize,
}

/// An address, of which the port may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    ip: IpAddr,
    port: Option<u16>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            states: None,
            side: None,
            listener: None,
            upstream: None,
            endpoint: None,
            phase: None,
            older_than: None,
            sort: Sort::default(),
            limit: LIMIT,
        }
    }
}

impl Query {
    /// Reads the query of a URI. A key without a value is as good as none.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(query: &str) -> Result<Self, WrongQuery> {
        let mut parsed = Self::default();
        let mut given = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let known = KEYS.into_iter().find(|known| *known == key).ok_or_else(|| unknown_key(&key))?;
            if given.contains(&known) {
                return Err(WrongQuery(format!("{known} is given twice; write it once")));
            }
            given.push(known);
            if !value.is_empty() {
                parsed.set(known, &value)?;
            }
        }
        Ok(parsed)
    }

    /// Takes one key with its value, which is not empty.
    ///
    /// # Errors
    /// When the key is unknown, or the value is nothing that it may have.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), WrongQuery> {
        match key {
            "state" => self.states = Some(states(value)?),
            "listener" => self.listener = Some(value.to_owned()),
            "upstream" => self.upstream = Some(value.to_owned()),
            "endpoint" => self.endpoint = Some(Target::parse(value).ok_or_else(|| no_address(value))?),
            "side" => self.side = Some(word("side", value, &SIDES)?),
            "phase" => self.phase = Some(phase(value)?),
            "older_than" => self.older_than = Some(time(value)?),
            "sort" => self.sort = word("sort", value, &SORTS)?,
            "limit" => self.limit = limit(value)?,
            _ => return Err(unknown_key(key)),
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl Target {
    /// An IP address, or one with a port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            let address = plain(address);
            return Some(Self { ip: address.ip(), port: Some(address.port()) });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse::<IpAddr>().ok().map(|ip| Self { ip: ip.to_canonical(), port: None })
    }

    pub(super) fn is(self, address: SocketAddr) -> bool {
        let address = plain(address);
        address.ip() == self.ip && self.port.is_none_or(|port| port == address.port())
    }
}

/// `CLOSE-WAIT`, `close_wait` and `CloseWait` are the same word.
fn plain_word(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn states(text: &str) -> Result<TcpStates, WrongQuery> {
    let mut wanted = Vec::new();
    for name in text.split(',').map(str::trim) {
        let word = plain_word(name);
        let group = STATE_GROUPS.iter().find(|(group, _)| *group == word);
        let alias = ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, state)| *state);
        let single = TcpState::CONNECTION.into_iter().find(|state| plain_word(state.label()) == word);
        match (group, alias.or(single)) {
            (Some((_, without)), _) => {
                wanted.extend(TcpState::CONNECTION.into_iter().filter(|state| !without.contains(state)));
            }
            (None, Some(state)) => wanted.push(state),
            (None, None) => {
                let groups = STATE_GROUPS.iter().map(|(group, _)| *group);
                let known: Vec<&str> =
                    TcpState::CONNECTION.iter().map(|state| state.label()).chain(groups).collect();
                return Err(unknown("state", name, &known));
            }
        }
    }
    Ok(TcpStates::of(&wanted))
}

fn phase(text: &str) -> Result<Option<&'static str>, WrongQuery> {
    let found = PHASES.into_iter().find(|phase| plain_word(phase) == plain_word(text));
    let phase = found.ok_or_else(|| unknown("phase", text, &PHASES))?;
    Ok(Some(phase).filter(|phase| *phase != NO_PHASE))
}

fn word<T: Copy>(key: &str, text: &str, words: &[(&'static str, T)]) -> Result<T, WrongQuery> {
    let found = words.iter().find(|(word, _)| plain_word(word) == plain_word(text));
    let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    found.map(|(_, meant)| *meant).ok_or_else(|| unknown(key, text, &known()))
}

fn time(text: &str) -> Result<Duration, WrongQuery> {
    humantime::parse_duration(text).map_err(|_| {
        let example = if text.parse::<u64>().is_ok() { format!("{text}s") } else { "10s".to_owned() };
        let shown = shown(text);
        WrongQuery(format!("older_than: {shown} is not a time; write a number and a unit, such as {example}"))
    })
}

fn limit(text: &str) -> Result<usize, WrongQuery> {
    text.parse().ok().filter(|limit| *limit <= LIMIT_MAX).ok_or_else(|| {
        WrongQuery(format!("limit: {} will not do; write a whole number from 0 to {LIMIT_MAX}", shown(text)))
    })
}

fn no_address(text: &str) -> WrongQuery {
    WrongQuery(format!("endpoint: {} is not an address; write one such as 192.0.2.1:3000", shown(text)))
}

fn unknown_key(key: &str) -> WrongQuery {
    unknown("query", key, &KEYS)
}

/// A word that is none of these.
pub(super) fn unknown(key: &str, text: &str, known: &[&str]) -> WrongQuery {
    /// Words named at the most, where there is none that is alike.
    const NAMED: usize = 16;
    let fix = match closest(&text.replace('-', "_"), known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => "there is none".to_owned(),
        None if known.len() > NAMED => {
            format!("write one of {} such as {}", known.len(), known[..NAMED].join(", "))
        }
        None => format!("write one of {}", known.join(", ")),
    };
    WrongQuery(format!("{key}: {} is not known; {fix}", shown(text)))
}

/// Quoted, escaped and cut.
fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    let cut = if text.chars().count() > SHOWN { "…" } else { "" };
    format!("{:?}{cut}", text.chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests;
