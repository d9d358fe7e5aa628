//! Figures that `millpond stats` says in the same words as `millpond top`. Pure.

use super::alarms::{self, Alarm};
use super::format::{self, MISSING};
use super::rates::Rates;
use crate::observe::snapshot::{AcceptQueue, Snapshot, TcpStates};

/// The column that the text of an alarm begins in.
pub(super) const ALARM_INDENT: usize = 10;

/// The states of TCP in the order of interest, and what they are called where room is short.
const STATES: [(&str, &str); 9] = [
    ("close_wait", "cw"),
    ("established", "est"),
    ("time_wait", "tw"),
    ("syn_sent", "ss"),
    ("syn_recv", "sr"),
    ("fin_wait1", "fw1"),
    ("fin_wait2", "fw2"),
    ("last_ack", "la"),
    ("closing", "cg"),
];

/// The states that sockets are in, such as `est 120 tw 4`.
pub(in crate::cli) fn states(states: Option<&TcpStates>) -> String {
    let Some(states) = states else { return MISSING.to_owned() };
    let known = STATES.iter().filter_map(|(state, short)| Some((*short, *states.get(*state)?)));
    // Sockets that listen are no connections, and stand in the queue's column.
    let is_new = |state: &str| state != "listen" && STATES.iter().all(|(known, _)| *known != state);
    let others = states.iter().filter(|(state, _)| is_new(state)).map(|(state, n)| (state.as_str(), *n));
    let counted: Vec<_> =
        known.chain(others).filter(|(_, n)| *n > 0).map(|(state, n)| format!("{state} {n}")).collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(" ") }
}

/// How many wait to be accepted, the most that did within the last minute, and how many may.
pub(in crate::cli) fn queue(queue: &AcceptQueue) -> String {
    [queue.depth, queue.depth_max, Some(queue.limit)].map(format::count).join("/")
}

/// One alarm, with its word.
pub(super) fn alarm(alarm: &Alarm) -> String {
    format!("{:ALARM_INDENT$}{}", alarm.word(), alarm.text)
}

/// What is wrong by one snapshot alone, which knows of no rates: the worst first, a line each.
pub(in crate::cli) fn alarms(snapshot: &Snapshot) -> Vec<String> {
    alarms::of(snapshot, &Rates::unknown(snapshot)).iter().map(alarm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_short_and_the_worst_comes_first() {
        let counted = |counts: &[(&str, u64)]| {
            states(Some(&counts.iter().map(|(state, n)| ((*state).to_owned(), *n)).collect()))
        };
        let many = [
            ("established", 120),
            ("time_wait", 4),
            ("close_wait", 2),
            ("last_ack", 0),
            ("listen", 2),
            ("zombie", 1),
        ];
        assert_eq!(counted(&many), "cw 2 est 120 tw 4 zombie 1");
        assert_eq!((counted(&[("established", 0)]), states(None)), ("none".into(), "-".into()));
    }

    #[test]
    fn a_queue_is_what_it_is_was_and_may_be() {
        let known = AcceptQueue {
            depth: Some(7),
            limit: 4096,
            depth_max: Some(1234),
            drops_total: Some(9),
            sockets: Vec::new(),
        };
        let unknown = AcceptQueue { depth: None, depth_max: None, ..known.clone() };
        assert_eq!([queue(&known), queue(&unknown)], ["7/1,234/4,096", "-/-/4,096"]);
    }
}
