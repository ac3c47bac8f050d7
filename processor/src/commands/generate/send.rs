//! Sends generated events to Kafka with an idempotent producer, at a rate, and counts every delivery. Only this module
//! of `generate` reads a clock.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use cli::{
    Exit, Format,
    progress::{Count, Progress},
};
use crds::job::KafkaConfig;
use kafka::{
    cluster::{ClusterError, client_with},
    settings::{self, Settings},
    trouble::{ExplainedError, Trouble},
};
use rdkafka::{
    ClientContext, Message,
    client::Client,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};
use serde::{Serialize, ser::SerializeMap};

use super::model::{Events, GeneratedEvent, Kind, Options, Shares, SharesError};
use crate::{
    clock::now_seconds,
    config::{self, ConfigError},
};

/// The shortest wait. Each wait costs a wake-up, and a shorter one would not send sooner, since the producer waits for
/// a batch to fill.
const STEP: Duration = Duration::from_millis(10);

/// What to send, and where to.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The topic must be there. The same seed and options give the same events, but for their time; all of them are acknowledged by Kafka when
the report is printed.

Examples:
  processor generate --bootstrap localhost:9092 --events 100000
  processor generate --bootstrap localhost:9092 --topic user-login --events 60000 --rate 1000 --late 0.1
  processor generate --bootstrap kafka.example.com:9094 --security security.json --malformed 0 --odd 0

Exit codes: 0 all were acknowledged, 2 they were not")]
pub struct GenerateArgs {
    /// Kafka's bootstrap servers, separated by commas
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: String,
    /// TLS and SASL: a file with what stands at kafka.security of a job config
    #[arg(long, value_name = "FILE")]
    pub security: Option<PathBuf>,
    /// Topic to send to
    #[arg(long, default_value = "user-login")]
    pub topic: String,
    /// How many events to send
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub events: u64,
    /// Events per second; 0 is as fast as possible
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub rate: u64,
    /// What they are like
    #[command(flatten)]
    pub model: EventArgs,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}

/// What events are like. The shares of their kinds are from 0 to 1; the rest is normal.
#[derive(Args, Clone, Debug)]
pub struct EventArgs {
    /// The same seed and options give the same events, but for their time
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many users there are; some log in much more often than others
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// Share of events that are two minutes to an hour behind
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    pub late: f64,
    /// Share of events that are an hour to a day ahead
    #[arg(long, default_value_t = 0.001, value_name = "SHARE")]
    pub future: f64,
    /// Share of payloads that are no JSON object: cut off, not UTF-8, duplicate keys, tombstones and more
    #[arg(long, default_value_t = 0.001, value_name = "SHARE")]
    pub malformed: f64,
    /// Share of events without device_type, locale or timestamp
    #[arg(long, default_value_t = 0.02, value_name = "SHARE")]
    pub incomplete: f64,
    /// Share of events that are legal JSON, but odd: unknown fields, escapes, wrong types, long values and more
    #[arg(long, default_value_t = 0.005, value_name = "SHARE")]
    pub odd: f64,
    /// Share of events that repeat an earlier one, byte for byte
    #[arg(long, default_value_t = 0.005, value_name = "SHARE")]
    pub repeated: f64,
}

