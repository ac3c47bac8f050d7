//! Replays dead letters, each at most once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
};

use cli::{Exit, progress::Count};
use crds::{job::JobConfig, records::replay::Entry};
use kafka::cluster::{Cluster, ClusterError};
use serde::Serialize;

use super::{
    decide::{Decision, Refusal, Replay, Target},
    filter::Filter,
    ledger::{self, Ledger, LedgerError},
    letter::{Header, Letter, LetterPlace},
    reader::{PATIENCE, ReadError, Reader, Step, Visitor, ranges},
    writer::{WriteError, Writer},
};
use crate::{
    clock::now_ms,
    stop::{self, Stop},
};

/// How many refusals a report lists.
const NAMED: usize = 1000;

/// Why a run ended before it was done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("signals cannot be handled: {0}")]
    Signals(#[from] io::Error),
    /// A signal stopped the run.
    #[error("interrupted, with nothing half done: {replayed} events were replayed; run the command again for the rest")]
    Interrupted {
        /// Events that the run wrote to the source.
        replayed: u64,
    },
}

/// Result of a run. As JSON it is one object; its field names are stable.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether this was a dry run, which writes nothing.
    pub dry_run: bool,
    /// Events that were written to the source again, or would be in a dry run.
    pub replayed: u64,
    /// Dead letters that an earlier run replayed.
    pub already_replayed: u64,
    /// Dead letters that cannot be replayed.
    pub refused: u64,
    /// The first 1000 of these.
    pub refusals: Vec<Refused>,
}

/// A dead letter that cannot be replayed.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    #[serde(flatten)]
    pub place: LetterPlace,
    pub why: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Refused { place, why } in &self.refusals {
            writeln!(f, "dead letter {place} cannot be replayed: {why}")?;
        }
        let mut line = |name: &str, count: u64| writeln!(f, "{name:<18}{count:>12}");
        line(if self.dry_run { "would be replayed" } else { "replayed" }, self.replayed)?;
        line("replayed before", self.already_replayed)?;
        line("refused", self.refused)?;
        write!(
            f,
            "{}",
            match (self.dry_run, self.replayed) {
                (true, _) => "nothing was written: this was a dry run",
                (false, 0) => "nothing was written to the source",
                (false, _) => "each event stands in the source again, once, behind the others of its partition",
            }
        )
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// How many events a transaction holds.
    pub batch: usize,
    /// Whether to decide only, and write nothing.
    pub dry_run: bool,
}

/// Replays the dead letters that the filter takes.
///
/// # Errors
/// When the run ends before it is done. What was committed stays, and is not replayed again.
pub fn replay(job: &JobConfig, filter: &Filter, mode: Mode) -> Result<Report, ReplayError> {
    let progress = Count::start("replaying", "events", None);
    let cluster = Cluster::new(job, "processor-dead-letters")?;
    ledger::check(job, &cluster)?;
    let source = &job.topics.source;
    let target = Target {
        source: source.clone(),
        partitions: cluster.topics.partitions(source, PATIENCE)?,
        limit: cluster.topics.max_message_bytes(source, PATIENCE)?,
        dead_letters: job.topics.dead_letters.clone(),
    };
    let ledger_bytes = cluster.topics.max_message_bytes(&job.pipeline.replays_topic(), PATIENCE)?;
    let partitions = cluster.topics.partitions(&target.dead_letters, PATIENCE)?;
    let mut reader = Reader::new(job, &target.dead_letters)?;
    let ranges = ranges(&reader, partitions, filter)?;
    // Fence earlier runs first, so that the ledger then holds everything that was ever replayed.
    let writer = if mode.dry_run { None } else { Some(Writer::start(job, target.limit, ledger_bytes, mode.batch)?) };
    let ledger = ledger::read(job, &cluster)?;
    let mut run = Run {
        cluster: &cluster,
        filter,
        target,
        writer,
        ledger,
        ends: BTreeMap::new(),
        unseen: filter.named(),
        report: Report { dry_run: mode.dry_run, ..Report::default() },
        progress,
        stop: stop::on_signals(|| std::process::exit(Exit::Failed.code().into()))?,
    };
    for (partition, range) in ranges {
        match reader.read(partition, range, &mut run) {
            Ok(Step::Next) => {}
            Ok(Step::Enough) => break,
            Err(error) => return Err(run.abandon(error)),
        }
    }
    run.finish()
}

