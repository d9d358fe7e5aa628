//! How connections are closed: the policy's plans, carried out on a model of TCP.

use crate::chance::Chance;
use crate::runner::Log;
use millpond::close::policy::{self, ClientClose, ClientState, EndpointFacts, FirstFin, Stage, TimeWait};
use millpond::config::model::{Linger, UpstreamClose};
use millpond::reason::CloseReason;
use millpond::sys::sock_diag::TcpState;
use std::time::Duration;

/// Connections of one history, of each kind.
const CONNECTIONS: usize = 20;

/// Plays the history of a seed.
pub(crate) fn simulate(seed: u64, log: &mut Log) {
    let mut chance = Chance::new(seed);
    for number in 0..CONNECTIONS {
        close_client(&mut chance, number, log);
        close_endpoint(&mut chance, number, log);
    }
}

/// What the policy goes by.
#[derive(Clone, Copy, Debug)]
struct Client {
    linger: Linger,
    state: ClientState,
    unread: usize,
    unacknowledged: usize,
}

impl Client {
    fn random(chance: &mut Chance) -> Self {
        let read_to_end = chance.one_in(4);
        let linger = chance.of(&[
            Linger::Graceful,
            Linger::Graceful,
            Linger::Timed(Duration::from_secs(1)),
            Linger::Reset,
        ]);
        let state = ClientState {
            peer_closed: read_to_end || chance.one_in(3),
            read_to_end,
            announced_last: chance.one_in(3),
            cut: chance.one_in(6),
        };
        // Nothing stands behind a FIN, and nothing is left before one that was read.
        let unread = if read_to_end { 0 } else { chance.of(&[0, 0, 1, 700]) };
        Self { linger, state, unread, unacknowledged: chance.of(&[0, 0, 1, 9000]) }
    }
}

fn close_client(chance: &mut Chance, number: usize, log: &mut Log) {
    let client = Client::random(chance);
    let Client { linger, state, unread, unacknowledged } = client;
    let plan = policy::client(linger, state, || unread, || unacknowledged);
    log.say("clients", number, || format!("{client:?}: {plan:?}"));
    let may_speak = !state.peer_closed && !state.announced_last;
    let wants_reset = linger == Linger::Reset || state.cut;
    match plan {
        // The kernel answers what was not read, and what comes later, by RST.
        ClientClose::Close => assert!(unread == 0 && !may_speak && !wants_reset, "{client:?}"),
        ClientClose::Drain => assert!(!wants_reset && linger == Linger::Graceful, "{client:?}"),
        ClientClose::Acknowledge(time) => assert_eq!((linger, wants_reset), (Linger::Timed(time), false)),
        ClientClose::Reset => {
            assert!(unacknowledged == 0 && wants_reset, "{client:?}: {unacknowledged} bytes are lost");
        }
        ClientClose::ResetOnceAcknowledged { cut } => {
            assert!(wants_reset && unacknowledged > 0 && cut == state.cut, "{client:?}");
        }
    }
    let by_reset = matches!(plan, ClientClose::Reset | ClientClose::ResetOnceAcknowledged { .. });
    let told = plan.reason(CloseReason::Graceful) == CloseReason::Reset;
    assert_eq!(told, by_reset, "what is counted is what is done: {plan:?}");
}

/// Our end of a connection to an endpoint, as RFC 9293 section 3.6 has it, and what the policy is told.
#[derive(Clone, Copy, Debug)]
struct Tcp {
    state: TcpState,
    is_reset: bool,
    /// Whether the endpoint's FIN was there before ours was sent.
    endpoint_first: bool,
    first_fin: Option<FirstFin>,
    /// What the policy has to go by may be what another history would have led to: then it has to take it
    /// for the one that holds the port.
    is_ambiguous: bool,
}

impl Tcp {
    const OPEN: Self = Self {
        state: TcpState::Established,
        is_reset: false,
        endpoint_first: false,
        first_fin: None,
        is_ambiguous: false,
    };

    fn endpoint_fin(&mut self) {
        self.state = match self.state {
            TcpState::Established => {
                self.endpoint_first = true;
                TcpState::CloseWait
            }
            TcpState::FinWait1 => TcpState::Closing,
            // The kernel takes the TIME_WAIT from the socket.
            TcpState::FinWait2 => TcpState::Closed,
            other => other,
        };
    }

