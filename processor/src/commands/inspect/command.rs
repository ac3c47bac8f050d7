//! The command: reads topics and consumer groups, and prints their content.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Display,
    io::{self, IsTerminal, Write, stdout},
};

use audit::{PATIENCE, Polled, Record, TopicReader, topic::TopicError};
use clap::{Args, Subcommand};
use cli::{Exit, Format, progress::Progress};
use crds::{
    job::JobConfig,
    pipeline::{self, Window},
    records::{
        aggregate::{Alert, Insight},
        state::{Key, MetaRecords},
    },
};
use kafka::cluster::{Cluster, ClusterError};
use rdkafka::{Message, message::BorrowedMessage};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    deltas,
    offsets::Offsets,
    results::{Entry, Last, Sequence},
    state::{self, State},
};
use crate::config::{ConfigError, PipelineArgs};

/// The `client.id` of this command.
const CLIENT: &str = "processor-inspect";

/// Which pipeline to look at.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
What the pipeline writes, decoded; docs/formats.md explains each field. It reads, and changes nothing.

Examples:
  processor inspect --config job.json insights
  processor inspect --config job.json alerts
  processor inspect --config job.json deltas
  processor inspect --config job.json state
  processor inspect --config job.json offsets

Exit codes: 0 all of it could be read, 1 some of it is no record of this release, 2 Kafka could not be read")]
pub struct InspectArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The output format
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
    /// What to look at
    #[command(subcommand)]
    pub subject: Subject,
}

/// What to look at.
#[derive(Subcommand, Clone, Debug)]
pub enum Subject {
    /// Show the insights of the windows that closed last: events, users, most and least frequent values
    #[command(after_help = "\
A window that was changed after it had closed is shown once, by its last revision. `most` and `least` are of the values that occurred:
_missing stands for events without the field.

Examples:
  processor inspect --config job.json insights
  processor inspect --config job.json insights --window 1h --last 1 --output json")]
    Insights {
        /// Show only the last N
        #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        last: u32,
        /// Show only windows of this size, such as 1m; `all` never closes, and has no insights
        #[arg(long, value_name = "DURATION")]
        window: Option<pipeline::Duration>,
    },
    /// Show the alerts that fired: count, window, and rule
    #[command(after_help = "\
An alert fires once for each window and value. The time before it is when it was written; the window is of the events' own time.

Examples:
  processor inspect --config job.json alerts
  processor inspect --config job.json alerts --name login-spike --last 1 --output json")]
    Alerts {
        /// Show only the last N
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        last: u32,
        /// Show only this alert of the pipeline's spec
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Show what each transaction of stage 1 added, and which source offsets it covered
    #[command(after_help = "\
Examples:
  processor inspect --config job.json deltas --last 5
  processor inspect --config job.json deltas --from 1000 --to 1010 --output json")]
    Deltas {
        /// Show only the last N
        #[arg(
            long,
            default_value_t = 20,
            value_name = "N",
            value_parser = clap::value_parser!(u32).range(1..),
            conflicts_with_all = ["from", "to"]
        )]
        last: u32,
        /// Start at this offset of the deltas topic
        #[arg(long, value_name = "OFFSET")]
        from: Option<i64>,
        /// End before this offset
        #[arg(long, value_name = "OFFSET")]
        to: Option<i64>,
    },
    /// Show the snapshot from which the aggregation starts: the last record of each key
    #[command(after_help = "\
Examples:
  processor inspect --config job.json state
  processor inspect --config job.json state --key meta")]
    State {
        /// Show only the record with this key, such as meta, with all its values
        #[arg(long)]
        key: Option<String>,
    },
    /// Show the committed offsets of both stages' consumer groups
    #[command(after_help = "\
