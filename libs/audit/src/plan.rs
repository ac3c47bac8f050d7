//! What to read: the topics and partitions, the source offsets from start to end, and the rules. Asks Kafka; makes no
//! decision about events.

use std::collections::BTreeMap;

use crds::{
    job::{JobConfig, Rules},
    pipeline::StartFrom,
    records::{
        delta::{Delta, DeltaError},
        state::Run,
    },
};
use kafka::cluster::{Cluster, ClusterError, Limits};

use super::{
    batch::{self, HistoryError},
    coverage::Coverage,
    expected::Source,
    merge::{Bounds, PartitionAudit},
    record::Stream,
    topic::{PATIENCE, Polled, TopicError, TopicReader},
    verdict::Judge,
};

/// Memory, in bytes, for the records of a partition that wait for their counterparts.
const WINDOW_BYTES: usize = 64 << 20;

/// Why the audit cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A request to Kafka failed, or its answer is invalid.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A topic could not be read.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// It is not known where the pipeline began.
    #[error(
        "topic {0} does not say where the pipeline began, which startFrom: Latest needs: it has not started yet, or the records were deleted"
    )]
    NotStarted(String),
    /// A record is not a delta of this release.
    #[error("topic {topic} [0], offset {offset}: {source}")]
    Delta {
        topic: String,
        /// The record's offset in it.
        offset: i64,
        source: DeltaError,
    },
}

/// The audited source offsets of a partition: [start, end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: i64,
    /// The first offset after the range.
    pub end: i64,
    /// Whether the range starts with the first record that the pipeline saw.
    pub from_the_start: bool,
}

/// Everything to read, with the source's end fixed.
#[derive(Debug)]
pub struct Plan {
    pub job: JobConfig,
    limits: Limits,
    /// The partition counts of the topics, indexed by `Stream as usize`.
    partitions: [i32; 3],
    /// Indexed by source partition.
    ranges: Vec<Range>,
    /// By source partition: rules and the first offset that they apply to, in ascending order. Empty when the job's own
    /// rules apply.
    runs: BTreeMap<i32, Vec<(i64, Rules)>>,
}

impl Plan {
    /// Asks Kafka for the topics and the source's end. The aggregation's coverage also tells where the pipeline began.
    ///
    /// # Errors
    /// When Kafka does not answer, a topic does not exist, or it is not known where the pipeline began.
    pub fn new(job: &JobConfig, coverage: Option<&Coverage>) -> Result<Self, PlanError> {
        let cluster = Cluster::new(job, "processor-audit")?;
        let limits = cluster.topics.limits(PATIENCE)?;
        let mut partitions = [0; 3];
        for stream in Stream::ALL {
            partitions[stream as usize] = cluster.topics.partitions(topic(job, stream), PATIENCE)?;
        }
        let reader = TopicReader::new(job, &job.topics.source)?;
        let offsets: Vec<(i64, i64)> = (0..partitions[Stream::Input as usize])
            .map(|partition| reader.offsets(partition))
            .collect::<Result<_, _>>()?;
        let beginning = match coverage {
            Some(coverage) => Beginning::of(job, coverage, offsets.len()),
            None => Beginning::find(job, &offsets)?,
        };
        let ranges =
            offsets.iter().enumerate().map(|(partition, offsets)| beginning.range(partition, *offsets)).collect();
        Ok(Self { job: job.clone(), limits, partitions, ranges, runs: BTreeMap::new() })
    }

    /// Judges each event by the rules that the pipeline processed it by.
    ///
    /// # Errors
    /// When rules cannot be read.
    pub fn follow(&mut self, coverage: &Coverage) -> Result<(), HistoryError> {
        let rules = batch::rules(coverage.meta())?;
        for partition in &coverage.meta().partitions {
            let rules_of = |run: &Run| {
                let rules = rules.get(&run.revision).ok_or(HistoryError::Unknown(run.revision))?;
                Ok((run.from, rules.clone()))
            };
            let runs = partition.runs.iter().map(rules_of).collect::<Result<_, HistoryError>>()?;
            self.runs.insert(partition.partition, runs);
        }
        Ok(())
    }

