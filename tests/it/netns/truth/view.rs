//! The same sockets as `/stats` has them and as ss(8) has them.

use super::host::Way;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

/// Every state that a listener's and an endpoint's sockets are driven into.
pub(super) const EVERYWHERE: [(&str, &str); 17] = [
    ("listener", "listen"),
    ("listener", "syn_recv"),
    ("listener", "established"),
    ("listener", "fin_wait1"),
    ("listener", "fin_wait2"),
    ("listener", "time_wait"),
    ("listener", "close_wait"),
    ("listener", "last_ack"),
    ("listener", "closing"),
    ("endpoint", "syn_sent"),
    ("endpoint", "established"),
    ("endpoint", "fin_wait1"),
    ("endpoint", "fin_wait2"),
    ("endpoint", "time_wait"),
    ("endpoint", "close_wait"),
    ("endpoint", "last_ack"),
    ("endpoint", "closing"),
];

/// How many there are, where there are any.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// Of a "listener" or an "endpoint", by its name and the state.
    pub(super) states: BTreeMap<(&'static str, String, String), u64>,
    /// Ports that are "used" or in "time_wait", by source and endpoint.
    pub(super) sources: BTreeMap<(String, &'static str), u64>,
}

impl Counts {
    /// Where two do not agree on a listener or an endpoint.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<_> = self.states.keys().chain(other.states.keys()).collect();
        let both = keys.into_iter().map(|key| (key, self.states.get(key), other.states.get(key)));
        let differing = both.filter(|(_, one, other)| one != other);
        differing.map(|(key, one, other)| format!("{key:?}: {one:?} and {other:?}")).collect()
    }

    fn add_state(&mut self, kind: &'static str, name: &str, state: &str, count: u64) {
        if count > 0 {
            *self.states.entry((kind, name.to_owned(), state.to_owned())).or_default() += count;
        }
    }

    fn add_ports(&mut self, source: &str, endpoint: &str, what: &'static str, count: u64) {
        if count > 0 {
            *self.sources.entry((format!("{source} to {endpoint}"), what)).or_default() += count;
        }
    }
}

/// What `/stats` says.
pub(super) fn told(stats: &Value) -> Counts {
    let mut counts = Counts::default();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut add = |kind, name: &str, states: &Value| {
        for (state, count) in states.as_object().expect("the census is there") {
            counts.add_state(kind, name, state, count.as_u64().unwrap());
        }
    };
    let endpoints = || {
        let upstreams = stats["upstreams"].as_array().unwrap().iter();
        upstreams.flat_map(|upstream| upstream["endpoints"].as_array().unwrap())
    };
    for listener in stats["listeners"].as_array().unwrap() {
        add("listener", &text(&listener["name"]), &listener["tcp_states"]);
    }
    for endpoint in endpoints() {
        add("endpoint", &text(&endpoint["address"]), &endpoint["tcp_states"]);
    }
    for endpoint in endpoints() {
        for ports in endpoint["ports"].as_array().unwrap() {
            let (source, endpoint) = (text(&ports["source"]), text(&endpoint["address"]));
            for what in ["used", "time_wait"] {
                counts.add_ports(&source, &endpoint, what, ports[what].as_u64().unwrap());
            }
        }
    }
    counts
}

/// What `ss -tan` says: local and remote address, the latter none of a socket that listens, and state.
#[derive(Debug)]
pub(super) struct Kernel {
    sockets: HashMap<(SocketAddr, SocketAddr), &'static str>,
    listening: Vec<SocketAddr>,
}

/// As ss(8) writes them and as `/stats` does.
const STATES: [(&str, &str); 9] = [
    ("ESTAB", "established"),
    ("SYN-SENT", "syn_sent"),
    ("SYN-RECV", "syn_recv"),
    ("FIN-WAIT-1", "fin_wait1"),
    ("FIN-WAIT-2", "fin_wait2"),
    ("TIME-WAIT", "time_wait"),
    ("CLOSE-WAIT", "close_wait"),
    ("LAST-ACK", "last_ack"),
    ("CLOSING", "closing"),
];

impl Kernel {
    pub(super) fn look() -> Self {
        let output = Command::new("ss").args(["-t", "-a", "-n", "-H"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let (mut sockets, mut listening) = (HashMap::new(), Vec::new());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [state, _, _, local, remote, ..] = words[..] else { panic!("{line}") };
            let local = local.parse().unwrap_or_else(|_| panic!("{line}"));
            if state == "LISTEN" {
                listening.push(local);
                continue;
            }
            let (state, _) =
                STATES.iter().find(|(word, _)| *word == state).unwrap_or_else(|| panic!("{line}"));
            sockets.insert((local, remote.parse().unwrap_or_else(|_| panic!("{line}"))), *state);
        }
        Self { sockets, listening }
    }

    /// Where a socket is; "" if there is none.
    pub(super) fn state(&self, ends: (SocketAddr, SocketAddr)) -> &'static str {
        self.sockets.get(&ends).copied().unwrap_or_default()
    }

    /// By whose they are.
    pub(super) fn counts(&self, ways: &[Way], silent: &[Way]) -> Counts {
        let mut counts = Counts::default();
        let ways = || ways.iter().chain(silent);
        for ((local, remote), word) in &self.sockets {
            let state = STATES.iter().find(|(is, _)| is == word).expect("one of them").1;
            if let Some(listener) = listener_at(ways(), *local) {
                counts.add_state("listener", listener, state, 1);
            }
            if ways().flat_map(|way| way.endpoints).any(|endpoint| endpoint.parse() == Ok(*remote)) {
                let endpoint = remote.to_string();
                counts.add_state("endpoint", &endpoint, state, 1);
                let ports = if state == "time_wait" { "time_wait" } else { "used" };
                counts.add_ports(&local.ip().to_string(), &endpoint, ports, 1);
            }
        }
        for local in &self.listening {
            if let Some(way) = ways().find(|way| way.bind.parse() == Ok(*local)) {
                counts.add_state("listener", way.name, "listen", 1);
            }
        }
        counts
    }
}

/// The kernel gives a connection to the socket that is bound to its address, else to the one that is bound
/// to all of its family.
fn listener_at<'a>(mut ways: impl Iterator<Item = &'a Way> + Clone, local: SocketAddr) -> Option<&'a str> {
    let bound = |way: &&Way| way.bind.parse::<SocketAddr>().expect("an address");
    let everywhere = |address: SocketAddr| {
        let of_its_family = matches!(
            (address.ip(), local.ip()),
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_))
        );
        address.ip().is_unspecified() && of_its_family && address.port() == local.port()
    };
    let exact = ways.clone().find(|way| bound(way) == local);
    exact.or_else(|| ways.find(|way| everywhere(bound(way)))).map(|way| way.name)
}
