//! Where the frontier must be, computed from the deltas only: a second implementation of docs/formats.md, without code
//! of the fold.

use std::collections::BTreeMap;

use crds::{
    job::Rules,
    pipeline::Window,
    records::{aggregate::Aggregate, delta::Delta},
};

use super::coverage::{Coverage, Feature};

#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    watermark: Option<i64>,
    /// The last idle mark, Unix milliseconds; `None` once an event has come.
    idle: Option<i64>,
    /// The time to which the last idle mark lifted it.
    lifted: Option<i64>,
}

#[derive(Debug, Default)]
pub struct Frontier {
    count: i32,
    partitions: BTreeMap<i32, Partition>,
    /// The highest watermark so far; it advances while all partitions are idle.
    highest: Option<i64>,
    /// The time since when all partitions are idle, and the highest watermark at that time.
    all_idle: Option<(i64, i64)>,
    frontier: Option<i64>,
    governing: u64,
    /// Pairs of a delta and a time: from that delta on, all windows that end at that time or earlier may be evicted.
    horizons: Vec<(i64, i64)>,
    /// Window sizes that some governing revision did not ask for.
    not_always: Vec<Window>,
    seen: Vec<Feature>,
}

impl Frontier {
    pub const fn now(&self) -> Option<i64> {
        self.frontier
    }

    pub fn delta(&mut self, offset: i64, delta: &Delta, rules: &BTreeMap<u64, Rules>) {
        self.govern(delta.revision, rules);
        self.count = self.count.max(delta.source_partitions as i32);
        for range in &delta.ranges {
            let known = self.partitions.entry(range.partition).or_default();
            known.watermark = known.watermark.max(range.watermark);
            if range.to > range.from {
                if known.idle.is_some() {
                    self.seen.push(Feature::Wake);
                }
                (known.idle, known.lifted, self.all_idle) = (None, None, None);
            }
            self.highest = self.highest.max(known.watermark);
            if let Some(mark) = range.idle {
                known.idle = known.idle.max(Some(mark));
                self.pass_idle_time();
                self.partitions.entry(range.partition).or_default().lifted = self.highest;
            }
        }
        let bounds = (0..self.count).map(|partition| {
            let known = self.partitions.get(&partition).copied().unwrap_or_default();
            (known.watermark.max(known.lifted), known.watermark)
        });
        if let Some((Some(least), own)) = bounds.min()
            && self.frontier < Some(least)
        {
            if own < Some(least) {
                self.seen.push(Feature::IdleLift);
            }
            self.frontier = Some(least);
        }
        if let (Some(frontier), Some(rules)) = (self.frontier, rules.get(&self.governing)) {
            let kept = rules.aggregation.retention.as_secs() + rules.aggregation.largest_window();
            self.horizons.push((offset, frontier - kept));
        }
    }

    fn govern(&mut self, revision: u64, rules: &BTreeMap<u64, Rules>) {
        if revision <= self.governing {
            return;
        }
        let asked = |revision| rules.get(&revision).map_or(&[][..], |rules: &Rules| &rules.aggregation.windows);
        let gone = asked(self.governing).iter().filter(|window| !asked(revision).contains(window));
        self.not_always.extend(gone);
        self.governing = revision;
    }

    /// While all partitions are idle, time advances to the oldest of their marks.
    fn pass_idle_time(&mut self) {
        let marks = (0..self.count).map(|partition| self.partitions.get(&partition).and_then(|known| known.idle));
        if let (Some(Some(oldest)), Some(highest)) = (marks.min(), self.highest) {
            let (began, then) = *self.all_idle.get_or_insert((oldest, highest));
            self.highest = Some(highest.max(then + (oldest - began).max(0) / 1000));
            if oldest > began {
                self.seen.push(Feature::AllIdle);
            }
        }
    }

    /// Checks whether a window may be closed, open or evicted, as a record emitted now says.
    pub fn allows(&self, record: &Aggregate) -> Result<(), String> {
        let Some(end) = record.span.end() else { return Ok(()) };
        if let Some(delta) = record.evicted_at {
            let behind = self.horizons.iter().filter(|(offset, _)| *offset < delta).map(|(_, horizon)| *horizon).max();
            return match behind {
                Some(horizon) if end <= horizon => Ok(()),
                _ => Err(format!("{} was evicted too early: the horizon was {behind:?}", record.key())),
            };
        }
        let reached = self.frontier.is_some_and(|frontier| end <= frontier);
        match record.is_final {
            false if reached => Err(format!("{} is still open, the frontier is {:?}", record.key(), self.frontier)),
            true if !reached && !self.not_always.contains(&record.span.window) => {
                Err(format!("{} was closed too early, the frontier is {:?}", record.key(), self.frontier))
            }
            _ => Ok(()),
        }
    }

    pub fn cover(&self, coverage: &mut Coverage) {
        self.seen.iter().for_each(|feature| coverage.note(*feature));
    }
}
