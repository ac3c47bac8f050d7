//! Where a partition is taken up: from what the group has committed, or, where that is gone, from what the pipeline wrote.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};

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
    cluster::{Cluster, ClusterError, UNSTABLE_BOUND},
    native::consumer::{Committed, Consumer},
};

/// How long one question may take, so that a thread that waits can still be told to stop.
const SLICE: Duration = Duration::from_millis(500);

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
    /// Asks for each waiting partition once; it was asked for the first time at the instant beside it. Ends within a few
    /// slices of time, with answers for as many as that allowed.
    ///
    /// # Errors
    /// When Kafka does not answer; ask again.
    pub fn resolve(
        &self,
        consumer: &Consumer,
        waiting: &BTreeMap<i32, Instant>,
    ) -> Result<Vec<(i32, Resolution)>, ClusterError> {
        let topics = &self.job.topics;
        let mut answers = Vec::new();
        let mut ready = Vec::new();
        for topic in [&topics.output, &topics.dead_letters] {
            let partitions = self.cluster.partitions(topic, SLICE)?;
            for partition in waiting.keys().filter(|partition| **partition >= partitions) {
                let why = format!("partition {partition}: topic {topic} has only {partitions} partitions: add more");
                answers.push((*partition, Resolution::Waiting(why)));
            }
        }
        ready.extend(waiting.keys().filter(|partition| answers.iter().all(|(waits, _)| waits != *partition)));
        let committed = self.committed(consumer, &ready, waiting, &mut answers)?;
        let gone: Vec<i32> =
            committed.iter().filter(|known| known.offset.is_none()).map(|known| known.partition).collect();
        let last_deltas = self.after_last_delta(&gone)?;
        for Committed { partition, offset } in committed {
            let (low, high) = consumer.bounds(partition, SLICE)?;
            let resolution = match (offset, last_deltas.get(&partition)) {
                (Some((position, metadata)), _) => at_commit(partition, position, &metadata, (low, high)),
                (None, Some(start)) => {
                    tracing::warn!(partition, position = start.position, "no commit: resuming after the last delta");
                    Resolution::Ready(Start { log_start: low, ..*start })
                }
                (None, None) => Resolution::Ready(self.after_last_output(partition, low, high)?),
            };
            answers.push((partition, resolution));
        }
        Ok(answers)
    }

    /// What the group has committed. All are asked for at once; where one is unstable, which holds all of them up, one by
    /// one.
    fn committed(
        &self,
        consumer: &Consumer,
        partitions: &[i32],
        waiting: &BTreeMap<i32, Instant>,
        answers: &mut Vec<(i32, Resolution)>,
    ) -> Result<Vec<Committed>, ClusterError> {
        if let Ok(committed) = consumer.committed(partitions, SLICE) {
            return Ok(committed);
        }
        let started = Instant::now();
        let mut known = Vec::new();
        for partition in partitions.iter().take_while(|_| started.elapsed() < 4 * SLICE) {
            match consumer.committed(&[*partition], SLICE) {
                Ok(committed) => known.extend(committed),
                Err(error) => {
                    let unstable = waiting.get(partition).map(Instant::elapsed).unwrap_or_default();
                    if unstable >= UNSTABLE_BOUND {
                        self.cluster.fence_dead_writer(&self.job.topics.source, *partition, self.own_id, SLICE)?;
                    }
                    answers.push((*partition, Resolution::Waiting(format!("partition {partition}: {error}"))));
                }
            }
        }
        Ok(known)
    }

    /// Where the last delta of each of these partitions ended. A missing offset never restarts from the beginning what was
    /// processed before.
    fn after_last_delta(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Start>, ClusterError> {
        let found = RefCell::new(BTreeMap::new());
        if partitions.is_empty() {
            return Ok(found.into_inner());
        }
        let each = |message: &BorrowedMessage<'_>| {
            let Some(delta) = message.payload().and_then(|payload| Delta::decode(payload).ok()) else { return };
            for range in delta.ranges.iter().filter(|range| partitions.contains(&range.partition)) {
                let start = Start { position: range.to, watermark: range.watermark, log_start: 0 };
                // Steps are read from the last to the first, and forwards in themselves: the furthest range is the last.
                let known = found.borrow().get(&range.partition).map_or(-1, |known: &Start| known.position);
                if start.position >= known {
                    found.borrow_mut().insert(range.partition, start);
                }
            }
        };
        let seen = || found.borrow().len() == partitions.len();
        self.cluster.backwards(&self.job.topics.deltas, 0, each, seen)?;
        Ok(found.into_inner())
    }

    /// Where a partition is taken up of which neither a commit nor a delta tells: behind the last of its outputs, or at the
    /// start.
    fn after_last_output(&self, partition: i32, low: i64, high: i64) -> Result<Start, ClusterError> {
        let topics = &self.job.topics;
        let last = Cell::new(None);
        let each = |offset: Option<i64>| last.set(last.get().max(offset));
        let seen = || last.get().is_some();
        self.cluster.backwards(&topics.output, partition, |message| each(output_offset(message)), seen)?;
        let of_output = last.take();
        self.cluster.backwards(&topics.dead_letters, partition, |message| each(dead_letter_offset(message)), seen)?;
        if let Some(last) = of_output.max(last.get()) {
            tracing::warn!(partition, last, "no commit, no delta: resuming after the last output; lateness is unknown");
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
    fn existed_at_the_start(&self, partition: i32) -> Result<bool, ClusterError> {
        let seen = self.cluster.first(&self.job.topics.deltas, 0, |message| {
            Delta::decode(message.payload()?).ok().map(|delta| delta.source_partitions)
        })?;
        Ok(seen.is_none_or(|seen| i64::from(partition) < i64::from(seen)))
    }
}

fn at_commit(partition: i32, position: i64, metadata: &str, (low, high): (i64, i64)) -> Resolution {
    if position > high {
        return Resolution::Stopped(Stopped::SourceTruncated { partition, committed: position, end: high });
    }
    match watermark(metadata) {
        Ok(watermark) => Resolution::Ready(Start { position, watermark, log_start: low }),
        Err(source) => Resolution::Stopped(Stopped::ForeignMetadata { partition, source }),
    }
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
