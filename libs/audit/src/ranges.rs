//! A set of offsets, stored as ranges: missing offsets are mostly consecutive.

use std::collections::BTreeMap;

/// The maximum number of ranges that a set stores (about 50 MB).
const MAX_RANGES: usize = 1 << 20;

/// A set of offsets. It counts all of them; beyond a million ranges it no longer stores which offsets they are.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    /// The first offset after each range, by the range's first offset.
    ranges: BTreeMap<i64, i64>,
    count: u64,
}

impl Offsets {
    /// Adds [from, to), none of which is in the set.
    pub fn insert(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        self.count += to.abs_diff(from);
        let end = self.ranges.remove(&to).unwrap_or(to);
        let full = self.ranges.len() >= MAX_RANGES;
        match self.ranges.range_mut(..from).next_back() {
            Some((_, before)) if *before == from => *before = end,
            _ if full => {}
            _ => {
                self.ranges.insert(from, end);
            }
        }
    }

    /// Removes an offset; false when the set does not contain it.
    pub fn remove(&mut self, offset: i64) -> bool {
        let Some((&from, &to)) = self.ranges.range(..=offset).next_back().filter(|(_, to)| offset < **to) else {
            return false;
        };
        self.ranges.remove(&from);
        if from < offset {
            self.ranges.insert(from, offset);
        }
        if offset + 1 < to {
            self.ranges.insert(offset + 1, to);
        }
        self.count -= 1;
        true
    }

    pub fn contains(&self, offset: i64) -> bool {
        self.ranges.range(..=offset).next_back().is_some_and(|(_, to)| offset < *to)
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many of the offsets are higher than `offset`.
    pub fn count_above(&self, offset: i64) -> u64 {
        self.ranges
            .iter()
            .rev()
            .map_while(|(from, to)| (*to > offset + 1).then(|| to.abs_diff((*from).max(offset + 1))))
            .sum()
    }

    /// The offsets, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.ranges.iter().flat_map(|(from, to)| *from..*to)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_set(steps in prop::collection::vec((0_i64..40, any::<bool>()), 0..120)) {
            let mut offsets = Offsets::default();
            let mut model = BTreeSet::new();
            for (offset, insert) in steps {
                if !insert {
                    prop_assert_eq!(offsets.remove(offset), model.remove(&offset));
                } else if model.insert(offset) {
                    offsets.insert(offset, offset + 1);
                }

                prop_assert_eq!(offsets.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(offsets.count(), model.len() as u64);
                prop_assert_eq!(offsets.contains(offset), model.contains(&offset));
                prop_assert_eq!(offsets.count_above(offset), model.range(offset + 1..).count() as u64);
                let touching = offsets.ranges.iter().zip(offsets.ranges.iter().skip(1)).any(|((_, to), (from, _))| to >= from);
                prop_assert!(!touching, "ranges that touch are one: {:?}", offsets.ranges);
            }
        }
    }

    #[test]
    fn an_empty_range_changes_nothing() {
        let mut offsets = Offsets::default();
        offsets.insert(5, 5);
        assert_eq!(offsets.count(), 0);
        assert!(!offsets.contains(5));
    }
}
