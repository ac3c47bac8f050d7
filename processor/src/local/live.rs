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

#[cfg(test)]
mod tests {
    use crds::{pipeline::LoginPipelineSpec, topics::PipelineId};

    use super::*;
    use crate::{
        audit::Verdict,
        generate::{Events, Options},
    };

    const TIME: i64 = 1_720_576_800_000;
    const LIMITS: Limits = Limits { output: 1 << 20, dead_letters: 1 << 20, smallest: 1 << 20 };

    /// A record of the output: its offset, and its value.
    type Outcome = (i64, Vec<u8>);

    fn job() -> JobConfig {
        let spec = r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#;
        let spec: LoginPipelineSpec = serde_json::from_str(spec).unwrap();
        let id = PipelineId { namespace: "local".to_owned(), name: "logins".to_owned() };
        JobConfig::new(id, &spec, 1, "localhost:9092".to_owned())
    }

    /// Feeds the audit the input and, now and then, what there is of the output, which `plant` has changed.
    fn audited(plant: impl FnOnce(&mut Vec<Outcome>)) -> (u64, Report) {
        let job = job();
        let input: Vec<_> = (0..).zip(Events::new(Options::default()).take(100)).collect();
        let source = |offset, value| Record { offset, timestamp: TIME, key: None, value, headers: &[] };
        let mut judge = Judge::new(job.rules.clone(), 1, LIMITS.output, true);
        let mut output: Vec<Outcome> = Vec::new();
        for (offset, event) in &input {
            match judge.judge(&source(*offset, event.payload())) {
                Verdict::Output { value, .. } => output.push((*offset, value)),
                Verdict::DeadLetter(reason) => panic!("{reason}"),
            }
        }
        plant(&mut output);

        let mut live = LiveAudit::new(&job, LIMITS, &[0, 0], 2);
        let mut outcomes = output.iter();
        for (offset, event) in &input {
            live.take(Stream::Input, 1, &source(*offset, event.payload())).unwrap();
            if offset % 10 == 9 {
                for (offset, value) in outcomes.by_ref().take(9) {
                    live.take(Stream::Output, 1, &source(*offset, Some(value))).unwrap();
                }
            }
        }
        for (offset, value) in outcomes {
            live.take(Stream::Output, 1, &source(*offset, Some(value))).unwrap();
        }
        (live.audited(1), live.conclude())
    }

    #[test]
    fn every_event_with_its_outcome_is_audited() {
        let (count, report) = audited(|_| ());
        assert_eq!((count, report.input, report.processed), (100, 100, 100));
        assert!(report.is_clean(), "{report}");
    }

    #[test]
    fn a_record_that_is_dropped_doubled_swapped_or_changed_is_found() {
        let (count, report) = audited(|output| drop(output.remove(50)));
        assert_eq!((count, report.lost, report.processed), (99, 1, 99), "{report}");
        let (count, report) = audited(|output| output.insert(50, output[49].clone()));
        assert_eq!((count, report.duplicated, report.processed), (100, 1, 100), "{report}");
        let (count, report) = audited(|output| output.swap(50, 51));
        assert_eq!((count, report.out_of_order, report.processed), (100, 1, 100), "{report}");
        let (count, report) = audited(|output| output[50].1.insert(1, b' '));
        assert_eq!((count, report.altered, report.processed), (100, 1, 100), "{report}");
        assert!(!report.is_clean());
    }

    #[test]
    fn what_is_lost_at_the_end_gets_no_advice_to_wait() {
        let (count, report) = audited(|output| output.truncate(90));
        assert_eq!((count, report.lost, report.lost_at_end), (90, 10, 0), "{report}");
    }
}
