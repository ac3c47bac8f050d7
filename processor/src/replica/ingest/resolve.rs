//! Where a partition is taken up: from what the group has committed, or, where that is gone, from what the pipeline wrote.

use std::{
    cell::Cell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crds::{
    job::JobConfig,
    pipeline::StartFrom,
    records::{
        dead_letter::SOURCE_OFFSET,
        enrichment::EVENT_ID,
        offset::{OffsetMetadata, OffsetMetadataError},
    },
};
use kafka::{
    cluster::{Cluster, ClusterError, UNSTABLE_BOUND},
    native::consumer::{Committed, Consumer},
};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use stages::ingest::machine::Start;

use super::history::{History, HistoryError, Reached};

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
    job: &'a JobConfig,
    /// The transactional id of this thread.
    own_id: &'a str,
    cluster: &'a Cluster,
    /// As far as it has been read, when that takes more than one turn, and for which waiting partitions.
    history: Option<(BTreeMap<i32, Instant>, History)>,
}

impl<'a> Resolver<'a> {
    /// For the thread with this transactional id.
    pub const fn new(job: &'a JobConfig, own_id: &'a str, cluster: &'a Cluster) -> Self {
        Self { job, own_id, cluster, history: None }
    }

    /// Asks for each waiting partition once; it was asked for the first time at the instant beside it. Ends within a few
    /// slices of time, with answers for as many as that allowed.
    ///
    /// # Errors
    /// When Kafka does not answer; ask again.
    pub fn resolve(
        &mut self,
        consumer: &Consumer,
        waiting: &BTreeMap<i32, Instant>,
    ) -> Result<Vec<(i32, Resolution)>, ClusterError> {
        let topics = &self.job.topics;
        let mut answers = Vec::new();
        let mut ready = Vec::new();
        for topic in [&topics.output, &topics.dead_letters] {
            let partitions = self.cluster.topics.partitions(topic, SLICE)?;
            for partition in waiting.keys().filter(|partition| **partition >= partitions) {
                let why = format!("partition {partition}: topic {topic} has only {partitions} partitions: add more");
                answers.push((*partition, Resolution::Waiting(why)));
            }
        }
        ready.extend(waiting.keys().filter(|partition| answers.iter().all(|(waits, _)| waits != *partition)));
        let committed = self.committed(consumer, &ready, waiting, &mut answers)?;
        let gone = committed.iter().filter(|known| known.offset.is_none()).map(|known| known.partition);
        let gone: BTreeMap<i32, Instant> =
            gone.filter_map(|partition| waiting.get(&partition).map(|since| (partition, *since))).collect();
        let mut history = None;
        for Committed { partition, offset } in committed {
            let bounds = consumer.bounds(partition, SLICE)?;
            let resolution = match offset {
                Some((position, metadata)) => at_commit(partition, position, &metadata, bounds),
                None => match history.get_or_insert_with(|| self.history(&gone)) {
                    Ok(history) => Resolution::Ready(self.without_commit(partition, history, bounds)?),
                    Err(why) => Resolution::Waiting(format!("partition {partition} has no commit: {why}")),
                },
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
                        self.cluster.group.fence_dead_writer(
                            &self.job.topics.source,
                            *partition,
                            self.own_id,
                            SLICE,
                        )?;
                    }
                    answers.push((*partition, Resolution::Waiting(format!("partition {partition}: {error}"))));
                }
            }
        }
        Ok(known)
    }

    /// What the pipeline wrote of how far it is; it takes several turns where that is much. What was begun for partitions
    /// that went away since would miss what their next owners wrote.
    fn history(&mut self, gone: &BTreeMap<i32, Instant>) -> Result<History, HistoryError> {
        let mut history = match self.history.take() {
            Some((of, history)) if of == *gone => history,
            _ => History::begin(self.cluster, self.job)?,
        };
        let read = history.read_on(self.cluster, &self.job.topics.deltas);
        if let Err(unfinished @ HistoryError::Unfinished { .. }) = read {
            self.history = Some((gone.clone(), history));
            return Err(unfinished);
        }
        read.map(|()| history)
    }

    /// Where a partition is taken up whose committed offset is gone, or that never had one. What was processed before never
    /// restarts from the beginning.
    fn without_commit(
        &self,
        partition: i32,
        history: &History,
        (low, high): (i64, i64),
    ) -> Result<Start, ClusterError> {
        if let Some(Reached { position, watermark }) = history.reached(partition) {
            tracing::warn!(partition, position, "no commit: resuming where snapshot and deltas end");
            return Ok(Start { position, watermark, log_start: low });
        }
        if let Some(last) = self.last_output(partition)? {
            tracing::warn!(partition, last, "no commit, no delta: resuming after the last output; lateness is unknown");
            return Ok(Start { position: last + 1, watermark: None, log_start: low });
        }
        // One that was added later begins at its beginning, wherever the pipeline began.
        let position = match self.job.start_from {
            StartFrom::Latest if history.existed_at_the_start(partition) => high,
            StartFrom::Latest | StartFrom::Earliest => low,
        };
        Ok(Start { position, watermark: None, log_start: low })
    }

    /// The source offset of the last record that became one of the outputs.
    fn last_output(&self, partition: i32) -> Result<Option<i64>, ClusterError> {
        let topics = &self.job.topics;
        let last = Cell::new(None);
        let each = |offset: Option<i64>| last.set(last.get().max(offset));
        let seen = || last.get().is_some();
        self.cluster.log.backwards(&topics.output, partition, |message| each(output_offset(message)), seen)?;
        let of_output = last.take();
        self.cluster.log.backwards(
            &topics.dead_letters,
            partition,
            |message| each(dead_letter_offset(message)),
            seen,
        )?;
        Ok(of_output.max(last.get()))
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