Examples:
  processor inspect --config job.json offsets
  processor inspect --config job.json offsets --output json | jq .offset")]
    Offsets,
}

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded broker does not return the committed offsets of a group.
    #[error(
        "the broker that `processor local` embeds does not tell what its groups have committed; deltas shows which source offsets were \
         processed, and --bootstrap HOST:PORT runs it on a Kafka, which tells"
    )]
    Embedded,
    /// The state has no record with this key.
    #[error("--key {0:?}: the state has no record of this key; without --key all of them are shown")]
    NoKey(String),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Prints what was asked for. Exits with 1 when any record cannot be decoded, else with 0.
///
/// # Errors
/// When Kafka cannot be read, or there is nothing to show.
pub fn run(args: &InspectArgs) -> Result<Exit, InspectError> {
    let job = args.pipeline.job()?;
    let reading = Progress::waiting(format!("reading from {}", job.kafka.bootstrap_servers));
    let mut printer = Printer { format: args.output, out: stdout().lock(), unreadable: 0, reading: Some(reading) };
    match &args.subject {
        Subject::Insights { last, window } => insights(&job, *last, *window, &mut printer),
        Subject::Alerts { last, name } => alerts(&job, *last, name.as_deref(), &mut printer),
        Subject::Deltas { last, from: None, to: None } => last_deltas(&job, *last, &mut printer),
        Subject::Deltas { from, to, .. } => deltas(&job, from.unwrap_or(0), to.unwrap_or(i64::MAX), &mut printer),
        Subject::State { key: None } => state(&job, &mut printer),
        Subject::State { key: Some(key) } => one_of_state(&job, key, &mut printer),
        Subject::Offsets => offsets(&job, &mut printer),
    }?;
    Ok(Exit::found(printer.unreadable > 0))
}

/// Prints records, and counts those that cannot be decoded.
struct Printer<W> {
    format: Format,
    out: W,
    unreadable: usize,
    /// Shown until the first output on the same terminal.
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

fn insights(
    job: &JobConfig,
    last: u32,
    window: Option<pipeline::Duration>,
    printer: &mut Printer<impl Write>,
) -> Result<(), InspectError> {
    let wanted = |insight: &Insight| window.is_none_or(|size| insight.span.window == Window::Finite(size));
    let found = last_results(job, &job.topics.results.insights, last, wanted)?;
    let none = || match window {
        None => "no window has closed yet".to_owned(),
        Some(size) => format!("no window of {size} has closed yet; the pipeline has {}", sizes(job)),
    };
    show_results(found, none, printer)
}

/// The pipeline's window sizes as text.
fn sizes(job: &JobConfig) -> String {
    let sizes: Vec<String> = job.rules.aggregation.windows.iter().map(ToString::to_string).collect();
    sizes.join(", ")
}

fn alerts(
    job: &JobConfig,
    last: u32,
    name: Option<&str>,
    printer: &mut Printer<impl Write>,
) -> Result<(), InspectError> {
    let wanted = |alert: &Alert| name.is_none_or(|name| alert.name == name);
    let found = last_results(job, &job.topics.results.alerts, last, wanted)?;
    let none = || match name {
        None => "no alert has fired".to_owned(),
        Some(name) => {
            let names: Vec<&str> = job.rules.alerts.iter().map(|alert| alert.name.as_str()).collect();
            let names = if names.is_empty() { "no alerts".to_owned() } else { names.join(", ") };
            format!("no alert {name:?} has fired; the pipeline has {names}")
        }
    };
    show_results(found, none, printer)
}

fn show_results<T: Sequence>(
    found: Last<T>,
    none: impl FnOnce() -> String,
    printer: &mut Printer<impl Write>,
) -> Result<(), InspectError>
where
    Entry<T>: Display + Serialize,
{
    if found.is_empty() && printer.format == Format::Text {
        writeln!(printer.out(), "{}", none())?;
    }
    Ok(found.into_entries().try_for_each(|entry| printer.show(&entry, entry.is_readable()))?)
}

/// The last records of a result topic, one for each key.
fn last_results<T: DeserializeOwned + Sequence>(
    job: &JobConfig,
    topic: &str,
    last: u32,
    wanted: impl Fn(&T) -> bool,
) -> Result<Last<T>, InspectError> {
    let cluster = Cluster::new(job, CLIENT)?;
    cluster.topics.partitions(topic, PATIENCE)?;
    let found = RefCell::new(Last::new(usize::try_from(last).unwrap_or(usize::MAX)));
    let each = |message: &BorrowedMessage<'_>| {
        let written = message.timestamp().to_millis().unwrap_or_default();
        let entry = Entry::decode(message.offset(), written, message.payload());
        if entry.is(&wanted) {
            found.borrow_mut().push(message.key().unwrap_or_default(), entry);
        }
    };
    cluster.log.backwards(topic, 0, each, || found.borrow().is_full())?;
    Ok(found.into_inner())
}

