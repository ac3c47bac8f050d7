//! `processor audit` and `processor generate` on a real Kafka. This test, not the pipeline, writes the outcomes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
    time::Duration,
};

use ::audit::TopicReader;
use crds::{
    job::{JobConfig, ResultTopics},
    pipeline::{Dimension, LoginPipelineSpec, Window},
    records::{
        aggregate::{Aggregate, Counted, Span},
        dead_letter, delta, state,
    },
    topics::{PipelineId, topics},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use testkit::{
    kafka::{Cluster, Isolation, NewRecord, Record},
    process::Folder,
    wait_for,
};

const PARTITIONS: i32 = 2;
const EVENTS: i64 = 40;
const NOW: i64 = 1_720_576_825;

/// A pipeline's topics and its config, without the pipeline.
struct Rig {
    kafka: &'static Cluster,
    job: JobConfig,
    folder: Folder,
}

/// The output of a pipeline.
#[derive(Clone, Default)]
struct Outcomes {
    output: Vec<NewRecord>,
    dead_letters: Vec<NewRecord>,
}

impl Rig {
    fn new(start_from: &str) -> Self {
        let kafka = testkit::kafka::shared();
        let name = testkit::unique("audit");
        let spec: LoginPipelineSpec = serde_json::from_value(json!({
            "kafka": {"external": {"bootstrapServers": kafka.bootstrap()}},
            "source": {"topic": format!("{name}-in"), "partitions": PARTITIONS, "startFrom": start_from},
            "output": {"topic": format!("{name}-out")},
            "deadLetters": {"topic": format!("{name}-dead")},
            "results": {
                "aggregates": {"topic": format!("{name}-aggregates")},
                "insights": {"topic": format!("{name}-insights")},
                "alerts": {"topic": format!("{name}-alerts")},
            },
        }))
        .unwrap();
        let id = PipelineId { namespace: "tests".to_owned(), name };
        for topic in topics(&id, &spec) {
            let config: Vec<(&str, &str)> = topic.config.iter().map(|(name, value)| (*name, value.as_str())).collect();
            kafka.create_topic(&topic.name, topic.partitions, &config).unwrap();
        }
        let job = JobConfig::new(id, &spec, 1, kafka.bootstrap().to_owned());
        let folder = Folder::new("audit").unwrap();
        let rig = Self { kafka, job, folder };
        std::fs::write(rig.config(), serde_json::to_string(&rig.job).unwrap()).unwrap();
        rig
    }

    fn config(&self) -> String {
        self.folder.path().join("job.json").to_str().unwrap().to_owned()
    }

    /// Writes events to every partition: some in a transaction, then some that are aborted, then the rest.
    fn write_input(&self) {
        let events = |range: std::ops::Range<i64>| -> Vec<NewRecord> {
            range.flat_map(|index| (0..PARTITIONS).map(move |partition| event(partition, index))).collect()
        };
        let topic = &self.job.topics.source;
        let producer = self.transactional();
        transaction(&producer, topic, &events(0..EVENTS / 2), true);
        transaction(&producer, topic, &events(100..110), false);
        self.kafka.produce(topic, events(EVENTS / 2..EVENTS)).unwrap();
    }

    fn input(&self) -> Vec<Record> {
        self.kafka.read_to_end(&self.job.topics.source, Isolation::ReadCommitted).unwrap()
    }

    /// The correct outcomes for the input.
    fn right_outcomes(&self) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for record in self.input() {
            let Record { partition, offset, key, headers, .. } = &record;
            let mut outcome = NewRecord {
                partition: Some(*partition),
                key: key.clone(),
                headers: headers.clone(),
                ..NewRecord::default()
            };
            match reason(&record) {
                None => {
                    let text = String::from_utf8(record.payload.clone().unwrap()).unwrap();
                    let members = text.strip_suffix('}').unwrap();
                    let late = if text.contains("\"late\"") { ",\"late\":true" } else { "" };
                    let time = if late.is_empty() { "2024-07-10T02:00:25Z" } else { "2024-07-10T01:00:25Z" };
                    let members = members.replace("\"late\":\"soon\",", "");
                    let value =
                        format!("{members},\"event_id\":\"{partition}-{offset}\",\"login_time\":\"{time}\"{late}}}");
                    outcome.payload = Some(value.into_bytes());
                    outcomes.output.push(outcome);
                }
                Some(reason) => {
                    outcome.payload.clone_from(&record.payload);
                    for (name, value) in [
                        (dead_letter::REASON, reason.to_owned()),
                        (dead_letter::DETAIL, "by hand".to_owned()),
                        (dead_letter::SOURCE_TOPIC, self.job.topics.source.clone()),
                        (dead_letter::SOURCE_PARTITION, partition.to_string()),
                        (dead_letter::SOURCE_OFFSET, offset.to_string()),
                        (dead_letter::SOURCE_TIMESTAMP, record.timestamp.unwrap().to_string()),
                    ] {
                        outcome.headers.push((name.to_owned(), Some(value.into_bytes())));
                    }
                    outcomes.dead_letters.push(outcome);
                }
            }
        }
        outcomes
    }

    /// Writes the outcomes in a transaction, after one that is aborted.
    fn write(&self, outcomes: &Outcomes) {
        let producer = self.transactional();
        let topics = &self.job.topics;
        for (topic, records) in [(&topics.output, &outcomes.output), (&topics.dead_letters, &outcomes.dead_letters)] {
            transaction(&producer, topic, &records[..records.len() / 2], false);
            transaction(&producer, topic, records, true);
        }
    }

    fn transactional(&self) -> BaseProducer {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap())
            .set("transactional.id", testkit::unique("audit"))
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(30)).unwrap();
        producer
    }

    fn audit(&self, options: &[&str]) -> (Option<i32>, Value) {
        let output = processor(&["audit", "--output", "json", "--config", &self.config()], options);
        let report = String::from_utf8(output.stdout).unwrap();
        let problems = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), serde_json::from_str(&report).unwrap_or_else(|_| json!(problems)))
    }
}

