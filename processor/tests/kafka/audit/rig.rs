//! A pipeline's topics, its input and its right outcomes, and `processor audit` on them.

use std::{
    process::{Command, Output},
    time::Duration,
};

use crds::{
    job::JobConfig,
    pipeline::LoginPipelineSpec,
    records::dead_letter,
    topics::{PipelineId, topics},
};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use testkit::{
    kafka::{Cluster, Isolation, NewRecord, Record},
    process::Folder,
};

pub const PARTITIONS: i32 = 2;
pub const EVENTS: i64 = 40;
pub const NOW: i64 = 1_720_576_825;

/// A pipeline's topics and its config, without the pipeline.
pub struct Rig {
    pub kafka: &'static Cluster,
    pub job: JobConfig,
    folder: Folder,
}

/// The output of a pipeline.
#[derive(Clone, Default)]
pub struct Outcomes {
    pub output: Vec<NewRecord>,
    pub dead_letters: Vec<NewRecord>,
}

impl Rig {
    pub fn new(start_from: &str) -> Self {
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

    pub fn config(&self) -> String {
        self.folder.path().join("job.json").to_str().unwrap().to_owned()
    }

    /// Writes events to every partition: some in a transaction, then some that are aborted, then the rest.
    pub fn write_input(&self) {
        let events = |range: std::ops::Range<i64>| -> Vec<NewRecord> {
            range.flat_map(|index| (0..PARTITIONS).map(move |partition| event(partition, index))).collect()
        };
        let topic = &self.job.topics.source;
        let producer = self.transactional();
        transaction(&producer, topic, &events(0..EVENTS / 2), true);
        transaction(&producer, topic, &events(100..110), false);
        self.kafka.produce(topic, events(EVENTS / 2..EVENTS)).unwrap();
    }

    pub fn input(&self) -> Vec<Record> {
        self.kafka.read_to_end(&self.job.topics.source, Isolation::ReadCommitted).unwrap()
    }

    /// The correct outcomes for the input.
    pub fn right_outcomes(&self) -> Outcomes {
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
    pub fn write(&self, outcomes: &Outcomes) {
        let producer = self.transactional();
        let topics = &self.job.topics;
        for (topic, records) in [(&topics.output, &outcomes.output), (&topics.dead_letters, &outcomes.dead_letters)] {
            transaction(&producer, topic, &records[..records.len() / 2], false);
            transaction(&producer, topic, records, true);
        }
    }

    pub fn transactional(&self) -> BaseProducer {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap())
            .set("transactional.id", testkit::unique("audit"))
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(30)).unwrap();
        producer
    }

    pub fn audit(&self, options: &[&str]) -> (Option<i32>, Value) {
        let output = processor(&["audit", "--output", "json", "--config", &self.config()], options);
        let report = String::from_utf8(output.stdout).unwrap();
        let problems = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), serde_json::from_str(&report).unwrap_or_else(|_| json!(problems)))
    }
}

pub fn processor(arguments: &[&str], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_processor")).args(arguments).args(more).output().unwrap()
}

/// An event of each kind in turn.
pub fn event(partition: i32, index: i64) -> NewRecord {
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

pub fn reason(record: &Record) -> Option<&'static str> {
    let text = String::from_utf8(record.payload.clone().unwrap_or_default()).unwrap();
    if !text.starts_with('{') {
        Some("malformed")
    } else if !text.contains("locale") {
        Some("missing-field")
    } else {
        None
    }
}

pub fn transaction(producer: &BaseProducer, topic: &str, records: &[NewRecord], commit: bool) {
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

pub const FAULTS: [&str; 6] = ["lost", "duplicated", "out_of_order", "misrouted", "altered", "unexpected"];

/// Plants a fault into correct outcomes, and expects the audit to find only that.
pub fn check(plant: impl FnOnce(&mut Outcomes), expected: &[(&str, u64)]) -> Value {
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
