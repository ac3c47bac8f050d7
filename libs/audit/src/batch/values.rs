//! Which values a window keeps when a dimension has too many: a second implementation of docs/formats.md.

use std::collections::{BTreeMap, BTreeSet};

use crds::{job::Rules, pipeline::Dimension, records::aggregate::OTHER};

/// How many values of a dimension a window keeps, and which ones first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit<'a> {
    pub values: usize,
    pub named: BTreeSet<&'a str>,
}

impl<'a> Limit<'a> {
    pub fn new(rules: &'a Rules, dimension: Dimension) -> Self {
        let alerts = rules.alerts.iter().filter(|alert| alert.dimension == Some(dimension));
        Self {
            values: usize::try_from(rules.aggregation.max_values).unwrap_or_default(),
            named: alerts.filter_map(|alert| alert.value.as_deref()).collect(),
        }
    }
}

/// The values that a window keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    pub values: BTreeMap<&'a str, u64>,
    /// Events with any value.
    pub total: u64,
    /// Whether values are left out.
    pub truncated: bool,
}

impl<'a> Kept<'a> {
    /// The values that are kept under limits that applied one after the other; `None` when the result depends on when
    /// each applied.
    pub fn of(counts: &'a BTreeMap<String, u64>, limits: &BTreeSet<Limit<'_>>) -> Option<Self> {
        let least = limits.iter().map(|limit| limit.values).min()?;
        let all = || counts.iter().map(|(value, count)| (value.as_str(), *count));
        let total = counts.values().sum();
        if counts.len() <= least {
            return Some(Self { values: all().collect(), total, truncated: false });
        }
        let limit = limits.first().filter(|_| limits.len() == 1)?;
        let mut values: Vec<(&str, u64)> = all().collect();
        values.sort_by_cached_key(|(value, _)| (*value == OTHER, !limit.named.contains(value), hash(value), *value));
        values.truncate(limit.values);
        Some(Self { values: values.into_iter().collect(), total, truncated: true })
    }

    /// Events with values that are not kept.
    pub fn other(&self) -> u64 {
        self.total - self.values.values().sum::<u64>()
    }
}

/// FNV-1a of the text's bytes, 64 bits, then the finalizer of splitmix64: the same on every machine and in every
/// release.
pub fn hash(value: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = value.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fixed() {
        for (value, expected) in [
            ("", 0xf52a_15e9_a9b5_e89b),
            ("a", 0x02c0_bdbf_4814_20f8),
            ("iOS", 0x2cf6_e775_72d2_0742),
            ("_missing", 0xad98_4167_9483_3be9),
            ("ü", 0x772d_5ffd_bcb8_f81a),
        ] {
            assert_eq!(hash(value), expected, "{value:?}");
        }
    }

    fn limit<'a>(values: usize, named: &[&'a str]) -> Limit<'a> {
        Limit { values, named: named.iter().copied().collect() }
    }

    fn check(counts: &[(&str, u64)], limits: &[Limit], expected: Option<(&[&str], u64)>) {
        let counts = counts.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
        let kept = Kept::of(&counts, &limits.iter().cloned().collect());
        let found = kept.as_ref().map(|kept| (kept.values.keys().copied().collect::<Vec<_>>(), kept.other()));
        assert_eq!(found, expected.map(|(values, other)| (values.to_vec(), other)), "{limits:?}");
        assert!(kept.is_none_or(|kept| kept.truncated == (kept.other() > 0)));
    }

    /// In ascending order of the hash: a, iOS, "2.3.0", _missing, "".
    #[test]
    fn named_values_stay_then_those_with_the_smallest_hash() {
        let counts = [("", 1), ("2.3.0", 2), ("_missing", 4), ("a", 8), ("iOS", 16)];
        check(&counts, &[limit(5, &[])], Some((&["", "2.3.0", "_missing", "a", "iOS"], 0)));
        check(&counts, &[limit(4, &[])], Some((&["2.3.0", "_missing", "a", "iOS"], 1)));
        check(&counts, &[limit(1, &[])], Some((&["a"], 23)));
        check(&counts, &[limit(2, &["", "absent"])], Some((&["", "a"], 22)));
        check(&counts, &[limit(2, &["", "iOS", "_missing"])], Some((&["_missing", "iOS"], 11)));
        let other = [("_other", 1), ("a", 2), ("b", 4)];
        check(&other, &[limit(2, &["_other"])], Some((&["a", "b"], 1)));
        check(&other, &[limit(3, &[])], Some((&["_other", "a", "b"], 0)));
    }

    #[test]
    fn limits_that_changed_matter_only_where_one_was_reached() {
        let counts = [("a", 1), ("b", 1), ("c", 1)];
        check(&counts, &[limit(3, &["a"]), limit(9, &["b"])], Some((&["a", "b", "c"], 0)));
        check(&counts, &[limit(2, &[]), limit(9, &[])], None);
        check(&counts, &[limit(2, &["a"]), limit(2, &["b"])], None);
    }
}
