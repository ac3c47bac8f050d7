//! The command: reads lines, prints what would become of each, and prints the counts.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write, stdin, stdout},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use cli::{Exit, Format, file::FileError, output::tell, progress::Count, text::Moment};
use crds::{
    job::JobConfig,
    records::{dead_letter::Reason, delta::DeltaError},
    topics::{MAX_GROWTH_BYTES, PipelineId, SOURCE_MAX_MESSAGE_BYTES},
};

use super::{
    lines::{self, MAX_LINE_BYTES, Next},
    trial::{Fate, Totals, Trial},
};
use crate::{
    clock::now_ms,
    config::{self, ConfigError},
    manifest::{self, ManifestError},
};

/// By which rules, and which events.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each line is the value of a record, as it would stand in the source; all lines stand in one partition, one behind the other, from its
beginning. An empty line is an empty value, which is malformed. Lines end with a newline, with or without a carriage return, and are
bytes: text that is not UTF-8 is malformed too. Keys and headers add to a record's size; they are not in the file, so that
--key-and-headers says how large they are.

processed    republished, enriched, and counted in its windows
late         the same, but behind the watermark: a window that is closed already gets a new revision
unmerged     republished, but too late for all finite windows
dead-letter  goes to the dead letters, for the reason that is named: docs/events.md has the rules

Examples:
  processor validate --pipeline examples/pipeline.yaml events.jsonl
  processor validate --pipeline pipeline.yaml --timestamp 2024-07-10T02:00:30Z --show dead-letters events.jsonl
  tail -n 1000 -f logins.jsonl | processor validate --config job.json --output json -

Exit codes: 0 no line would become a dead letter, 1 some would, 2 it could not be told")]
pub struct ValidateArgs {
    /// The manifest of the LoginPipeline whose rules apply
    #[arg(long, value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    pub pipeline: Option<PathBuf>,
    /// The pipeline's job config, as the operator mounts it into its pods, instead of a manifest
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A file of events, one JSON object per line; - is stdin
    #[arg(value_name = "EVENTS")]
    pub events: PathBuf,
    /// The Kafka timestamp of the records, against which future events are rejected: RFC 3339 or Unix time [default: now]
    #[arg(long, value_name = "TIME")]
    pub timestamp: Option<Moment>,
    /// The largest record that the output topic accepts: its max.message.bytes
    #[arg(long, value_name = "BYTES", default_value_t = (SOURCE_MAX_MESSAGE_BYTES + MAX_GROWTH_BYTES).unsigned_abs())]
    pub max_message_bytes: u32,
    /// The size of each record's key and headers in bytes, which count towards that limit
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub key_and_headers: u32,
    /// The lines to report; the summary is always printed
    #[arg(long, value_name = "LINES", value_enum, default_value_t)]
    pub show: Show,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}

/// Which lines to report.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// Every line
    #[default]
    All,
    /// Those that would become dead letters
    DeadLetters,
    /// None
    None,
}

/// Why the events cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    #[error("--pipeline {0}")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{path}: {problem}; name a file of events, one JSON object a line, or - for stdin")]
    Events {
        path: PathBuf,
        /// Why it cannot be read, or that it is empty.
        problem: FileError,
    },
    /// A line is longer than any record.
    #[error(
        "{path}: line {line} is longer than {} MiB, more than any record: write one event a line",
        MAX_LINE_BYTES / (1024 * 1024)
    )]
    TooLong {
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
    },
    #[error(transparent)]
    Delta(#[from] DeltaError),
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Prints what would become of each line. Exits with 1 when any line would become a dead letter.
///
/// # Errors
/// When the rules or the events cannot be read.
pub fn run(args: &ValidateArgs) -> Result<Exit, ValidateError> {
    let job = job(args)?;
    let refused = |error: io::Error| ValidateError::Events { path: args.events.clone(), problem: error.into() };
    let bytes = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let mut trial = Trial::new(&job, bytes(args.max_message_bytes), bytes(args.key_and_headers));
    if args.events == Path::new("-") {
        if stdin().is_terminal() {
            tell("reading events from the terminal, one a line; Ctrl-D ends");
        }
        judge(args, stdin().lock(), &mut trial)?;
    } else {
        judge(args, BufReader::new(File::open(&args.events).map_err(refused)?), &mut trial)?;
    }
    let counts = trial.counts();
    if counts.lines == 0 {
        return Err(ValidateError::Events { path: args.events.clone(), problem: FileError::Empty });
    }
    if counts.dead_letters[Reason::Malformed as usize] == counts.lines {
        tell(
            "every line is malformed: one event a line is wanted, each a JSON object; of an array, jq -c '.[]' makes such lines",
        );
    }
    Ok(Exit::found(counts.rejected() > 0))
}

/// The job with the rules to apply.
fn job(args: &ValidateArgs) -> Result<JobConfig, ValidateError> {
    match (&args.config, &args.pipeline) {
        (Some(config), _) => Ok(config::read(config, None, None)?),
        // clap requires one of the two options.
        (None, pipeline) => {
            let manifest = manifest::read(pipeline.as_deref().unwrap_or(Path::new("")))?;
            let id = PipelineId { namespace: String::new(), name: manifest.name };
            Ok(JobConfig::new(id, &manifest.spec, 1, String::new()))
        }
    }
}

fn judge(args: &ValidateArgs, mut input: impl BufRead, trial: &mut Trial) -> Result<(), ValidateError> {
    let path = || args.events.clone();
    // Flush after each line when a person watches the output or feeds the input line by line.
    let is_live = stdout().is_terminal() || args.events == Path::new("-");
    let mut out = BufWriter::new(stdout().lock());
    // Lines on a terminal show progress by themselves.
    let progress = (args.show == Show::None || !stdout().is_terminal()).then(|| Count::start("judging", "lines", None));
    let mut line = Vec::new();
    loop {
        let next = lines::next(&mut input, MAX_LINE_BYTES, &mut line)
            .map_err(|error| ValidateError::Events { path: path(), problem: error.into() })?;
        match next {
            Next::End => break,
            Next::TooLong => return Err(ValidateError::TooLong { path: path(), line: trial.counts().lines + 1 }),
            Next::Line => {}
        }
        let timestamp = args.timestamp.map_or_else(now_ms, |Moment(millis)| millis);
        let outcome = trial.next(&line, timestamp)?;
        let is_shown = match args.show {
            Show::All => true,
            Show::DeadLetters => outcome.outcome == Fate::DeadLetter,
            Show::None => false,
        };
        if is_shown {
            args.output.write(&mut out, &outcome)?;
            if is_live {
                out.flush()?;
            }
        }
        if let Some(progress) = &progress {
            progress.add(1);
        }
    }
    drop(progress);
    sum(args, trial.counts(), &mut out)?;
    Ok(out.flush()?)
}

fn sum(args: &ValidateArgs, counts: &Totals, out: &mut impl Write) -> io::Result<()> {
    if counts.lines == 0 {
        return Ok(());
    }
    if args.output == Format::Text && args.show != Show::None {
        writeln!(out)?;
    }
    args.output.write(out, counts)
}
