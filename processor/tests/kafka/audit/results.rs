//! The results of an aggregation, written by hand, and what the audit says of them.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crds::{
    job::ResultTopics,
    pipeline::{Dimension, Window},
    records::{
        aggregate::{Aggregate, Counted, Span},
        delta, state,
    },
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};
use serde_json::{Value, json};
use testkit::kafka::{Isolation, NewRecord};

use super::rig::{NOW, Rig, event};

impl Rig {
    /// Writes a delta with the processed range of the source, and, if `commit` is set, commits it for the aggregation.
    fn write_delta(&self, commit: bool) -> i64 {
        let ends = self.kafka.end_offsets(&self.job.topics.source, Isolation::ReadCommitted).unwrap();
        let range =
            |(partition, to): (&i32, &i64)| delta::Range { partition: *partition, to: *to, ..Default::default() };
        let ranges = ends.iter().map(range).collect();
        let delta = delta::Delta { chunks: 1, revision: 1, ranges, ..Default::default() };
        let topic = &self.job.topics.deltas;
        self.kafka
            .produce(topic, [NewRecord { payload: Some(delta.encode().unwrap()), ..Default::default() }])
            .unwrap();
        let next = self.kafka.end_offsets(topic, Isolation::ReadCommitted).unwrap()[&0];
        if commit {
            self.commit_delta(next);
        }
        next
    }

    fn commit_delta(&self, next: i64) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap())
            .set("group.id", self.job.pipeline.aggregate_group())
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.job.topics.deltas, 0, Offset::Offset(next)).unwrap();
        consumer.commit(&list, CommitMode::Sync).unwrap();
    }

    /// Writes the snapshot of an aggregation that has folded all deltas before `offset`.
    fn write_snapshot(&self, offset: i64) {
        let ends = self.kafka.end_offsets(&self.job.topics.source, Isolation::ReadCommitted).unwrap();
        let runs = vec![state::Run { from: 0, revision: 1, governing: 1 }];
        let partition = |(partition, to): (&i32, &i64)| state::Partition {
            partition: *partition,
            to: *to,
            runs: runs.clone(),
            ..Default::default()
        };
        let meta = state::Meta {
            offset,
            rules: vec![(1, serde_json::to_string(&self.job.rules).unwrap())],
            changes: vec![state::Change { revision: 1, ..Default::default() }],
            partitions: ends.iter().map(partition).collect(),
            ..Default::default()
        };
        let record = |key: state::Key, payload| NewRecord {
            key: Some(key.encode().into_bytes()),
            payload: Some(payload),
            ..Default::default()
        };
        let position = state::encode(&state::Position { offset }).unwrap();
        let meta = meta.records().unwrap();
        let records = [(state::Key::Position, position)].into_iter().chain(meta).map(|(key, value)| record(key, value));
        self.kafka.produce(&self.results().state, records).unwrap();
    }

    fn results(&self) -> &ResultTopics {
        &self.job.topics.results
    }

    fn write_aggregate(&self, aggregate: &Aggregate) {
        let key = Some(aggregate.key().into_bytes());
        let payload = Some(serde_json::to_vec(aggregate).unwrap());
        self.kafka.produce(&self.results().aggregates, [NewRecord { key, payload, ..Default::default() }]).unwrap();
    }

    /// Asserts that the results are not compared, and the reason.
    fn assert_skipped(&self, why: &str) {
        let (code, report) = self.audit(&[]);
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(report["aggregates_checked"], 0, "{report:#}");
        assert!(report["aggregates_skipped"].as_str().unwrap().contains(why), "{report:#}");
    }
}

/// The counts for the input: all events came within a minute, the late ones with times an hour earlier. No window is
/// closed.
fn right_aggregates() -> Vec<Aggregate> {
    let windows: Vec<Window> = serde_json::from_value(json!(["1m", "1h", "all"])).unwrap();
    let mut aggregates = Vec::new();
    for window in windows {
        for (time, count, late) in [(NOW, 32, 0), (NOW - 3600, 12, 12)] {
            let is_finite = window != Window::All;
            let (count, late) = if is_finite { (count, late) } else { (44, 12) };
            let total = Aggregate {
                v: 1,
                span: Span::of(window, time),
                of: Counted::All,
                count,
                late: Some(late),
                unmerged: is_finite.then_some(0),
                unique_users: Some(count),
                is_final: false,
                revision: 0,
                partial: false,
                evicted_at: None,
            };
            let values =
                [(Dimension::DeviceType, "iOS"), (Dimension::Locale, "RI"), (Dimension::AppVersion, "_missing")];
            aggregates.extend(values.map(|(dimension, value)| Aggregate {
                of: Counted::Value(dimension, value.to_owned()),
                late: None,
                unmerged: None,
                unique_users: None,
                ..total.clone()
            }));
            aggregates.push(total);
        }
    }
    aggregates.truncate(20);
    aggregates
}

#[test]
fn results_are_compared_when_they_count_exactly_what_is_audited() {
    let rig = Rig::new("Earliest");
    rig.write_input();
    rig.write(&rig.right_outcomes());
    rig.assert_skipped("the pipeline has aggregated nothing yet");
    let first = rig.write_delta(true);
    rig.assert_skipped("there is no snapshot yet");

    rig.write_snapshot(first);
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["aggregate_mismatches"], 20, "{report:#}");
    let aggregates = right_aggregates();
    aggregates.iter().for_each(|aggregate| rig.write_aggregate(aggregate));
    let clean = |checked: i64| {
        let (code, report) = rig.audit(&[]);
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(report["aggregates_checked"], checked, "{report:#}");
        assert_eq!(report["aggregate_mismatches"], 0);
        assert_eq!(report["aggregates_skipped"], Value::Null);
    };
    clean(20);

    let wrong = Aggregate { count: aggregates[1].count + 1, ..aggregates[1].clone() };
    rig.write_aggregate(&wrong);
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["mismatches_by_kind"], json!({"aggregates": 1}), "{report:#}");
    let example = json!({"kind": "aggregates", "key": wrong.key(), "field": "count", "expected": 32, "found": 33});
    assert_eq!(report["mismatch_examples"], json!([example]));
    rig.write_aggregate(&aggregates[1]);
    clean(20);

    // A delta that the aggregation has not committed; then a committed one after the snapshot.
    let second = rig.write_delta(false);
    rig.assert_skipped("the pipeline is still at work");
    rig.commit_delta(second);
    clean(20);
    rig.kafka.delete_topic(&rig.results().insights).unwrap();
    let (code, problem) = rig.audit(&[]);
    assert_eq!(code, Some(2), "{problem}");
    assert!(
        problem.as_str().unwrap().contains(&format!("topic {} does not exist", rig.results().insights)),
        "{problem}"
    );
}

#[test]
fn results_that_count_more_than_is_audited_are_no_fault() {
    let rig = Rig::new("Earliest");
    rig.write_input();
    rig.write(&rig.right_outcomes());
    let first = rig.write_delta(true);
    rig.write_snapshot(first);
    right_aggregates().iter().for_each(|aggregate| rig.write_aggregate(aggregate));
    let behind = rig.write_delta(false);

    let mut waiting = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["audit", "--output", "json", "--wait", "60s", "--log-level", "info", "--config", &rig.config()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(waiting.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("the end of the source is fixed")));
    rig.kafka.produce(&rig.job.topics.source, [event(0, 0)]).unwrap();
    assert!(rig.write_delta(true) > behind);

    let output = waiting.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["input"], 80, "{report:#}");
    assert!(report["aggregates_skipped"].as_str().unwrap().contains("events came while the audit ran"), "{report:#}");
}
