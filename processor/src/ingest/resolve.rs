//! Where a partition is taken up: from what the group has committed, or, where that is gone, from what the pipeline wrote.

use std::time::{Duration, Instant};

use crds::{
    job::JobConfig,
    pipeline::StartFrom,
    records::{
        dead_letter::SOURCE_OFFSET,
        delta::Delta,
        enrichment::EVENT_ID,
        offset::{OffsetMetadata, OffsetMetadataError},
    },
};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};

use super::machine::Start;
use crate::kafka::{
    cluster::{Cluster, ClusterError},
    error::KafkaError,
    native::{
        consumer::{Committed, Consumer},
        producer::Producer,
    },
    settings,
};

/// How long one question may take, so that a thread that waits can still be told to stop.
const SLICE: Duration = Duration::from_millis(500);

/// How long an offset stays unstable before its writer is held for dead.
const UNSTABLE_BOUND: Duration = Duration::from_secs(2);

/// How long the fencing of a dead writer may take.
const FENCE_BOUND: Duration = Duration::from_secs(5);

/// What is known of a partition that has no position yet.
#[derive(Debug)]
pub enum Resolution {
    /// It can be taken up.
    Ready(Start),
    /// Something is still missing; ask again.
    Waiting(String),
    /// It must not be processed before a person has decided.
    Stopped(Stopped),
}

/// Why a partition is not processed.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The source is shorter than what was processed of it.
    #[error(
        "SourceTruncated: partition {partition} was processed up to offset {committed}, but ends at {end}: the source lost \
         events or was made anew; restore it, or reset the group's offset for the partition"
    )]
    SourceTruncated {
        /// Which partition.
        partition: i32,
        /// The committed offset.
        committed: i64,
        /// The end of the partition.
        end: i64,
    },
    /// Another program commits in our group, or a later release did.
    #[error("partition {partition}: {source}; give the pipeline a consumer group of its own")]
    ForeignMetadata {
        /// Which partition.
        partition: i32,
        /// What is wrong with it.
        source: OffsetMetadataError,
    },
}

/// Asks where partitions are taken up.
#[derive(Debug)]
pub struct Resolver<'a> {
    /// The job.
    pub job: &'a JobConfig,
    /// The transactional id of this thread.
    pub own_id: &'a str,
    /// Answers the seldom questions.
    pub cluster: &'a Cluster,
}

