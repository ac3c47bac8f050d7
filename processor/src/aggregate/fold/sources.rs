//! How far each source partition is: the check that nothing is counted twice or left out, and the frontier that closes
//! windows.

use std::collections::BTreeMap;

use crds::records::{
    delta::Range,
    state::{Partition, Run},
};

use super::Halt;

/// How many runs are kept of a partition; the audit says of what is older that it cannot be checked.
const MAX_RUNS: usize = 64;

/// The source partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// How many there are.
    pub count: u32,
    /// How many there were when the first delta was written.
    pub first_count: u32,
    /// Those that a delta named.
    pub partitions: BTreeMap<i32, Partition>,
    /// The highest effective watermark there was.
    pub highest: Option<i64>,
    /// While all are idle: `highest` when that began, and the earliest idle instant then.
    pub all_idle: Option<(i64, i64)>,
}

/// By which rules a range was processed and counted.
#[derive(Clone, Copy, Debug)]
pub struct By {
    /// The revision by whose rules stage 1 processed it.
    pub revision: u64,
    /// The revision that governs.
    pub governing: u64,
}

impl Sources {
    /// The source has at least so many partitions.
    pub fn seen(&mut self, count: u32) {
        if self.first_count == 0 {
            self.first_count = count;
        }
        self.count = self.count.max(count);
    }

    /// Moves a partition on.
    ///
    /// # Errors
    /// When the range does not begin where the partition's last one ended: events would be counted twice, or not at all.
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

    /// Everything that a partition had at this instant is counted: it lifts its watermark to the highest of any. When all
    /// are idle, that one goes on by the time that has passed since.
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
        // Only this one, of which it is known: a mark of another that was not renewed lifts nothing.
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.effective = known.effective.max(self.highest);
        }
    }

    /// The earliest idle instant, where every partition is idle.
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

    /// The minimum of the effective watermarks; none while a partition was never announced, or has none.
    #[must_use]
    pub fn minimum(&self) -> Option<i64> {
        let mut minimum = None;
        for partition in self.all() {
            let effective = partition?.effective?;
            minimum = Some(minimum.map_or(effective, |minimum: i64| minimum.min(effective)));
        }
        minimum
    }

    /// Whether a run of any partition names a revision.
    #[must_use]
    pub fn names(&self, revision: u64) -> bool {
        let names = |run: &Run| run.revision == revision || run.governing == revision;
        self.partitions.values().any(|partition| partition.runs.iter().any(names))
    }
}