/// State of a run.
struct Run<'a> {
    cluster: &'a Cluster,
    filter: &'a Filter,
    target: Target,
    /// `None` in a dry run.
    writer: Option<Writer>,
    ledger: Ledger,
    /// End offset of each source partition, taken before the run first writes to it.
    ends: BTreeMap<i32, i64>,
    /// Places that were named and not read yet.
    unseen: BTreeSet<LetterPlace>,
    report: Report,
    progress: Count,
    stop: Stop,
}

impl Visitor for Run<'_> {
    type Error = ReplayError;

    fn letter(&mut self, letter: &Letter) -> Result<Step, ReplayError> {
        self.unseen.remove(&letter.place);
        if self.filter.takes(letter) {
            match self.target.decide(letter, &self.ledger) {
                Decision::Replay(replay) => self.replay(letter, replay)?,
                Decision::Done => self.report.already_replayed += 1,
                Decision::Refused(refusal) => self.report.refuse(letter.place, &refusal),
            }
        }
        Ok(self.next())
    }

    fn pause(&mut self) -> Result<Step, ReplayError> {
        self.writer.as_mut().map_or(Ok(()), Writer::pause)?;
        Ok(self.next())
    }
}

impl Report {
    fn refuse(&mut self, place: LetterPlace, refusal: &Refusal) {
        self.refused += 1;
        if self.refusals.len() < NAMED {
            self.refusals.push(Refused { place, why: refusal.to_string() });
        }
    }
}

impl Run<'_> {
    fn next(&self) -> Step {
        self.progress.set(self.writer.as_ref().map_or(self.report.replayed, Writer::written));
        if self.has_enough() || self.stop.is_set() { Step::Enough } else { Step::Next }
    }

    fn has_enough(&self) -> bool {
        self.filter.limit.is_some_and(|limit| self.report.replayed >= limit)
    }

    fn replay(&mut self, letter: &Letter, replay: Replay) -> Result<(), ReplayError> {
        let time = now_ms();
        if let Some(writer) = &mut self.writer {
            let partition = replay.identity.place.partition;
            let not_before = match self.ends.get(&partition) {
                Some(end) => *end,
                None => {
                    // Commit first: Kafka may take long to answer, and no transaction may stay open meanwhile.
                    writer.commit()?;
                    let end = self.cluster.topics.high_watermark(&self.target.source, partition, PATIENCE)?;
                    *self.ends.entry(partition).or_insert(end)
                }
            };
            let added = replay.headers();
            let added = added.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
            let headers: Vec<Header> = letter.original_headers().chain(added).collect();
            let Replay { identity, dead_letter, reason } = replay.clone();
            writer.replay(letter, &headers, &Entry { identity, dead_letter, reason, time, not_before })?;
        }
        self.report.replayed += 1;
        // The same event can be a dead letter twice, after the consumer group's offsets were reset.
        self.ledger.note(replay.identity, time);
        Ok(())
    }

    fn finish(mut self) -> Result<Report, ReplayError> {
        if let Some(writer) = &mut self.writer {
            writer.commit()?;
        }
        if self.stop.is_set() {
            return Err(ReplayError::Interrupted { replayed: self.writer.as_ref().map_or(0, Writer::written) });
        }
        if !self.has_enough() {
            for place in &self.unseen {
                self.report.refuse(*place, &Refusal::NotThere(self.target.dead_letters.clone()));
            }
        }
        Ok(self.report)
    }

    fn abandon(mut self, error: ReplayError) -> ReplayError {
        self.writer.iter_mut().for_each(Writer::abandon);
        error
    }
}
