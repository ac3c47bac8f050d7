//! Audits all partitions while their records arrive, in whatever order the topics are read. Pure.

use std::collections::VecDeque;

use audit::{
    Bounds, Judge, Late, Login, PartitionAudit, Record, Report, Source, Stream, WindowFull, Wrong,
    batch::{Batch, Found, HistoryError, Kind},
    conclude,
};
use crds::{
    job::JobConfig,
    records::state::{Change, Meta},
};
use kafka::cluster::Limits;

use super::insights::Insights;

/// Memory for the records of a partition that wait for their counterparts. Beyond it, waiting records that others have
/// overtaken are counted as lost. The feed's window is far smaller.
const WINDOW_BYTES: usize = 64 << 20;

/// Content of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Events, or their outcomes.
    Events(Stream),
    /// Results of the aggregation.
    Results(Kind),
}

/// Result of the audit.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// Faults and counts.
    pub report: Report,
    /// What the aggregates say.
    pub insights: Insights,
}

/// Audits all partitions, and the results that are aggregated from them.
#[derive(Debug)]
pub struct LiveAudit {
    partitions: Vec<PartitionAudit>,
    /// Valid events whose outcome is not read yet, by partition. Other producers may send events while the pipeline
    /// ends; those that it did not process are not counted.
    undecided: Vec<VecDeque<(i64, Login, Late)>>,
    /// The results that the aggregation should write.
    batch: Batch,
    found: Found,
}

impl LiveAudit {
    /// Starts with nothing read. `starts` are the source offsets, by partition, from which on events count.
    /// `partitions` is the number of partitions of the topic that has most.
    ///
    /// # Errors
    /// Never for the rules of a job: they are decoded as they were encoded.
    pub fn new(job: &JobConfig, limits: Limits, starts: &[i64], partitions: usize) -> Result<Self, HistoryError> {
        let audit = |(partition, index): (i32, usize)| {
            let start = starts.get(index).copied().unwrap_or_default();
            let judge = Judge::new(job.rules.clone(), partition, limits.output, start == 0);
            let topic = job.topics.source.clone();
            let source = Source { topic, partition, max_message_bytes: limits.dead_letters };
            PartitionAudit::new(judge, source, Bounds { start, end: None, window_bytes: WINDOW_BYTES })
        };
        // A run has one revision of its rules, which applies from the first event on.
        let rules = serde_json::to_string(&job.rules).unwrap_or_default();
        let meta = Meta {
            rules: vec![(job.revision, rules)],
            changes: vec![Change { revision: job.revision, ..Change::default() }],
            ..Meta::default()
        };
        let batch = Batch::new(&meta, false)?;
        let undecided = vec![VecDeque::new(); partitions];
        Ok(Self {
            partitions: (0..).zip(0..partitions).map(audit).collect(),
            undecided,
            batch,
            found: Found::default(),
        })
    }

    /// Takes the next record of a partition.
    ///
    /// # Errors
    /// When the topics are too far apart for the memory bound.
    pub fn take(&mut self, content: Content, partition: usize, record: &Record) -> Result<(), WindowFull> {
        match content {
            Content::Events(stream) => {
                let Some(audit) = self.partitions.get_mut(partition) else { return Ok(()) };
                audit.push(stream, record)?;
                let decided = audit.seen().map_or(0, |seen| seen.saturating_add(1));
                if let Some((undecided, login)) = self.undecided.get_mut(partition).zip(audit.take_login()) {
                    undecided.push_back(login);
                }
                self.count_before(partition, decided);
            }
            Content::Results(kind) => {
                self.found.push(kind, record.key.unwrap_or_default(), record.value);
            }
        }
        Ok(())
    }

    /// Counts the events of a partition before the offset `end`.
    fn count_before(&mut self, partition: usize, end: i64) {
        let Some(undecided) = self.undecided.get_mut(partition) else { return };
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        while let Some((offset, login, late)) = undecided.pop_front_if(|(offset, ..)| *offset < end) {
            self.batch.event(&login.event(number, offset, late));
        }
    }

    /// The source offset of a partition before which the outcome of every record that was read is known.
    #[must_use]
    pub fn settled(&self, partition: usize) -> i64 {
        self.partitions.get(partition).map_or(0, PartitionAudit::settled)
    }

    /// Number of source records of a partition whose outcome is known.
    #[must_use]
    pub fn audited(&self, partition: usize) -> u64 {
        self.partitions.get(partition).map_or(0, |audit| audit.inputs().saturating_sub(audit.pending() as u64))
    }

    /// The faults that were found in the events so far.
    #[must_use]
    pub fn wrong(&self) -> Wrong {
        let mut wrong = Wrong::default();
        self.partitions.iter().for_each(|audit| wrong += audit.wrong());
        wrong
    }

