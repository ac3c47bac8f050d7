//! The audit of all partitions while their records come in, in whatever order the topics are read. Pure.

use crds::job::JobConfig;

use crate::{
    audit::{Bounds, Judge, PartitionAudit, Record, Report, Source, Stream, WindowFull, conclude},
    kafka::cluster::Limits,
};

/// Memory for the records of a partition that wait for their counterparts, beyond which those that others have overtaken
/// are given up for lost. The feed's window is far smaller.
const WINDOW_BYTES: usize = 64 << 20;

/// The audit of all partitions.
#[derive(Debug)]
pub struct LiveAudit(Vec<PartitionAudit>);

impl LiveAudit {
    /// Begins with nothing read. `starts` are the source offsets from which on events count, by source partition;
    /// `partitions` how many there are in the topic that has most.
    #[must_use]
    pub fn new(job: &JobConfig, limits: Limits, starts: &[i64], partitions: usize) -> Self {
        let audit = |(partition, index): (i32, usize)| {
            let start = starts.get(index).copied().unwrap_or_default();
            let judge = Judge::new(job.rules.clone(), partition, limits.output, start == 0);
            let topic = job.topics.source.clone();
            let source = Source { topic, partition, max_message_bytes: limits.dead_letters };
            PartitionAudit::new(judge, source, Bounds { start, end: None, window_bytes: WINDOW_BYTES })
        };
        Self((0..).zip(0..partitions).map(audit).collect())
    }

    /// Takes the next record of a partition of a stream.
    ///
    /// # Errors
    /// When the streams are further apart than memory reaches.
    pub fn take(&mut self, stream: Stream, partition: usize, record: &Record) -> Result<(), WindowFull> {
        self.0.get_mut(partition).map_or(Ok(()), |audit| audit.push(stream, record))
    }

    /// How many source records of a partition have found their outcome.
    #[must_use]
    pub fn audited(&self, partition: usize) -> u64 {
        self.0.get(partition).map_or(0, |audit| audit.inputs().saturating_sub(audit.pending() as u64))
    }

    /// Ends the audit: all that was written has been taken.
    #[must_use]
    pub fn conclude(self) -> Report {
        let mut report = conclude(self.0.into_iter().map(PartitionAudit::finish).collect());
        // It was awaited until nothing came any more: the report's advice to wait longer would mislead.
        report.lost_at_end = 0;
        report
    }
}