fn processor(arguments: &[&str], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_processor")).args(arguments).args(more).output().unwrap()
}

/// An event of each kind in turn.
fn event(partition: i32, index: i64) -> NewRecord {
    let user = format!("{partition}-{index}");
    let valid = |members: &str, time: i64| {
        format!(r#"{{"user_id":"{user}","device_type":"iOS",{members}"locale":"RI","timestamp":{time}}}"#)
    };
    let payload = match index % 5 {
        1 => Some(format!(r#"{{"user_id":"{user}","device_type":"iOS","timestamp":{NOW}}}"#)),
        2 => Some(format!("login of {user}")),
        3 if index > 10 => Some(valid("\"late\":\"soon\",", NOW - 3600)),
        4 if index > 30 => None,
        _ => Some(valid("", NOW)),
    };
    let headers =
        if index % 3 == 0 { vec![("trace".to_owned(), Some(vec![0, 255])), ("x".to_owned(), None)] } else { vec![] };
    NewRecord {
        partition: Some(partition),
        timestamp: Some(NOW * 1000),
        key: (index % 4 > 0).then(|| user.clone().into_bytes()),
        payload: payload.map(String::into_bytes),
        headers,
    }
}

fn reason(record: &Record) -> Option<&'static str> {
    let text = String::from_utf8(record.payload.clone().unwrap_or_default()).unwrap();
    if !text.starts_with('{') {
        Some("malformed")
    } else if !text.contains("locale") {
        Some("missing-field")
    } else {
        None
    }
}

fn transaction(producer: &BaseProducer, topic: &str, records: &[NewRecord], commit: bool) {
    let bound = Duration::from_secs(30);
    producer.begin_transaction().unwrap();
    for record in records {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() }));
        let mut new: BaseRecord<Vec<u8>, Vec<u8>> = BaseRecord::to(topic).headers(headers);
        (new.partition, new.timestamp) = (record.partition, record.timestamp);
        (new.key, new.payload) = (record.key.as_ref(), record.payload.as_ref());
        producer.send(new).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(bound).unwrap();
    if commit { producer.commit_transaction(bound).unwrap() } else { producer.abort_transaction(bound).unwrap() }
}

const FAULTS: [&str; 6] = ["lost", "duplicated", "out_of_order", "misrouted", "altered", "unexpected"];

