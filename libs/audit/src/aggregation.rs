//! What the aggregation has written, and from which deltas. Asks Kafka; makes no decision about events.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use crds::{
    job::{JobConfig, ResultTopics},
    records::{
        delta::{Delta, DeltaError},
        state::{self, Key, Meta, Position, StateError},
    },
};
use kafka::{
    cluster::{Cluster, ClusterError, client},
    settings,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    batch::{Found, Kind},
    coverage::Coverage,
    plan::Plan,
    topic::{PATIENCE, Polled, TopicError, TopicReader, is_transient},
};

/// How often to check the pipeline while waiting for it.
const INTERVAL: Duration = Duration::from_millis(250);

/// The shortest time to wait for the aggregation: it writes four times a second, and needs a moment between two writes.
const GRACE: Duration = Duration::from_secs(2);

/// How many times to reread a snapshot when the deltas after it are deleted.
const TRIES: usize = 5;

/// Stands for an offset that is being committed: no real offset equals it.
const UNKNOWN: i64 = -1;

/// Why the aggregation's results are not available.
#[derive(Debug, thiserror::Error)]
pub enum AggregationError {
    /// A request to Kafka failed, or its answer is invalid.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A topic could not be read.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The Kafka client returned an error.
    #[error("{question}: {source}")]
    Kafka {
        /// The request.
        question: &'static str,
        source: KafkaError,
    },
    /// A record is not a delta of this release.
    #[error("topic {topic} [0], offset {offset}: {source}")]
    Delta {
        topic: String,
        /// The record's offset in it.
        offset: i64,
        source: DeltaError,
    },
    /// A record is not a snapshot of this release.
    #[error("topic {topic} [0]: {source}")]
    State {
        /// The state topic.
        topic: String,
        source: StateError,
    },
}

/// Why results are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Neither an aggregation nor deltas have left a trace.
    NotStarted,
    /// There are deltas, but no trace of an aggregation.
    NoTrace,
    /// There is no snapshot, so the rules by which events were counted are unknown.
    NoSnapshot,
    /// Rules have changed since the last snapshot.
    Changed,
    /// Some audited events are not in the results yet.
    AtWork,
    /// Some events that are not audited are in the results already.
    Beyond,
}

impl Skipped {
    /// Whether waiting can help.
    const fn may_pass(self) -> bool {
        matches!(self, Self::NoTrace | Self::NoSnapshot | Self::Changed | Self::AtWork)
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "the pipeline has aggregated nothing yet",
            Self::NoTrace => "the pipeline has aggregated nothing yet: use --wait, such as --wait 1m",
            Self::NoSnapshot => "there is no snapshot yet, which tells the rules: use --wait, such as --wait 1m",
            Self::Changed => "the rules changed since the last snapshot: use --wait, such as --wait 1m",
            Self::AtWork => "the pipeline is still at work: use --wait, such as --wait 1m",
            Self::Beyond => {
                "events came while the audit ran, and the results count them already: audit while nothing is written"
            }
        })
    }
}

/// Observes the aggregation of a pipeline.
pub struct Aggregation<'a> {
    job: &'a JobConfig,
    topics: &'a ResultTopics,
    cluster: Cluster,
    /// A client of the aggregation's group that is not a member; it returns final, committed offsets.
    group: BaseConsumer,
    /// Also reads uncommitted records.
    observer: BaseConsumer,
    deltas: TopicReader,
    /// The end of the deltas at the last read.
    deltas_end: i64,
    coverage: Option<Coverage>,
}

impl<'a> Aggregation<'a> {
    /// Finds how far the aggregation is.
    ///
    /// # Errors
    /// When the client refuses a setting, or a topic cannot be read.
    pub fn find(job: &'a JobConfig) -> Result<Self, AggregationError> {
        const CLIENT: &str = "processor-audit";
        let mut group = settings::reader(job, CLIENT);
        group.set("group.id", job.pipeline.aggregate_group());
        let mut aggregation = Self {
            job,
            topics: &job.topics.results,
            cluster: Cluster::new(job, CLIENT)?,
            group: client(&group)?,
            observer: client(&settings::observer(job, &job.pipeline.aggregate_group(), CLIENT))?,
            deltas: TopicReader::new(job, &job.topics.deltas)?,
            deltas_end: 0,
            coverage: None,
        };
        aggregation.look()?;
        Ok(aggregation)
    }

