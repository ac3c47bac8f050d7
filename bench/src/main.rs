//! CPU per event and peak memory of the exactly-once job, beside a plain pass-through, in one run.
//!
//! ```text
//!  generate once ──> source ──> passthrough: the binding's safe calls, at least once ──> a topic
//!                       └─────> processor run, exactly once ──> output, dead letters, deltas
//! ```
//!
//! Both run as processes of their own on a broker of the test kit, in turn and several times; the kernel's accounting of
//! each process is compared. The machine may be noisy: the ratio is what counts.

mod passthrough;
mod usage;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use crds::{
    job::JobConfig,
    pipeline::LoginPipelineSpec,
    topics::{PipelineId, topics},
};
use processor::generate::{Event, Events, Options};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use testkit::{
    kafka::{Cluster, Isolation},
    process::{Folder, Program},
};
use usage::Usage;

const SOURCE: &str = "bench-user-login";

/// How long a job may take.
const BOUND: Duration = Duration::from_secs(300);

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
}

#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error(transparent)]
    Testkit(#[from] testkit::Error),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("not JSON of the expected shape: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Other(String),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Some(Command::Passthrough(args)) => passthrough::run(args),
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
        let exact = measure_processor(args, &kafka, &folder, pair)?;
        for (name, usage) in [("pass-through, at least once", &plain), ("processor, exactly once", &exact)] {
            println!("  {name:<28} {}", usage.per(args.events));
        }
        peak = peak.max(exact.peak_kb);
        ratios.push(exact.cpu_seconds / plain.cpu_seconds);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
    println!(
        "CPU per event, processor / pass-through: median {median:.2} of {ratios:.2?}; peak memory {} MB",
        peak / 1024
    );
    Ok(())
}

/// Writes the events; returns their bytes.
fn generate(bootstrap: &str, events: u64) -> Result<u64, BenchError> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("linger.ms", "20")
        .set("enable.idempotence", "true")
        .create()?;
    let mut model = Events::new(Options::default());
    let (mut event, mut bytes) = (Event::default(), 0);
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

fn measure_processor(args: &Args, kafka: &Cluster, folder: &Folder, pair: usize) -> Result<Usage, BenchError> {
    let id = PipelineId { namespace: "bench".to_owned(), name: format!("run{pair}") };
    let spec: LoginPipelineSpec = serde_json::from_value(serde_json::json!({
        "kafka": {"external": {"bootstrapServers": kafka.bootstrap()}},
        "source": {"topic": SOURCE, "partitions": args.partitions},
        "output": {"topic": format!("bench-out-{pair}")},
        "deadLetters": {"topic": format!("bench-dead-{pair}")},
        "results": {
            "aggregates": {"topic": format!("bench-aggregates-{pair}")},
            "insights": {"topic": format!("bench-insights-{pair}")},
            "alerts": {"topic": format!("bench-alerts-{pair}")},
        },
    }))?;
    for topic in topics(&id, &spec).iter().filter(|topic| topic.name != SOURCE) {
        let config: Vec<(&str, &str)> = topic.config.iter().map(|(name, value)| (*name, value.as_str())).collect();
        kafka.create_topic(&topic.name, topic.partitions, &config)?;
    }
    let job = JobConfig::new(id, &spec, 1, kafka.bootstrap().to_owned());
    let file = folder.path().join(format!("job-{pair}.json"));
    write(&file, &serde_json::to_string(&job)?)?;
    let started = Instant::now();
    let process = Program::new(format!("processor-{pair}"), &args.processor)
        .args(["run", "--listen", "127.0.0.1:0", "--replica", "bench", "--config"])
        .arg(&file)
        .spawn(folder)?;
    let processed = || -> Result<i64, BenchError> {
        let committed = kafka.committed(&job.pipeline.ingest_group(), SOURCE, Isolation::ReadUncommitted)?;
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

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(|error| BenchError::File(path.to_owned(), error))
}
