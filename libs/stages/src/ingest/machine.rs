//! The state of one thread of stage 1: the source partitions it owns, its position in each, and what the transaction in
//! progress adds. Bytes and time come in, effects go out as values.
//!
//! The machine reads no clock and does not touch Kafka. Uncommitted state can be dropped at any time:
//! [`Ingest::release`] forgets a partition, and [`Ingest::own`] resumes it from its committed offset.

use std::{collections::BTreeMap, ops::Range};

use crds::{
    job::{JobConfig, Rules},
    records::{
        dead_letter::Reason,
        delta::{self, Delta, DeltaError},
        offset::OffsetMetadata,
    },
};

use super::{
    dead_letter::RECORD_OVERHEAD,
    enrich::Enricher,
    judge::{Judge, Rejection},
    panes::Panes,
    scan::Scratch,
    start::Start,
};

/// A transaction that holds this many counts is committed early.
const MAX_COUNTS: usize = 50_000;

/// One record of the source.
#[derive(Clone, Copy, Debug)]
pub struct SourceRecord<'a> {
    /// The partition of the source.
    pub partition: i32,
    /// The offset in the partition; offsets have gaps where transactions ended.
    pub offset: i64,
    /// Its Kafka timestamp, Unix milliseconds; negative when it has none.
    pub timestamp_ms: i64,
    /// Bytes of its key and headers on the wire.
    pub fixed_bytes: usize,
    /// None for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Where a record goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// The output, with the value in this range of the arena.
    Output(Range<usize>),
    /// The dead letters, for this reason.
    DeadLetter(Rejection),
    /// Nowhere: the record was processed before, or its partition is not owned.
    Skipped,
}

/// A transaction that has ended and is not committed yet, with everything to write for it. After the commit, pass it to
/// [`Ingest::committed`]. Otherwise drop it and call [`Ingest::abandon`].
#[must_use = "a sealed transaction is either committed or abandoned"]
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Encoded chunks for the deltas topic, in order.
    pub deltas: Vec<Vec<u8>>,
    /// Offsets to commit, with their metadata.
    pub offsets: Vec<Offset>,
}

/// An offset of the source to commit in the transaction that writes the outcomes of everything before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The partition of the source.
    pub partition: i32,
    /// The next offset to process.
    pub offset: i64,
    /// [`OffsetMetadata`], encoded.
    pub metadata: String,
}

/// Counters for the metrics since the last [`Ingest::take_tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Valid events.
    pub output: u64,
    /// Late events among them.
    pub late: u64,
    /// Events among them that are too old for finite windows.
    pub unmerged: u64,
    /// Dead letters, by `Reason as usize`.
    pub dead_letters: [u64; Reason::ALL.len()],
}

#[derive(Debug)]
struct Partition {
    /// Where the partition's next range begins.
    committed: i64,
    position: i64,
    watermark: Option<i64>,
    unmerged: u64,
    lost: Option<(i64, i64)>,
    /// The next delta lists this partition in any case, because it has a new owner or was found idle.
    announce: bool,
    idle: Option<i64>,
    activity: Activity,
    awaited: Option<AwaitedEnd>,
}

/// The end of a quiet partition when it was last asked for. Once everything before it is processed, and no valid event was
/// among that, the partition was idle at that instant, however far the end has moved on: dead letters may go on for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AwaitedEnd {
    /// The read_committed end offset.
    end: i64,
    /// By the clock that [`Ingest::tick`] receives.
    asked_at_ms: i64,
}

impl Partition {
    /// Takes note of a new position.
    fn moved_to(&mut self, position: i64) {
        self.position = self.position.max(position);
        if let Some(AwaitedEnd { end, asked_at_ms }) = self.awaited
            && self.position >= end
            && let Some(quiet_since_ms) = self.activity.quiet_since_ms()
        {
            self.awaited = None;
            self.idle = Some(asked_at_ms);
            self.activity = Activity::Idle { quiet_since_ms, since_ms: asked_at_ms };
            self.announce = true;
        }
    }
}