    /// How far the pipeline is; `None` without a snapshot.
    pub const fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_ref()
    }

    /// Waits until the deltas cover all audited records, if there is a snapshot: then the deltas name the rules for all
    /// of them.
    ///
    /// # Errors
    /// When a topic cannot be read.
    pub fn await_coverage(&mut self, plan: &Plan, deadline: Instant) -> Result<(), AggregationError> {
        while Instant::now() < deadline && self.coverage.is_some() && self.position(plan)? == Some(Skipped::AtWork) {
            thread::sleep(INTERVAL);
            self.look()?;
        }
        Ok(())
    }

    /// Waits until the results count exactly the audited records, and reads them.
    ///
    /// # Errors
    /// When a topic cannot be read.
    pub fn settle(&mut self, plan: &Plan, deadline: Instant) -> Result<Result<Found, Skipped>, AggregationError> {
        let deadline = deadline.max(Instant::now() + GRACE);
        loop {
            self.look()?;
            let skipped = match self.ends(plan)? {
                Ok(ends) => return self.results(ends).map(Ok),
                Err(skipped) => skipped,
            };
            if !skipped.may_pass() || Instant::now() >= deadline {
                return Ok(Err(skipped));
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Reads the last snapshot and the deltas after it.
    fn look(&mut self) -> Result<(), AggregationError> {
        // The aggregation deletes the deltas before a snapshot, which may be newer than the one just read.
        for _ in 0..TRIES {
            let known = self.coverage.as_ref().map(|coverage| coverage.meta().offset);
            if let Some(meta) = self.meta()?.filter(|meta| known.is_none_or(|known| known < meta.offset)) {
                self.coverage = Some(Coverage::new(meta));
            }
            if self.read_deltas()? {
                return Ok(());
            }
        }
        self.coverage = None;
        Ok(())
    }

    /// Reads the deltas after the last known one; false when some of them are deleted.
    fn read_deltas(&mut self) -> Result<bool, AggregationError> {
        let Some(coverage) = &mut self.coverage else { return Ok(true) };
        let (low, end) = self.deltas.offsets(0)?;
        if low > coverage.next() {
            return Ok(false);
        }
        self.deltas_end = end;
        let topic = &self.job.topics.deltas;
        self.deltas.assign(0, coverage.next(), end)?;
        let mut taken = Ok(true);
        self.deltas.rest(|record| match Delta::decode(record.value.unwrap_or_default()) {
            Ok(delta) => coverage.take(record.offset, &delta),
            Err(source) => {
                taken = Err(AggregationError::Delta { topic: topic.clone(), offset: record.offset, source });
            }
        })?;
        taken
    }

    /// The `meta` of the last snapshot; `None` when there is no snapshot.
    fn meta(&self) -> Result<Option<Meta>, AggregationError> {
        if !self.has_state()? {
            return Ok(None);
        }
        let topic = &self.topics.state;
        let (records, _) = self.cluster.log.last_meta(topic)?;
        records.meta().map_err(|source| AggregationError::State { topic: topic.clone(), source })
    }

    /// The position that the last emission wrote; `None` when there was none.
    fn emitted(&self) -> Result<Option<Position>, AggregationError> {
        if !self.has_state()? {
            return Ok(None);
        }
        let topic = &self.topics.state;
        let (value, _) = self.cluster.log.last_value(topic, 0, &Key::Position.encode())?;
        let decoded = value.map(|bytes| state::decode(&bytes)).transpose();
        decoded.map_err(|source| AggregationError::State { topic: topic.clone(), source })
    }

    /// Whether the state topic exists.
    fn has_state(&self) -> Result<bool, AggregationError> {
        match self.cluster.topics.partitions(&self.topics.state, PATIENCE) {
            Err(ClusterError::NoTopic(_)) => Ok(false),
            other => Ok(other.map(|_| true)?),
        }
    }

    /// Checks whether the deltas cover all audited records and nothing else; returns the reason when they do not.
    fn position(&mut self, plan: &Plan) -> Result<Option<Skipped>, AggregationError> {
        let Some(coverage) = &self.coverage else { return Ok(Some(Skipped::NoSnapshot)) };
        let mut source = None;
        for partition in 0..plan.source_partitions() {
            let range = plan.range(partition);
            let to = coverage.partition(partition).map_or(range.start, |known| known.to);
            // All offsets after a position may be records that no reader sees.
            let (from, to) = (to.min(range.end), to.max(range.end));
            if from < to && has_records(self.job, &mut source, partition, from, to)? {
                return Ok(Some(if to > range.end { Skipped::Beyond } else { Skipped::AtWork }));
            }
        }
        Ok(None)
    }

    /// The ends of the results topics when they count exactly the audited records.
    fn ends(&mut self, plan: &Plan) -> Result<Result<[(i64, i64); 3], Skipped>, AggregationError> {
        let Some(committed) = self.committed()? else {
            let (low, end) = self.deltas.offsets(0)?;
            return Ok(Err(if low == end { Skipped::NotStarted } else { Skipped::NoTrace }));
        };
        if let Some(skipped) = self.position(plan)? {
            return Ok(Err(skipped));
        }
        let Some(coverage) = &self.coverage else { return Ok(Err(Skipped::NoSnapshot)) };
        if coverage.has_changed() {
            return Ok(Err(Skipped::Changed));
        }
        // The committed offset covers exactly these deltas; no transaction is open before or after the check; and none
        // was committed in between.
        let mut ends = [(0, 0); 3];
        let mut is_quiet = (coverage.next()..=self.deltas_end.max(coverage.next())).contains(&committed);
        for (ends, topic) in ends.iter_mut().zip(self.result_topics()) {
            self.cluster.topics.partitions(topic, PATIENCE)?;
            let asked = |consumer: &BaseConsumer| {
                let error = |source| AggregationError::Kafka { question: "offsets of the results", source };
                consumer.fetch_watermarks(topic, 0, PATIENCE).map_err(error)
            };
            *ends = asked(&self.group)?;
            is_quiet &= *ends == asked(&self.observer)?;
        }
        is_quiet &= self.committed()? == Some(committed);
        Ok(if is_quiet { Ok(ends) } else { Err(Skipped::AtWork) })
    }

    fn result_topics(&self) -> [&'a str; 3] {
        let ResultTopics { aggregates, insights, alerts, .. } = self.topics;
        [aggregates, insights, alerts]
    }

    /// The committed offset of the next delta that the aggregation folds; `None` when it has committed nothing.
    fn committed(&self) -> Result<Option<i64>, AggregationError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.job.topics.deltas, 0);
        let offset = match self.group.committed_offsets(list, PATIENCE) {
            Ok(list) => list.elements().first().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset),
            // A transaction that stays open this long belongs to an active producer.
            Err(error) if is_open_transaction(&error) || is_transient(&error) => return Ok(Some(UNKNOWN)),
            Err(source) => return Err(AggregationError::Kafka { question: "offset of the aggregation", source }),
        };
        match offset {
            Some(Offset::Offset(offset)) => Ok(Some(offset)),
            // The group's offsets are gone: use the snapshots.
            _ => Ok(self.emitted()?.map(|position| position.offset)),
        }
    }

    /// Reads the results topics up to these ends.
    fn results(&self, ends: [(i64, i64); 3]) -> Result<Found, AggregationError> {
        let mut found = Found::default();
        for ((kind, topic), (low, end)) in Kind::ALL.into_iter().zip(self.result_topics()).zip(ends) {
            let mut reader = TopicReader::new(self.job, topic)?;
            reader.assign(0, low, end)?;
            reader.rest(|record| found.push(kind, record.key.unwrap_or_default(), record.value))?;
        }
        Ok(found)
    }
}

fn is_open_transaction(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnstableOffsetCommit)
}

/// Whether a source partition has a record in [from, to).
fn has_records(
    job: &JobConfig,
    source: &mut Option<TopicReader>,
    partition: i32,
    from: i64,
    to: i64,
) -> Result<bool, TopicError> {
    let reader = match source {
        Some(reader) => reader,
        None => source.insert(TopicReader::new(job, &job.topics.source)?),
    };
    let (low, _) = reader.offsets(partition)?;
    reader.assign(partition, from.max(low), to)?;
    let mut has_records = false;
    while !reader.is_done() && !has_records {
        if reader.poll(true, |record| has_records = record.offset < to)? == Polled::End {
            break;
        }
    }
    Ok(has_records)
}
