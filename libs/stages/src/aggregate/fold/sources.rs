//! Tracks the progress of each source partition: checks that no event is counted twice or left out, and computes the
//! frontier that closes windows.

use std::collections::BTreeMap;

use crds::records::{
    delta::Range,
    state::{Partition, Run},
};

use super::halt::Halt;

/// Maximum number of runs kept per partition. The audit reports earlier offsets as not checkable.
const MAX_RUNS: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub count: u32,
    /// The number of partitions when the first delta was written.
    pub first_count: u32,
    /// The partitions that a delta named.
    pub partitions: BTreeMap<i32, Partition>,
    /// The highest effective watermark so far, Unix seconds.
    pub highest: Option<i64>,
    /// While all partitions are idle: `highest` in Unix seconds and the earliest idle instant in Unix milliseconds,
    /// both from when that began.
    pub all_idle: Option<(i64, i64)>,
}

/// The rules by which a range was processed and counted.
#[derive(Clone, Copy, Debug)]
pub struct By {
    /// The revision of the rules by which stage 1 processed it.
    pub revision: u64,
    /// The revision that governs.
    pub governing: u64,
}

impl Sources {
    /// The source has at least `count` partitions.
    pub fn seen(&mut self, count: u32) {
        if self.first_count == 0 {
            self.first_count = count;
        }
        self.count = self.count.max(count);
    }

    /// Advances a partition by a range.
    ///
    /// # Errors
    /// If the range does not begin where the partition's last range ended: events would be counted twice, or not at
    /// all.
    pub fn advance(&mut self, range: &Range, by: By, delta: i64) -> Result<(), Halt> {
        let Range { partition, from, to, .. } = *range;
        let known = self.partitions.entry(partition).or_insert_with(|| Partition {
            partition,
            first: from,
            to: from,
            ..Partition::default()
        });
        if from < known.to {
            return Err(Halt::Overlap { delta, partition, expected: known.to, from });
        }
        if from > known.to || to < from {
            return Err(Halt::Gap { delta, partition, expected: known.to, from, to });
        }
        let run = Run { from, revision: by.revision, governing: by.governing };
        let goes_on = |last: &Run| (last.revision, last.governing) == (run.revision, run.governing);
        if to > from && !known.runs.last().is_some_and(goes_on) {
            known.runs.push(run);
            if known.runs.len() > MAX_RUNS {
                known.runs.remove(0);
            }
        }
        known.to = to;
        known.watermark = known.watermark.max(range.watermark);
        if to > from {
            known.idle = None;
            known.effective = known.watermark;
            self.all_idle = None;
        }
        self.highest = self.highest.max(known.effective);
        if let Some(since) = range.idle {
            self.idle(partition, since);
        }
        Ok(())
    }

