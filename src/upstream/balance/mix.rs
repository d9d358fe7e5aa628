//! Numbers that look random: the SplitMix64 generator and what it is made of.

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug)]
pub(crate) struct SplitMix {
    state: u64,
}

/// 2^64 divided by the golden ratio: the step of the generator.
pub(super) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `bound`, all about equally likely. `bound` is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        // The upper half of the product, so that no division is needed (Lemire).
        ((u128::from(mix(self.state)) * u128::from(bound)) >> 64) as u64
    }

    /// The numbers below `count`, in a random order.
    pub(super) fn permutation(&mut self, count: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
        order
    }
}

/// Spreads a number over all 64 bits; no two numbers give the same.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A hash that is the same in every process and version: for keys and identities of hash balancing.
/// It resists no attack: whoever chooses the bytes chooses the endpoint.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    // FNV-1a, whose weak upper bits the mixing makes up for.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // First outputs of the reference implementation for seed 1234567.
        let mut random = SplitMix::new(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.below(u64::MAX)).collect();
        let reference = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (drawn, reference) in drawn.into_iter().zip(reference) {
            assert!(reference - drawn <= 1, "{drawn} is not {reference} times (2^64 - 1) / 2^64");
        }
    }

    #[test]
    fn a_permutation_holds_each_number_once_and_depends_on_the_seed() {
        let orders = [1, 2].map(|seed| SplitMix::new(seed).permutation(100));
        for mut order in orders.clone() {
            order.sort_unstable();
            assert!(order.into_iter().eq(0..100));
        }
        assert_ne!(orders[0], orders[1]);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(b""), mix(0xcbf2_9ce4_8422_2325));
        // FNV-1a of "foobar" is 0x85944171f73967e8.
        assert_eq!(stable_hash(b"foobar"), mix(0x8594_4171_f739_67e8));
    }
}