/// Plants a fault into correct outcomes, and expects the audit to find only that.
fn check(plant: impl FnOnce(&mut Outcomes), expected: &[(&str, u64)]) -> Value {
    let rig = Rig::new("Earliest");
    rig.write_input();
    let mut outcomes = rig.right_outcomes();
    plant(&mut outcomes);
    rig.write(&outcomes);
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(i32::from(!expected.is_empty())), "{report:#}");
    for fault in FAULTS {
        let count = expected.iter().find(|(name, _)| *name == fault).map_or(0, |(_, count)| *count);
        assert_eq!(report[fault], count, "{fault}: {report:#}");
    }
    assert_eq!(report["input"], EVENTS * i64::from(PARTITIONS), "{report:#}");
    report
}

#[test]
fn a_clean_pipeline_is_clean() {
    let report = check(|_| (), &[]);
    assert_eq!(report["partitions"], PARTITIONS);
    assert_eq!(report["processed"], 2 * 22, "{report:#}");
    assert_eq!(report["late"], 2 * 6, "{report:#}");
    assert_eq!(report["dead_letters_by_reason"], json!({"malformed": 2 * 10, "missing-field": 2 * 8}));
    assert_eq!(report["examples"], json!({}));
}

#[test]
fn a_loss_is_found() {
    let report = check(
        |outcomes| {
            outcomes.output.remove(7);
            outcomes.dead_letters.remove(7);
        },
        &[("lost", 2)],
    );
    assert_eq!(report["lost_at_end"], 0);
    assert!(report["examples"]["lost"][0]["source"]["offset"].is_i64(), "{report:#}");
}

#[test]
fn a_duplicate_is_found() {
    let plant = |outcomes: &mut Outcomes| outcomes.output.insert(9, outcomes.output[3].clone());
    check(plant, &[("duplicated", 1)]);
}

#[test]
fn a_swap_is_found() {
    check(|outcomes| outcomes.output.swap(4, 5), &[("out_of_order", 1)]);
}

#[test]
fn wrong_routing_is_found() {
    let plant = |outcomes: &mut Outcomes| {
        let record = outcomes.output.remove(4);
        outcomes.dead_letters.insert(8, record);
        let letter = &mut outcomes.dead_letters[3];
        letter.partition = letter.partition.map(|partition| 1 - partition);
    };
    check(plant, &[("misrouted", 2)]);
}

#[test]
fn an_alteration_is_found() {
    let plant = |outcomes: &mut Outcomes| {
        outcomes.output[5].key = Some(b"other".to_vec());
        outcomes.output[6].payload.as_mut().unwrap()[13] = b'x';
        outcomes.dead_letters[6].headers.pop();
    };
    let report = check(plant, &[("altered", 3)]);
    assert!(!report.to_string().contains("RI"), "no personal data: {report:#}");
}

/// The last offset of a topic written in transactions is the commit marker, which no reader sees.
#[test]
fn what_is_written_after_the_fixed_end_is_not_read() {
    let rig = Rig::new("Earliest");
    let producer = rig.transactional();
    let topic = &rig.job.topics.output;
    let records = |range: std::ops::Range<i64>| -> Vec<NewRecord> {
        range.map(|index| NewRecord { partition: Some(0), ..event(0, index) }).collect()
    };
    transaction(&producer, topic, &records(0..3), true);
    let mut reader = TopicReader::new(&rig.job, topic).unwrap();
    // Kafka ends a transaction before its marker can be read.
    let ends_with_marker = || reader.offsets(0).ok().filter(|offsets| *offsets == (0, 4));
    let (low, end) = wait_for("the mark of the commit", crate::support::BOUND, ends_with_marker);

    transaction(&producer, topic, &records(3..6), true);
    reader.assign(0, low, end).unwrap();
    let mut read = Vec::new();
    reader.rest(|record| read.push(record.offset)).unwrap();

    assert_eq!(read, [0, 1, 2]);
}

