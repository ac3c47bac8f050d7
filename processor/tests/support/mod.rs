//! A pipeline on a real Kafka: its topics, its job config, its replicas as processes, and the outcomes of its events.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "each test file uses its part, and a test may panic"
)]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crds::{
    job::JobConfig,
    pipeline::{LoginPipeline, LoginPipelineSpec},
    records::{dead_letter, delta::Delta, enrichment},
    topics::{PipelineId, topics},
};
use operator::{kafka_access::Secrets, pass::desired::render, topics::Listener};
use processor::commands::generate::{Events, GeneratedEvent, Options, Shares};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use testkit::{
    http,
    kafka::{Cluster, Isolation, NewRecord, Record},
    process::{Folder, Process, Program},
    wait_for,
};

/// The time limit for any step before the test fails.
pub const BOUND: Duration = Duration::from_secs(60);

/// A pipeline and the folder of its files.
pub struct Pipeline<'k> {
    pub kafka: &'k Cluster,
    pub job: JobConfig,
    pub folder: Folder,
}

impl<'k> Pipeline<'k> {
    /// Creates the topics of a pipeline with this name, as the operator would.
    pub fn new(name: &str, partitions: i32, change: impl FnOnce(&mut LoginPipelineSpec)) -> Self {
        Self::on(testkit::kafka::shared(), name, partitions, change)
    }

    /// Creates it on the test's own Kafka.
    pub fn on(kafka: &'k Cluster, name: &str, partitions: i32, change: impl FnOnce(&mut LoginPipelineSpec)) -> Self {
        let unique = testkit::unique(name);
        let mut spec: LoginPipelineSpec = serde_json::from_value(serde_json::json!({
            "kafka": {"external": {"bootstrapServers": kafka.bootstrap()}},
            "source": {"topic": format!("{unique}-in"), "partitions": partitions},
            "output": {"topic": format!("{unique}-out")},
            "deadLetters": {"topic": format!("{unique}-dead")},
            "results": {
                "aggregates": {"topic": format!("{unique}-aggregates")},
                "insights": {"topic": format!("{unique}-insights")},
                "alerts": {"topic": format!("{unique}-alerts")},
            },
        }))
        .unwrap();
        change(&mut spec);
        let id = PipelineId { namespace: "tests".to_owned(), name: unique };
        for topic in topics(&id, &spec) {
            let config: Vec<(&str, &str)> = topic.config.iter().map(|(name, value)| (*name, value.as_str())).collect();
            kafka.create_topic(&topic.name, topic.partitions, &config).unwrap();
        }
        // Exactly the config that the operator would mount into the pods.
        let mut resource = LoginPipeline::new(&id.name, spec);
        resource.metadata.uid = Some("0".to_owned());
        let listener = Listener::without_certificates(kafka.bootstrap());
        let desired = render(&id.namespace, &resource, &listener, &Secrets::default(), 1).unwrap();
        let rendered = desired.config_map.data.unwrap().remove("job.json").unwrap();
        let folder = Folder::new(name).unwrap();
        let pipeline = Self { kafka, job: JobConfig::parse(&rendered).unwrap(), folder };
        std::fs::write(pipeline.job_file(), rendered).unwrap();
        pipeline
    }

    pub fn job_file(&self) -> PathBuf {
        self.folder.path().join("job.json")
    }

    /// Replaces the job config that replicas start with.
    pub fn configure(&mut self, job: &serde_json::Value) {
        let text = job.to_string();
        std::fs::write(self.job_file(), &text).unwrap();
        self.job = JobConfig::parse(&text).unwrap();
    }

    pub fn start(&self, name: &str) -> Replica {
        let process = Program::new(testkit::unique(name), env!("CARGO_BIN_EXE_processor"))
            .args(["run", "--listen", "127.0.0.1:0", "--replica", name, "--config"])
            .arg(self.job_file())
            .env("LOGIN_PIPELINE_LOG", "info,processor=debug")
            .spawn(&self.folder)
            .unwrap();
        Replica { process }
    }

