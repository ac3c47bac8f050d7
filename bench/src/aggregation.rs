//! The time until an event is counted, and the time that a replica takes to restore a million counts.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crds::{
    pipeline::Dimension,
    records::{
        aggregate::Aggregate,
        delta::{Delta, Pane, Range, Total},
    },
};
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use testkit::{
    http,
    kafka::{Cluster, Isolation, NewRecord},
    process::{Folder, Process},
};

use crate::{
    error::{BOUND, BenchError},
    pipeline::Pipeline,
};

const SOURCE: &str = "bench-source";
const PARTITIONS: i32 = 8;

/// The time limit for a replica to be ready.
const READY: Duration = Duration::from_secs(60);

/// Measures both, and prints the results.
pub(crate) fn run(processor: &Path) -> Result<(), BenchError> {
    let kafka = Cluster::start(1)?;
    let folder = Folder::new("bench-aggregation")?;
    latency(&kafka, &folder, processor)?;
    cold_start(&kafka, &folder, processor)
}

/// From the moment an event is handed to the producer to the moment an aggregate that counts it is read, at the default
/// intervals.
#[allow(clippy::print_stdout, reason = "the result")]
fn latency(kafka: &Cluster, folder: &Folder, processor: &Path) -> Result<(), BenchError> {
    const EVENTS: usize = 10_000;
    const INTERVAL: Duration = Duration::from_millis(2);
    let pipeline = Pipeline::new(kafka, folder, "latency", SOURCE, PARTITIONS)?;
    let mut replica = pipeline.start(processor, folder)?;
    ready(&mut replica)?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "bench-latency")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .create()?;
    consumer.subscribe(&["latency-aggregates"])?;
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).set("linger.ms", "0").create()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let payload =
        format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","app_version":"2.3.0","timestamp":{now}}}"#);
    // The first events wait for partitions to be taken up, and are not measured.
    let mut sent = Vec::with_capacity(EVENTS);
    let mut latencies = Vec::with_capacity(EVENTS);
    let started = Instant::now();
    while latencies.len() < EVENTS {
        if started.elapsed() > BOUND {
            return Err(BenchError::Other(format!("counted {} of {EVENTS}\n{}", latencies.len(), replica.log())));
        }
        if sent.len() < EVENTS && started.elapsed() >= INTERVAL * u32::try_from(sent.len()).unwrap_or(u32::MAX) {
            let record = BaseRecord::<(), str>::to(SOURCE).payload(&payload);
            producer.send(record).map_err(|(error, _)| error)?;
            sent.push(Instant::now());
        }
        producer.poll(Duration::ZERO);
        while let Some(message) = consumer.poll(Duration::from_micros(200)) {
            let message = message?;
            if message.key() != Some(b"all/_all") {
                continue;
            }
            let aggregate: Aggregate = serde_json::from_slice(message.payload().unwrap_or_default())?;
            let counted = usize::try_from(aggregate.count).unwrap_or(usize::MAX).min(sent.len());
            latencies.extend(sent[latencies.len().min(counted)..counted].iter().map(Instant::elapsed));
        }
    }
    producer.flush(BOUND)?;
    latencies.sort();
    let at = |share: f64| latencies[((EVENTS as f64 - 1.0) * share) as usize].as_millis();
    println!(
        "{EVENTS} events, one every {INTERVAL:?}: from the producer to the updated aggregate p50 {} ms, p99 {} ms, max {} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// From the start of the process until it is ready, with a million counts in its snapshot.
#[allow(clippy::print_stdout, reason = "the result")]
fn cold_start(kafka: &Cluster, folder: &Folder, processor: &Path) -> Result<(), BenchError> {
    const MINUTES: i64 = 1000;
    const VALUES: i64 = 1000;
    let pipeline = Pipeline::new(kafka, folder, "cold", "bench-cold", PARTITIONS)?;
    let rules = serde_json::to_string(&pipeline.job.rules)?;
    let deltas = (0..MINUTES).map(|minute| {
        let values = (0..VALUES).map(|value| (format!("{:07}", (minute * 7919 + value) % 1_000_000), 1)).collect();
        let delta = Delta {
            producer: "bench".to_owned(),
            sequence: minute.unsigned_abs(),
            chunks: 1,
            revision: 1,
            rules: (minute == 0).then(|| rules.clone()),
            source_partitions: 1,
            ranges: vec![Range {
                // A separate partition, which no thread of the replica takes up.
                partition: PARTITIONS,
                from: minute,
                to: minute + 1,
                watermark: Some(1_720_569_600),
                ..Range::default()
            }],
            panes: vec![Pane {
                start: 1_720_569_600 + minute * 60,
                unmerged: false,
                total: Total { count: VALUES.unsigned_abs(), late: 0, sketch: None },
                dimensions: vec![(Dimension::AppVersion, values)],
            }],
            ..Delta::default()
        };
        delta.encode().map(|payload| NewRecord { partition: Some(0), payload: Some(payload), ..NewRecord::default() })
    });
    let deltas = deltas.collect::<Result<Vec<_>, _>>().map_err(|error| BenchError::Other(error.to_string()))?;
    kafka.produce(&pipeline.job.topics.deltas, deltas)?;
    let state = pipeline.job.pipeline.state_topic();
    let mut first = pipeline.start(processor, folder)?;
    let started = Instant::now();
    // A snapshot follows within ten seconds after the last delta is folded.
    while kafka.end_offsets(&state, Isolation::ReadCommitted)?.values().sum::<i64>() < MINUTES {
        if started.elapsed() > BOUND {
            return Err(BenchError::Other(format!("no snapshot\n{}", first.log())));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    first.terminate(BOUND)?;
    let bytes: usize = kafka
        .read_to_end(&state, Isolation::ReadCommitted)?
        .iter()
        .map(|record| record.payload.as_ref().map_or(0, Vec::len))
        .sum();
    let started = Instant::now();
    let mut second = pipeline.start(processor, folder)?;
    let restored = ready(&mut second)?;
    println!(
        "{} counts in a snapshot of {} MB: ready {} ms after the start of the process",
        MINUTES * VALUES,
        bytes >> 20,
        started.elapsed().as_millis()
    );
    for line in restored.lines().filter(|line| line.contains("restore") && !line.starts_with('#')) {
        println!("  {line}");
    }
    Ok(())
}

/// Waits until the replica is ready, and returns its metrics.
fn ready(replica: &mut Process) -> Result<String, BenchError> {
    let started = Instant::now();
    loop {
        replica.check_running()?;
        let answer = ask(replica, "/readyz").unwrap_or_default();
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(ask(replica, "/metrics").unwrap_or_default());
        }
        if started.elapsed() > READY {
            return Err(BenchError::Other(format!("not ready in {READY:?}: {answer}\n{}", replica.log())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask(replica: &Process, path: &str) -> Option<String> {
    let log = replica.log();
    // A second replica with the same name appends to the log of the first.
    let (_, address) = log.rsplit_once("address=")?;
    let address = address.split_whitespace().next()?;
    http::ask(address, "GET", path, "").ok()
}