    /// Marks a partition as idle: every record it had at this instant is counted. Its watermark rises to the highest of
    /// any partition. While all partitions are idle, the highest watermark advances by the time that has passed since
    /// they became idle.
    fn idle(&mut self, partition: i32, since: i64) {
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.idle = known.idle.max(Some(since));
        }
        if let Some(earliest) = self.all_idle_since()
            && let Some(highest) = self.highest
        {
            let (then, began) = *self.all_idle.get_or_insert((highest, earliest));
            let passed = earliest.saturating_sub(began).max(0) / 1000;
            self.highest = Some(highest.max(then.saturating_add(passed)));
        }
        // Only this partition is known to be idle now. A mark of another partition that was not renewed raises nothing.
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.effective = known.effective.max(self.highest);
        }
    }

    /// The earliest idle instant; none unless every partition is idle.
    fn all_idle_since(&self) -> Option<i64> {
        let mut earliest = i64::MAX;
        for partition in self.all() {
            earliest = earliest.min(partition?.idle?);
        }
        Some(earliest)
    }

    fn all(&self) -> impl Iterator<Item = Option<&Partition>> {
        (0..i32::try_from(self.count).unwrap_or(i32::MAX)).map(|partition| self.partitions.get(&partition))
    }

    /// The minimum of the effective watermarks; none while any partition is not announced or has no watermark.
    #[must_use]
    pub fn minimum(&self) -> Option<i64> {
        let mut minimum = None;
        for partition in self.all() {
            let effective = partition?.effective?;
            minimum = Some(minimum.map_or(effective, |minimum: i64| minimum.min(effective)));
        }
        minimum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: By = By { revision: 1, governing: 1 };

    fn sources(count: u32) -> Sources {
        let mut sources = Sources::default();
        sources.seen(count);
        sources
    }

    /// Advances a partition by three events, to this watermark.
    fn events(sources: &mut Sources, partition: i32, watermark: i64) {
        let from = sources.partitions.get(&partition).map_or(0, |known| known.to);
        let range = Range { partition, from, to: from + 3, watermark: Some(watermark), ..Range::default() };
        sources.advance(&range, BY, 0).unwrap();
    }

    /// Finds a partition idle at this second.
    fn idle(sources: &mut Sources, partition: i32, second: i64) {
        let known = sources.partitions.get(&partition);
        let (from, watermark) = known.map_or((0, None), |known| (known.to, known.watermark));
        let range = Range { partition, from, to: from, watermark, idle: Some(second * 1000), ..Range::default() };
        sources.advance(&range, BY, 0).unwrap();
    }

    #[test]
    fn the_frontier_is_the_lowest_watermark_once_each_has_reported() {
        let mut sources = sources(2);
        events(&mut sources, 0, 100);
        assert_eq!(sources.minimum(), None, "partition 1 was never announced");
        let announced = Range { partition: 1, from: 5, to: 5, ..Range::default() };
        sources.advance(&announced, BY, 0).unwrap();
        assert_eq!(sources.minimum(), None, "partition 1 has no watermark, and is not idle");
        events(&mut sources, 1, 70);
        assert_eq!(sources.minimum(), Some(70));
        sources.seen(3);
        assert_eq!(sources.minimum(), None, "a partition was added");
    }

    #[test]
    fn an_idle_partition_holds_nothing_back_until_its_mark_is_stale() {
        let mut sources = sources(2);
        events(&mut sources, 0, 100);
        idle(&mut sources, 1, 1000);
        assert_eq!(sources.minimum(), Some(100));
        events(&mut sources, 0, 200);
        assert_eq!(sources.minimum(), Some(100), "the mark is stale: partition 1 may have had events since");
        idle(&mut sources, 1, 1010);
        assert_eq!(sources.minimum(), Some(200));
        events(&mut sources, 1, 50);
        assert_eq!(sources.minimum(), Some(50), "it woke with old events; the caller's frontier stays where it is");
    }

    #[test]
    fn when_all_are_idle_time_goes_on_as_they_say() {
        let mut sources = sources(2);
        events(&mut sources, 0, 100);
        events(&mut sources, 1, 160);
        idle(&mut sources, 0, 1000);
        idle(&mut sources, 1, 1004);
        assert_eq!(sources.minimum(), Some(160));

        idle(&mut sources, 0, 1010);
        assert_eq!(
            sources.minimum(),
            Some(160),
            "partition 1 was looked at 4 s after the first mark, but stands at 160 still"
        );
        idle(&mut sources, 1, 1014);
        assert_eq!(sources.minimum(), Some(164), "when partition 0 told, both were known to be idle for 4 s more");

        idle(&mut sources, 0, 1020);
        idle(&mut sources, 1, 1024);
        assert_eq!(sources.minimum(), Some(174));
        events(&mut sources, 0, 170);
        assert_eq!(sources.minimum(), Some(170));
        assert_eq!(sources.all_idle, None);
    }

    #[test]
    fn an_announcement_is_no_event() {
        let mut sources = sources(2);
        events(&mut sources, 0, 100);
        idle(&mut sources, 1, 1000);
        let announced = Range { partition: 1, from: 0, to: 0, ..Range::default() };
        sources.advance(&announced, BY, 0).unwrap();
        assert_eq!(sources.minimum(), Some(100));
    }

    #[test]
    fn what_is_counted_twice_or_left_out_is_found() {
        let mut sources = sources(1);
        events(&mut sources, 0, 100);
        let range = |from, to| Range { partition: 0, from, to, ..Range::default() };
        let halt = |range: &Range| sources.clone().advance(range, BY, 9);
        assert_eq!(halt(&range(2, 5)), Err(Halt::Overlap { delta: 9, partition: 0, expected: 3, from: 2 }));
        assert_eq!(halt(&range(4, 5)), Err(Halt::Gap { delta: 9, partition: 0, expected: 3, from: 4, to: 5 }));
        assert_eq!(halt(&range(3, 2)), Err(Halt::Gap { delta: 9, partition: 0, expected: 3, from: 3, to: 2 }));
        assert_eq!(halt(&Range { lost: Some((3, 7)), ..range(3, 8) }), Ok(()));
    }

    #[test]
    fn runs_tell_by_which_rules() {
        let mut sources = sources(1);
        events(&mut sources, 0, 100);
        events(&mut sources, 0, 110);
        let later = By { revision: 1, governing: 2 };
        sources.advance(&Range { partition: 0, from: 6, to: 7, ..Range::default() }, later, 0).unwrap();
        let runs = &sources.partitions[&0].runs;
        let expected = [Run { from: 0, revision: 1, governing: 1 }, Run { from: 6, revision: 1, governing: 2 }];
        assert_eq!(runs[..], expected);
    }
}
