//! Counts by value of one dimension in one window, limited in number.
//!
//! Which values are kept depends on the set of values that occurred, never on their order: first the values that alerts
//! name, then the values with the smallest fixed hash. A value among the smallest of the whole set is among the
//! smallest of every subset. So it is kept from its first event on, and its count is exact.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use crds::records::aggregate::OTHER;
use foldhash::fast::FixedState;

/// The fixed hash of a value: FNV-1a over its UTF-8 bytes, then the finalizer of splitmix64 (docs/formats.md).
#[must_use]
pub fn hash(value: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in value.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The index of a value in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

#[derive(Clone, Debug)]
struct Slot {
    text: Arc<str>,
    hash: u64,
    uses: u32,
}

/// Every value that any window counts, stored once. A window keeps four bytes per value.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    ids: HashMap<Arc<str>, Id, FixedState>,
    slots: Vec<Option<Slot>>,
    free: Vec<Id>,
}

impl Pool {
    /// Returns the value's id and adds one use.
    fn take(&mut self, text: &str) -> Id {
        if let Some(id) = self.ids.get(text).copied() {
            if let Some(slot) = self.slot_mut(id) {
                slot.uses += 1;
            }
            return id;
        }
        let text: Arc<str> = text.into();
        let slot = Some(Slot { hash: hash(&text), text: Arc::clone(&text), uses: 1 });
        let id = if let Some(id) = self.free.pop() {
            if let Some(place) = self.slots.get_mut(id.0 as usize) {
                *place = slot;
            }
            id
        } else {
            // The number of values that fit into memory is far below 2^32.
            let id = Id(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
            self.slots.push(slot);
            id
        };
        self.ids.insert(text, id);
        id
    }

    fn give_back(&mut self, id: Id) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.uses -= 1;
        if slot.uses == 0 {
            let text = Arc::clone(&slot.text);
            self.ids.remove(&text);
            if let Some(place) = self.slots.get_mut(id.0 as usize) {
                *place = None;
            }
            self.free.push(id);
        }
    }

    fn slot_mut(&mut self, id: Id) -> Option<&mut Slot> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    fn slot(&self, id: Id) -> Option<&Slot> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    #[must_use]
    pub fn text(&self, id: Id) -> &str {
        self.slot(id).map_or("", |slot| &slot.text)
    }

    /// The number of different values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// How many values are kept, and which ones first.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    pub max: usize,
    /// Values that alerts name.
    pub named: &'a [String],
}

/// The sort key of values: the smallest rank is kept first.
type Rank<'p> = (bool, bool, u64, &'p str);

impl Limit<'_> {
    fn rank<'p>(&self, hash: u64, text: &'p str) -> Rank<'p> {
        (text == OTHER, !self.named.iter().any(|named| named == text), hash, text)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Values {
    /// All events, including those whose value is not kept.
    pub total: u64,
    /// The revision that governed when the values first exceeded the limit. The values that its alerts name are kept
    /// first.
    pub truncated: Option<u64>,
    counts: HashMap<Id, u64, FixedState>,
    /// The rank of the last kept value while truncated: whether it is unnamed, its hash, and its text. A value that
    /// ranks after it was seen and displaced, or would be.
    last: Option<(bool, u64, Arc<str>)>,
    /// Whether anything changed since the last emission.
    changed: bool,
    /// Values whose counts changed since the last emission, possibly several times each.
    touched: Vec<Id>,
    /// Values that were displaced since the last emission.
    displaced: Vec<Arc<str>>,
}

impl Values {
    /// Adds to the count of a value. Returns the counts before and after, or none if the value is not kept.
    pub fn add(&mut self, pool: &mut Pool, value: &str, count: u64, limit: &Limit<'_>) -> Option<(u64, u64)> {
        self.total += count;
        self.changed = true;
        // The pool holds the ids of all values that any window keeps, so the value is looked up there first.
        if let Some(id) = pool.ids.get(value).copied()
            && let Some(kept) = self.counts.get_mut(&id)
        {
            let old = *kept;
            *kept += count;
            self.touched.push(id);
            return Some((old, *kept));
        }
        if self.truncated.is_some() && !self.would_be_kept(value, limit) {
            return None;
        }
        let id = pool.take(value);
        self.counts.insert(id, count);
        self.touched.push(id);
        Some((0, count))
    }

    fn would_be_kept(&self, value: &str, limit: &Limit<'_>) -> bool {
        let (other, unnamed, hash, text) = limit.rank(hash(value), value);
        let last = self.last.as_ref().map(|(unnamed, hash, text)| (*unnamed, *hash, &**text));
        !other && last.is_some_and(|last| (unnamed, hash, text) < last)
    }