    /// Whether the aggregation has written exactly the results that follow from the events whose outcome was read.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.batch.compare(&self.found).count() == 0
    }

    /// Concludes the audit, after all records were taken. `ends` are the source offsets, by partition, from which on
    /// the pipeline was to process nothing.
    #[must_use]
    pub fn conclude(mut self, ends: &[i64]) -> Conclusion {
        for (partition, end) in ends.iter().enumerate() {
            self.count_before(partition, *end);
            if let Some(audit) = self.partitions.get_mut(partition) {
                audit.cut(*end);
            }
        }
        let mut report = conclude(self.partitions.into_iter().map(PartitionAudit::finish).collect());
        // The run already waited until no more records came, so the report must not advise to wait longer.
        report.lost_at_end = 0;
        report.aggregates = self.batch.compare(&self.found).into();
        Conclusion { report, insights: Insights::of(&self.found) }
    }
}

#[cfg(test)]
mod tests {
    use crds::{
        pipeline::{Dimension, LoginPipelineSpec, Window},
        records::aggregate::{Aggregate, Counted, Span, VERSION, encode},
        topics::PipelineId,
    };
    use kafka::settings::RecordLimits;

    use super::*;
    use crate::commands::generate::{Events, Options};
    use audit::{Aggregates, Verdict};

    const TIME: i64 = 1_720_576_800_000;
    const LIMITS: Limits = Limits {
        output: 1 << 20,
        dead_letters: 1 << 20,
        records: RecordLimits { smallest: 1 << 20, largest: 1 << 20 },
    };

    /// A record of the output: offset and value.
    type Outcome = (i64, Vec<u8>);

    fn job() -> JobConfig {
        let spec = r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#;
        let spec: LoginPipelineSpec = serde_json::from_str(spec).unwrap();
        let id = PipelineId { namespace: "local".to_owned(), name: "logins".to_owned() };
        JobConfig::new(id, &spec, 1, "localhost:9092".to_owned())
    }

    /// Feeds the audit the input and, every ten records, part of the output, which `plant` may change. No results are
    /// written, so the report covers the events only.
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