/// Whether a partition gets valid events. Times are of the clock that [`Ingest::tick`] receives.
///
/// ```text
///           tick                    its end is known and everything before it is processed
///  Active ───────> Quiet ─────────────────────────────────────────────────────────────────> Idle ─┐ renewed
///    ^               │                                                                       │ ^──┘
///    └───────────────┴──────────────────── a valid event ────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// A valid event arrived since the last tick.
    Active,
    /// No valid event arrived since `since_ms`.
    Quiet { since_ms: i64 },
    /// No valid event arrived since `quiet_since_ms`, and at `since_ms` every record of the partition was processed.
    Idle { quiet_since_ms: i64, since_ms: i64 },
}

impl Activity {
    const fn quiet_since_ms(self) -> Option<i64> {
        match self {
            Self::Active => None,
            Self::Quiet { since_ms } | Self::Idle { quiet_since_ms: since_ms, .. } => Some(since_ms),
        }
    }
}

/// The state of one thread of stage 1.
#[derive(Debug)]
pub struct Ingest {
    transactional_id: String,
    sequence: u64,
    revision: u64,
    /// The rules as JSON, until a delta that holds them is committed.
    rules: Option<String>,
    timing: Timing,
    output_limit: usize,
    source_partitions: u32,
    /// When anything was last written to any partition of the source.
    source_moved_ms: Option<i64>,
    partitions: BTreeMap<i32, Partition>,
    judge: Judge,
    enricher: Enricher,
    panes: Panes,
    scratch: Scratch,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Timing {
    lateness: i64,
    retention: i64,
    idle_ms: i64,
    /// How long after the last event of the source a window can be open. A window is open until the frontier passes the
    /// end of the largest window. The frontier lags the last event by the allowed lateness and by the time it takes to
    /// find idleness, to renew it, and to renew it once more after all other partitions have done so. One more renewal
    /// allows for clocks that differ and for late ticks.
    open_ms: i64,
}

impl Ingest {
    /// A thread without partitions. `first_sequence` must be larger than any that a predecessor with the same
    /// transactional id has used; `output_limit` is the output topic's `max.message.bytes`.
    #[must_use]
    pub fn new(job: &JobConfig, transactional_id: String, first_sequence: u64, output_limit: usize) -> Self {
        let Rules { aggregation, .. } = &job.rules;
        Self {
            transactional_id,
            sequence: first_sequence,
            revision: job.revision,
            // Rules consist of numbers and names, which always serialize.
            rules: serde_json::to_string(&job.rules).ok(),
            timing: Timing {
                lateness: aggregation.allowed_lateness.as_secs(),
                retention: aggregation.retention.as_secs(),
                idle_ms: aggregation.idle_timeout.as_millis(),
                open_ms: aggregation
                    .largest_window()
                    .saturating_add(aggregation.allowed_lateness.as_secs())
                    .saturating_mul(1000)
                    .saturating_add(aggregation.idle_timeout.as_millis().saturating_mul(5)),
            },
            output_limit,
            source_partitions: 0,
            source_moved_ms: None,
            partitions: BTreeMap::new(),
            judge: Judge::new(&job.rules),
            enricher: Enricher::default(),
            panes: Panes::new(&job.rules),
            scratch: Scratch::default(),
            tally: Tally::default(),
        }
    }

    /// Sets the output topic's `max.message.bytes`.
    pub const fn limit_output(&mut self, bytes: usize) {
        self.output_limit = bytes;
    }

    /// Starts to own a partition. The next transaction announces it.
    pub fn own(&mut self, partition: i32, start: Start) {
        let position = start.position.max(start.log_start);
        let state = Partition {
            committed: start.position,
            position,
            watermark: start.watermark,
            unmerged: 0,
            lost: (position > start.position).then_some((start.position, position)),
            announce: true,
            idle: None,
            activity: Activity::Active,
            awaited: None,
        };
        self.partitions.insert(partition, state);
    }