impl EventArgs {
    /// Options for these events, starting at the current time.
    ///
    /// # Errors
    /// When a share is not a fraction, or all shares add up to more than 1.
    pub fn options(&self) -> Result<Options, SharesError> {
        let shares = Shares::NONE
            .with(Kind::Late, self.late)?
            .with(Kind::Future, self.future)?
            .with(Kind::Malformed, self.malformed)?
            .with(Kind::Incomplete, self.incomplete)?
            .with(Kind::Odd, self.odd)?
            .with(Kind::Repeated, self.repeated)?;
        Ok(Options { seed: self.seed, users: self.users, shares, start: now_seconds(), per_second: 0 })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Shares(#[from] SharesError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The client could not be created.
    #[error(transparent)]
    Client(#[from] ClusterError),
    #[error("--bootstrap {bootstrap}: {source}")]
    Kafka {
        /// The bootstrap servers.
        bootstrap: String,
        source: ExplainedError,
    },
    #[error("--topic {0} does not exist: create it, or let the operator do so")]
    NoTopic(String),
    /// The client rejected a record before sending it.
    #[error("event {number} cannot be sent: {source}")]
    Send {
        /// Number of the event, from 1.
        number: u64,
        source: KafkaError,
    },
    /// Kafka did not acknowledge every event.
    #[error("{failed} of {total} events were not delivered, the first because: {first}")]
    Undelivered {
        /// Events that were not delivered.
        failed: u64,
        /// Events that were to be sent.
        total: u64,
        /// The client's error for the first of them.
        first: KafkaError,
    },
    #[error("the report cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

/// What was sent and acknowledged by Kafka.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Report {
    /// Acknowledged events.
    pub sent: u64,
    /// Events by kind.
    #[serde(serialize_with = "by_kind")]
    pub kinds: [u64; Kind::ALL.len()],
    /// Bytes of the payloads.
    pub bytes: u64,
    /// Duration of the run.
    pub seconds: f64,
    pub events_per_second: f64,
}

fn by_kind<S: serde::Serializer>(kinds: &[u64; Kind::ALL.len()], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(kinds.len()))?;
    for (kind, count) in Kind::ALL.iter().zip(kinds) {
        map.serialize_entry(kind.as_str(), count)?;
    }
    map.end()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16}{:>14}", "sent", self.sent)?;
        for (kind, count) in Kind::ALL.iter().zip(self.kinds) {
            writeln!(f, "  {:<14}{count:>14}", kind.as_str())?;
        }
        writeln!(f, "{:<16}{:>14}", "bytes", self.bytes)?;
        writeln!(f, "{:<16}{:>14.1}", "seconds", self.seconds)?;
        write!(f, "{:<16}{:>14.0}", "events/s", self.events_per_second)
    }
}

/// Sends the events and prints the report.
///
/// # Errors
/// When an option is invalid, or Kafka does not acknowledge every event.
pub fn run(args: &GenerateArgs) -> Result<Exit, GenerateError> {
    let report = send(args)?;
    args.output.print(&report)?;
    Ok(Exit::Clean)
}

/// Sends the events, and returns when Kafka has acknowledged all of them.
///
/// # Errors
/// As [`run`].
pub fn send(args: &GenerateArgs) -> Result<Report, GenerateError> {
    let options = args.model.options()?;
    let security = args.security.as_deref().map(config::read_security).transpose()?;
    let kafka = KafkaConfig { bootstrap_servers: args.bootstrap.clone(), security, max_message_bytes: None };
    let producer: BaseProducer<Deliveries> = client_with(&producer_settings(&kafka), Deliveries::default())?;
    let unreachable = |source| {
        // The client reports its errors in a queue; polling handles them.
        producer.poll(Duration::from_millis(10));
        GenerateError::Kafka { bootstrap: args.bootstrap.clone(), source: producer.context().trouble.with(source) }
    };
    let asking = Progress::waiting(format!("asking {} for topic {}", args.bootstrap, args.topic));
    find_topic(producer.client(), &args.topic)
        .map_err(unreachable)?
        .ok_or_else(|| GenerateError::NoTopic(args.topic.clone()))?;
    drop(asking);

    let started = Instant::now();
    let pace = Pace { started, rate: args.rate };
    let progress = Count::start("sending", "events", Some(args.events));
    let mut events = Events::new(options);
    let mut event = GeneratedEvent::default();
    let deliveries = producer.context();
    for number in 1..=args.events {
        let waited = pace.wait(number);
        if waited || number % 256 == 1 {
            events.set_time(now_seconds());
            serve(&producer);
            progress.set(deliveries.sent());
        }
        events.next_into(&mut event);
        send_one(&producer, &args.topic, &event).map_err(|source| GenerateError::Send { number, source })?;
        if deliveries.failed() {
            break;
        }
    }
    while producer.in_flight_count() > 0 {
        thread::sleep(STEP);
        serve(&producer);
        progress.set(deliveries.sent());
    }
    drop(progress);
    deliveries.report(args.events, started.elapsed())
}

