//! Random numbers that never change: SplitMix64 with integers only, so that a seed gives the same events on every
//! machine and after every upgrade of a dependency.

#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 to below `bound`; 0 when `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A rank from 0 to below `bound`, approximately by Zipf's law: each doubling of the rank is equally likely, so
    /// that a few ranks are frequent and most are rare.
    pub const fn skewed_below(&mut self, bound: u64) -> u64 {
        let doublings = u64::BITS - bound.leading_zeros();
        loop {
            let first = 1 << self.below(doublings as u64);
            let rank = first + self.below(first) - 1;
            if rank < bound || bound == 0 {
                return rank;
            }
        }
    }

    /// Picks one of the values by weight; `default` when all weights are 0.
    pub fn weighted<T: Copy>(&mut self, values: &[(T, u64)], default: T) -> T {
        let mut at = self.below(values.iter().map(|(_, weight)| weight).sum());
        for (value, weight) in values {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        default
    }
}

/// SplitMix64's output function: a bijection that spreads every bit.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference values of SplitMix64 for seed 1234567.
    #[test]
    fn is_splitmix64() {
        let mut random = Random::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn stays_below_its_bound() {
        let mut random = Random::new(1);
        for bound in [1, 2, 3, 7, 8, 1000] {
            let ranks: Vec<u64> = (0..5000).map(|_| random.skewed_below(bound)).collect();
            assert!(ranks.iter().all(|rank| *rank < bound), "{bound}");
            assert!(ranks.contains(&0) && ranks.contains(&(bound.min(16) - 1)), "{bound}");
            assert!((0..100).all(|_| random.below(bound) < bound));
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.skewed_below(0), 0);
    }

    #[test]
    fn low_ranks_come_again_and_again() {
        let mut random = Random::new(2);
        let ranks: Vec<u64> = (0..10_000).map(|_| random.skewed_below(1_000_000)).collect();
        let low = ranks.iter().filter(|rank| **rank < 1000).count();
        assert!((4500..6000).contains(&low), "{low} of 10000 among the first thousandth");
    }

    #[test]
    fn weights_are_kept() {
        let mut random = Random::new(3);
        let heavy = (0..10_000).filter(|_| random.weighted(&[('a', 9), ('b', 1)], 'c') == 'a').count();
        assert!((8800..9200).contains(&heavy), "{heavy}");
        assert_eq!(random.weighted(&[], 'c'), 'c');
    }
}
