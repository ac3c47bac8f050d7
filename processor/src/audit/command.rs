//! The command: reads the options, shares the partitions among threads, shows progress, prints the report.

use std::{
    io::{self, IsTerminal, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use crds::pipeline;

use super::{
    plan::{Plan, PlanError},
    read::{ReadError, Reader},
    report::{PartitionReport, Report, conclude},
};
use crate::{
    config::{self, ConfigError},
    output::Format,
};

/// Which pipeline to audit.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// The pipeline's job config, as the operator mounts it into its pods
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Kafka's bootstrap servers, instead of the config's
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Option<String>,
    /// How long to wait for a pipeline that is still at work on the events that are there now
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    pub wait: pipeline::Duration,
    /// How to report
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no config.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Kafka does not say what there is to audit.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A partition could not be audited.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The report could not be written.
    #[error("the report cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Audits the pipeline and prints the report: success where it is clean, 1 where faults were found.
///
/// # Errors
/// When the pipeline could not be audited.
pub fn run(args: &AuditArgs) -> Result<ExitCode, AuditError> {
    let report = audit(args)?;
    args.output.write(&mut stdout().lock(), &report)?;
    Ok(ExitCode::from(u8::from(!report.is_clean())))
}

/// Audits the pipeline.
///
/// # Errors
/// When the pipeline could not be audited.
pub fn audit(args: &AuditArgs) -> Result<Report, AuditError> {
    let job = config::read(&args.config, args.bootstrap.as_deref())?;
    let deadline = Instant::now() + args.wait.get();
    let plan = Plan::new(&job)?;
    tracing::info!(partitions = plan.partitions(), offsets = plan.offsets(), "the end of the source is fixed");
    let progress = Progress::new(plan.offsets());
    let reports = all_partitions(&plan, deadline, &progress);
    progress.clear();
    Ok(conclude(reports?))
}

/// Audits the partitions on as many threads as there are processors.
fn all_partitions(plan: &Plan, deadline: Instant, progress: &Progress) -> Result<Vec<PartitionReport>, ReadError> {
    let partitions = plan.partitions();
    let next = AtomicI32::new(0);
    let work = || -> Result<Vec<PartitionReport>, ReadError> {
        let mut reader = Reader::new(plan, deadline)?;
        let mut reports = Vec::new();
        loop {
            let partition = next.fetch_add(1, Relaxed);
            if partition >= partitions {
                return Ok(reports);
            }
            reports.push(reader.audit(partition, || progress.step())?);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(usize::try_from(partitions).unwrap_or(1));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let reports: Vec<Vec<PartitionReport>> = results.collect::<Result<_, _>>()?;
        Ok(reports.into_iter().flatten().collect())
    })
}

/// A line on the terminal, where there is one.
struct Progress {
    total: u64,
    done: AtomicU64,
    shown: Option<Mutex<Instant>>,
}

impl Progress {
    fn new(total: u64) -> Self {
        Self { total, done: AtomicU64::new(0), shown: stderr().is_terminal().then(|| Mutex::new(Instant::now())) }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Relaxed);
        let Some(shown) = self.shown.as_ref().filter(|_| done.is_multiple_of(1024)) else { return };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.elapsed() > Duration::from_millis(500) {
            *shown = Instant::now();
            eprint!("\r{done} of {} events audited\x1b[K", self.total);
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
