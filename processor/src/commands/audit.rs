//! The command: reads the options, divides the partitions among threads, shows progress, and prints the report.

use std::{
    io,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use audit::{
    aggregation::{Aggregation, AggregationError, Skipped},
    batch::{Batch, HistoryError},
    count::count,
    ledger::{LedgerError, audit_replays},
    plan::{Plan, PlanError},
    read::{ReadError, Reader},
    replays::Copy,
    report::{Aggregates, Report, conclude},
    topic::{TopicError, TopicReader},
};
use clap::Args;
use cli::{
    Exit, Format,
    progress::{Count, Progress},
};
use crds::pipeline;

use crate::config::{self, ConfigError};

/// Which pipeline to audit.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each event is judged by the rules by which the pipeline processed it, as the aggregation's snapshots tell, or by the config's
where there is none. Aggregates, insights and alerts are counted anew from the source and compared when they count exactly
what is audited; else the report says why they were not. What the source no longer has is not checked, and is counted as such.

Examples:
  processor audit --config job.json
  processor audit --config job.json --wait 30s --output json
  processor audit --config job.json --bootstrap localhost:9092

Exit codes: 0 nothing is wrong, 1 something is, 2 it could not be told")]
pub struct AuditArgs {
    /// The pipeline's job config, as the operator mounts it into its pods
    #[arg(long, value_name = "FILE", env = "LOGIN_PIPELINE_CONFIG")]
    pub config: PathBuf,
    /// Kafka's bootstrap servers, instead of the config's
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Option<String>,
    /// TLS and SASL settings, instead of the config's: a file with the contents of kafka.security in a job config
    #[arg(long, value_name = "FILE")]
    pub security: Option<PathBuf>,
    /// How long to wait until the pipeline has processed the events that are there now
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    pub wait: pipeline::Duration,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}

/// Why no report can be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded broker deletes records that an audit needs.
    #[error(
        "the broker that `processor local` embeds keeps only the newest few MB of a partition, too few for an audit from outside: \
         the run audits itself and says so at its end; --bootstrap HOST:PORT runs it on a Kafka, which this audits too"
    )]
    Embedded,
    /// Kafka did not answer the questions from which the audit is planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The aggregation's results cannot be read.
    #[error(transparent)]
    Aggregation(#[from] AggregationError),
    /// The aggregation's state does not say which rules applied to which events.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The ledger of replays cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The source cannot be read a second time, for the counts.
    #[error(transparent)]
    Source(#[from] TopicError),
    #[error("the report cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Audits the pipeline and prints the report. Exits with 0 when there is no fault, else with 1.
///
/// # Errors
/// When the pipeline cannot be audited.
pub fn run(args: &AuditArgs) -> Result<Exit, AuditError> {
    let report = audit(args)?;
    args.output.print(&report)?;
    Ok(Exit::found(!report.is_clean()))
}

/// Audits the pipeline.
///
/// # Errors
/// When the pipeline cannot be audited.
pub fn audit(args: &AuditArgs) -> Result<Report, AuditError> {
    let job = config::read(&args.config, args.bootstrap.as_deref(), args.security.as_deref())?;
    if job.kafka.max_message_bytes.is_some() {
        return Err(AuditError::Embedded);
    }
    let deadline = Instant::now() + args.wait.get();
    let asking = Progress::waiting(format!("asking {} what there is to audit", job.kafka.bootstrap_servers));
    let mut aggregation = Aggregation::find(&job)?;
    let mut plan = Plan::new(&job, aggregation.coverage())?;
    tracing::info!(partitions = plan.partitions(), offsets = plan.offsets(), "the end of the source is fixed");
    aggregation.await_coverage(&plan, deadline)?;
    aggregation.coverage().map_or(Ok(()), |coverage| plan.follow(coverage))?;
    drop(asking);
    let progress = Count::start("auditing", "events", Some(plan.offsets()));
    let reports = in_parallel(
        plan.partitions(),
        || Reader::new(&plan, deadline),
        |reader, partition| {
            let mut copies = Vec::new();
            let report = reader.audit(partition, |record| {
                progress.add(1);
                copies.extend(Copy::of(record, partition, &job.topics.dead_letters));
            })?;
            copies.retain(|copy| copy.offset < plan.range(partition).end);
            Ok::<_, ReadError>((report, copies))
        },
    );
    drop(progress);
    let (reports, copies): (Vec<_>, Vec<_>) = reports?.into_iter().unzip();
    let mut report = conclude(reports);
    report.replays = audit_replays(&plan, copies.into_iter().flatten().collect())?;
    report.aggregates = aggregates(&mut aggregation, &mut plan, deadline)?;
    Ok(report)
}

/// Compares the aggregation's results with results that are computed again from the source.
fn aggregates(aggregation: &mut Aggregation, plan: &mut Plan, deadline: Instant) -> Result<Aggregates, AuditError> {
    let reading = Progress::waiting("reading the results");
    let settled = aggregation.settle(plan, deadline)?;
    drop(reading);
    let found = match settled {
        Ok(found) => found,
        Err(why) => return Ok(skipped(why)),
    };
    let Some(coverage) = aggregation.coverage() else { return Ok(skipped(Skipped::NoSnapshot)) };
    tracing::info!(records = found.count(), "the results are read");
    plan.follow(coverage)?;
    let plan = &*plan;
    let batch = Mutex::new(Batch::new(coverage.meta(), coverage.is_current())?);
    let progress = Count::start("counting anew", "events", Some(plan.offsets()));
    let source = || TopicReader::new(&plan.job, &plan.job.topics.source);
    let counted = in_parallel(plan.source_partitions(), source, |source, partition| {
        count(plan, source, partition, &batch, || progress.add(1))
    });
    drop(progress);
    counted?;
    Ok(batch.into_inner().unwrap_or_else(PoisonError::into_inner).compare(&found).into())
}

fn skipped(why: Skipped) -> Aggregates {
    Aggregates { aggregates_skipped: Some(why.to_string()), ..Aggregates::default() }
}

/// Calls `each` for every partition, on as many threads as there are processors. Each thread has its own reader.
fn in_parallel<Reader, T: Send, E: Send>(
    partitions: i32,
    start: impl Fn() -> Result<Reader, E> + Sync,
    each: impl Fn(&mut Reader, i32) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicI32::new(0);
    let work = || -> Result<Vec<T>, E> {
        let mut reader = start()?;
        let mut results = Vec::new();
        loop {
            let partition = next.fetch_add(1, Relaxed);
            if partition >= partitions {
                return Ok(results);
            }
            results.push(each(&mut reader, partition)?);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(usize::try_from(partitions).unwrap_or(1));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let results: Vec<Vec<T>> = results.collect::<Result<_, _>>()?;
        Ok(results.into_iter().flatten().collect())
    })
}