    /// Writes events in the background, with current times, until the feeder is stopped or has sent them all.
    pub fn feed(&self, events: u64, per_second: u64, shares: Shares) -> Feeder {
        let stop = Arc::new(AtomicBool::new(false));
        let (topic, stopped) = (self.job.topics.source.clone(), Arc::clone(&stop));
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap())
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        let thread = thread::spawn(move || {
            let mut model = Events::new(Options { shares, ..Options::default() });
            let mut sent = 0;
            while sent < events && !stopped.load(Ordering::Relaxed) {
                let chunk = (per_second / 10).clamp(1, events - sent);
                let mut event = GeneratedEvent::default();
                for _ in 0..chunk {
                    model.next_into(&mut event);
                    let record = BaseRecord::<[u8], [u8]>::to(&topic).key(event.key.as_slice());
                    let record = BaseRecord { payload: event.payload(), ..record };
                    producer.send(record).map_err(|(error, _)| error).unwrap();
                }
                sent += chunk;
                producer.poll(Duration::from_millis(100));
            }
            // Even when brokers were away in the meantime: the idempotent producer writes each event once.
            producer.flush(BOUND).unwrap();
            sent
        });
        Feeder { stop, thread }
    }

    /// Waits until every source record has an outcome, and returns the outcomes. The deltas must agree.
    pub fn settle(&self) -> Outcome {
        let outcome = self.settle_records();
        self.check_deltas();
        self.audit();
        outcome
    }

    /// Runs the audit as a user does, and expects no faults: it judges the content too.
    fn audit(&self) {
        let mut audit = Program::new(testkit::unique("audit"), env!("CARGO_BIN_EXE_processor"))
            .args(["audit", "--output", "json", "--wait", "10s", "--config"])
            .arg(self.job_file())
            .spawn(&self.folder)
            .unwrap();
        assert_eq!(audit.wait(BOUND).unwrap(), 0, "{}", audit.log());
    }

    /// Settles without checking the deltas.
    pub fn settle_records(&self) -> Outcome {
        let input = self.kafka.read_to_end(&self.job.topics.source, Isolation::ReadCommitted).unwrap();
        let count = |topic: &str| self.kafka.read_to_end(topic, Isolation::ReadCommitted).unwrap().len();
        let started = Instant::now();
        while count(&self.job.topics.output) + count(&self.job.topics.dead_letters) < input.len() {
            if started.elapsed() > BOUND {
                break; // What is missing then counts as lost.
            }
            thread::sleep(Duration::from_millis(200));
        }
        let (output, dead) = (self.read(&self.job.topics.output), self.read(&self.job.topics.dead_letters));
        Outcome::of(&input, &output, &dead)
    }

    /// Asserts that the deltas cover each source partition without gap or overlap, and count each valid event once.
    fn check_deltas(&self) {
        let (output, dead) = (self.read(&self.job.topics.output), self.read(&self.job.topics.dead_letters));
        let records = self.read(&self.job.topics.deltas);
        let deltas: Vec<Delta> =
            records.iter().map(|record| Delta::decode(record.payload.as_ref().unwrap()).unwrap()).collect();
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        for range in deltas.iter().flat_map(|delta| &delta.ranges) {
            let expected = next.insert(range.partition, range.to).unwrap_or(range.from);
            assert_eq!(range.from, expected, "{range:?} must begin where the partition's last range ended");
        }
        let counted: u64 = deltas.iter().flat_map(|delta| &delta.panes).map(|pane| pane.total.count).sum();
        let ended = |records: &[Record], identity: fn(&Record) -> i64| {
            records.iter().all(|record| identity(record) < next.get(&record.partition).copied().unwrap_or_default())
        };
        assert!(ended(&output, output_identity) && ended(&dead, dead_letter_identity), "an outcome beyond the deltas");
        // Stage 2 deletes the deltas that two snapshots cover.
        if records.first().is_none_or(|record| record.offset == 0) {
            assert_eq!(counted, output.len() as u64, "each valid event counts once");
        }
        // The committed offsets equal the end of the deltas: both are part of the same transactions.
        let group = self.job.pipeline.ingest_group();
        let committed = self.kafka.committed(&group, &self.job.topics.source, Isolation::ReadCommitted).unwrap();
        let committed: BTreeMap<i32, i64> =
            committed.into_iter().map(|(partition, at)| (partition, at.offset)).collect();
        assert_eq!(committed, next);
    }

    /// The committed records of a topic.
    pub fn read(&self, topic: &str) -> Vec<Record> {
        self.kafka.read_to_end(topic, Isolation::ReadCommitted).unwrap()
    }

    /// Writes records to the source.
    pub fn write(&self, records: impl IntoIterator<Item = NewRecord>) {
        self.kafka.produce(&self.job.topics.source, records).unwrap();
    }

    /// Writes valid events, spread over partitions.
    pub fn write_logins(&self, partitions: i32, count: i32) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.write((0..count).map(|index| login(index % partitions, now)));
    }
}

/// A valid event for a partition.
pub fn login(partition: i32, timestamp: u64) -> NewRecord {
    let payload = format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":{timestamp}}}"#);
    NewRecord { partition: Some(partition), payload: Some(payload.into_bytes()), ..NewRecord::default() }
}

pub struct Replica {
    pub process: Process,
}

