//! Every combination of facts.

use super::client as policy_client;
use super::*;

const TIME: Duration = Duration::from_secs(1);
const LINGERS: [Linger; 3] = [Linger::Graceful, Linger::Reset, Linger::Timed(TIME)];

/// All that decides how a client's connection is closed.
#[derive(Clone, Copy, Debug)]
struct ClientFacts {
    linger: Linger,
    state: ClientState,
    unread: usize,
    unacknowledged: usize,
}

fn every_client() -> Vec<ClientFacts> {
    let mut all = Vec::new();
    for linger in LINGERS {
        for bits in 0..64_usize {
            let bit = |at: usize| bits >> at & 1;
            let state = ClientState {
                peer_closed: bit(0) > 0,
                read_to_end: bit(5) > 0,
                announced_last: bit(1) > 0,
                cut: bit(2) > 0,
            };
            all.push(ClientFacts { linger, state, unread: bit(3) * 7, unacknowledged: bit(4) * 7 });
        }
    }
    // Behind the end there is nothing.
    all.retain(|facts| !facts.state.read_to_end || facts.state.peer_closed && facts.unread == 0);
    all
}

fn client(facts: ClientFacts) -> ClientClose {
    policy_client(facts.linger, facts.state, || facts.unread, || facts.unacknowledged)
}

/// What is cut looks cut, however the listener closes otherwise; and RST never destroys what is on its
/// way as long as there is time.
#[test]
fn truncation_and_configuration_reset_but_only_what_is_acknowledged() {
    for facts in every_client() {
        let resets = facts.state.cut || facts.linger == Linger::Reset;
        match client(facts) {
            ClientClose::Reset => assert!(resets && facts.unacknowledged == 0, "{facts:?}"),
            ClientClose::ResetOnceAcknowledged { cut } => {
                assert!(resets && facts.unacknowledged > 0 && cut == facts.state.cut, "{facts:?}");
            }
            other => assert!(!resets, "{facts:?} is closed by {other:?}"),
        }
    }
}

#[test]
fn a_time_means_to_wait_for_acknowledgement() {
    for facts in every_client().into_iter().filter(|facts| !facts.state.cut) {
        let waits = client(facts) == ClientClose::Acknowledge(TIME);
        assert_eq!(waits, facts.linger == Linger::Timed(TIME), "{facts:?}");
    }
}

/// So the kernel need not be asked.
#[test]
fn what_is_acknowledged_decides_nothing_without_a_reset() {
    for facts in every_client() {
        let plan = client(facts);
        let other = client(ClientFacts { unacknowledged: 7 - facts.unacknowledged, ..facts });
        let resets = facts.state.cut || facts.linger == Linger::Reset;
        assert_eq!(plan != other, resets, "{facts:?}");
    }
}

/// Bytes that nobody reads are answered with RST by the kernel: who may still send, or has sent what
/// was not read, is drained.
#[test]
fn whoever_may_have_sent_more_is_drained() {
    let graceful = |facts: &ClientFacts| facts.linger == Linger::Graceful && !facts.state.cut;
    for facts in every_client().into_iter().filter(graceful) {
        let silent = facts.state.peer_closed || facts.state.announced_last;
        let expected = match silent && facts.unread == 0 {
            true => ClientClose::Close,
            false => ClientClose::Drain,
        };
        assert_eq!(client(facts), expected, "{facts:?}");
    }
}

/// A client that closes after its answer, as nearly all do: close(2), and no system call before it.
#[test]
fn the_kernel_is_asked_nothing_about_a_client_that_was_read_to_its_end() {
    let asked = || -> usize { panic!("it was asked for") };
    let close = |linger| policy_client(linger, ClientState::ENDED, asked, asked);
    assert_eq!(close(Linger::Graceful), ClientClose::Close);
    assert_eq!(close(Linger::Timed(TIME)), ClientClose::Acknowledge(TIME));
}

#[test]
fn a_reset_by_configuration_is_counted_as_one() {
    let late = ClientClose::ResetOnceAcknowledged { cut: false };
    for reason in CloseReason::ALL.iter().copied() {
        let graceful =
            matches!(reason, CloseReason::Graceful | CloseReason::IdleTimeout | CloseReason::TunnelDone);
        for reset in [ClientClose::Reset, late] {
            assert_eq!(reset.reason(reason), if graceful { CloseReason::Reset } else { reason });
        }
        for other in [ClientClose::Close, ClientClose::Drain, ClientClose::Acknowledge(TIME)] {
            assert_eq!(other.reason(reason), reason);
        }
    }
}

const CLOSES: [UpstreamClose; 3] = [UpstreamClose::Auto, UpstreamClose::Graceful, UpstreamClose::Reset];
const STAGES: [Stage; 5] = [Stage::Open, Stage::EndpointFirst, Stage::WeFirst, Stage::TimeWait, Stage::Gone];