    /// Forgets a partition. Call it only between transactions, or before [`Ingest::abandon`].
    pub fn release(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// Drops the transaction in progress and forgets all partitions, to be owned again from their committed offsets.
    pub fn abandon(&mut self) {
        self.partitions.clear();
        self.panes.clear();
        self.sequence += 1;
    }

    /// The position of each owned partition.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions.iter().map(|(partition, state)| (*partition, state.position))
    }

    /// The watermark of each owned partition that has one, Unix seconds.
    pub fn watermarks(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions.iter().filter_map(|(partition, state)| Some((*partition, state.watermark?)))
    }

    /// Reports the number of source partitions. A smaller number than before is ignored.
    pub fn source_has(&mut self, partitions: u32) {
        self.source_partitions = self.source_partitions.max(partitions);
    }

    /// The largest number of source partitions that this thread has seen.
    #[must_use]
    pub fn source_partitions(&self) -> i32 {
        i32::try_from(self.source_partitions).unwrap_or(i32::MAX)
    }

    /// Something was written to any partition of the source: windows are open, and idleness must be renewed.
    pub fn source_moved(&mut self, now_ms: i64) {
        self.source_moved_ms = self.source_moved_ms.max(Some(now_ms));
    }

    /// Whether any partition had no event for the idle timeout. The caller then reports through
    /// [`Ingest::source_moved`] whether other partitions, which this thread may not own, still get records.
    #[must_use]
    pub fn is_any_quiet(&self, now_ms: i64) -> bool {
        let mut quiet = self.partitions.values().filter_map(|state| state.activity.quiet_since_ms());
        quiet.any(|since_ms| now_ms - since_ms >= self.timing.idle_ms)
    }

    /// Processes a record. The value for the output is appended to `arena`.
    pub fn record(&mut self, record: &SourceRecord<'_>, arena: &mut Vec<u8>) -> Fate {
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return Fate::Skipped };
        if record.offset < partition.position {
            return Fate::Skipped;
        }
        let next = record.offset + 1;
        let event = match self.judge.judge(record.value, record.timestamp_ms, &mut self.scratch) {
            Ok(event) => event,
            Err(rejection) => {
                partition.moved_to(next);
                self.tally.dead_letters[rejection.reason as usize] += 1;
                return Fate::DeadLetter(rejection);
            }
        };
        let late = partition.watermark.is_some_and(|watermark| event.time < watermark);
        let unmerged = partition.watermark.is_some_and(|watermark| event.time < watermark - self.timing.retention);

        let start = arena.len();
        let id = (record.partition, record.offset);
        self.enricher.write(record.value.unwrap_or_default(), &event, id, late, &mut self.scratch, arena);
        let bytes = arena.len() - start + record.fixed_bytes + RECORD_OVERHEAD;
        if bytes > self.output_limit {
            arena.truncate(start);
            partition.moved_to(next);
            self.tally.dead_letters[Reason::TooLarge as usize] += 1;
            let detail = format!("enriched, the record has {bytes} bytes; the output takes {}", self.output_limit);
            return Fate::DeadLetter(Rejection { reason: Reason::TooLarge, detail });
        }

        let watermark = event.time - self.timing.lateness;
        partition.watermark = Some(partition.watermark.map_or(watermark, |old| old.max(watermark)));
        partition.activity = Activity::Active;
        partition.awaited = None;
        partition.moved_to(next);
        partition.unmerged += u64::from(unmerged);
        self.panes.count(&event, late, unmerged);
        self.tally.output += 1;
        self.tally.late += u64::from(late);
        self.tally.unmerged += u64::from(unmerged);
        Fate::Output(start..arena.len())
    }