impl Replica {
    /// Waits until /readyz reports ready.
    pub fn ready(&mut self) {
        wait_for("a replica that is ready", BOUND, || {
            self.process.check_running().unwrap();
            (self.get("/readyz")?.0 == 200).then_some(())
        });
    }

    /// Sends a GET to the replica's HTTP server; `None` while it does not listen yet.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let log = self.process.log();
        let address = log.split("address=").nth(1)?.split_whitespace().next()?;
        http::get(&address.replace("0.0.0.0", "127.0.0.1"), path)
    }

    /// Sends SIGTERM; the replica drains within its time limit.
    pub fn stop(mut self) {
        assert_eq!(self.process.terminate(Duration::from_secs(15)).unwrap(), 0, "{}", self.process.log());
    }
}

/// Writes events in the background.
pub struct Feeder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Feeder {
    /// Stops, and returns the number of written events.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }

    /// Waits until all events are written.
    pub fn finish(self) -> u64 {
        self.thread.join().unwrap()
    }
}

/// The outcomes of the source's records, by identity only: the audit checks their content.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub input: usize,
    pub output: usize,
    pub dead_letters: usize,
    pub lost: usize,
    pub duplicated: usize,
    pub out_of_order: usize,
}

impl Outcome {
    fn of(input: &[Record], output: &[Record], dead: &[Record]) -> Self {
        let mut seen: BTreeMap<(i32, i64), usize> = BTreeMap::new();
        let mut out_of_order = 0;
        for (records, identity) in [(output, output_identity as fn(&Record) -> i64), (dead, dead_letter_identity)] {
            let mut last: BTreeMap<i32, i64> = BTreeMap::new();
            for record in records {
                let offset = identity(record);
                *seen.entry((record.partition, offset)).or_default() += 1;
                let last = last.entry(record.partition).or_insert(-1);
                out_of_order += usize::from(offset <= *last);
                *last = offset.max(*last);
            }
        }
        let lost = input.iter().filter(|record| !seen.contains_key(&(record.partition, record.offset))).count();
        let duplicated = seen.values().map(|count| count - 1).sum();
        if lost > 0 {
            let mut missing: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
            for record in input.iter().filter(|record| !seen.contains_key(&(record.partition, record.offset))) {
                missing.entry(record.partition).or_default().push(record.offset);
            }
            for (partition, offsets) in missing {
                eprintln!(
                    "partition {partition}: {} lost, from {} to {}",
                    offsets.len(),
                    offsets[0],
                    offsets[offsets.len() - 1]
                );
            }
        }
        Self { input: input.len(), output: output.len(), dead_letters: dead.len(), lost, duplicated, out_of_order }
    }

    /// Fails when a record is lost, duplicated or reordered.
    pub fn assert_exactly_once(&self) {
        assert_eq!(self.lost, 0, "{self:?}");
        assert_eq!(self.duplicated, 0, "{self:?}");
        assert_eq!(self.out_of_order, 0, "{self:?}");
        assert_eq!(self.input, self.output + self.dead_letters, "{self:?}");
    }
}

fn output_identity(record: &Record) -> i64 {
    // It is added last, so its last occurrence counts. The value is not parsed as JSON: numbers may be of any size.
    let value = std::str::from_utf8(record.payload.as_ref().unwrap()).unwrap();
    let (_, id) = value.rsplit_once(&format!("\"{}\":\"", enrichment::EVENT_ID)).unwrap();
    let (id, _) = id.split_once('"').unwrap();
    let (partition, offset) = id.split_once('-').unwrap();
    assert_eq!(partition.parse(), Ok(record.partition), "an event must keep its partition");
    offset.parse().unwrap()
}

fn dead_letter_identity(record: &Record) -> i64 {
    let header = |name: &str| {
        let (_, value) = record.headers.iter().rev().find(|(header, _)| header == name).unwrap();
        String::from_utf8(value.clone().unwrap()).unwrap()
    };
    assert_eq!(header(dead_letter::SOURCE_PARTITION).parse(), Ok(record.partition));
    header(dead_letter::SOURCE_OFFSET).parse().unwrap()
}

/// Shares of every fault of real streams.
pub fn mixed() -> Shares {
    use processor::commands::generate::Kind;
    [
        (Kind::Late, 0.02),
        (Kind::Future, 0.01),
        (Kind::Malformed, 0.02),
        (Kind::Incomplete, 0.03),
        (Kind::Odd, 0.02),
        (Kind::Repeated, 0.02),
    ]
    .into_iter()
    .try_fold(Shares::NONE, |shares, (kind, share)| shares.with(kind, share))
    .unwrap()
}