fn every_endpoint() -> Vec<EndpointFacts> {
    let mut all = Vec::new();
    for close in CLOSES {
        for stage in STAGES {
            for bits in 0..16_usize {
                let bit = |at: usize| bits >> at & 1;
                let (outstanding, unread) = (bit(0) * 7, bit(1) * 7);
                let (wanted, port_pressure) = (bit(2) > 0, bit(3) > 0);
                all.push(EndpointFacts { close, stage, outstanding, unread, wanted, port_pressure });
            }
        }
    }
    all
}

/// So the kernel need not be asked.
#[test]
fn the_queues_decide_nothing_where_everything_is_reset() {
    for facts in every_endpoint().into_iter().filter(|facts| facts.close == UpstreamClose::Reset) {
        assert_eq!(
            endpoint(facts),
            endpoint(EndpointFacts { outstanding: 0, unread: 0, ..facts }),
            "{facts:?}"
        );
    }
}

/// The whole decision once more, as a table of what is reset.
#[test]
fn what_is_reset() {
    for facts in every_endpoint() {
        let EndpointFacts { close, stage, outstanding, unread, wanted, port_pressure } = facts;
        let expected = match (close, stage, outstanding > 0, wanted, port_pressure) {
            (_, Stage::TimeWait | Stage::Gone, ..) => false,
            _ if unread > 0 => true,
            (UpstreamClose::Reset, ..) => true,
            (_, Stage::EndpointFirst, ..) => false,
            (UpstreamClose::Auto, _, true, true, _) => false,
            (UpstreamClose::Auto, ..) => true,
            (UpstreamClose::Graceful, _, false, _, true) => true,
            (UpstreamClose::Graceful, ..) => false,
        };
        assert_eq!(endpoint(facts).reset, expected, "{facts:?}");
    }
}

#[test]
fn a_time_wait_is_left_avoided_or_not_at_stake() {
    for facts in every_endpoint() {
        let plan = endpoint(facts);
        let expected = match (facts.stage, plan.reset) {
            (Stage::TimeWait, _) | (Stage::Open | Stage::WeFirst, false) => TimeWait::Left,
            (Stage::Open | Stage::WeFirst, true) => TimeWait::Avoided,
            (Stage::EndpointFirst | Stage::Gone, _) => TimeWait::NotHere,
        };
        assert_eq!(plan.time_wait, expected, "{facts:?}");
    }
}

#[test]
fn wanted_bytes_are_destroyed_by_configuration_alone() {
    let wanted = |facts: &EndpointFacts| facts.wanted && facts.outstanding > 0 && facts.unread == 0;
    for facts in every_endpoint().into_iter().filter(wanted) {
        assert!(!endpoint(facts).reset || facts.close == UpstreamClose::Reset, "{facts:?}");
    }
}

#[test]
fn the_stage_follows_from_the_state_and_from_whose_fin_was_first() {
    use TcpState as State;
    for first in [None, Some(FirstFin::Ours), Some(FirstFin::Endpoints)] {
        for state in State::ALL {
            let expected = match (state, first) {
                (State::Established, _) => Stage::Open,
                (State::CloseWait | State::LastAck, _) => Stage::EndpointFirst,
                (State::Closed, Some(FirstFin::Endpoints)) => Stage::EndpointFirst,
                (State::FinWait1 | State::FinWait2 | State::Closing, _) => Stage::WeFirst,
                (State::TimeWait, _) | (State::Closed, Some(FirstFin::Ours)) => Stage::TimeWait,
                (State::Closed | State::SynSent | State::SynRecv | State::Listen, _) => Stage::Gone,
            };
            assert_eq!(Stage::of(state, first), expected, "{state:?} {first:?}");
        }
    }
}

#[test]
fn whose_fin_was_first_shows_before_our_own_or_by_crossing_it() {
    use TcpState as State;
    for after in State::ALL {
        assert_eq!(FirstFin::of(State::CloseWait, after), FirstFin::Endpoints);
        let crossed = after == State::LastAck;
        let expected = if crossed { FirstFin::Endpoints } else { FirstFin::Ours };
        assert_eq!(FirstFin::of(State::Established, after), expected, "{after:?}");
    }
}

/// So the kernel need not be asked, unless RST is wanted in any case.
#[test]
fn after_both_fins_nothing_else_decides() {
    use TcpState as State;
    for (state, first) in [
        (State::TimeWait, FirstFin::Ours),
        (State::Closed, FirstFin::Ours),
        // Ours goes out with the close.
        (State::CloseWait, FirstFin::Endpoints),
        (State::LastAck, FirstFin::Endpoints),
        (State::Closed, FirstFin::Endpoints),
    ] {
        let stage = Stage::closed(first);
        assert_eq!(Stage::of(state, Some(first)), stage);
        let alike = |facts: &EndpointFacts| facts.stage == stage && facts.unread == 0;
        for facts in every_endpoint().into_iter().filter(alike) {
            let plan = endpoint(EndpointFacts { outstanding: 0, ..facts });
            assert_eq!(endpoint(facts), plan, "{facts:?}");
            assert!(!plan.reset || facts.close == UpstreamClose::Reset, "{facts:?}");
        }
    }
}
