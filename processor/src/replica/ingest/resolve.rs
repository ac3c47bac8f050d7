//! Finds out where the waiting partitions of a thread start. It gathers the evidence from Kafka; [`Evidence::start`] decides.

use std::{
    cell::Cell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crds::{
    job::JobConfig,
    records::{dead_letter::SOURCE_OFFSET, enrichment::EVENT_ID},
};
use kafka::{
    cluster::{Cluster, ClusterError, UNSTABLE_BOUND},
    error::KafkaError,
    native::consumer::{Committed, Consumer},
};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use stages::ingest::{
    history::History,
    start::{Evidence, Start, Stopped},
};

use super::history::{HistoryError, HistoryReader};

/// How long one request may take, so that a waiting thread can still be told to stop.
const SLICE: Duration = Duration::from_millis(500);

/// Why a partition cannot be taken up now. All but the last may end by themselves: ask again.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// An output has fewer partitions than the source.
    #[error("partition {partition}: topic {topic} has only {partitions} partitions: add more")]
    TooFewPartitions { partition: i32, topic: String, partitions: i32 },
    /// A transaction that commits its offset is open.
    #[error("partition {partition}: {source}")]
    Unstable { partition: i32, source: KafkaError },
    /// It has no committed offset, and what the pipeline wrote is not known.
    #[error("partition {partition} has no commit: {why}")]
    NoCommit { partition: i32, why: String },
    /// A person has to decide.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Answers for partitions, in the order in which they were found.
type Answers = Vec<(i32, Result<Start, NotReady>)>;

/// Finds out where partitions start.
#[derive(Debug)]
pub struct Resolver<'a> {
    job: &'a JobConfig,
    /// The transactional id of this thread.
    own_id: &'a str,
    cluster: &'a Cluster,
    /// What is being read, when that takes several turns, and for which partitions.
    reading: Option<(BTreeMap<i32, Instant>, HistoryReader)>,
}

impl<'a> Resolver<'a> {
    /// Creates a resolver for the thread with this transactional id.
    pub const fn new(job: &'a JobConfig, own_id: &'a str, cluster: &'a Cluster) -> Self {
        Self { job, own_id, cluster, reading: None }
    }

    /// Asks once for each waiting partition, with the time since when it waits. Ends within a few slices of time, with
    /// answers for as many as that allowed.
    ///
    /// # Errors
    /// When Kafka does not answer; ask again.
    pub fn resolve(&mut self, consumer: &Consumer, waiting: &BTreeMap<i32, Instant>) -> Result<Answers, ClusterError> {
        let mut answers = self.too_few_partitions(waiting)?;
        let is_answered = |partition: &i32| answers.iter().any(|(answered, _)| answered == partition);
        let open: Vec<i32> = waiting.keys().copied().filter(|partition| !is_answered(partition)).collect();
        let committed = self.committed(consumer, &open, waiting, &mut answers)?;
        let gone = committed.iter().filter(|known| known.offset.is_none()).map(|known| known.partition);
        let gone: BTreeMap<i32, Instant> =
            gone.filter_map(|partition| waiting.get(&partition).map(|since| (partition, *since))).collect();
        let mut history = None;
        for Committed { partition, offset } in committed {
            let bounds = consumer.bounds(partition, SLICE)?;
            let evidence = match offset {
                Some((position, metadata)) => Evidence::Commit { position, metadata },
                None => match history.get_or_insert_with(|| self.history(&gone)) {
                    Ok(history) => self.written(partition, history)?,
                    Err(error) => {
                        let why = error.to_string();
                        answers.push((partition, Err(NotReady::NoCommit { partition, why })));
                        continue;
                    }
                },
            };
            warn_of(partition, &evidence);
            let start = evidence.start(partition, bounds, self.job.start_from);
            answers.push((partition, start.map_err(NotReady::from)));
        }
        Ok(answers)
    }

    /// The partitions for which an output has no partition of the same number.
    fn too_few_partitions(&self, waiting: &BTreeMap<i32, Instant>) -> Result<Answers, ClusterError> {
        let mut answers = Vec::new();
        for topic in [&self.job.topics.output, &self.job.topics.dead_letters] {
            let partitions = self.cluster.topics.partitions(topic, SLICE)?;
            for partition in waiting.keys().copied().filter(|partition| *partition >= partitions) {
                let topic = topic.clone();
                answers.push((partition, Err(NotReady::TooFewPartitions { partition, topic, partitions })));
            }
        }
        Ok(answers)
    }

    /// The offsets that the group has committed. All are asked for at once; where one is unstable, which holds up all of
    /// them, one by one.
    fn committed(
        &self,
        consumer: &Consumer,
        partitions: &[i32],
        waiting: &BTreeMap<i32, Instant>,
        answers: &mut Answers,
    ) -> Result<Vec<Committed>, ClusterError> {
        if let Ok(committed) = consumer.committed(partitions, SLICE) {
            return Ok(committed);
        }
        let started = Instant::now();
        let mut known = Vec::new();
        for partition in partitions.iter().copied().take_while(|_| started.elapsed() < 4 * SLICE) {
            match consumer.committed(&[partition], SLICE) {
                Ok(committed) => known.extend(committed),
                Err(source) => {
                    let unstable = waiting.get(&partition).map(Instant::elapsed).unwrap_or_default();
                    if unstable >= UNSTABLE_BOUND {
                        let topic = &self.job.topics.source;
                        self.cluster.group.fence_dead_writer(topic, partition, self.own_id, SLICE)?;
                    }
                    answers.push((partition, Err(NotReady::Unstable { partition, source })));
                }
            }
        }
        Ok(known)
    }

    /// What the pipeline wrote; it takes several turns where that is much. A reading that was begun for partitions that have
    /// left since would miss what their next owners wrote.
    fn history(&mut self, gone: &BTreeMap<i32, Instant>) -> Result<History, HistoryError> {
        let mut reader = match self.reading.take() {
            Some((of, reader)) if of == *gone => reader,
            _ => HistoryReader::new(self.cluster, self.job)?,
        };
        let read = reader.read_on(self.cluster, &self.job.topics.deltas);
        if let Err(unfinished @ HistoryError::Unfinished { .. }) = read {
            self.reading = Some((gone.clone(), reader));
            return Err(unfinished);
        }
        read.map(|()| reader.into_history())
    }

    /// The evidence in what the pipeline wrote.
    fn written(&self, partition: i32, history: &History) -> Result<Evidence, ClusterError> {
        if let Some(reached) = history.reached(partition) {
            return Ok(Evidence::Deltas(reached));
        }
        let nothing = Evidence::Nothing { existed_at_start: history.existed_at_start(partition) };
        Ok(self.last_output(partition)?.map_or(nothing, Evidence::LastOutput))
    }

    /// The source offset of the last record that became an output or a dead letter.
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

/// Logs where a start is not what a running pipeline expects.
fn warn_of(partition: i32, evidence: &Evidence) {
    match evidence {
        Evidence::Commit { position, metadata } if metadata.is_empty() => {
            tracing::warn!(partition, position, "the committed offset was set by hand: lateness is unknown");
        }
        Evidence::Deltas(reached) => {
            let position = reached.position;
            tracing::warn!(partition, position, "no commit: resuming where snapshot and deltas end");
        }
        Evidence::LastOutput(last) => {
            tracing::warn!(partition, last, "no commit, no delta: resuming after the last output; lateness is unknown");
        }
        Evidence::Commit { .. } | Evidence::Nothing { .. } => {}
    }
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