    /// Drops the values beyond the limit. `governing` is the revision that sets the limit.
    pub fn truncate(&mut self, pool: &mut Pool, limit: &Limit<'_>, governing: u64) {
        if self.counts.len() <= limit.max {
            return;
        }
        let mut ids: Vec<Id> = self.counts.keys().copied().collect();
        let slot = |id: &Id| pool.slot(*id).map_or((0, ""), |slot| (slot.hash, &*slot.text));
        let rank = |id: &Id| {
            let (hash, text) = slot(id);
            limit.rank(hash, text)
        };
        ids.sort_unstable_by(|a, b| rank(a).cmp(&rank(b)));
        let dropped = ids.split_off(limit.max);
        self.last = ids.last().map(|id| {
            let (_, unnamed, hash, text) = rank(id);
            (unnamed, hash, text.into())
        });
        self.truncated.get_or_insert(governing);
        for id in dropped {
            self.displaced.push(pool.text(id).into());
            self.counts.remove(&id);
            pool.give_back(id);
        }
    }

    /// Values and counts, ascending by value.
    #[must_use]
    pub fn sorted<'p>(&self, pool: &'p Pool) -> Vec<(&'p str, u64)> {
        let mut values: Vec<_> = self.counts.iter().map(|(id, count)| (pool.text(*id), *count)).collect();
        values.sort_unstable();
        values
    }

    /// The most frequent values in descending order; values of equal count are in ascending order.
    #[must_use]
    pub fn most<'p>(&self, pool: &'p Pool, number: usize) -> Vec<(&'p str, u64)> {
        let mut values: Vec<_> = self.counts.iter().map(|(id, count)| (Reverse(*count), pool.text(*id))).collect();
        if number < values.len() {
            values.select_nth_unstable(number);
            values.truncate(number);
        }
        values.sort_unstable();
        values.into_iter().map(|(Reverse(count), value)| (value, count)).collect()
    }

    /// The count of a value; 0 if it is not kept.
    #[must_use]
    pub fn count(&self, pool: &Pool, value: &str) -> u64 {
        pool.ids.get(value).and_then(|id| self.counts.get(id)).copied().unwrap_or_default()
    }

    /// The number of events whose value is not kept; none if all values are kept.
    #[must_use]
    pub fn other(&self) -> Option<u64> {
        self.truncated.map(|_| self.total - self.counts.values().sum::<u64>())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Discards what changed, because another replica has emitted it.
    pub fn forget(&mut self) {
        (self.changed, self.touched, self.displaced) = Default::default();
    }

    /// Whether anything changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The values that changed since the last call, ascending, with their counts. Values that are no longer kept are
    /// left out.
    pub fn take_touched<'p>(&mut self, pool: &'p Pool) -> Vec<(&'p str, u64)> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut values: Vec<_> =
            touched.iter().filter_map(|id| Some((pool.text(*id), *self.counts.get(id)?))).collect();
        values.sort_unstable();
        values
    }

    /// The values that were displaced since the last call.
    pub fn take_displaced(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.displaced)
    }

    /// About how many records an emission would have.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.touched.len() + self.displaced.len()
    }

    /// Gives the values back to the pool.
    pub fn release(self, pool: &mut Pool) {
        for id in self.counts.into_keys() {
            pool.give_back(id);
        }
    }

    /// Rebuilds the counts of a snapshot. `limit` belongs to the revision under which the values were truncated.
    #[must_use]
    pub fn restore(
        pool: &mut Pool,
        total: u64,
        truncated: Option<u64>,
        values: &[(String, u64)],
        limit: Option<&Limit<'_>>,
    ) -> Self {
        let last = limit.and_then(|limit| {
            let ranks = values.iter().map(|(value, _)| limit.rank(hash(value), value));
            let (_, unnamed, hash, text) = ranks.max()?;
            Some((unnamed, hash, text.into()))
        });
        let counts = values.iter().map(|(value, count)| (pool.take(value), *count)).collect();
        Self { total, truncated, counts, last, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_is_fixed() {
        let vectors = [
            ("", 0xf52a_15e9_a9b5_e89b),
            ("a", 0x02c0_bdbf_4814_20f8),
            ("iOS", 0x2cf6_e775_72d2_0742),
            ("_missing", 0xad98_4167_9483_3be9),
            ("ü", 0x772d_5ffd_bcb8_f81a),
        ];
        for (value, expected) in vectors {
            assert_eq!(hash(value), expected, "{value:?}");
        }
    }

    /// Adds the counts in this order and truncates after each.
    fn counted(pool: &mut Pool, counts: &[(String, u64)], limit: &Limit<'_>) -> Values {
        let mut values = Values::default();
        for (value, count) in counts {
            values.add(pool, value, *count, limit);
            values.truncate(pool, limit, 1);
        }
        values
    }

    fn kept(pool: &Pool, values: &Values) -> BTreeMap<String, u64> {
        values.sorted(pool).into_iter().map(|(value, count)| (value.to_owned(), count)).collect()
    }

    proptest! {
        /// The kept values follow from the whole set, with complete counts, in any order of events. The rest is summed
        /// up.
        #[test]
        fn what_is_kept_depends_on_no_order(
            counts in prop::collection::vec(("[a-h]{1,2}|_other|_missing", 1..9_u64), 0..60),
            max in 1..12_usize,
            named in prop::collection::vec("[a-h]{1,2}", 0..3),
        ) {
            let limit = Limit { max, named: &named };
            let mut sums: BTreeMap<String, u64> = BTreeMap::new();
            for (value, count) in &counts {
                *sums.entry(value.clone()).or_default() += count;
            }
            let mut ranked: Vec<&String> = sums.keys().collect();
            ranked.sort_by_key(|value| (*value == OTHER, !named.contains(value), hash(value), (*value).clone()));
            ranked.truncate(max);
            let expected: BTreeMap<String, u64> = ranked.iter().map(|value| ((*value).clone(), sums[*value])).collect();

            let mut pool = Pool::default();
            let mut backwards = counts.clone();
            backwards.reverse();
            let mut sorted = counts.clone();
            sorted.sort();
            for order in [counts, backwards, sorted] {
                let values = counted(&mut pool, &order, &limit);
                prop_assert_eq!(&kept(&pool, &values), &expected);
                prop_assert_eq!(values.truncated.is_some(), sums.len() > max);
                let rest = sums.values().sum::<u64>() - expected.values().sum::<u64>();
                prop_assert_eq!(values.other(), (sums.len() > max).then_some(rest));
                values.release(&mut pool);
                prop_assert_eq!(pool.len(), 0, "a value stays in the pool that no window counts");
            }
        }

        /// Counts that are saved midway and restored continue as if they had not been interrupted.
        #[test]
        fn a_restored_one_goes_on_alike(
            counts in prop::collection::vec(("[a-h]{1,2}|_other", 1..9_u64), 0..60),
            cut in 0..60_usize,
            max in 1..12_usize,
            named in prop::collection::vec("[a-h]{1,2}", 0..3),
        ) {
            let limit = Limit { max, named: &named };
            let (before, after) = counts.split_at(cut.min(counts.len()));
            let mut pool = Pool::default();
            let mut whole = counted(&mut pool, before, &limit);
            let texts: Vec<_> = whole.sorted(&pool).into_iter().map(|(value, count)| (value.to_owned(), count)).collect();
            let limit_then = whole.truncated.map(|_| &limit);
            let mut restored = Values::restore(&mut pool, whole.total, whole.truncated, &texts, limit_then);

            for (value, count) in after {
                for values in [&mut whole, &mut restored] {
                    values.add(&mut pool, value, *count, &limit);
                    values.truncate(&mut pool, &limit, 1);
                }
            }

            prop_assert_eq!(kept(&pool, &whole), kept(&pool, &restored));
            prop_assert_eq!(whole.other(), restored.other());
        }
    }

    #[test]
    fn the_most_frequent_come_first() {
        let mut pool = Pool::default();
        let limit = Limit { max: 9, named: &[] };
        let counts = [("d", 1), ("b", 2), ("c", 2), ("a", 9)].map(|(value, count)| (value.to_owned(), count));
        let values = counted(&mut pool, &counts, &limit);
        assert_eq!(values.most(&pool, 3), [("a", 9), ("b", 2), ("c", 2)]);
        assert_eq!(values.most(&pool, 4).len(), 4);
        assert_eq!(values.most(&pool, 5).len(), 4);
    }

    #[test]
    fn a_named_value_that_was_displaced_does_not_come_back() {
        let mut pool = Pool::default();
        let named = ["a".to_owned(), "iOS".to_owned()];
        let limit = Limit { max: 1, named: &named };
        let counts: Vec<(String, u64)> = named.iter().map(|value| (value.clone(), 1)).collect();
        let mut values = counted(&mut pool, &counts, &limit);
        assert_eq!(values.add(&mut pool, "iOS", 1, &limit), None);
        assert_eq!(values.add(&mut pool, "a", 1, &limit), Some((1, 2)));
    }

    #[test]
    fn what_is_displaced_is_told_once() {
        let mut pool = Pool::default();
        let limit = Limit { max: 2, named: &[] };
        let counts: Vec<(String, u64)> = ["a", "b", "c"].iter().map(|value| ((*value).to_owned(), 1)).collect();
        let mut values = counted(&mut pool, &counts, &limit);
        assert_eq!(values.take_displaced().len(), 1);
        assert_eq!(values.take_displaced().len(), 0);
        assert_eq!(values.take_touched(&pool).len(), 2);
        assert!(values.take_changed() && !values.take_changed());
    }
}
