//! How far the source was processed by what the pipeline itself wrote: the snapshot of the aggregation, and the deltas after
//! it. It counts for partitions whose committed offset is gone.

use std::collections::BTreeMap;

use crds::records::{
    delta::{Delta, DeltaError},
    state::{self, Meta},
};

use super::start::Reached;

/// How far each source partition was processed.
#[derive(Debug, Default)]
pub struct History {
    next: Option<i64>,
    first_partitions: Option<u32>,
    reached: BTreeMap<i32, Reached>,
}

impl History {
    /// Starts with the last snapshot, if there is one: all deltas before the one that it names are in it. Where `end`, the next
    /// offset of the deltas topic, is smaller than that, the topic was made anew.
    #[must_use]
    pub fn after(meta: Option<&Meta>, end: i64) -> Self {
        let Some(meta) = meta else { return Self::default() };
        let reached = |of: &state::Partition| (of.partition, Reached { position: of.to, watermark: of.watermark });
        Self {
            // All deltas of a topic that was made anew are newer.
            next: (meta.offset <= end).then_some(meta.offset),
            first_partitions: Some(meta.first_partitions),
            reached: meta.partitions.iter().map(reached).collect(),
        }
    }

    /// The offset of the next delta to take; `None` for the first that the topic has.
    #[must_use]
    pub const fn next(&self) -> Option<i64> {
        self.next
    }

    /// Adds the ranges of the next delta. Of each partition the furthest position counts.
    ///
    /// # Errors
    /// When it is not a delta that this release reads.
    pub fn take(&mut self, delta: &[u8]) -> Result<(), DeltaError> {
        let Delta { ranges, source_partitions, .. } = Delta::decode(delta)?;
        self.first_partitions.get_or_insert(source_partitions);
        for range in ranges {
            let reached = Reached { position: range.to, watermark: range.watermark };
            let known = self.reached.entry(range.partition).or_insert(reached);
            if known.position <= reached.position {
                *known = reached;
            }
        }
        Ok(())
    }

    /// Notes that every delta before an offset was taken.
    pub const fn taken_before(&mut self, offset: i64) {
        self.next = Some(offset);
    }

    /// How far a source partition was processed; `None` when nothing says so.
    #[must_use]
    pub fn reached(&self, partition: i32) -> Option<Reached> {
        self.reached.get(&partition).copied()
    }

    /// Whether the source had the partition when the pipeline first started, as far as is known.
    #[must_use]
    pub fn existed_at_start(&self, partition: i32) -> bool {
        self.first_partitions.is_none_or(|first| i64::from(partition) < i64::from(first))
    }
}

#[cfg(test)]
mod tests {
    use crds::records::delta::Range;

    use super::*;

    fn delta(ranges: &[(i32, i64, i64)]) -> Vec<u8> {
        let range = |(partition, to, watermark): &(i32, i64, i64)| Range {
            partition: *partition,
            to: *to,
            watermark: Some(*watermark),
            ..Range::default()
        };
        Delta { source_partitions: 4, ranges: ranges.iter().map(range).collect(), ..Delta::default() }.encode().unwrap()
    }

    fn meta() -> Meta {
        let partition = |partition, to, watermark| state::Partition {
            partition,
            to,
            watermark: Some(watermark),
            ..state::Partition::default()
        };
        Meta {
            offset: 7,
            first_partitions: 2,
            partitions: vec![partition(0, 10, 100), partition(1, 20, 200)],
            ..Meta::default()
        }
    }

    fn reached(history: &History) -> Vec<Option<(i64, i64)>> {
        let pair = |of: Reached| (of.position, of.watermark.unwrap());
        (0..3).map(|partition| history.reached(partition).map(pair)).collect()
    }

    #[test]
    fn the_last_range_of_a_partition_tells_how_far_it_was_processed() {
        let mut history = History::after(None, 9);
        assert_eq!(history.next(), None);
        assert!(history.existed_at_start(9), "as far as is known");
        history.take(&delta(&[(0, 10, 100), (1, 5, 50)])).unwrap();
        history.take(&delta(&[(1, 8, 50)])).unwrap();
        // An announcement repeats the position, with what is known of the watermark by then.
        history.take(&delta(&[(0, 10, 101)])).unwrap();
        assert_eq!(reached(&history), [Some((10, 101)), Some((8, 50)), None]);
        let existed: Vec<bool> = (0..5).map(|partition| history.existed_at_start(partition)).collect();
        assert_eq!(existed, [true, true, true, true, false]);
        assert_eq!(history.take(&[9]), Err(DeltaError::Version(9)));
    }

    #[test]
    fn a_snapshot_stands_for_the_deltas_before_it() {
        let mut history = History::after(Some(&meta()), 9);
        assert_eq!(history.next(), Some(7));
        history.take(&delta(&[(1, 30, 300), (2, 1, 10)])).unwrap();
        assert_eq!(reached(&history), [Some((10, 100)), Some((30, 300)), Some((1, 10))]);
        assert!(history.existed_at_start(1) && !history.existed_at_start(2));
    }

    #[test]
    fn of_a_snapshot_and_a_recreated_log_the_further_one_counts() {
        let mut history = History::after(Some(&meta()), 3);
        assert_eq!(history.next(), None);
        history.take(&delta(&[(0, 3, 30), (1, 21, 210)])).unwrap();
        assert_eq!(reached(&history), [Some((10, 100)), Some((21, 210)), None]);
    }
}
