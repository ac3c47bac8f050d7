//! The command: reads the options, and prints what was found or done.

use std::io::{self, Write, stdout};

use clap::{ArgGroup, Args, Subcommand};
use cli::{
    Exit, Format,
    progress::{Count, Progress},
};
use crds::job::JobConfig;
use kafka::cluster::{Cluster, ClusterError};

use super::{
    filter::Filter,
    ledger::{self, Ledger, LedgerError},
    letter::{Letter, LetterPlace},
    list::{HEADING, Row, Summary},
    reader::{PATIENCE, ReadError, Reader, Step, ranges},
    replay::{Mode, ReplayError, replay},
    show::Shown,
};
use crate::config::{ConfigError, PipelineArgs};

/// Which pipeline's dead letters.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
An event that cannot be processed becomes a dead letter, whole; docs/dead-letters.md says how to find, mend and replay it.

Examples:
  processor dead-letters list --config job.json --summary
  processor dead-letters show --config job.json 3-17
  processor dead-letters replay --config job.json --reason missing-field --dry-run")]
pub struct DeadLettersArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The output format
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
    /// What to do
    #[command(subcommand)]
    pub subject: Subject,
}

/// What to do with dead letters.
#[derive(Subcommand, Clone, Debug)]
pub enum Subject {
    /// List dead letters by partition and offset: reason, source offset, and whether they were replayed, without the events' contents
    #[command(after_help = "\
Examples:
  processor dead-letters list --config job.json --summary
  processor dead-letters list --config job.json --reason future,malformed --since 2h")]
    List {
        /// Which
        #[command(flatten)]
        filter: Filter,
        /// Only the number of dead letters by reason
        #[arg(long)]
        summary: bool,
    },
    /// Show one dead letter in full
    #[command(after_help = "\
Examples:
  processor dead-letters show --config job.json 3-17 --unmask")]
    Show {
        /// The dead letter, as <partition>-<offset>
        place: LetterPlace,
        /// Also show the event's key, value and headers, which may be personal data
        #[arg(long)]
        unmask: bool,
    },
    /// Write their events to the source again: each exactly once, unchanged, and to its own partition
    #[command(
        group = ArgGroup::new("which").required(true).multiple(true)
            .args(["places", "reason", "partition", "since", "until", "limit", "all"]),
        after_help = "\
What was wrong must be mended first, for the events are judged anew: an event that is still bad becomes a dead letter again.
A replayed event has the headers lp-replay and lp-replay-of. Replays are recorded in the topic
<namespace>.<name>.replays, in the same transactions: however often this is run, and however it ends, each is replayed once.
Ctrl-C ends it between two transactions.

Examples:
  processor dead-letters replay --config job.json --reason future --dry-run
  processor dead-letters replay --config job.json --reason future --limit 1
  processor dead-letters replay --config job.json --reason future

Exit codes: 0 all were replayed, now or before, 1 some cannot be, 2 it ended before it was done: run it again"
    )]
    Replay {
        /// Which
        #[command(flatten)]
        filter: Filter,
        /// Replay all dead letters
        #[arg(long, conflicts_with_all = ["places", "reason", "partition", "since", "until"])]
        all: bool,
        /// Report what would be replayed, and write nothing
        #[arg(long)]
        dry_run: bool,
        /// The number of events in one transaction
        #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        batch: u16,
    },
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum DeadLettersError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger of replays cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The topic has no dead letter in this place.
    #[error("there is no dead letter {place} in topic {topic}: list shows those that there are")]
    NotThere {
        place: LetterPlace,
        /// The dead letter topic.
        topic: String,
    },
    /// The replay ended before it was done.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Runs the subcommand. Exits with 1 when dead letters cannot be replayed.
///
/// # Errors
/// When the subcommand fails.
pub fn run(args: &DeadLettersArgs) -> Result<Exit, DeadLettersError> {
    let job = args.pipeline.job()?;
    match &args.subject {
        Subject::List { filter, summary } => list(&job, filter, *summary, args.output).map(|()| Exit::Clean),
        Subject::Show { place, unmask } => show(&job, *place, *unmask, args.output).map(|()| Exit::Clean),
        Subject::Replay { filter, dry_run, batch, .. } => {
            let report = replay(&job, filter, Mode { batch: usize::from(*batch), dry_run: *dry_run })?;
            args.output.print(&report)?;
            Ok(Exit::found(report.refused > 0))
        }
    }
}

fn list(job: &JobConfig, filter: &Filter, summary: bool, format: Format) -> Result<(), DeadLettersError> {
    let mut out = io::BufWriter::new(stdout().lock());
    let mut counts = Summary::default();
    let mut found = 0;
    // The printed rows show progress by themselves; only a summary needs a progress line.
    let mut counting = None;
    if !summary && format == Format::Text {
        writeln!(out, "{HEADING}")?;
    }
    each(job, filter, |letter, ledger| {
        let row = Row::new(letter, ledger);
        if summary {
            counting.get_or_insert_with(|| Count::start("counting", "dead letters", None)).add(1);
            counts.push(&row);
        } else {
            format.write(&mut out, &row)?;
        }
        found += 1;
        Ok(if filter.limit.is_some_and(|limit| found >= limit) { Step::Enough } else { Step::Next })
    })?;
    drop(counting);
    if summary {
        format.write(&mut out, &counts)?;
    }
    Ok(out.flush()?)
}

fn show(job: &JobConfig, place: LetterPlace, unmask: bool, format: Format) -> Result<(), DeadLettersError> {
    let mut shown = None;
    let filter = Filter { places: vec![place], ..Filter::default() };
    each(job, &filter, |letter, ledger| {
        shown = Some(Shown::new(letter, ledger, unmask));
        Ok(Step::Enough)
    })?;
    let not_there = || DeadLettersError::NotThere { place, topic: job.topics.dead_letters.clone() };
    Ok(format.print(&shown.ok_or_else(not_there)?)?)
}

/// Calls `show` with each dead letter that the filter takes, by partition and offset, and with the current ledger.
fn each(
    job: &JobConfig,
    filter: &Filter,
    mut show: impl FnMut(&Letter, &Ledger) -> Result<Step, DeadLettersError>,
) -> Result<(), DeadLettersError> {
    let asking = Progress::waiting(format!("reading from {}", job.kafka.bootstrap_servers));
    let cluster = Cluster::new(job, "processor-dead-letters")?;
    let topic = &job.topics.dead_letters;
    let partitions = cluster.topics.partitions(topic, PATIENCE)?;
    let ledger = ledger::read(job, &cluster)?;
    let mut reader = Reader::new(job, topic)?;
    let mut visitor = |letter: &Letter| -> Result<Step, DeadLettersError> {
        if filter.takes(letter) { show(letter, &ledger) } else { Ok(Step::Next) }
    };
    let ranges = ranges(&reader, partitions, filter)?;
    drop(asking);
    for (partition, range) in ranges {
        if reader.read(partition, range, &mut visitor)? == Step::Enough {
            break;
        }
    }
    Ok(())
}
