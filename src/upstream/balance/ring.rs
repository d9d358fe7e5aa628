//! Always the same endpoint for the same key: consistent hashing on a ring (Karger et al., 1997).
//!
//! Each endpoint has points on the ring, in number as its weight; a key belongs to the first point at
//! or after its hash whose endpoint is a member. So when an endpoint goes, its keys move, each to the
//! next on the ring, and no other key does; when it comes back, they return.

use super::mix::{STEP, mix};

#[derive(Debug)]
pub(super) struct Ring {
    /// In the order of their places.
    points: Vec<Point>,
    members: Vec<bool>,
    /// The points of members alone, for when members are rare: made when first needed.
    rare: Vec<Point>,
    /// `rare` is older than `members`.
    stale: bool,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    place: u32,
    endpoint: u32,
}

/// Points of an endpoint of average weight: its share of the keys varies by about 1 / sqrt(160), 8 %.
const POINTS: u64 = 160;
/// Of an endpoint of average weight where there are very many endpoints.
const FEWEST_POINTS: u64 = 16;
/// Beyond it, endpoints get fewer points down to [`FEWEST_POINTS`]: 8 MiB.
const MOST_POINTS: u64 = 1 << 20;
/// Points that are looked at before it is worth while to sort out those of members.
const LONGEST_WALK: usize = 64;

impl Ring {
    /// Endpoints whose weight is less than a 160th of the average still have one point.
    pub(super) fn new(weights: &[u16], identities: &[u64]) -> Self {
        let count = weights.len() as u64;
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let average = (MOST_POINTS / count.max(1)).clamp(FEWEST_POINTS, POINTS);
        let mut points = Vec::with_capacity((count * (average + 1)) as usize);
        for (endpoint, (weight, identity)) in weights.iter().zip(identities).enumerate() {
            let share = (u64::from(*weight) * count * average + total / 2) / total;
            let start = mix(*identity);
            points.extend((1..=share.max(1)).map(|number| Point {
                place: place(start.wrapping_add(STEP.wrapping_mul(number))),
                endpoint: endpoint as u32,
            }));
        }
        // Where two points coincide, the identity decides and not the place in the configuration.
        points.sort_unstable_by_key(|point| (point.place, identities[point.endpoint as usize]));
        points.shrink_to_fit();
        Self { points, members: vec![true; weights.len()], rare: Vec::new(), stale: true }
    }

    pub(super) fn set_member(&mut self, endpoint: usize, member: bool) {
        self.members[endpoint] = member;
        self.stale = true;
    }

    pub(super) fn pick(&mut self, key: u64, avoid: Option<usize>) -> usize {
        let place = place(key);
        let permitted = |endpoint: &usize| self.members[*endpoint] && Some(*endpoint) != avoid;
        if let Some(endpoint) = from(&self.points, place).take(LONGEST_WALK).find(permitted) {
            return endpoint;
        }
        if self.stale {
            self.rare.clear();
            self.rare.extend(self.points.iter().filter(|point| self.members[point.endpoint as usize]));
            self.stale = false;
        }
        from(&self.rare, place).find(permitted).expect("a policy always has a member that is not avoided")
    }
}

/// The endpoints of the points at or after a place, once around.
fn from(points: &[Point], place: u32) -> impl Iterator<Item = usize> {
    let (before, after) = points.split_at(points.partition_point(|point| point.place < place));
    after.iter().chain(before).map(|point| point.endpoint as usize)
}

/// Where a number lies on the ring.
fn place(number: u64) -> u32 {
    (mix(number) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 20_000;

    fn owners(mut ring: Ring, identities: &[u64]) -> Vec<u64> {
        (0..KEYS).map(|key| identities[ring.pick(key, None)]).collect()
    }

    #[test]
    fn keys_follow_identities_and_not_places() {
        let identities: Vec<u64> = (100..120).collect();
        let all = owners(Ring::new(&[3; 20], &identities), &identities);
        for removed in [0, 7, 19] {
            let mut rest = identities.clone();
            let removed = rest.remove(removed);
            rest.reverse();
            let after = owners(Ring::new(&[3; 19], &rest), &rest);
            for (before, after) in all.iter().zip(after) {
                assert!(*before == after || *before == removed);
            }
        }
    }

    #[test]
    fn where_members_are_rare_a_key_still_goes_to_the_next_of_them() {
        let mut ring = Ring::new(&[1; 1000], &(0..1000).collect::<Vec<_>>());
        for members in [vec![3], vec![3, 500], vec![500, 501, 999], (0..1000).collect()] {
            (0..1000).for_each(|endpoint| ring.set_member(endpoint, members.contains(&endpoint)));
            for key in 0..300 {
                let avoid = (members.len() > 1).then_some(members[0]);
                let next = from(&ring.points, place(key))
                    .find(|endpoint| members.contains(endpoint) && Some(*endpoint) != avoid);
                assert_eq!(Some(ring.pick(key, avoid)), next);
            }
        }
    }

    #[test]
    fn memory_is_bounded_whatever_the_weights() {
        for (weights, most) in [
            (vec![1000; 100], 16_000),
            (vec![1; 1], 160),
            ([vec![1; 99], vec![1000; 1]].concat(), 16_100),
            (vec![1; 10_000], 1 << 20),
        ] {
            let identities: Vec<u64> = (0..weights.len() as u64).collect();
            let points = Ring::new(&weights, &identities).points;
            assert!(points.len() <= most, "{} endpoints: {} points", weights.len(), points.len());
            assert!(points.is_sorted_by_key(|point| point.place));
            let mut seen = vec![false; weights.len()];
            points.iter().for_each(|point| seen[point.endpoint as usize] = true);
            assert!(seen.into_iter().all(|seen| seen));
        }
    }
}
