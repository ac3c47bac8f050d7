//! The counts of one window.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    pipeline::Dimension,
    records::delta::{MISSING, SKETCH_LG_K},
};
use datasketches::{
    hash::value::raw_bytes,
    hll::{Coupon, HllSketch, HllType},
};

use super::{ProcessedEvent, found::Evicted, history::Counting};

#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub count: u64,
    pub late: u64,
    /// Events that were too old to count in a finite window.
    pub unmerged: u64,
    /// The users; `None` when no event's users are estimated.
    pub users: Option<HllSketch>,
    /// The revisions that governed when events of the window came.
    pub governed: BTreeSet<u64>,
    /// The newest revision that an event was counted under; `None` when it is not known.
    pub newest: Option<u64>,
    pub dimensions: BTreeMap<Dimension, Values>,
}

/// The counts of a dimension's values.
#[derive(Clone, Debug, Default)]
pub struct Values {
    pub counts: BTreeMap<String, u64>,
    /// The newest revision that governed when an event was counted; `None` when it is not known.
    pub newest: Option<u64>,
}

impl Counts {
    /// Adds an event.
    pub fn add(&mut self, event: &ProcessedEvent, counting: &Counting) {
        self.count += 1;
        self.late += u64::from(event.late);
        self.newest = self.newest.max(Some(counting.governing));
        if counting.users {
            if self.users.is_none() {
                self.users = HllSketch::new(SKETCH_LG_K, HllType::Hll8).ok();
            }
            if let Some((users, user)) = self.users.as_mut().zip(event.user) {
                users.update_with_coupon(Coupon::from_value(raw_bytes::from_slice(user.as_bytes())));
            }
        }
        for dimension in &counting.dimensions {
            let value = event.values.get(*dimension as usize).copied().flatten().unwrap_or(MISSING);
            let values = self.dimensions.entry(*dimension).or_default();
            values.newest = values.newest.max(Some(counting.governing));
            if let Some(count) = values.counts.get_mut(value) {
                *count += 1;
            } else {
                values.counts.insert(value.to_owned(), 1);
            }
        }
    }

    /// Whether the window has no event.
    pub const fn is_empty(&self) -> bool {
        self.count == 0 && self.unmerged == 0
    }

    /// The estimated number of unique users.
    pub fn unique_users(&self) -> Option<u64> {
        self.users.as_ref().map(|users| users.composite_estimate().round() as u64)
    }

    /// The counts without the events that came after the eviction of the window's state. `None` when those events
    /// exceed the counts.
    pub fn without(mut self, evicted: &Evicted) -> Option<Self> {
        self.count = self.count.checked_sub(evicted.count)?;
        self.late = self.late.checked_sub(evicted.late)?;
        self.unmerged = self.unmerged.checked_sub(evicted.unmerged)?;
        for (dimension, value, gone) in &evicted.values {
            let counts = &mut self.dimensions.get_mut(dimension)?.counts;
            let count = counts.get_mut(*value)?;
            *count = count.checked_sub(*gone)?;
            if *count == 0 {
                counts.remove(*value);
            }
        }
        if evicted.count > 0 {
            // It is not known which events these are, so neither the other users nor the rules are known.
            self.users = None;
            self.newest = None;
            self.dimensions.values_mut().for_each(|values| values.newest = None);
        }
        self.dimensions.retain(|_, values| !values.counts.is_empty());
        Some(self)
    }
}
