//! Counts what one transaction adds: all events, and the values of each dimension, per smallest window.

use std::collections::HashMap;

use crds::{
    job::Rules,
    pipeline::{Dimension, Field},
    records::delta::{self, MISSING, SKETCH_LG_K, Total},
};
use datasketches::{
    hash::value::raw_bytes,
    hll::{Coupon, HllSketch, HllType},
};
use foldhash::fast::FixedState;

use super::judge::ValidEvent;

type Counts = HashMap<Box<[u8]>, u64, FixedState>;

/// Counts of one transaction by smallest window.
#[derive(Debug)]
pub struct Panes {
    window: i64,
    unique_users: bool,
    dimensions: Vec<Dimension>,
    /// By start of the window in Unix seconds, and whether its events are unmerged.
    panes: HashMap<(i64, bool), Pane, FixedState>,
    values: usize,
}

#[derive(Debug)]
struct Pane {
    count: u64,
    late: u64,
    users: Option<HllSketch>,
    dimensions: Vec<Counts>,
}

impl Panes {
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            window: rules.aggregation.smallest_window().unwrap_or(60),
            unique_users: rules.aggregation.unique_users,
            dimensions: rules.aggregation.dimensions.clone(),
            panes: HashMap::default(),
            values: 0,
        }
    }

    /// The number of counts. It bounds memory and the size of the delta.
    #[must_use]
    pub fn size(&self) -> usize {
        self.values + self.panes.len()
    }

    /// Counts a valid event. Unmerged events are counted apart from the others of their window.
    pub fn count(&mut self, event: &ValidEvent<'_>, late: bool, unmerged: bool) {
        let start = event.time - event.time.rem_euclid(self.window);
        let pane = self.panes.entry((start, unmerged)).or_insert_with(|| Pane {
            count: 0,
            late: 0,
            users: None,
            dimensions: self.dimensions.iter().map(|_| Counts::default()).collect(),
        });
        pane.count += 1;
        pane.late += u64::from(late);
        if self.unique_users
            && let Some(user) = event.text(Field::UserId)
        {
            if pane.users.is_none() {
                pane.users = HllSketch::new(SKETCH_LG_K, HllType::Hll8).ok();
            }
            if let Some(users) = &mut pane.users {
                users.update_with_coupon(coupon(&user));
            }
        }
        for (dimension, counts) in self.dimensions.iter().zip(&mut pane.dimensions) {
            let value = event.text(dimension.field());
            let value = value.as_deref().unwrap_or(MISSING.as_bytes());
            // The lookup before the insert saves an allocation for a value that is already present.
            if let Some(count) = counts.get_mut(value) {
                *count += 1;
            } else {
                counts.insert(value.into(), 1);
                self.values += 1;
            }
        }
    }

    /// Takes the counts in a deterministic order: by window and value.
    pub fn take(&mut self) -> Vec<delta::Pane> {
        self.values = 0;
        let mut panes: Vec<delta::Pane> = self
            .panes
            .drain()
            .map(|((start, unmerged), pane)| delta::Pane {
                start,
                unmerged,
                total: Total { count: pane.count, late: pane.late, sketch: pane.users.map(|users| users.serialize()) },
                dimensions: self
                    .dimensions
                    .iter()
                    .zip(pane.dimensions)
                    .map(|(dimension, counts)| {
                        let text = |value: Box<[u8]>| String::from_utf8_lossy(&value).into_owned();
                        let mut values: Vec<_> =
                            counts.into_iter().map(|(value, count)| (text(value), count)).collect();
                        values.sort_unstable();
                        (*dimension, values)
                    })
                    .collect(),
            })
            .collect();
        panes.sort_unstable_by_key(|pane| (pane.start, pane.unmerged));
        panes
    }

    pub fn clear(&mut self) {
        self.panes.clear();
        self.values = 0;
    }
}

/// What a sketch keeps of a user: Apache DataSketches' hash of the text's bytes with the default seed, so that every
/// implementation of that library can merge the sketches.
fn coupon(user: &[u8]) -> Coupon {
    Coupon::from_value(raw_bytes::from_slice(user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{judge::Judge, scan::Scratch};

    fn count(panes: &mut Panes, value: &str, late: bool, unmerged: bool) {
        let mut rules = Rules::default();
        rules.validation.required = vec![];
        let mut scratch = Scratch::default();
        let event = Judge::new(&rules).judge(Some(value.as_bytes()), 1_720_576_825_000, &mut scratch).unwrap();
        panes.count(&event, late, unmerged);
    }

    #[test]
    fn values_are_counted_unescaped_and_absent_ones_as_missing() {
        let mut panes = Panes::new(&Rules::default());
        count(&mut panes, r#"{"locale":"RI","timestamp":60}"#, false, false);
        count(&mut panes, r#"{"locale":"\u0052I","timestamp":119}"#, true, false);
        count(&mut panes, r#"{"locale":"AK","timestamp":120}"#, false, false);
        assert_eq!(panes.size(), 2 + 3 + 3);

        let taken = panes.take();
        let owned =
            |values: &[(&str, u64)]| values.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
        assert_eq!(taken[0].start, 60);
        assert_eq!(taken[0].total, Total { count: 2, late: 1, sketch: None });
        let dimensions: Vec<(Dimension, Vec<(String, u64)>)> = vec![
            (Dimension::DeviceType, owned(&[(MISSING, 2)])),
            (Dimension::Locale, owned(&[("RI", 2)])),
            (Dimension::AppVersion, owned(&[(MISSING, 2)])),
        ];
        assert_eq!(taken[0].dimensions, dimensions);
        assert_eq!(taken[1].start, 120);
        assert_eq!(taken[1].total.count, 1);

        assert_eq!(panes.size(), 0);
        assert_eq!(panes.take(), []);
    }

    /// The sketch is part of the format: other bytes for the same users would break it. These bytes are a list of
    /// coupons, which other implementations of Apache DataSketches compute the same way from the UTF-8 bytes.
    #[test]
    fn sketches_have_the_same_bytes_everywhere() {
        let mut panes = Panes::new(&Rules::default());
        for user in ["a6397988", "a6397988", "b"] {
            count(&mut panes, &format!(r#"{{"user_id":"{user}","timestamp":60}}"#), false, false);
        }
        let sketch = panes.take().remove(0).total.sketch.unwrap();
        assert_eq!(sketch, [2, 1, 7, 12, 3, 8, 2, 8, 71, 204, 114, 5, 10, 255, 128, 4]);
        assert!((HllSketch::deserialize(&sketch).unwrap().composite_estimate() - 2.0).abs() < 0.01);
    }
}
