//! The command: reads topics and groups, and prints what is in them.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Display,
    io::{self, IsTerminal, Write, stdout},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use cli::{Exit, Format, progress::Progress};
use crds::job::JobConfig;
use rdkafka::{Message, message::BorrowedMessage};
use serde::Serialize;

use super::{
    deltas,
    offsets::Offsets,
    state::{self, State},
};
use crate::{
    audit::{PATIENCE, Polled, Record, TopicError, TopicReader},
    config::{self, ConfigError},
    kafka::cluster::{Cluster, ClusterError},
};

/// The name under which the broker knows this command.
const CLIENT: &str = "processor-inspect";

/// Which pipeline to look at.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
What the pipeline writes for itself, decoded; docs/formats.md explains each field. It reads, and changes nothing.

Examples:
  processor inspect --config job.json deltas
  processor inspect --config job.json state
  processor inspect --config job.json offsets

Exit codes: 0 all of it could be read, 1 some of it is no record of this release, 2 Kafka could not be read")]
pub struct InspectArgs {
    /// The pipeline's job config, as the operator mounts it into its pods
    #[arg(long, global = true, value_name = "FILE", env = "LOGIN_PIPELINE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Kafka's bootstrap servers, instead of the config's
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub bootstrap: Option<String>,
    /// TLS and SASL, instead of the config's: a file with what stands at kafka.security of a job config
    #[arg(long, global = true, value_name = "FILE")]
    pub security: Option<PathBuf>,
    /// How to show it
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
    /// What to look at
    #[command(subcommand)]
    pub subject: Subject,
}

/// What to look at.
#[derive(Subcommand, Clone, Debug)]
pub enum Subject {
    /// What each transaction of stage 1 added, and which source offsets it covered
    #[command(after_help = "\
Examples:
  processor inspect --config job.json deltas --last 5
  processor inspect --config job.json deltas --from 1000 --to 1010 --output json")]
    Deltas {
        /// The last so many
        #[arg(long, default_value_t = 20, value_name = "N", conflicts_with_all = ["from", "to"])]
        last: usize,
        /// From this offset of the deltas' topic on
        #[arg(long, value_name = "OFFSET")]
        from: Option<i64>,
        /// Up to this offset, which is not shown any more
        #[arg(long, value_name = "OFFSET")]
        to: Option<i64>,
    },
    /// The snapshot from which the aggregation starts: the last record of each key
    #[command(after_help = "\
Examples:
  processor inspect --config job.json state
  processor inspect --config job.json state --key meta")]
    State {
        /// Only the record with this key, such as meta, but with all values
        #[arg(long)]
        key: Option<String>,
    },
    /// What the consumer groups of both stages have committed
    #[command(after_help = "\
Examples:
  processor inspect --config job.json offsets
  processor inspect --config job.json offsets --output json | jq .offset")]
    Offsets,
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No config.
    #[error("--config is missing: name the pipeline's job config, as the operator mounts it into its pods")]
    NoConfig,
    /// The config is none.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A config of a pipeline that does not aggregate.
    #[error(
        "the job config names no state topic: an operator of an earlier release wrote it, and its pods do not aggregate"
    )]
    NoResults,
    /// A key that is not there.
    #[error("--key {0:?}: the state has no record of this key; without --key all of them are shown")]
    NoKey(String),
    /// Kafka did not answer a question.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A topic could not be read.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The result could not be written.
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Shows what was asked for: success where all of it could be read, 1 where records could not be.
///
/// # Errors
/// When Kafka could not be read, or there is nothing to show.
pub fn run(args: &InspectArgs) -> Result<Exit, InspectError> {
    let config = args.config.as_deref().ok_or(InspectError::NoConfig)?;
    let job = config::read(config, args.bootstrap.as_deref(), args.security.as_deref())?;
    let reading = Progress::waiting(format!("reading from {}", job.kafka.bootstrap_servers));
    let mut printer = Printer { format: args.output, out: stdout().lock(), unreadable: 0, reading: Some(reading) };
    match &args.subject {
        Subject::Deltas { last, from: None, to: None } => last_deltas(&job, *last, &mut printer),
        Subject::Deltas { from, to, .. } => deltas(&job, from.unwrap_or(0), to.unwrap_or(i64::MAX), &mut printer),
        Subject::State { key: None } => state(&job, &mut printer),
        Subject::State { key: Some(key) } => one_of_state(&job, key, &mut printer),
        Subject::Offsets => offsets(&job, &mut printer),
    }?;
    Ok(Exit::found(printer.unreadable > 0))
}

/// Prints, and counts what could not be read.
struct Printer<W> {
    format: Format,
    out: W,
    unreadable: usize,
    /// Until something is shown on the same terminal.
    reading: Option<Progress>,
}

