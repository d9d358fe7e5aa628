//! The weights of SRV records, 0 to 65535, as shares from 1 to 1000.

use crate::discovery::record::Service;

const MOST: u32 = 1000;

/// In the same proportions as near as may be. They are made as small as possible, so that services of
/// equal weight have the share of an address without one. RFC 2782: weight 0 is a very small chance.
pub(super) fn scaled(class: &[Service]) -> Vec<u16> {
    let weight = |service: &Service| u32::from(service.weight);
    let common = class.iter().map(weight).fold(0, gcd).max(1);
    let largest = class.iter().map(weight).max().unwrap_or(0) / common;
    let share = |service: &Service| {
        let weight = weight(service) / common;
        let share = if largest > MOST { weight * MOST / largest } else { weight };
        u16::try_from(share.clamp(1, MOST)).unwrap_or(u16::MAX)
    };
    class.iter().map(share).collect()
}

fn gcd(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { gcd(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_kept_as_far_as_there_is_room() {
        let of = |weights: &[u16]| {
            let service =
                |weight: &u16| Service { priority: 0, target: "a".into(), port: 1, weight: *weight };
            scaled(&weights.iter().map(service).collect::<Vec<_>>())
        };
        assert_eq!(of(&[33, 33, 33]), [1, 1, 1]);
        assert_eq!(of(&[10, 20, 70]), [1, 2, 7]);
        assert_eq!(of(&[0, 0]), [1, 1]);
        assert_eq!(of(&[0, 100]), [1, 1], "there is no smaller share");
        assert_eq!(of(&[0, 100, 50]), [1, 2, 1]);
        assert_eq!(of(&[65535, 32768, 1, 0]), [1000, 500, 1, 1]);
        assert_eq!(of(&[]), [0_u16; 0]);
    }
}