    fn acknowledged(&mut self) {
        self.state = match self.state {
            TcpState::FinWait1 => TcpState::FinWait2,
            TcpState::Closing | TcpState::LastAck => TcpState::Closed,
            other => other,
        };
    }

    fn send_fin(&mut self, crossed: bool, at_once: bool) {
        let before = self.state;
        if crossed {
            self.endpoint_fin();
        }
        self.state = match self.state {
            TcpState::Established => TcpState::FinWait1,
            TcpState::CloseWait => TcpState::LastAck,
            other => other,
        };
        if at_once {
            self.acknowledged();
        }
        if before != self.state && self.first_fin.is_none() {
            self.first_fin = Some(FirstFin::of(before, self.state));
            self.is_ambiguous |= crossed && at_once && before == TcpState::Established;
        }
    }

    fn reset(&mut self) {
        self.is_ambiguous |= self.first_fin.is_some();
        (self.state, self.is_reset) = (TcpState::Closed, true);
    }

    /// Whether close(2), or RST, leaves a TIME_WAIT here in the end.
    fn leaves_time_wait(&self, by_reset: bool) -> bool {
        match self.state {
            TcpState::Closed => !self.is_reset && !self.endpoint_first,
            _ => !by_reset && !self.endpoint_first,
        }
    }
}

fn close_endpoint(chance: &mut Chance, number: usize, log: &mut Log) {
    let mut tcp = Tcp::OPEN;
    for _ in 0..chance.below(5) {
        match chance.below(8) {
            0..3 => tcp.endpoint_fin(),
            3..5 => tcp.acknowledged(),
            5..7 => tcp.send_fin(chance.one_in(3), chance.one_in(3)),
            _ => tcp.reset(),
        }
    }
    let is_closed = tcp.state == TcpState::Closed;
    let facts = EndpointFacts {
        close: chance.of(&[UpstreamClose::Auto, UpstreamClose::Graceful, UpstreamClose::Reset]),
        stage: Stage::of(tcp.state, tcp.first_fin),
        outstanding: if is_closed { 0 } else { chance.of(&[0, 0, 1, 4000]) },
        unread: if is_closed { 0 } else { chance.of(&[0, 0, 0, 1]) },
        wanted: chance.one_in(2),
        port_pressure: chance.one_in(3),
    };
    let plan = policy::endpoint(facts);
    log.say("endpoints", number, || format!("{tcp:?} {facts:?}: {plan:?}"));
    let EndpointFacts { close, outstanding, unread, wanted, port_pressure, .. } = facts;
    let kernel_resets = unread > 0;
    if plan.reset {
        let may = kernel_resets
            || match close {
                UpstreamClose::Reset => true,
                UpstreamClose::Auto => outstanding == 0 || !wanted,
                UpstreamClose::Graceful => outstanding == 0 && port_pressure,
            };
        assert!(may, "{facts:?}: {outstanding} bytes are lost");
        assert!(!matches!(facts.stage, Stage::TimeWait | Stage::Gone), "{facts:?}: RST reaches nobody");
    } else {
        assert!(!kernel_resets || is_closed, "{facts:?}: the kernel resets it");
    }
    check_time_wait(&tcp, facts, plan.reset, plan.time_wait);
}

fn check_time_wait(tcp: &Tcp, facts: EndpointFacts, by_reset: bool, told: TimeWait) {
    let is_left = tcp.leaves_time_wait(by_reset);
    assert!(!is_left || told == TimeWait::Left, "{tcp:?} {facts:?}: a TIME_WAIT is there, told is {told:?}");
    if !tcp.is_ambiguous {
        assert_eq!(told == TimeWait::Left, is_left, "{tcp:?} {facts:?}");
        let would_be = tcp.leaves_time_wait(false);
        assert_eq!(told == TimeWait::Avoided, would_be && !is_left, "{tcp:?} {facts:?}");
    }
    let is_open = tcp.state != TcpState::Closed;
    let nobody_minds = facts.outstanding == 0 || !facts.wanted;
    assert!(
        facts.close != UpstreamClose::Auto || !is_open || !nobody_minds || !is_left,
        "{facts:?}: a TIME_WAIT that nobody needs"
    );
}
