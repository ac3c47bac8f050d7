//! What the pipeline itself wrote of how far it is: the snapshot of stage 2, and the deltas behind it. It tells where a
//! partition is taken up whose committed offset is gone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crds::{
    job::JobConfig,
    records::{
        delta::{Delta, DeltaError},
        state::{self, Key, Meta, StateError},
    },
};
use kafka::cluster::{Cluster, ClusterError};
use rdkafka::Message;

/// How long the deltas are read in one turn.
const SLICE: Duration = Duration::from_millis(500);

/// How far a source partition was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The next offset.
    pub position: i64,
    /// The watermark there, Unix seconds.
    pub watermark: Option<i64>,
}

/// How far each source partition was processed, by all that was written before the reading began.
#[derive(Debug, Default)]
pub struct History {
    /// The next delta to read; none where all that there are must be.
    next: Option<i64>,
    /// Where the deltas ended when the reading began, open transactions included.
    end: i64,
    first_partitions: Option<u32>,
    reached: BTreeMap<i32, Reached>,
}

/// Why the history does not tell anything yet.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Kafka did not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A writer's transaction is open, behind which there may be more.
    #[error("a transaction in topic {0} is still open")]
    Open(String),
    /// Deltas are gone that the snapshot does not hold: a younger one does, or somebody has deleted them.
    #[error(
        "topic {0} begins behind the last snapshot; if that stays so, somebody has deleted deltas: set the group's offset by hand"
    )]
    Trimmed(String),
    /// More deltas than a turn takes.
    #[error("reading the deltas: {next} of {end}")]
    Unfinished {
        /// The next one.
        next: i64,
        /// How many there are.
        end: i64,
    },
    /// A snapshot of another release, or none.
    #[error("topic {topic}, key meta: {source}")]
    Meta {
        /// The topic of the snapshots.
        topic: String,
        /// What is wrong with it.
        source: StateError,
    },
    /// A delta of another release, or none.
    #[error("topic {topic} [0], offset {offset}: {source}")]
    Delta {
        /// The topic of the deltas.
        topic: String,
        /// Where in it.
        offset: i64,
        /// What is wrong with it.
        source: DeltaError,
    },
}

impl History {
    /// Begins with the last snapshot: all deltas before the one that it names are in it.
    ///
    /// # Errors
    /// When it cannot be read yet, or at all.
    pub fn begin(cluster: &Cluster, job: &JobConfig) -> Result<Self, HistoryError> {
        let end = cluster.topics.high_watermark(&job.topics.deltas, 0, SLICE)?;
        let meta = last_meta(cluster, &job.topics.results.state)?;
        Ok(Self::after(meta.as_ref(), end))
    }

    fn after(meta: Option<&Meta>, end: i64) -> Self {
        let Some(meta) = meta else { return Self { end, ..Self::default() } };
        let reached = |of: &state::Partition| (of.partition, Reached { position: of.to, watermark: of.watermark });
        Self {
            // A log that ends before was made anew: all of it is news.
            next: (meta.offset <= end).then_some(meta.offset),
            end,
            first_partitions: Some(meta.first_partitions),
            reached: meta.partitions.iter().map(reached).collect(),
        }
    }

    /// Reads on for a moment.
    ///
    /// # Errors
    /// When there is more to read after that; or when a delta cannot be read, or not any more.
    pub fn read_on(&mut self, cluster: &Cluster, topic: &str) -> Result<(), HistoryError> {
        let started = Instant::now();
        let mut taken = Ok(());
        let next = cluster.log.forwards(topic, 0, self.next, |message| {
            taken = self.take(message.payload().unwrap_or_default()).map_err(|source| HistoryError::Delta {
                topic: topic.to_owned(),
                offset: message.offset(),
                source,
            });
            taken.is_ok() && started.elapsed() < SLICE
        })?;
        taken?;
        let next = next.ok_or_else(|| HistoryError::Trimmed(topic.to_owned()))?;
        self.next = Some(next);
        if next < self.end { Err(HistoryError::Unfinished { next, end: self.end }) } else { Ok(()) }
    }

    fn take(&mut self, delta: &[u8]) -> Result<(), DeltaError> {
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

    /// How far a source partition was processed; none of one that nothing tells of.
    pub fn reached(&self, partition: i32) -> Option<Reached> {
        self.reached.get(&partition).copied()
    }

    /// Whether the source had the partition when the pipeline first started.
    pub fn existed_at_the_start(&self, partition: i32) -> bool {
        self.first_partitions.is_none_or(|first| i64::from(partition) < i64::from(first))
    }
}

/// The `meta` of the last snapshot.
fn last_meta(cluster: &Cluster, topic: &str) -> Result<Option<Meta>, HistoryError> {
    let end = cluster.topics.high_watermark(topic, 0, SLICE)?;
    let (found, stable) = cluster.log.last_value(topic, 0, &Key::Meta.encode())?;
    // A younger snapshot behind an open transaction may have let deltas go that the older one needs.
    if stable < end {
        return Err(HistoryError::Open(topic.to_owned()));
    }
    let meta = found.as_deref().map(state::decode).transpose();
    meta.map_err(|source| HistoryError::Meta { topic: topic.to_owned(), source })
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
        assert!(history.existed_at_the_start(9), "as far as anybody knows");
        history.take(&delta(&[(0, 10, 100), (1, 5, 50)])).unwrap();
        history.take(&delta(&[(1, 8, 50)])).unwrap();
        // An announcement repeats the position, with what is known of the watermark by then.
        history.take(&delta(&[(0, 10, 101)])).unwrap();
        assert_eq!(reached(&history), [Some((10, 101)), Some((8, 50)), None]);
        assert_eq!(
            (0..5).map(|partition| history.existed_at_the_start(partition)).collect::<Vec<_>>(),
            [true, true, true, true, false]
        );
        assert_eq!(history.take(&[9]), Err(DeltaError::Version(9)));
    }

    #[test]
    fn a_snapshot_stands_for_the_deltas_before_it() {
        let mut history = History::after(Some(&meta()), 9);
        assert_eq!((history.next, history.end), (Some(7), 9));
        history.take(&delta(&[(1, 30, 300), (2, 1, 10)])).unwrap();
        assert_eq!(reached(&history), [Some((10, 100)), Some((30, 300)), Some((1, 10))]);
        assert!(history.existed_at_the_start(1) && !history.existed_at_the_start(2));
    }

    #[test]
    fn of_a_snapshot_and_a_recreated_log_the_further_one_counts() {
        let mut history = History::after(Some(&meta()), 3);
        assert_eq!(history.next, None);
        history.take(&delta(&[(0, 3, 30), (1, 21, 210)])).unwrap();
        assert_eq!(reached(&history), [Some((10, 100)), Some((21, 210)), None]);
    }
}
