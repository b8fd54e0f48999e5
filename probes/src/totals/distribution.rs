//! Durations, counted so that quantiles of any number of them fit into little memory.

use std::collections::BTreeMap;

/// Bits of a duration's leading digits that are kept.
const BITS: u32 = 7;

/// How long things took, in nanoseconds.
///
/// A duration is counted by its power of two and the 7 bits after its first: what [`Distribution::quantile`] gives is off by
/// less than 0.4 % (half of 1/128). The longest, the shortest and the sum are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: BTreeMap<u16, u64>,
    count: u64,
    sum: u64,
    longest: u64,
}

impl Distribution {
    /// Adds one.
    pub fn add(&mut self, ns: u64) {
        *self.counts.entry(bucket(ns)).or_default() += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(ns);
        self.longest = self.longest.max(ns);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The longest.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// The mean, 0 if there is none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// What a part `q` (0 to 1) of them did not exceed; 0 if there is none.
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (&bucket, &count) in &self.counts {
            seen += count;
            if seen >= rank {
                return middle(bucket).min(self.longest);
            }
        }
        0
    }
}

/// Power of two, and the bits after the first; short ones as they are.
fn bucket(ns: u64) -> u16 {
    let power = ns.checked_ilog2().unwrap_or(0);
    if power <= BITS {
        return ns as u16;
    }
    let rest = (ns >> (power - BITS)) & ((1 << BITS) - 1);
    (((power - BITS) << BITS) as u64 + (1 << BITS) + rest) as u16
}

fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let steps = bucket >> BITS;
    if steps <= 1 {
        return bucket;
    }
    let shift = steps - 1;
    let low = ((1 << BITS) + (bucket & ((1 << BITS) - 1))) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_none_all_is_nothing() {
        let none = Distribution::default();
        assert_eq!((none.quantile(0.5), none.mean(), none.longest()), (0, 0, 0));
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let mut all = Distribution::default();
        (1..=1000).for_each(|n| all.add(n * 1_000_000));
        assert_eq!((all.count(), all.mean(), all.longest()), (1000, 500_500_000, 1_000_000_000));
        for (q, exact) in [(0.5, 500e6), (0.99, 990e6), (1.0, 1000e6)] {
            assert!((all.quantile(q) as f64 / exact - 1.0).abs() < 0.004, "{q}");
        }
    }

    proptest! {
        #[test]
        fn one_is_found_again(ns in any::<u64>()) {
            let mut one = Distribution::default();
            one.add(ns);
            let found = one.quantile(0.5) as f64;
            prop_assert!((found - ns as f64).abs() <= ns as f64 / 256.0);
        }

        #[test]
        fn longer_ones_are_never_before_shorter_ones(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(bucket(a.min(b)) <= bucket(a.max(b)), true);
        }
    }
}