    /// The partition's end was reached at this offset: every record before it was processed.
    pub fn reached(&mut self, partition: i32, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.moved_to(offset);
        }
    }

    /// Advances time. Returns the partitions that may be idle and whose end is not known. The caller asks for their
    /// read_committed end now, and reports it to [`Ingest::end_is`].
    pub fn tick(&mut self, now_ms: i64) -> Vec<i32> {
        let Timing { idle_ms, open_ms, .. } = self.timing;
        let others_quiet_ms = self.source_moved_ms.map_or(i64::MAX, |moved| now_ms - moved);
        let mut candidates = Vec::new();
        for (partition, state) in &mut self.partitions {
            let (quiet_since_ms, renewed_ms) = match state.activity {
                Activity::Active => {
                    state.activity = Activity::Quiet { since_ms: now_ms };
                    (now_ms, None)
                }
                Activity::Quiet { since_ms } => (since_ms, None),
                Activity::Idle { quiet_since_ms, since_ms } => (quiet_since_ms, Some(since_ms)),
            };
            let quiet_ms = now_ms - quiet_since_ms;
            let due = renewed_ms.is_none_or(|since_ms| now_ms - since_ms >= idle_ms);
            // Idleness is renewed while a window can be open. After that an idle source costs nothing.
            if state.awaited.is_none() && due && quiet_ms >= idle_ms && quiet_ms.min(others_quiet_ms) <= open_ms {
                candidates.push(*partition);
            }
        }
        candidates
    }

    /// The partition's read_committed end was `end` at `asked_at_ms`. The partition is idle once every record before `end`
    /// is processed.
    pub fn end_is(&mut self, partition: i32, end: i64, asked_at_ms: i64) {
        if let Some(state) = self.partitions.get_mut(&partition)
            && state.activity != Activity::Active
        {
            state.awaited = Some(AwaitedEnd { end, asked_at_ms });
            state.moved_to(state.position);
        }
    }

    /// Whether there is something to commit: processed records, or a partition to announce or to declare idle.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.partitions.values().any(|state| state.announce || state.position != state.committed)
    }

    /// Whether the transaction in progress should be committed early.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.panes.size() >= MAX_COUNTS
    }

    /// Ends the transaction in progress.
    ///
    /// # Errors
    /// If a delta cannot be encoded, which the encoder rules out for values in memory.
    pub fn seal(&mut self) -> Result<Sealed, DeltaError> {
        let mut ranges = Vec::new();
        let mut offsets = Vec::new();
        for (partition, state) in &self.partitions {
            if !state.announce && state.position == state.committed {
                continue;
            }
            ranges.push(delta::Range {
                partition: *partition,
                from: state.committed,
                to: state.position,
                watermark: state.watermark,
                idle: state.idle,
                unmerged: state.unmerged,
                lost: state.lost,
            });
            let metadata = OffsetMetadata {
                watermark: state.watermark,
                transactional_id: self.transactional_id.clone(),
                sequence: self.sequence,
            };
            offsets.push(Offset { partition: *partition, offset: state.position, metadata: metadata.encode() });
        }
        let delta = Delta {
            producer: self.transactional_id.clone(),
            sequence: self.sequence,
            revision: self.revision,
            rules: self.rules.clone(),
            source_partitions: self.source_partitions,
            ranges,
            panes: self.panes.take(),
            ..Delta::default()
        };
        let deltas = delta.chunked().iter().map(Delta::encode).collect::<Result<_, _>>()?;
        Ok(Sealed { deltas, offsets })
    }

    /// The sealed transaction was committed.
    pub fn committed(&mut self, sealed: Sealed) {
        for Offset { partition, offset, .. } in sealed.offsets {
            let Some(state) = self.partitions.get_mut(&partition) else { continue };
            state.committed = offset;
            state.unmerged = 0;
            state.lost = None;
            state.announce = false;
            state.idle = None;
        }
        self.rules = None;
        self.sequence += 1;
    }

    /// Counts of the events since the last call, committed or not.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests;