    /// How many partitions the source has.
    #[must_use]
    pub const fn source_partitions(&self) -> i32 {
        self.partitions[Stream::Input as usize]
    }

    /// The maximum of an event's time minus its record's timestamp, milliseconds.
    #[must_use]
    pub fn max_future_skew(&self) -> i64 {
        let rules = self.runs.values().flatten().map(|(_, rules)| rules).chain([&self.job.rules]);
        rules.map(|rules| rules.validation.max_future_skew.as_millis()).max().unwrap_or_default()
    }

    /// The number of partitions to audit: an outcome may have more than the source.
    #[must_use]
    pub fn partitions(&self) -> i32 {
        self.partitions.into_iter().max().unwrap_or_default()
    }

    /// Whether a stream has a partition.
    #[must_use]
    pub const fn has(&self, stream: Stream, partition: i32) -> bool {
        partition < self.partitions[stream as usize]
    }

    /// The number of source offsets to read, including offsets without a record.
    #[must_use]
    pub fn offsets(&self) -> u64 {
        self.ranges.iter().map(|range| range.end.abs_diff(range.start)).sum()
    }

    /// The audited source offsets of a partition; empty for a partition that the source does not have.
    #[must_use]
    pub fn range(&self, partition: i32) -> Range {
        let nothing = Range { start: 0, end: 0, from_the_start: true };
        usize::try_from(partition).ok().and_then(|index| self.ranges.get(index)).copied().unwrap_or(nothing)
    }

    /// Creates the judge of a partition's events.
    #[must_use]
    pub fn judge(&self, partition: i32) -> Judge {
        let judge =
            Judge::new(self.job.rules.clone(), partition, self.limits.output, self.range(partition).from_the_start);
        judge.by_runs(self.runs.get(&partition).cloned().unwrap_or_default())
    }

    /// Creates the audit of a partition.
    #[must_use]
    pub fn audit(&self, partition: i32) -> PartitionAudit {
        let Range { start, end, .. } = self.range(partition);
        let judge = self.judge(partition);
        let topic = self.job.topics.source.clone();
        let source = Source { topic, partition, max_message_bytes: self.limits.dead_letters };
        PartitionAudit::new(judge, source, Bounds { start, end: Some(end), window_bytes: WINDOW_BYTES })
    }
}

pub const fn topic(job: &JobConfig, stream: Stream) -> &str {
    match stream {
        Stream::Input => job.topics.source.as_str(),
        Stream::Output => job.topics.output.as_str(),
        Stream::DeadLetters => job.topics.dead_letters.as_str(),
    }
}

/// Where the pipeline began, as far as that is known.
#[derive(Clone, Debug)]
struct Beginning {
    start_from: StartFrom,
    /// The first offset that the deltas name, by source partition.
    first: Vec<Option<i64>>,
    /// Whether no delta is deleted.
    whole: bool,
}

impl Beginning {
    /// What the aggregation knows, regardless of the remaining deltas.
    fn of(job: &JobConfig, coverage: &Coverage, partitions: usize) -> Self {
        let first = |(partition, _)| coverage.partition(partition).map(|known| known.first);
        Self { start_from: job.start_from, first: (0..).zip(0..partitions).map(first).collect(), whole: true }
    }

