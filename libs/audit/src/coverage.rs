//! How far the pipeline is, and by which rules: the meta of the last snapshot, updated from the deltas after it. Pure.

use crds::records::{
    delta::Delta,
    state::{Change, Meta, Partition, Run},
};

#[derive(Clone, Debug)]
pub struct Coverage {
    meta: Meta,
    /// The offset of the next delta to read.
    next: i64,
    /// Whether rules have changed since the snapshot, or older rules are still in use: it is not known up to which
    /// offset.
    has_changed: bool,
}

impl Coverage {
    /// The coverage that a snapshot records.
    pub const fn new(meta: Meta) -> Self {
        let next = meta.offset;
        Self { meta, next, has_changed: false }
    }

    /// Takes the next delta after the snapshot.
    pub fn take(&mut self, offset: i64, delta: &Delta) {
        self.next = offset + 1;
        if let Some(rules) = delta.rules.as_ref().filter(|_| !self.knows(delta.revision)) {
            self.meta.rules.push((delta.revision, rules.clone()));
        }
        let governs = self.meta.changes.last().map(|change| change.revision);
        if governs < Some(delta.revision) {
            self.meta.changes.push(Change { revision: delta.revision, ..Change::default() });
        }
        self.has_changed |= governs.is_some_and(|governs| governs != delta.revision);
        let governing = governs.max(Some(delta.revision)).unwrap_or_default();
        for range in &delta.ranges {
            let partitions = &mut self.meta.partitions;
            let index = partitions.partition_point(|known| known.partition < range.partition);
            if partitions.get(index).is_none_or(|known| known.partition != range.partition) {
                let (partition, first) = (range.partition, range.from);
                partitions.insert(index, Partition { partition, first, to: first, ..Partition::default() });
            }
            let Some(known) = partitions.get_mut(index) else { continue };
            known.to = range.to;
            let run = Run { from: range.from, revision: delta.revision, governing };
            let same = |last: &Run| (last.revision, last.governing) == (run.revision, run.governing);
            if range.from < range.to && !known.runs.last().is_some_and(same) {
                known.runs.push(run);
            }
        }
    }

    fn knows(&self, revision: u64) -> bool {
        self.meta.rules.iter().any(|(known, _)| *known == revision)
    }

    /// The offset of the next delta.
    pub const fn next(&self) -> i64 {
        self.next
    }

    /// The snapshot's meta, with the progress and the rules of later deltas.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether no delta came after the snapshot.
    pub const fn is_current(&self) -> bool {
        self.next == self.meta.offset
    }

    /// Whether rules have changed since the snapshot, or events were processed by older rules: it is not known which
    /// windows that has cut.
    pub const fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// What is known of a source partition.
    pub fn partition(&self, partition: i32) -> Option<&Partition> {
        self.meta.partitions.iter().find(|known| known.partition == partition)
    }
}

#[cfg(test)]
mod tests {
    use crds::records::delta::Range;

    use super::*;

    fn delta(revision: u64, ranges: &[(i32, i64, i64)]) -> Delta {
        let range = |(partition, from, to): &(i32, i64, i64)| Range {
            partition: *partition,
            from: *from,
            to: *to,
            ..Range::default()
        };
        let rules = Some(format!("rules {revision}"));
        Delta { revision, rules, ranges: ranges.iter().map(range).collect(), ..Delta::default() }
    }

    fn run(from: i64, revision: u64, governing: u64) -> Run {
        Run { from, revision, governing }
    }

    #[test]
    fn deltas_carry_a_snapshot_on() {
        let partition = Partition { partition: 1, first: 3, to: 9, runs: vec![run(3, 1, 1)], ..Partition::default() };
        let meta = Meta {
            offset: 70,
            rules: vec![(1, "rules 1".to_owned()), (2, "rules 2".to_owned())],
            changes: vec![Change { revision: 1, ..Change::default() }, Change { revision: 2, ..Change::default() }],
            partitions: vec![partition],
            ..Meta::default()
        };
        let mut coverage = Coverage::new(meta);
        assert!(coverage.is_current());
        assert_eq!(coverage.next(), 70);
        coverage.take(70, &delta(2, &[]));
        assert!(!coverage.has_changed());
        coverage.take(71, &delta(1, &[(1, 9, 12), (0, 5, 5)]));
        coverage.take(73, &delta(1, &[(1, 12, 12), (0, 5, 6)]));
        coverage.take(74, &delta(2, &[(1, 12, 15)]));
        assert!(!coverage.is_current());
        assert_eq!(coverage.next(), 75);
        assert!(coverage.has_changed());
        let first = coverage.partition(1).unwrap();
        assert_eq!(first.first, 3);
        assert_eq!(first.to, 15);
        assert_eq!(first.runs, [run(3, 1, 1), run(9, 1, 2), run(12, 2, 2)]);
        let new = coverage.partition(0).unwrap();
        assert_eq!(new.first, 5);
        assert_eq!(new.to, 6);
        assert_eq!(new.runs, [run(5, 1, 2)]);
        assert!(coverage.partition(2).is_none());
        let order: Vec<i32> = coverage.meta().partitions.iter().map(|partition| partition.partition).collect();
        assert_eq!(order, [0, 1]);

        let mut coverage = Coverage::new(coverage.meta().clone());
        assert!(!coverage.has_changed());
        coverage.take(75, &delta(3, &[(1, 15, 16)]));
        assert!(coverage.has_changed());
        assert_eq!(coverage.meta().rules.last(), Some(&(3, "rules 3".to_owned())));
        assert_eq!(coverage.partition(1).unwrap().runs.last(), Some(&run(15, 3, 3)));
    }
}
