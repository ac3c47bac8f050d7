//! The baseline for the processor: consume and produce with the binding's safe calls, one call per message, at least
//! once, and nothing else.

use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::RDKafkaErrorCode,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{error::BenchError, usage::Usage};

const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(crate) struct PassthroughArgs {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    source: String,
    #[arg(long)]
    target: String,
    #[arg(long)]
    events: u64,
}

#[allow(clippy::print_stdout, reason = "the result")]
pub(crate) fn run(args: &PassthroughArgs) -> Result<(), BenchError> {
    let started = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap)
        .set("group.id", &args.target)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "false")
        .create()?;
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &args.bootstrap).set("linger.ms", "5").create()?;
    consumer.subscribe(&[&args.source])?;
    let (mut done, mut committed) = (0, Instant::now());
    while done < args.events {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        let mut record = BaseRecord::to(&args.target)
            .partition(message.partition())
            .key(message.key().unwrap_or_default())
            .payload(message.payload().unwrap_or_default());
        while let Err((error, refused)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            record = refused;
            producer.poll(Duration::from_millis(5));
        }
        done += 1;
        // At least once: an offset is committed when everything before it is delivered, as often as the processor
        // commits.
        if committed.elapsed() >= COMMIT_INTERVAL || done == args.events {
            while producer.in_flight_count() > 0 {
                producer.poll(Duration::from_millis(1));
            }
            consumer.store_offset_from_message(&message)?;
            consumer.commit_consumer_state(CommitMode::Async)?;
            committed = Instant::now();
        } else {
            consumer.store_offset_from_message(&message)?;
        }
        if done % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    let usage = Usage::of(std::process::id(), started.elapsed())?;
    let json = serde_json::json!({
        "cpu_seconds": usage.cpu_seconds, "peak_kb": usage.peak_kb, "wall_seconds": usage.wall_seconds
    });
    println!("{json}");
    Ok(())
}
