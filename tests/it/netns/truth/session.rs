//! A client, an endpoint, and how they behave towards the proxy between them.

use super::host::{Held, Way};
use super::view::Kernel;
use crate::netns::namespace::nft;
use socket2::{Domain, Socket, Type};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Endpoint,
}

use Side::{Client, Endpoint};

/// What is done at a step, before which a rule may drop what comes of one side or goes to it.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Nothing.
    Rest,
    /// This side closes its sending half.
    Fin(Side),
    /// The same, and nothing that this other side sends arrives from now on.
    FinToMuted(Side, Side),
    /// The same, and no FIN arrives at this other side.
    FinToDeaf(Side, Side),
}

pub(super) const STEPS: usize = 3;

/// How a connection is treated, and where the proxy's two sockets are after each step; "": nowhere.
#[derive(Debug)]
pub(super) struct Script {
    steps: [Step; STEPS],
    client: [&'static str; STEPS],
    endpoint: [&'static str; STEPS],
}

const E: &str = "ESTAB";
const CW: &str = "CLOSE-WAIT";
const F1: &str = "FIN-WAIT-1";
const F2: &str = "FIN-WAIT-2";
const LA: &str = "LAST-ACK";
const CL: &str = "CLOSING";
const TW: &str = "TIME-WAIT";

const fn script(steps: [Step; 2], client: [&'static str; 2], endpoint: [&'static str; 2]) -> Script {
    Script {
        steps: [Step::Rest, steps[0], steps[1]],
        client: [E, client[0], client[1]],
        endpoint: [E, endpoint[0], endpoint[1]],
    }
}

pub(super) const SCRIPTS: [Script; 12] = {
    use Step::{Fin, FinToDeaf, FinToMuted, Rest};
    [
        script([Rest, Rest], [E, E], [E, E]),
        script([Fin(Client), Rest], [CW, CW], [F2, F2]),
        script([Fin(Endpoint), Rest], [F2, F2], [CW, CW]),
        script([FinToMuted(Client, Endpoint), Rest], [CW, CW], [F1, F1]),
        script([FinToMuted(Endpoint, Client), Rest], [F1, F1], [CW, CW]),
        script([Fin(Client), FinToMuted(Endpoint, Client)], [CW, LA], [F2, TW]),
        script([Fin(Endpoint), FinToMuted(Client, Endpoint)], [F2, TW], [CW, LA]),
        script([FinToDeaf(Client, Endpoint), Fin(Endpoint)], [CW, ""], [F1, CL]),
        script([FinToDeaf(Endpoint, Client), Fin(Client)], [F1, CL], [CW, ""]),
        script([Fin(Client), Fin(Endpoint)], [CW, ""], [F2, TW]),
        // Nobody answers the proxy's SYN-ACK, and nobody its SYN.
        Script { steps: [Rest; STEPS], client: ["SYN-RECV"; STEPS], endpoint: [""; STEPS] },
        Script { steps: [Rest; STEPS], client: [E; STEPS], endpoint: ["SYN-SENT"; STEPS] },
    ]
};

impl Script {
    /// The client's handshake does not come to its end.
    pub(super) fn is_unanswered(&self) -> bool {
        self.client[0] == "SYN-RECV"
    }

    /// The endpoint does not answer.
    pub(super) fn is_undialled(&self) -> bool {
        self.endpoint[0] == "SYN-SENT"
    }
}

/// A connection through the proxy.
#[derive(Debug)]
pub(super) struct Session {
    script: &'static Script,
    client: Socket,
    endpoint: Option<Socket>,
    /// The proxy's sockets: local address, and remote.
    ends: [Option<(SocketAddr, SocketAddr)>; 2],
}

impl Session {
    pub(super) fn new(
        way: Way,
        script: &'static Script,
        client: Socket,
        endpoint: Option<TcpStream>,
    ) -> Self {
        let own = client.local_addr().unwrap().as_socket().unwrap();
        let dialled = endpoint.as_ref().map(|s| (s.peer_addr().unwrap(), s.local_addr().unwrap()));
        let ends = [Some((way.to.parse().unwrap(), own)), dialled];
        Self { script, client, endpoint: endpoint.map(Socket::from), ends }
    }

    /// A client on this port that never hears of the proxy.
    pub(super) fn unanswered(way: Way, script: &'static Script, port: u16) -> Self {
        let to: SocketAddr = way.to.parse().unwrap();
        let client = socket(way, port);
        let own = client.local_addr().unwrap().as_socket().unwrap();
        nft(&Held::Unanswered.between(to, own));
        client.set_nonblocking(true).unwrap();
        client.connect(&to.into()).expect_err("it is not answered at once");
        Self::new(way, script, client, None)
    }

    /// What nft(8) is to be told before this step.
    pub(super) fn rule(&self, step: usize) -> Option<String> {
        let (held, side, comes) = match self.script.steps[step] {
            Step::Rest | Step::Fin(_) => return None,
            Step::FinToMuted(_, side) => (Held::Mute, side, true),
            Step::FinToDeaf(_, side) => (Held::Unending, side, false),
        };
        let (local, remote) = self.ends[side as usize].expect("it was dialled");
        let (from, to) = if comes { (remote, local) } else { (local, remote) };
        Some(held.between(from, to))
    }

    pub(super) fn act(&mut self, step: usize) {
        let side = match self.script.steps[step] {
            Step::Rest => return,
            Step::Fin(side) | Step::FinToMuted(side, _) | Step::FinToDeaf(side, _) => side,
        };
        let socket = match side {
            Client => &self.client,
            Endpoint => self.endpoint.as_ref().expect("it was dialled"),
        };
        socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Says so if one of the proxy's sockets is not where it is to be after this step. Whom the endpoint
    /// has not accepted, nobody knows yet.
    pub(super) fn elsewhere(&self, step: usize, kernel: &Kernel) -> Option<String> {
        let expected = [self.script.client[step], self.script.endpoint[step]];
        let found = self.ends.map(|ends| ends.map_or("", |ends| kernel.state(ends)));
        let agrees = found[0] == expected[0] && (self.ends[1].is_none() || found[1] == expected[1]);
        (!agrees).then(|| format!("{found:?} instead of {expected:?} at {:?}; ", self.ends))
    }

    /// Both sides end it by RST, which every state but TIME_WAIT ends with.
    pub(super) fn reset(self) {
        for socket in [Some(self.client), self.endpoint].into_iter().flatten() {
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}

/// A client of this way.
pub(super) fn connect(way: Way) -> Socket {
    let to: SocketAddr = way.to.parse().unwrap();
    let client = socket(way, 0);
    client.connect(&to.into()).unwrap_or_else(|error| panic!("{}: {error}", way.name));
    client
}

fn socket(way: Way, port: u16) -> Socket {
    let mut from: SocketAddr = way.from.parse().unwrap();
    from.set_port(port);
    let client = Socket::new(Domain::for_address(from), Type::STREAM, None).unwrap();
    client.bind(&from.into()).unwrap();
    client
}
