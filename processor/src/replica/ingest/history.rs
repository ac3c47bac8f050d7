//! Reads the history of the pipeline from Kafka: the last snapshot of the aggregation, and the deltas after it.

use std::time::{Duration, Instant};

use crds::{
    job::JobConfig,
    records::{
        delta::DeltaError,
        state::{Meta, StateError},
    },
};
use kafka::cluster::{Cluster, ClusterError};
use rdkafka::Message;
use stages::ingest::history::History;

/// How long the deltas are read in one turn.
const SLICE: Duration = Duration::from_millis(500);

/// Why the history says nothing yet.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Kafka did not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// More records may follow after an open transaction.
    #[error("a transaction in topic {0} is still open")]
    Open(String),
    /// Deltas are deleted that the snapshot does not hold: either a newer snapshot does, or a person has deleted them.
    #[error(
        "topic {0} begins after the last snapshot; if that stays so, somebody has deleted deltas: set the group's offset by hand"
    )]
    Trimmed(String),
    /// There are more deltas than a turn reads.
    #[error("reading the deltas: {next} of {end}")]
    Unfinished {
        /// The next offset.
        next: i64,
        /// The offset after the last delta.
        end: i64,
    },
    /// The snapshot is not one that this release reads.
    #[error("topic {topic}, key meta: {source}")]
    Meta { topic: String, source: StateError },
    /// A delta is not one that this release reads.
    #[error("topic {topic} [0], offset {offset}: {source}")]
    Delta { topic: String, offset: i64, source: DeltaError },
}

/// Reads everything that was written before it was created.
#[derive(Debug)]
pub struct HistoryReader {
    history: History,
    /// The offset after the last delta, open transactions included.
    end: i64,
}

impl HistoryReader {
    /// Reads the last snapshot.
    ///
    /// # Errors
    /// When it cannot be read yet, or at all.
    pub fn new(cluster: &Cluster, job: &JobConfig) -> Result<Self, HistoryError> {
        let end = cluster.topics.high_watermark(&job.topics.deltas, 0, SLICE)?;
        let meta = last_meta(cluster, &job.topics.results.state)?;
        Ok(Self { history: History::after(meta.as_ref(), end), end })
    }

    /// Reads deltas for a moment.
    ///
    /// # Errors
    /// When more deltas are left, or one cannot be read.
    pub fn read_on(&mut self, cluster: &Cluster, topic: &str) -> Result<(), HistoryError> {
        let started = Instant::now();
        let mut taken = Ok(());
        let Self { history, end } = self;
        let next = cluster.log.forwards(topic, 0, history.next(), |message| {
            taken = history.take(message.payload().unwrap_or_default()).map_err(|source| HistoryError::Delta {
                topic: topic.to_owned(),
                offset: message.offset(),
                source,
            });
            taken.is_ok() && started.elapsed() < SLICE
        })?;
        taken?;
        let next = next.ok_or_else(|| HistoryError::Trimmed(topic.to_owned()))?;
        history.taken_before(next);
        if next < *end { Err(HistoryError::Unfinished { next, end: *end }) } else { Ok(()) }
    }

    /// The history, once everything is read.
    pub fn into_history(self) -> History {
        self.history
    }
}

/// The `meta` of the last snapshot.
fn last_meta(cluster: &Cluster, topic: &str) -> Result<Option<Meta>, HistoryError> {
    let end = cluster.topics.high_watermark(topic, 0, SLICE)?;
    let (records, stable) = cluster.log.last_meta(topic)?;
    // A newer snapshot after an open transaction may have let deltas be deleted that the older one needs.
    if stable < end {
        return Err(HistoryError::Open(topic.to_owned()));
    }
    records.meta().map_err(|source| HistoryError::Meta { topic: topic.to_owned(), source })
}
