//! CPU per event and peak memory of the exactly-once job, compared with a plain pass-through in one run; and the speed
//! of its aggregation.
//!
//! ```text
//!  generate once ──> source ──> passthrough: the binding's safe calls, at least once ──> a topic
//!                       └─────> processor run, exactly once ──> output, dead letters, deltas and the results topics
//!
//!  aggregation: deltas of a day with a million counts ──> cold start; events at a steady rate ──> latency
//!
//!  operator: a thousand pipelines on a kube-apiserver ──> time to converge, memory, pass duration, idle requests
//! ```
//!
//! Both run as separate processes on a broker of the test kit, alternately and several times; the kernel's accounting
//! of each process is compared. The machine may be noisy: only the ratio is meaningful.

mod aggregation;
mod error;
mod operator;
mod passthrough;
mod pipeline;
mod usage;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use pipeline::Pipeline;
use processor::commands::generate::{Events, GeneratedEvent, Options};
use rdkafka::{
    ClientConfig,
    error::RDKafkaErrorCode,
    producer::{BaseProducer, BaseRecord, Producer},
};
use testkit::{
    kafka::{Cluster, Isolation},
    process::{Folder, Program},
};
use usage::Usage;

use crate::error::{BOUND, BenchError};

const SOURCE: &str = "bench-user-login";

#[derive(Parser)]
#[command(about = "Measures the processor beside a plain pass-through")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Events to generate
    #[arg(long, default_value_t = 4_000_000)]
    events: u64,
    /// Partitions of the source
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// Pairs of runs
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// The processor to measure
    #[arg(long, default_value = "target/release/processor")]
    processor: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Copy a topic with the binding's safe calls for each message, at least once, and print what it took
    Passthrough(passthrough::PassthroughArgs),
    /// Measure how soon an event is counted, and how long a replica takes to restore a million counts
    Aggregation,
    /// Measure the operator with many pipelines on a real API server: how soon, with how much memory, how quietly
    Operator(operator::OperatorArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Some(Command::Passthrough(args)) => passthrough::run(args),
        Some(Command::Aggregation) => aggregation::run(&args.processor),
        Some(Command::Operator(args)) => operator::run(args),
        None => compare(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the result")]
fn compare(args: &Args) -> Result<(), BenchError> {
    let kafka = Cluster::start(1)?;
    let folder = Folder::new("bench")?;
    kafka.create_topic(SOURCE, args.partitions, &[])?;
    let bytes = generate(kafka.bootstrap(), args.events)?;
    println!("{} events of {} bytes, {} partitions", args.events, bytes / args.events, args.partitions);
    let mut ratios = Vec::new();
    let mut peak = 0;
    for pair in 0..args.pairs {
        let plain = measure_passthrough(args, &kafka, &folder, pair)?;
        let whole = measure_processor(args, &kafka, &folder, &format!("whole{pair}"))?;
        for (name, usage) in [("pass-through, at least once", &plain), ("processor, exactly once", &whole)] {
            println!("  {name:<30} {}", usage.per(args.events));
        }
        peak = peak.max(whole.peak_kb);
        ratios.push(whole.cpu_seconds / plain.cpu_seconds);
    }
    println!(
        "CPU per event, processor / pass-through: median {:.2} of {ratios:.2?}; peak memory {} MB",
        median(&ratios),
        peak / 1024
    );
    Ok(())
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Writes the events; returns their bytes.
fn generate(bootstrap: &str, events: u64) -> Result<u64, BenchError> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("linger.ms", "20")
        .set("enable.idempotence", "true")
        .create()?;
    let mut model = Events::new(Options::default());
    let (mut event, mut bytes) = (GeneratedEvent::default(), 0);
    for _ in 0..events {
        model.next_into(&mut event);
        let payload = event.payload().unwrap_or_default();
        bytes += payload.len() as u64;
        while let Err((error, _)) = producer.send(BaseRecord::to(SOURCE).key(&event.key).payload(payload)) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(BOUND)?;
    Ok(bytes)
}

fn measure_passthrough(args: &Args, kafka: &Cluster, folder: &Folder, pair: usize) -> Result<Usage, BenchError> {
    let target = format!("bench-passthrough-{pair}");
    kafka.create_topic(&target, args.partitions, &[])?;
    let this = std::env::current_exe().map_err(|error| BenchError::File("/proc/self/exe".into(), error))?;
    let mut process = Program::new(&target, this)
        .args(["passthrough", "--bootstrap", kafka.bootstrap(), "--source", SOURCE, "--target", &target])
        .args(["--events", &args.events.to_string()])
        .spawn(folder)?;
    if process.wait(BOUND)? != 0 {
        return Err(BenchError::Other(process.log()));
    }
    Ok(serde_json::from_str(process.log().lines().last().unwrap_or_default())?)
}

fn measure_processor(args: &Args, kafka: &Cluster, folder: &Folder, name: &str) -> Result<Usage, BenchError> {
    let pipeline = Pipeline::new(kafka, folder, name, SOURCE, args.partitions)?;
    let started = Instant::now();
    let process = pipeline.start(&args.processor, folder)?;
    let processed = || -> Result<i64, BenchError> {
        let group = pipeline.job.pipeline.ingest_group();
        let committed = kafka.committed(&group, SOURCE, Isolation::ReadUncommitted)?;
        Ok(committed.values().map(|committed| committed.offset).sum())
    };
    while processed()? < i64::try_from(args.events).unwrap_or(i64::MAX) {
        if started.elapsed() > BOUND {
            return Err(BenchError::Other(format!("not done in {BOUND:?}\n{}", process.log())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Usage::of(process.id(), started.elapsed())
}