        let mut live = LiveAudit::new(&job, LIMITS, &[0, 0], 2).unwrap();
        let mut outcomes = output.iter();
        for (offset, event) in &input {
            live.take(Content::Events(Stream::Input), 1, &source(*offset, event.payload())).unwrap();
            if offset % 10 == 9 {
                for (offset, value) in outcomes.by_ref().take(9) {
                    live.take(Content::Events(Stream::Output), 1, &source(*offset, Some(value))).unwrap();
                }
            }
        }
        for (offset, value) in outcomes {
            live.take(Content::Events(Stream::Output), 1, &source(*offset, Some(value))).unwrap();
        }
        let audited = live.audited(1);
        (audited, Report { aggregates: Aggregates::default(), ..live.conclude(&[0, 100]).report })
    }

    /// The aggregate of one event in one window.
    fn aggregate(window: Window, of: Counted) -> Aggregate {
        let total = of == Counted::All;
        Aggregate {
            v: VERSION,
            span: Span::of(window, TIME / 1000),
            of,
            count: 1,
            late: total.then_some(0),
            unmerged: (total && window != Window::All).then_some(0),
            unique_users: total.then_some(1),
            is_final: false,
            revision: 0,
            partial: false,
            evicted_at: None,
        }
    }

    fn take_aggregate(live: &mut LiveAudit, aggregate: &Aggregate) {
        let (key, value) = (aggregate.key(), encode(aggregate).unwrap());
        let record =
            Record { offset: 0, timestamp: TIME, key: Some(key.as_bytes()), value: Some(&value), headers: &[] };
        live.take(Content::Results(Kind::Aggregates), 0, &record).unwrap();
    }

    const LOGIN: &[u8] =
        br#"{"user_id":"u","device_type":"iOS","locale":"RI","app_version":"2.3.0","timestamp":1720576800}"#;

    fn take_login(live: &mut LiveAudit, offset: i64, value: &[u8]) {
        let record = Record { offset, timestamp: TIME, key: None, value: Some(value), headers: &[] };
        live.take(Content::Events(Stream::Input), 0, &record).unwrap();
    }

    /// Takes the output record of a login; its offset in the output equals its source offset.
    fn take_output(live: &mut LiveAudit, job: &JobConfig, offset: i64, value: &[u8]) {
        let record = Record { offset, timestamp: TIME, key: None, value: Some(value), headers: &[] };
        let mut judge = Judge::new(job.rules.clone(), 0, LIMITS.output, true);
        let Verdict::Output { value, .. } = judge.judge(&record) else { panic!("a valid event") };
        live.take(Content::Events(Stream::Output), 0, &Record { value: Some(&value), ..record }).unwrap();
    }

    #[test]
    fn counts_are_held_against_the_events() {
        let job = job();
        let mut live = LiveAudit::new(&job, LIMITS, &[0], 1).unwrap();
        assert!(live.is_counted(), "nothing yet");
        take_login(&mut live, 0, LOGIN);
        assert!(live.is_counted(), "nobody has processed it yet");

        let values = [(Dimension::DeviceType, "iOS"), (Dimension::Locale, "RI"), (Dimension::AppVersion, "2.3.0")];
        let values = values.map(|(dimension, value)| Counted::Value(dimension, value.to_owned()));
        take_output(&mut live, &job, 0, LOGIN);
        for window in &job.rules.aggregation.windows {
            for of in values.iter().chain([&Counted::All]) {
                assert!(!live.is_counted(), "{window:?} {of:?} is missing");
                take_aggregate(&mut live, &aggregate(*window, of.clone()));
            }
        }
        assert!(live.is_counted());
        take_aggregate(&mut live, &Aggregate { count: 2, ..aggregate(Window::All, Counted::All) });
        assert!(!live.is_counted());

        let Conclusion { report, insights } = live.conclude(&[1]);
        assert_eq!(report.aggregates.aggregate_mismatches, 1, "{report}");
        assert_eq!(report.aggregates.aggregates_checked, 12, "{report}");
        assert_eq!(insights.events, 2);
        assert_eq!(insights.unique_users, Some(1));
    }

    #[test]
    fn every_event_with_its_outcome_is_audited() {
        let (count, report) = audited(|_| ());
        assert_eq!(count, 100);
        assert_eq!(report.input, 100);
        assert_eq!(report.processed, 100);
        assert!(report.is_clean(), "{report}");
    }

    #[test]
    fn a_record_that_is_dropped_doubled_swapped_or_changed_is_found() {
        let (count, report) = audited(|output| drop(output.remove(50)));
        assert_eq!(count, 99, "{report}");
        assert_eq!(report.lost, 1, "{report}");
        assert_eq!(report.processed, 99, "{report}");

        let (count, report) = audited(|output| output.insert(50, output[49].clone()));
        assert_eq!(count, 100, "{report}");
        assert_eq!(report.duplicated, 1, "{report}");
        assert_eq!(report.processed, 100, "{report}");

        let (count, report) = audited(|output| output.swap(50, 51));
        assert_eq!(count, 100, "{report}");
        assert_eq!(report.out_of_order, 1, "{report}");
        assert_eq!(report.processed, 100, "{report}");

        let (count, report) = audited(|output| output[50].1.insert(1, b' '));
        assert_eq!(count, 100, "{report}");
        assert_eq!(report.altered, 1, "{report}");
        assert_eq!(report.processed, 100, "{report}");
        assert!(!report.is_clean());
    }

    #[test]
    fn what_is_wrong_is_told_while_it_runs() {
        let job = job();
        let mut live = LiveAudit::new(&job, LIMITS, &[0], 1).unwrap();
        (0..4).for_each(|offset| take_login(&mut live, offset, LOGIN));
        let mut told = |offset| {
            take_output(&mut live, &job, offset, LOGIN);
            let Wrong { lost, duplicated, other } = live.wrong();
            (lost, duplicated, other)
        };
        assert_eq!(told(0), (0, 0, 0), "three others are awaited");
        assert_eq!(told(2), (1, 0, 0));
        assert_eq!(told(2), (1, 1, 0));
        assert_eq!(told(1), (0, 1, 1), "what was missing comes out of order");
    }

    #[test]
    fn foreign_events_sent_during_shutdown_are_left_out() {
        let mut job = job();
        job.rules.aggregation.windows = vec![Window::All];
        let mut live = LiveAudit::new(&job, LIMITS, &[0], 1).unwrap();

        for offset in 0..5 {
            take_login(&mut live, offset, LOGIN);
            assert_eq!(live.settled(0), offset.min(2), "up to the first that waits");
            if offset < 2 {
                take_output(&mut live, &job, offset, LOGIN);
                assert_eq!(live.settled(0), offset + 1);
            }
        }

        let values = [(Dimension::DeviceType, "iOS"), (Dimension::Locale, "RI"), (Dimension::AppVersion, "2.3.0")];
        let values = values.map(|(dimension, value)| Counted::Value(dimension, value.to_owned()));
        for of in values.into_iter().chain([Counted::All]) {
            let late = (of == Counted::All).then_some(0);
            take_aggregate(&mut live, &Aggregate { count: 2, late, ..aggregate(Window::All, of) });
        }
        assert!(live.is_counted());

        let report = live.conclude(&[2]).report;
        assert_eq!(report.input, 2, "{report}");
        assert_eq!(report.processed, 2, "{report}");
        assert_eq!(report.lost, 0, "{report}");
        assert!(report.is_clean(), "{report}");
    }

    #[test]
    fn what_is_lost_at_the_end_gets_no_advice_to_wait() {
        let (count, report) = audited(|output| output.truncate(90));
        assert_eq!(count, 90, "{report}");
        assert_eq!(report.lost, 10, "{report}");
        assert_eq!(report.lost_at_end, 0, "{report}");
    }
}