#[test]
fn the_audit_waits_for_a_pipeline_that_is_at_work() {
    let rig = Rig::new("Earliest");
    rig.write_input();
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["lost"], 80, "{report:#}");
    assert_eq!(report["lost_at_end"], 80, "{report:#}");

    let config = rig.config();
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["audit", "--output", "json", "--wait", "60s", "--log-level", "info", "--config", &config])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(waiting.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("the end of the source is fixed")));
    let outcomes = rig.right_outcomes();
    // Newer than the audit.
    rig.kafka.produce(&rig.job.topics.source, [event(0, 0)]).unwrap();
    rig.write(&outcomes);

    let output = waiting.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["input"], 80, "{report:#}");
}

#[test]
fn a_pipeline_that_began_with_the_latest_is_audited_from_there() {
    let rig = Rig::new("Latest");
    rig.write_input();
    let (code, problem) = rig.audit(&[]);
    assert_eq!(code, Some(2));
    assert!(problem.as_str().unwrap().contains("it has not started yet"), "{problem}");

    let right = rig.right_outcomes();
    let place = |partition: i32| {
        let ours: Vec<Record> = rig.input().into_iter().filter(|record| record.partition == partition).collect();
        ours[ours.len() - 10].offset
    };
    let range =
        |partition| delta::Range { partition, from: place(partition), to: place(partition), ..delta::Range::default() };
    let begin = delta::Delta { chunks: 1, ranges: (0..PARTITIONS).map(range).collect(), ..delta::Delta::default() };
    let payload = Some(begin.encode().unwrap());
    rig.kafka.produce(&rig.job.topics.deltas, [NewRecord { payload, ..NewRecord::default() }]).unwrap();
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["input"], 20, "{report:#}");
    assert_eq!(report["lost"], 20, "{report:#}");
    rig.write(&right);
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["input"], 20, "{report:#}");
    assert_eq!(report["unchecked"], 60, "{report:#}");
}

/// The output of an aggregation, written by hand.
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
        let records = [record(state::Key::Position, position), record(state::Key::Meta, state::encode(&meta).unwrap())];
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

#[test]
fn what_cannot_be_audited_is_said() {
    let rig = Rig::new("Earliest");
    let (code, problem) = rig.audit(&["--bootstrap", "127.0.0.1:1"]);
    assert_eq!(code, Some(2), "{problem}");

    rig.kafka.delete_topic(&rig.job.topics.output).unwrap();
    let (code, problem) = rig.audit(&[]);
    assert_eq!(code, Some(2), "{problem}");
    assert!(
        problem.as_str().unwrap().contains(&format!("topic {} does not exist", rig.job.topics.output)),
        "{problem}"
    );

    let output = processor(&["audit", "--config", "/nowhere/job.json"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config /nowhere/job.json: "));
}

#[test]
fn generated_events_arrive_as_reported() {
    let rig = Rig::new("Earliest");
    let topic = &rig.job.topics.source;
    let generate = |more: &[&str]| {
        let arguments = ["generate", "--bootstrap", rig.kafka.bootstrap(), "--topic", topic, "--output", "json"];
        processor(&arguments, more)
    };
    let output = generate(&["--events", "3000", "--malformed", "0.1", "--odd", "0.1", "--seed", "7"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let input = rig.input();
    assert_eq!(report["sent"], 3000);
    assert_eq!(input.len(), 3000);
    let bytes: usize = input.iter().map(|record| record.payload.as_ref().map_or(0, Vec::len)).sum();
    assert_eq!(report["bytes"], bytes);
    let kinds = report["kinds"].as_object().unwrap();
    assert_eq!(kinds.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 3000);
    assert!((200..400).contains(&kinds["malformed"].as_u64().unwrap()), "{report:#}");
    assert!((0..PARTITIONS).all(|partition| input.iter().any(|record| record.partition == partition)));
    assert!(input.iter().all(|record| record.key.as_ref().is_some_and(|key| key.len() == 36)));

    let output = generate(&["--events", "50", "--rate", "100"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["seconds"].as_f64().unwrap() > 0.45, "{report:#}");

    for (options, problem) in [
        (&["--late", "0.6", "--odd", "0.6"][..], "add up to"),
        (&["--odd", "2"], "--odd is 2: write a fraction"),
        (&["--topic", "no-such-topic"], "--topic no-such-topic does not exist"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_processor"))
            .args(["generate", "--bootstrap", rig.kafka.bootstrap()])
            .args(options)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(problem), "{said}");
    }
}