impl<W: Write> Printer<W> {
    fn show(&mut self, entry: &(impl Display + Serialize), is_readable: bool) -> io::Result<()> {
        self.unreadable += usize::from(!is_readable);
        let format = self.format;
        format.write(self.out(), entry)
    }

    fn out(&mut self) -> &mut W {
        if self.reading.is_some() && stdout().is_terminal() {
            self.reading = None;
        }
        &mut self.out
    }
}

fn last_deltas(job: &JobConfig, last: usize, printer: &mut Printer<impl Write>) -> Result<(), InspectError> {
    let found: RefCell<BTreeMap<i64, Option<Vec<u8>>>> = RefCell::default();
    let each = |message: &BorrowedMessage<'_>| {
        let mut found = found.borrow_mut();
        found.insert(message.offset(), message.payload().map(<[u8]>::to_vec));
        if found.len() > last {
            found.pop_first();
        }
    };
    let seen = || found.borrow().len() >= last;
    Cluster::new(job, CLIENT)?.backwards(&job.topics.deltas, 0, each, seen)?;
    for (offset, value) in found.into_inner() {
        let entry = deltas::Entry::decode(offset, value.as_deref());
        printer.show(&entry, entry.is_readable())?;
    }
    Ok(())
}

fn deltas(job: &JobConfig, from: i64, to: i64, printer: &mut Printer<impl Write>) -> Result<(), InspectError> {
    read(job, &job.topics.deltas, from, to, |record| {
        let entry = deltas::Entry::decode(record.offset, record.value);
        printer.show(&entry, entry.is_readable())
    })
}

fn state(job: &JobConfig, printer: &mut Printer<impl Write>) -> Result<(), InspectError> {
    let mut state = State::default();
    read(job, state_topic(job)?, 0, i64::MAX, |record| {
        state.push(record.offset, record.key.unwrap_or_default(), record.value);
        Ok(())
    })?;
    match printer.format {
        Format::Json => state.entries().try_for_each(|entry| printer.show(entry, entry.is_readable()))?,
        Format::Text => {
            printer.unreadable = state.entries().filter(|entry| !entry.is_readable()).count();
            write!(printer.out(), "{state}")?;
        }
    }
    Ok(())
}

fn one_of_state(job: &JobConfig, key: &str, printer: &mut Printer<impl Write>) -> Result<(), InspectError> {
    let mut found = None;
    read(job, state_topic(job)?, 0, i64::MAX, |record| {
        if record.key.unwrap_or_default() == key.as_bytes() {
            found = record.value.map(|value| state::Entry::whole(record.offset, key.as_bytes(), value));
        }
        Ok(())
    })?;
    let entry = found.ok_or_else(|| InspectError::NoKey(key.to_owned()))?;
    Ok(printer.show(&entry, entry.is_readable())?)
}

fn state_topic(job: &JobConfig) -> Result<&str, InspectError> {
    Ok(&job.topics.results.as_ref().ok_or(InspectError::NoResults)?.state)
}

/// Shows the committed records of [from, to) of a topic's only partition, as far as there are any.
fn read(
    job: &JobConfig,
    topic: &str,
    from: i64,
    to: i64,
    mut each: impl FnMut(&Record) -> io::Result<()>,
) -> Result<(), InspectError> {
    Cluster::new(job, CLIENT)?.partitions(topic, PATIENCE)?;
    let mut reader = TopicReader::new(job, topic)?;
    let (low, high) = reader.offsets(0)?;
    reader.assign(0, from.max(low), to.min(high))?;
    let mut polled = Polled::Nothing;
    while polled != Polled::End && !reader.is_done() {
        let mut shown = Ok(());
        polled = reader.poll(true, |record| {
            // Where the last offsets before the end hold no record, the next one is behind it.
            if record.offset < to {
                shown = each(record);
            }
        })?;
        shown?;
    }
    Ok(())
}

fn offsets(job: &JobConfig, printer: &mut Printer<impl Write>) -> Result<(), InspectError> {
    let source = (job.pipeline.ingest_group(), &job.topics.source);
    let deltas = (job.pipeline.aggregate_group(), &job.topics.deltas);
    for (group, topic) in [source, deltas] {
        let cluster = Cluster::of_group(job, group.clone(), CLIENT)?;
        let mut offsets = Offsets::new(group, topic.clone());
        for partition in 0..cluster.partitions(topic, PATIENCE)? {
            let committed = cluster.committed(topic, partition, PATIENCE)?;
            offsets.push(partition, committed.as_ref().map(|(offset, metadata)| (*offset, metadata.as_str())));
        }
        printer.unreadable += offsets.unreadable();
        match printer.format {
            Format::Json => offsets.views().try_for_each(|view| {
                writeln!(printer.out(), "{}", serde_json::to_string(&view).map_err(io::Error::from)?)
            })?,
            Format::Text => writeln!(printer.out(), "{offsets}")?,
        }
    }
    Ok(())
}