impl Resolver<'_> {
    /// Asks once, within bounds of time. The partition was asked for the first time at `since`.
    ///
    /// # Errors
    /// When Kafka does not answer; ask again.
    pub fn resolve(&self, consumer: &Consumer, partition: i32, since: Instant) -> Result<Resolution, ResolveError> {
        for topic in [&self.job.topics.output, &self.job.topics.dead_letters] {
            let partitions = self.cluster.partitions(topic, SLICE)?;
            if partition >= partitions {
                let why = format!("partition {partition}: topic {topic} has only {partitions} partitions: add more");
                return Ok(Resolution::Waiting(why));
            }
        }
        let (low, high) = consumer.bounds(partition, SLICE)?;
        let committed = match consumer.committed(&[partition], SLICE) {
            Ok(committed) => committed.into_iter().next().and_then(|Committed { offset, .. }| offset),
            Err(error) => {
                if since.elapsed() >= UNSTABLE_BOUND {
                    self.fence_dead_writer(partition)?;
                }
                return Ok(Resolution::Waiting(format!("partition {partition}: {error}")));
            }
        };
        let Some((position, metadata)) = committed else {
            return self.without_commit(partition, low, high).map(Resolution::Ready);
        };
        if position > high {
            let stopped = Stopped::SourceTruncated { partition, committed: position, end: high };
            return Ok(Resolution::Stopped(stopped));
        }
        let watermark = match watermark(&metadata) {
            Ok(watermark) => watermark,
            Err(source) => return Ok(Resolution::Stopped(Stopped::ForeignMetadata { partition, source })),
        };
        Ok(Resolution::Ready(Start { position, watermark, log_start: low }))
    }

    /// A missing offset never restarts from the beginning what was processed before.
    fn without_commit(&self, partition: i32, low: i64, high: i64) -> Result<Start, ResolveError> {
        let topics = &self.job.topics;
        let from_delta = self.cluster.last(&topics.deltas, 0, |message| {
            let delta = Delta::decode(message.payload()?).ok()?;
            let range = delta.ranges.into_iter().find(|range| range.partition == partition)?;
            Some(Start { position: range.to, watermark: range.watermark, log_start: low })
        })?;
        if let Some(start) = from_delta {
            tracing::warn!(partition, position = start.position, "no committed offset: resuming after the last delta");
            return Ok(start);
        }
        let output = self.cluster.last(&topics.output, partition, output_offset)?;
        let dead_letter = self.cluster.last(&topics.dead_letters, partition, dead_letter_offset)?;
        if let Some(last) = output.max(dead_letter) {
            tracing::warn!(
                partition,
                last,
                "no committed offset and no delta: resuming after the last output; lateness is unknown"
            );
            return Ok(Start { position: last + 1, watermark: None, log_start: low });
        }
        let position = match self.job.start_from {
            StartFrom::Latest if self.existed_at_the_start(partition)? => high,
            StartFrom::Latest | StartFrom::Earliest => low,
        };
        Ok(Start { position, watermark: None, log_start: low })
    }

    /// Whether the source had the partition when the pipeline first started; one that was added later begins at its
    /// beginning, wherever the pipeline began.
    fn existed_at_the_start(&self, partition: i32) -> Result<bool, ResolveError> {
        let seen = self.cluster.first(&self.job.topics.deltas, 0, |message| {
            Delta::decode(message.payload()?).ok().map(|delta| delta.source_partitions)
        })?;
        Ok(seen.is_none_or(|seen| i64::from(partition) < i64::from(seen)))
    }

    /// Ends the transaction that keeps an offset unstable, when its writer is not in the group any more.
    fn fence_dead_writer(&self, partition: i32) -> Result<(), ResolveError> {
        let metadata = self.cluster.committed(std::iter::once(partition), SLICE)?.into_iter().next().flatten();
        let Some(OffsetMetadata { transactional_id, .. }) = metadata else { return Ok(()) };
        if transactional_id == self.own_id || self.cluster.is_member(&transactional_id, SLICE)? {
            return Ok(());
        }
        tracing::info!(partition, transactional_id, "ending the transaction of an owner that is gone");
        let mut fencer = Producer::new(&settings::fencer(self.job, &transactional_id))?;
        fencer.init_transactions(FENCE_BOUND)?;
        Ok(())
    }
}

/// Why there is no answer. It may come later.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A call of the hot path's client failed.
    #[error(transparent)]
    Native(#[from] KafkaError),
    /// A seldom question failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// The watermark of committed metadata; unknown when a person has set the offset with Kafka's tools, which write none.
fn watermark(metadata: &str) -> Result<Option<i64>, OffsetMetadataError> {
    if metadata.is_empty() {
        tracing::warn!("the committed offset has no metadata: it was set by hand; lateness is unknown");
        return Ok(None);
    }
    OffsetMetadata::decode(metadata).map(|metadata| metadata.watermark)
}

/// The source offset of a record of the output.
fn output_offset(message: &BorrowedMessage<'_>) -> Option<i64> {
    let value: serde_json::Value = serde_json::from_slice(message.payload()?).ok()?;
    value.get(EVENT_ID)?.as_str()?.rsplit_once('-')?.1.parse().ok()
}

/// The source offset of a dead letter. The last header counts: a source record may have had one of that name.
fn dead_letter_offset(message: &BorrowedMessage<'_>) -> Option<i64> {
    let header = message.headers()?.iter().filter(|header| header.key == SOURCE_OFFSET).last()?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
}