    /// Reads deltas until each source partition is named; reads none when every partition is read from its very start.
    fn find(job: &JobConfig, offsets: &[(i64, i64)]) -> Result<Self, PlanError> {
        let start_from = job.start_from;
        let mut first = vec![None; offsets.len()];
        if start_from == StartFrom::Earliest && offsets.iter().all(|(low, _)| *low == 0) {
            return Ok(Self { start_from, first, whole: true });
        }
        let topic = &job.topics.deltas;
        let mut reader = TopicReader::new(job, topic)?;
        let (low, end) = reader.offsets(0)?;
        reader.assign(0, low, end)?;
        while !reader.is_done() && first.contains(&None) {
            let mut delta = Ok(Delta::default());
            let polled = reader.poll(true, |record| {
                delta = Delta::decode(record.value.unwrap_or_default()).map_err(|source| PlanError::Delta {
                    topic: topic.clone(),
                    offset: record.offset,
                    source,
                });
            })?;
            if polled == Polled::End {
                break;
            }
            for range in delta?.ranges {
                if let Some(first) = usize::try_from(range.partition).ok().and_then(|index| first.get_mut(index)) {
                    first.get_or_insert(range.from);
                }
            }
        }
        if start_from == StartFrom::Latest && first.iter().all(Option::is_none) {
            return Err(PlanError::NotStarted(topic.clone()));
        }
        Ok(Self { start_from, first, whole: low == 0 })
    }

    /// The audited range of a partition that holds the offsets [low, end).
    fn range(&self, partition: usize, (low, end): (i64, i64)) -> Range {
        let first = self.first.get(partition).copied().flatten();
        // Without the first deltas, a pipeline that reads from the earliest offset may have begun anywhere before the
        // remaining ones.
        let known = first.filter(|_| self.whole || self.start_from == StartFrom::Latest);
        // A partition that was added later is read from its beginning, wherever the others began.
        let start = known.map_or(low, |first| first.max(low));
        let from_the_start = start == 0 || self.whole && first.is_none_or(|first| first >= low);
        Range { start, end: end.max(start), from_the_start }
    }
}

#[cfg(test)]
mod tests {
    use crds::{records::state, topics::PipelineId};

    use super::*;

    #[test]
    fn an_audit_begins_where_the_pipeline_did() {
        let range = |start_from, whole, first, offsets| {
            let Range { start, end, from_the_start } =
                Beginning { start_from, first: vec![first], whole }.range(0, offsets);
            (start, end, from_the_start)
        };
        use StartFrom::{Earliest, Latest};

        assert_eq!(range(Earliest, true, None, (0, 9)), (0, 9, true));
        assert_eq!(
            range(Earliest, true, Some(3), (3, 9)),
            (3, 9, true),
            "the source was trimmed before the pipeline began"
        );
        assert_eq!(range(Earliest, true, Some(3), (5, 9)), (5, 9, false), "and once more since");
        assert_eq!(range(Earliest, true, None, (5, 9)), (5, 9, true), "nothing was taken yet");
        assert_eq!(range(Earliest, false, Some(7), (5, 9)), (5, 9, false), "the first deltas are gone");
        assert_eq!(range(Latest, true, Some(7), (0, 9)), (7, 9, true));
        assert_eq!(range(Latest, true, Some(7), (8, 9)), (8, 9, false));
        assert_eq!(range(Latest, false, Some(7), (0, 9)), (7, 9, false));
        assert_eq!(range(Latest, true, None, (0, 9)), (0, 9, true), "a partition that was added");
        assert_eq!(range(Latest, true, Some(9), (0, 7)), (9, 9, true), "the source was made anew");
    }

    #[test]
    fn what_the_aggregation_knows_outlasts_the_first_deltas() {
        let spec = r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#;
        let id = PipelineId { namespace: "tests".to_owned(), name: "plan".to_owned() };
        let job = JobConfig::new(id, &serde_json::from_str(spec).unwrap(), 1, String::new());
        let partition = state::Partition { partition: 1, first: 3, to: 9, ..state::Partition::default() };
        let coverage = Coverage::new(state::Meta { partitions: vec![partition], ..state::Meta::default() });
        let beginning = Beginning::of(&job, &coverage, 2);
        let range = |partition, low| {
            let Range { start, end, from_the_start } = beginning.range(partition, (low, 9));
            (start, end, from_the_start)
        };

        assert_eq!(range(1, 3), (3, 9, true), "nothing was removed since it was taken up");
        assert_eq!(range(1, 5), (5, 9, false));
        assert_eq!(range(0, 5), (5, 9, true), "nothing was taken yet");
    }
}