fn last_deltas(job: &JobConfig, last: u32, printer: &mut Printer<impl Write>) -> Result<(), InspectError> {
    let last = usize::try_from(last).unwrap_or(usize::MAX);
    let found: RefCell<BTreeMap<i64, Option<Vec<u8>>>> = RefCell::default();
    let each = |message: &BorrowedMessage<'_>| {
        let mut found = found.borrow_mut();
        found.insert(message.offset(), message.payload().map(<[u8]>::to_vec));
        if found.len() > last {
            found.pop_first();
        }
    };
    let seen = || found.borrow().len() >= last;
    let cluster = Cluster::new(job, CLIENT)?;
    cluster.topics.partitions(&job.topics.deltas, PATIENCE)?;
    cluster.log.backwards(&job.topics.deltas, 0, each, seen)?;
    if found.borrow().is_empty() && printer.format == Format::Text {
        writeln!(printer.out(), "no transaction has been committed yet")?;
    }
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
    read(job, &job.topics.results.state, 0, i64::MAX, |record| {
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
    let mut meta = MetaRecords::default();
    read(job, &job.topics.results.state, 0, i64::MAX, |record| {
        let of_record = record.key.unwrap_or_default();
        if let Ok(key) = Key::decode(of_record) {
            meta.push(record.offset, key, record.value);
        }
        if of_record == key.as_bytes() {
            found = record.value.map(|value| state::Entry::whole(record.offset, key.as_bytes(), value, &meta));
        }
        Ok(())
    })?;
    let entry = found.ok_or_else(|| InspectError::NoKey(key.to_owned()))?;
    Ok(printer.show(&entry, entry.is_readable())?)
}

/// Calls `each` with the committed records in [from, to) of a topic's only partition.
fn read(
    job: &JobConfig,
    topic: &str,
    from: i64,
    to: i64,
    mut each: impl FnMut(&Record) -> io::Result<()>,
) -> Result<(), InspectError> {
    Cluster::new(job, CLIENT)?.topics.partitions(topic, PATIENCE)?;
    let mut reader = TopicReader::new(job, topic)?;
    let (low, high) = reader.offsets(0)?;
    reader.assign(0, from.max(low), to.min(high))?;
    let mut polled = Polled::Nothing;
    while polled != Polled::End && !reader.is_done() {
        let mut shown = Ok(());
        polled = reader.poll(true, |record| {
            // When the last offsets before the end hold no record, the next record is after the end.
            if record.offset < to {
                shown = each(record);
            }
        })?;
        shown?;
    }
    Ok(())
}

fn offsets(job: &JobConfig, printer: &mut Printer<impl Write>) -> Result<(), InspectError> {
    if job.kafka.max_message_bytes.is_some() {
        return Err(InspectError::Embedded);
    }
    let source = (job.pipeline.ingest_group(), &job.topics.source);
    let deltas = (job.pipeline.aggregate_group(), &job.topics.deltas);
    for (group, topic) in [source, deltas] {
        let cluster = Cluster::of_group(job, group.clone(), CLIENT)?;
        let mut offsets = Offsets::new(group, topic.clone());
        for partition in 0..cluster.topics.partitions(topic, PATIENCE)? {
            let committed = cluster.group.committed(topic, partition, PATIENCE)?;
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