/// Settings of the producer, each with a reason where it is not obvious.
pub fn producer_settings(kafka: &KafkaConfig) -> Settings {
    let mut settings = settings::connection(kafka);
    settings.extend(&[
        ("client.id", "processor-generate"),
        ("enable.idempotence", "true"),
        // Kafka's own default partitioner, so that generated events of a user share a partition with those of real
        // apps.
        ("partitioner", "murmur2_random"),
        ("linger.ms", "10"),
        ("message.timeout.ms", "60000"),
        // Bounds the memory for events that Kafka has not acknowledged yet.
        ("queue.buffering.max.kbytes", "32768"),
        ("queue.buffering.max.messages", "200000"),
    ]);
    settings
}

fn find_topic<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<()>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.map(|found| found.error().map(RDKafkaErrorCode::from)) {
        None | Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(None),
        Some(Some(code)) => Err(KafkaError::MetadataFetch(code)),
        Some(None) => Ok(Some(())),
    }
}

/// Hands an event to the producer. When the queue is full, waits for Kafka to take some events.
fn send_one(producer: &BaseProducer<Deliveries>, topic: &str, event: &GeneratedEvent) -> Result<(), KafkaError> {
    let mut record = BaseRecord::with_opaque_to(topic, event.kind as usize).key(&event.key);
    record.payload = event.payload();
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                thread::sleep(STEP);
                serve(producer);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Handles everything that the producer has to report, without waiting. A caller with spare time then sleeps instead of
/// waiting in the producer: the binding rounds the timeout down to milliseconds and spins for the rest of the last one,
/// which takes a whole core.
pub fn serve(producer: &BaseProducer<Deliveries>) {
    loop {
        // One call handles one report, which covers a batch.
        let in_flight = producer.in_flight_count();
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() >= in_flight {
            break;
        }
    }
}

/// Keeps to a rate of events.
struct Pace {
    started: Instant,
    rate: u64,
}

impl Pace {
    /// Waits until the event with this number, counted from 1, is due. Returns whether it waited. It waits for [`STEP`]
    /// at least, and the events that are due after that follow without a wait.
    fn wait(&self, number: u64) -> bool {
        if self.rate == 0 {
            return false;
        }
        let due = Duration::from_secs_f64((number - 1) as f64 / self.rate as f64);
        let left = due.saturating_sub(self.started.elapsed());
        if !left.is_zero() {
            thread::sleep(left.max(STEP));
        }
        !left.is_zero()
    }
}

/// Counts what Kafka has acknowledged.
#[derive(Debug, Default)]
pub struct Deliveries {
    kinds: [AtomicU64; Kind::ALL.len()],
    bytes: AtomicU64,
    /// Offset of the last acknowledged event, by partition.
    last: Mutex<BTreeMap<i32, i64>>,
    failed: AtomicU64,
    first: Mutex<Option<KafkaError>>,
    trouble: Trouble,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.error(error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.trouble.log(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, kind: usize) {
        match result {
            Ok(message) => {
                if let Some(count) = self.kinds.get(kind) {
                    count.fetch_add(1, Relaxed);
                }
                self.bytes.fetch_add(message.payload_len() as u64, Relaxed);
                self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(message.partition(), message.offset());
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Relaxed);
                self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
            }
        }
    }
}

impl Deliveries {
    /// Number of acknowledged events.
    pub fn sent(&self) -> u64 {
        self.kinds.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Offset of the last acknowledged event, by partition.
    pub fn last(&self) -> BTreeMap<i32, i64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any event was not delivered.
    pub fn failed(&self) -> bool {
        self.failed.load(Relaxed) > 0
    }

    /// The report of all acknowledged events.
    ///
    /// # Errors
    /// When any event was not delivered.
    pub fn report(&self, total: u64, elapsed: Duration) -> Result<Report, GenerateError> {
        if let Some(first) = self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(GenerateError::Undelivered { failed: total - self.sent(), total, first });
        }
        let seconds = elapsed.as_secs_f64();
        let sent = self.sent();
        Ok(Report {
            sent,
            kinds: std::array::from_fn(|kind| self.kinds[kind].load(Relaxed)),
            bytes: self.bytes.load(Relaxed),
            seconds,
            events_per_second: sent as f64 / seconds.max(f64::EPSILON),
        })
    }
}
