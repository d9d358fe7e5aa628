//! A program for the kernel's filter: which ports sockets must have to be listed. Without it every
//! socket of the host is copied to us, which costs ten times as much as looking at it there.
//!
//! Layout and rules: struct inet_diag_bc_op in linux/inet_diag.h, inet_diag_bc_audit in
//! net/ipv4/inet_diag.c. An operation says how many bytes to go on where it holds (`yes`, one byte) and
//! where it does not (`no`, two bytes). Who arrives exactly at the end is listed, who goes beyond it is not.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// An instruction for the kernel: list what has one of these local or one of these remote ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<u8>);

/// Ranges that a program has at the most. The kernel tries one after the other, for each socket.
const RANGES_MAX: usize = 64;

const JUMP: u8 = 1;
const LOCAL_AT_LEAST: u8 = 2;
const LOCAL_AT_MOST: u8 = 3;
const REMOTE_AT_LEAST: u8 = 4;
const REMOTE_AT_MOST: u8 = 5;

/// Bytes of an operation that compares: itself, and the port in a second one.
const COMPARE: u8 = 8;
/// Bytes of a jump.
const LEAP: u8 = 4;
/// Bytes of what stands for one range: from its first port on, up to its last one, then to the end.
const RANGE: usize = 2 * COMPARE as usize + LEAP as usize;

impl Program {
    /// Lists sockets with one of these ports on our side, or one of those on the other. Where they are
    /// many and far apart, some are listed that have a port between two of them.
    pub fn any_of(local: &BTreeSet<u16>, remote: &BTreeSet<u16>) -> Self {
        let most = RANGES_MAX / 2;
        let local = ranges(local, most).into_iter().map(|range| (range, [LOCAL_AT_LEAST, LOCAL_AT_MOST]));
        let remote = ranges(remote, most).into_iter().map(|range| (range, [REMOTE_AT_LEAST, REMOTE_AT_MOST]));
        let all: Vec<_> = local.chain(remote).collect();
        let mut bytes = Vec::with_capacity(all.len() * RANGE + usize::from(LEAP));
        for (place, (range, [at_least, at_most])) in all.iter().enumerate() {
            let left = (all.len() - place) * RANGE;
            // From the last range, whoever is not in it goes beyond the end.
            let next = if place + 1 < all.len() { RANGE } else { RANGE + usize::from(LEAP) };
            compare(&mut bytes, *at_least, *range.start(), next);
            compare(&mut bytes, *at_most, *range.end(), next - usize::from(COMPARE));
            operation(&mut bytes, JUMP, LEAP, left - RANGE + usize::from(LEAP));
        }
        if all.is_empty() {
            operation(&mut bytes, JUMP, LEAP, 2 * usize::from(LEAP));
        }
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn compare(bytes: &mut Vec<u8>, code: u8, port: u16, no: usize) {
    operation(bytes, code, COMPARE, no);
    operation(bytes, 0, 0, usize::from(port));
}

fn operation(bytes: &mut Vec<u8>, code: u8, yes: u8, no: usize) {
    bytes.extend([code, yes]);
    // At the most RANGES_MAX times RANGE, or a port.
    bytes.extend(u16::try_from(no).unwrap_or(u16::MAX).to_ne_bytes());
}

/// These ports as at most so many ranges, with as few other ports among them as can be.
fn ranges(ports: &BTreeSet<u16>, most: usize) -> Vec<RangeInclusive<u16>> {
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    let gap = |before: &RangeInclusive<u16>, port: u16| port - before.end();
    // The gaps that stay are the widest.
    let mut gaps: Vec<u16> = ports.iter().zip(ports.iter().skip(1)).map(|(a, b)| b - a).collect();
    gaps.sort_unstable_by_key(|gap| std::cmp::Reverse(*gap));
    let closed = gaps.get(most.saturating_sub(1)).copied().unwrap_or(0).max(1);
    for &port in ports {
        match ranges.last_mut() {
            Some(last) if gap(last, port) <= closed => *last = *last.start()..=port,
            _ => ranges.push(port..=port),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel does with a program (inet_diag_bc_run).
    fn lists(program: &Program, local: u16, remote: u16) -> bool {
        let (mut at, bytes) = (0, program.bytes());
        while at < bytes.len() {
            let number = |at: usize| u16::from_ne_bytes([bytes[at + 2], bytes[at + 3]]);
            let holds = match bytes[at] {
                JUMP => false,
                LOCAL_AT_LEAST => local >= number(at + 4),
                LOCAL_AT_MOST => local <= number(at + 4),
                REMOTE_AT_LEAST => remote >= number(at + 4),
                REMOTE_AT_MOST => remote <= number(at + 4),
                other => panic!("operation {other}"),
            };
            at += if holds { usize::from(bytes[at + 1]) } else { usize::from(number(at)) };
        }
        at == bytes.len()
    }

    fn set(ports: &[u16]) -> BTreeSet<u16> {
        ports.iter().copied().collect()
    }

    #[test]
    fn neighbours_are_one_range_and_the_widest_gaps_stay() {
        assert_eq!(ranges(&set(&[1, 2, 3, 80, 443, 444]), 32), [1..=3, 80..=80, 443..=444]);
        assert_eq!(ranges(&set(&[1, 5, 100, 110, 1000]), 3), [1..=5, 100..=110, 1000..=1000]);
        assert_eq!(ranges(&set(&[]), 3), []);
        assert_eq!(ranges(&set(&[0, u16::MAX]), 3), [0..=0, u16::MAX..=u16::MAX]);
    }

    #[test]
    fn nobody_is_listed_where_nobody_is_asked_for() {
        let program = Program::any_of(&set(&[]), &set(&[]));
        assert!(!lists(&program, 0, 0) && !lists(&program, 80, 80));
    }

    proptest! {
        #[test]
        fn who_has_one_of_the_ports_is_listed_and_with_few_ports_nobody_else(
            local in prop::collection::btree_set(any::<u16>(), 0..30),
            remote in prop::collection::btree_set(any::<u16>(), 0..30),
            others in prop::collection::vec((any::<u16>(), any::<u16>()), 50),
        ) {
            let program = Program::any_of(&local, &remote);
            prop_assert!(program.bytes().len() <= RANGES_MAX * RANGE + usize::from(LEAP));
            local.iter().for_each(|port| assert!(lists(&program, *port, 0)));
            remote.iter().for_each(|port| assert!(lists(&program, 0, *port)));
            for (near, far) in others {
                prop_assert_eq!(lists(&program, near, far), local.contains(&near) || remote.contains(&far));
            }
        }

        #[test]
        fn many_ports_make_no_longer_program(ports in prop::collection::btree_set(any::<u16>(), 0..2000)) {
            let program = Program::any_of(&ports, &ports);
            prop_assert!(program.bytes().len() <= RANGES_MAX * RANGE);
            ports.iter().for_each(|port| assert!(lists(&program, *port, 0) && lists(&program, 0, *port)));
        }
    }
}
