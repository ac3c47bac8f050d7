//! The state of one thread of stage 1: which source partitions it owns, how far it is in each, what the transaction in
//! progress adds. Bytes and time come in, effects go out as values.
//!
//! Nothing here reads a clock or touches Kafka. What is not committed can be dropped at any time: [`Ingest::release`]
//! forgets a partition, and [`Ingest::own`] takes it up again from what its committed offset says.

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
};

/// A transaction is closed early when it holds this many counts.
const MAX_COUNTS: usize = 50_000;

/// One record of the source.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp, Unix milliseconds; negative when it has none.
    pub timestamp_ms: i64,
    /// Bytes of its key and headers on the wire.
    pub fixed_bytes: usize,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// What becomes of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes to the output with the value in this part of the arena.
    Output(Range<usize>),
    /// It goes to the dead letters.
    DeadLetter(Rejection),
    /// It was processed before, or its partition is not owned: nothing is to be done.
    Passed,
}

/// Where a partition is taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The next offset: the committed one.
    pub position: i64,
    /// The partition's watermark, Unix seconds.
    pub watermark: Option<i64>,
    /// The source's first offset, where that lies behind `position`: what is between is lost.
    pub log_start: i64,
}

/// All that has to be written to end a transaction.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Encoded chunks for the deltas topic, in order.
    pub deltas: Vec<Vec<u8>>,
    /// Offsets to commit, with their metadata.
    pub offsets: Vec<Offset>,
}

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Source partition.
    pub partition: i32,
    /// The next offset to process.
    pub offset: i64,
    /// [`OffsetMetadata`], encoded.
    pub metadata: String,
}

/// What the metrics show of the events since the last [`Ingest::take_tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Valid events.
    pub output: u64,
    /// Of these, late ones.
    pub late: u64,
    /// Of these, too old for finite windows.
    pub unmerged: u64,
    /// Dead letters, by `Reason as usize`.
    pub dead_letters: [u64; Reason::ALL.len()],
}

#[derive(Debug)]
struct Partition {
    /// Where the next range begins.
    committed: i64,
    position: i64,
    watermark: Option<i64>,
    unmerged: u64,
    lost: Option<(i64, i64)>,
    /// The next delta tells of this partition whatever has happened: it has a new owner, or was found idle.
    announce: bool,
    idle: Option<i64>,
    /// Whether a valid event came since the last tick.
    active: bool,
    quiet_since_ms: Option<i64>,
    idle_since_ms: Option<i64>,
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
    /// When anything was last written to the source, in whatever partition.
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
    /// For how long after the last event of the source a window can be open: until the frontier, which is behind that event
    /// by the allowed lateness, and by the time it takes to find and renew idleness, has passed the largest window's end.
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
            // Rules are made of numbers and names, which always serialize.
            rules: serde_json::to_string(&job.rules).ok(),
            timing: Timing {
                lateness: aggregation.allowed_lateness.as_secs(),
                retention: aggregation.retention.as_secs(),
                idle_ms: aggregation.idle_timeout.as_millis(),
                open_ms: aggregation
                    .largest_window()
                    .saturating_add(aggregation.allowed_lateness.as_secs())
                    .saturating_mul(1000)
                    .saturating_add(aggregation.idle_timeout.as_millis().saturating_mul(3)),
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

    /// Takes a partition up. The next transaction announces it.
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
            active: true,
            quiet_since_ms: None,
            idle_since_ms: None,
        };
        self.partitions.insert(partition, state);
    }

    /// Forgets a partition. Only between transactions, or before [`Ingest::abandon`].
    pub fn release(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// Forgets the transaction in progress, and all partitions with it: they are taken up again from what is committed.
    pub fn abandon(&mut self) {
        self.partitions.clear();
        self.panes.clear();
        self.sequence += 1;
    }

    /// The partitions that are owned, each with its position.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions.iter().map(|(partition, state)| (*partition, state.position))
    }

    /// The watermark of each owned partition that has one, Unix seconds.
    pub fn watermarks(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions.iter().filter_map(|(partition, state)| Some((*partition, state.watermark?)))
    }

    /// How many partitions the source has, as far as this thread has seen.
    pub fn source_has(&mut self, partitions: u32) {
        self.source_partitions = self.source_partitions.max(partitions);
    }

    /// How many partitions the source has, as far as this thread has seen.
    #[must_use]
    pub fn source_partitions(&self) -> i32 {
        i32::try_from(self.source_partitions).unwrap_or(i32::MAX)
    }

    /// Something was written to the source, in whatever partition: windows are open, and idleness has to be renewed.
    pub fn source_moved(&mut self, now_ms: i64) {
        self.source_moved_ms = self.source_moved_ms.max(Some(now_ms));
    }

    /// Whether a partition had no event for the idle timeout: the caller should tell by [`Ingest::source_moved`] whether other
    /// partitions go on, which this thread may not own.
    #[must_use]
    pub fn is_any_quiet(&self, now_ms: i64) -> bool {
        let quiet = |state: &Partition| state.quiet_since_ms.filter(|_| !state.active);
        self.partitions.values().filter_map(quiet).any(|since| now_ms - since >= self.timing.idle_ms)
    }

    /// Processes a record. The value for the output is appended to `arena`.
    pub fn record(&mut self, record: &Record<'_>, arena: &mut Vec<u8>) -> Fate {
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return Fate::Passed };
        if record.offset < partition.position {
            return Fate::Passed;
        }
        partition.position = record.offset + 1;
        let event = match self.judge.judge(record.value, record.timestamp_ms, &mut self.scratch) {
            Ok(event) => event,
            Err(rejection) => {
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
            self.tally.dead_letters[Reason::TooLarge as usize] += 1;
            let detail = format!("enriched, the record has {bytes} bytes; the output takes {}", self.output_limit);
            return Fate::DeadLetter(Rejection { reason: Reason::TooLarge, detail });
        }

        let watermark = event.time - self.timing.lateness;
        partition.watermark = Some(partition.watermark.map_or(watermark, |old| old.max(watermark)));
        partition.active = true;
        partition.unmerged += u64::from(unmerged);
        self.panes.count(&event, late, unmerged);
        self.tally.output += 1;
        self.tally.late += u64::from(late);
        self.tally.unmerged += u64::from(unmerged);
        Fate::Output(start..arena.len())
    }

    /// The end of the partition was reached at this offset: nothing is before it that was not processed.
    pub fn reached(&mut self, partition: i32, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.position = partition.position.max(offset);
        }
    }

    /// Time passes. Returns the partitions that may be idle: their read_committed end is to be asked now, and told by
    /// [`Ingest::end_is`].
    pub fn tick(&mut self, now_ms: i64) -> Vec<i32> {
        let Timing { idle_ms, open_ms, .. } = self.timing;
        let others_quiet_ms = self.source_moved_ms.map_or(i64::MAX, |moved| now_ms - moved);
        let mut candidates = Vec::new();
        for (partition, state) in &mut self.partitions {
            if state.active {
                state.active = false;
                state.quiet_since_ms = Some(now_ms);
                state.idle_since_ms = None;
            }
            let quiet_ms = now_ms - state.quiet_since_ms.unwrap_or(now_ms);
            let due = state.idle_since_ms.is_none_or(|since| now_ms - since >= idle_ms);
            // Renewed while a window can be open; after that an idle source costs nothing.
            if due && quiet_ms >= idle_ms && quiet_ms.min(others_quiet_ms) <= open_ms {
                candidates.push(*partition);
            }
        }
        candidates
    }

    /// At `asked_at_ms` the partition's read_committed end was this offset: it is idle if everything before is processed.
    pub fn end_is(&mut self, partition: i32, end: i64, asked_at_ms: i64) {
        if let Some(state) = self.partitions.get_mut(&partition)
            && state.position >= end
            && !state.active
        {
            state.idle = Some(asked_at_ms);
            state.idle_since_ms = Some(asked_at_ms);
            state.announce = true;
        }
    }

    /// Whether there is anything to commit.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.partitions.values().any(|state| state.announce || state.position != state.committed)
    }

    /// Whether the transaction in progress should be committed before its time.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.panes.size() >= MAX_COUNTS
    }

    /// Ends the transaction in progress: what has to be written for it. [`Ingest::committed`] or [`Ingest::abandon`] must
    /// follow.
    ///
    /// # Errors
    /// When a delta cannot be encoded, which the encoder rules out for values in memory.
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
    pub fn committed(&mut self) {
        for state in self.partitions.values_mut() {
            state.committed = state.position;
            state.unmerged = 0;
            state.lost = None;
            state.announce = false;
            state.idle = None;
        }
        self.rules = None;
        self.sequence += 1;
    }

    /// What happened to the events since this was last asked, committed or not.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crds::{
        pipeline::{Duration, LoginPipelineSpec},
        topics::PipelineId,
    };
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_720_576_825_000;
    const NOW: i64 = NOW_MS / 1000;
    const SECOND: i64 = 1000;

    fn job() -> JobConfig {
        let mut spec: LoginPipelineSpec =
            serde_json::from_str(r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#).unwrap();
        spec.aggregation.retention = Duration::from_secs(600);
        let id = PipelineId { namespace: "ns".to_owned(), name: "logins".to_owned() };
        JobConfig::new(id, &spec, 7, "localhost:9092".to_owned())
    }

    fn machine() -> Ingest {
        let mut machine = Ingest::new(&job(), "id".to_owned(), 100, 1_000_000);
        machine.source_has(2);
        machine
    }

    /// A machine that owns partition 0 from offset 10, and has announced it.
    fn started() -> Ingest {
        let mut machine = machine();
        machine.own(0, Start { position: 10, ..Start::default() });
        machine.seal().unwrap();
        machine.committed();
        machine
    }

    fn login(time: i64) -> String {
        format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":{time}}}"#)
    }

    /// Processes a value, and returns what became of it: the output's text, or the reason.
    fn put(machine: &mut Ingest, offset: i64, value: &str) -> Result<String, Option<Reason>> {
        let mut arena = b"before".to_vec();
        let record =
            Record { partition: 0, offset, timestamp_ms: NOW_MS, fixed_bytes: 36, value: Some(value.as_bytes()) };
        match machine.record(&record, &mut arena) {
            Fate::Output(range) => Ok(String::from_utf8(arena[range].to_vec()).unwrap()),
            Fate::DeadLetter(rejection) => Err(Some(rejection.reason)),
            Fate::Passed => Err(None),
        }
    }

    fn sealed(machine: &mut Ingest) -> (Delta, Vec<Offset>) {
        let Sealed { deltas, offsets } = machine.seal().unwrap();
        assert_eq!(deltas.len(), 1);
        (Delta::decode(&deltas[0]).unwrap(), offsets)
    }

    #[test]
    fn a_new_owner_announces_its_partition_before_any_event() {
        let mut machine = machine();
        assert!(!machine.has_work());
        machine.own(0, Start { position: 10, watermark: Some(5), log_start: 3 });
        assert!(machine.has_work());
        let (delta, offsets) = sealed(&mut machine);
        let range = delta::Range { partition: 0, from: 10, to: 10, watermark: Some(5), ..delta::Range::default() };
        assert_eq!((delta.ranges, delta.panes, delta.source_partitions), (vec![range], vec![], 2));
        assert_eq!((delta.producer.as_str(), delta.sequence, delta.revision), ("id", 100, 7));
        assert_eq!(serde_json::from_str::<Rules>(&delta.rules.unwrap()).unwrap(), job().rules);
        let metadata = OffsetMetadata::decode(&offsets[0].metadata).unwrap();
        assert_eq!((offsets[0].offset, metadata.watermark, metadata.sequence), (10, Some(5), 100));
        machine.committed();
        assert!(!machine.has_work());
    }

    #[test]
    fn what_the_log_no_longer_has_is_declared_lost_once() {
        let mut machine = machine();
        machine.own(0, Start { position: 10, watermark: None, log_start: 25 });
        let (delta, offsets) = sealed(&mut machine);
        assert_eq!((delta.ranges[0].from, delta.ranges[0].to, delta.ranges[0].lost), (10, 25, Some((10, 25))));
        assert_eq!(offsets[0].offset, 25);
        machine.committed();
        put(&mut machine, 25, &login(NOW)).unwrap();
        let (delta, _) = sealed(&mut machine);
        assert_eq!((delta.ranges[0].from, delta.ranges[0].to, delta.ranges[0].lost), (25, 26, None));
        assert_eq!(delta.rules, None);
    }

    #[test]
    fn lateness_is_judged_before_the_watermark_advances() {
        let mut machine = started();
        assert!(!put(&mut machine, 10, &login(NOW)).unwrap().contains("late"));
        assert!(!put(&mut machine, 11, &login(NOW - 30)).unwrap().contains("late"));
        assert!(put(&mut machine, 12, &login(NOW - 31)).unwrap().ends_with(r#""late":true}"#));
        assert!(!put(&mut machine, 13, &login(NOW + 100)).unwrap().contains("late"));
        assert!(put(&mut machine, 14, &login(NOW)).unwrap().contains("late"));
        assert_eq!(machine.watermarks().collect::<Vec<_>>(), [(0, NOW + 70)]);
    }

    #[test]
    fn events_older_than_the_retention_are_only_in_all() {
        let mut machine = started();
        put(&mut machine, 10, &login(NOW)).unwrap();
        put(&mut machine, 11, &login(NOW - 630)).unwrap();
        put(&mut machine, 12, &login(NOW - 631)).unwrap();
        let (delta, _) = sealed(&mut machine);
        assert_eq!(delta.ranges[0].unmerged, 1);
        let counts: Vec<_> =
            delta.panes.iter().map(|pane| (pane.start, pane.unmerged, pane.total.count, pane.total.late)).collect();
        let minute = |time: i64| time - time.rem_euclid(60);
        assert_eq!(
            counts,
            [(minute(NOW - 630), false, 1, 1), (minute(NOW - 631), true, 1, 1), (minute(NOW), false, 1, 0)]
        );
    }

    #[test]
    fn dead_letters_do_not_move_the_watermark() {
        let mut machine = started();
        put(&mut machine, 10, &login(NOW)).unwrap();
        assert_eq!(put(&mut machine, 11, &login(NOW + 1000)), Err(Some(Reason::Future)));
        assert_eq!(machine.watermarks().collect::<Vec<_>>(), [(0, NOW - 30)]);
        assert_eq!(machine.positions().collect::<Vec<_>>(), [(0, 12)]);
    }

    #[test]
    fn what_was_processed_or_is_not_owned_is_passed() {
        let mut machine = started();
        put(&mut machine, 10, &login(NOW)).unwrap();
        assert_eq!(put(&mut machine, 10, &login(NOW)), Err(None));
        machine.release(0);
        assert_eq!(put(&mut machine, 11, &login(NOW)), Err(None));
        assert!(!machine.has_work());
    }

    #[test]
    fn an_output_that_does_not_fit_is_a_dead_letter_and_counts_nowhere() {
        let mut machine = Ingest::new(&job(), "id".to_owned(), 1, 400);
        machine.own(0, Start::default());
        let padded = |bytes: usize| login(NOW).replace('}', &format!(r#","x":"{}"}}"#, "a".repeat(bytes)));
        let output = put(&mut machine, 0, &padded(10)).unwrap();
        let spare = 400 - RECORD_OVERHEAD - 36 - output.len();
        assert!(put(&mut machine, 1, &padded(10 + spare)).is_ok());
        assert_eq!(put(&mut machine, 2, &padded(11 + spare)), Err(Some(Reason::TooLarge)));
        let tally = machine.take_tally();
        assert_eq!((tally.output, tally.dead_letters[Reason::TooLarge as usize]), (2, 1));
        assert_eq!(sealed(&mut machine).0.panes[0].total.count, 2);
    }

    #[test]
    fn a_partition_is_idle_when_it_is_quiet_and_its_end_is_processed() {
        let mut machine = started();
        put(&mut machine, 10, &login(NOW)).unwrap();
        machine.seal().unwrap();
        machine.committed();
        assert!(machine.tick(0).is_empty());
        assert!(machine.tick(9 * SECOND).is_empty());
        assert_eq!(machine.tick(10 * SECOND), [0]);
        machine.end_is(0, 12, 10 * SECOND);
        assert!(!machine.has_work(), "an event is still to come");
        machine.reached(0, 12);
        assert_eq!(machine.tick(11 * SECOND), [0]);
        machine.end_is(0, 12, 11 * SECOND);
        let (delta, _) = sealed(&mut machine);
        assert_eq!(delta.ranges[0].idle, Some(11 * SECOND));
        machine.committed();
        assert!(machine.tick(20 * SECOND).is_empty(), "renewed once in each idle timeout");
        assert_eq!(machine.tick(21 * SECOND), [0]);
        let open = 3600 + 30 + 3 * 10;
        assert_eq!(
            machine.tick(open * SECOND),
            [0],
            "a window of an hour can be open, and the frontier is 30 s behind"
        );
        assert!(machine.tick((open + 1) * SECOND).is_empty(), "no window of an hour can be open any more");
    }

    #[test]
    fn idleness_is_renewed_for_as_long_as_others_go_on() {
        let mut machine = started();
        machine.tick(0);
        assert!(!machine.is_any_quiet(9 * SECOND));
        assert!(machine.is_any_quiet(10 * SECOND));
        assert!(machine.tick(9000 * SECOND).is_empty());
        machine.source_moved(9000 * SECOND);
        assert_eq!(machine.tick(9000 * SECOND), [0]);
        assert_eq!(machine.tick(12_660 * SECOND), [0]);
        assert!(machine.tick(12_661 * SECOND).is_empty());
    }

    #[test]
    fn an_event_ends_idleness() {
        let mut machine = started();
        machine.tick(0);
        assert_eq!(machine.tick(10_000), [0]);
        put(&mut machine, 10, &login(NOW)).unwrap();
        machine.end_is(0, 11, 10_000);
        assert_eq!(sealed(&mut machine).0.ranges[0].idle, None);
        assert!(machine.tick(11_000).is_empty());
    }

    #[test]
    fn too_many_counts_close_the_transaction() {
        let mut machine = started();
        for offset in 10..10 + 20_000 {
            assert!(!machine.is_full());
            let minute = NOW - 60 * (offset % 3000);
            let value = format!(
                r#"{{"user_id":"u","device_type":"d{offset}","locale":"l{offset}","app_version":"v{offset}","timestamp":{minute}}}"#
            );
            put(&mut machine, offset, &value).unwrap();
            if machine.is_full() {
                return;
            }
        }
        panic!("never full");
    }

    /// The sums of the panes of some deltas, whatever transactions they came in.
    fn sums(deltas: &[Delta]) -> BTreeMap<((i64, bool), String, String), u64> {
        let mut sums = BTreeMap::new();
        for pane in deltas.iter().flat_map(|delta| &delta.panes) {
            let key = (pane.start, pane.unmerged);
            *sums.entry((key, "_all".to_owned(), "late".to_owned())).or_default() += pane.total.late;
            *sums.entry((key, "_all".to_owned(), String::new())).or_default() += pane.total.count;
            for (dimension, values) in &pane.dimensions {
                for (value, count) in values {
                    *sums.entry((key, format!("{dimension:?}"), value.clone())).or_default() += count;
                }
            }
        }
        sums
    }

    /// What a machine that is driven like this writes, committed: outputs and deltas.
    fn drive(times: &[i64], stops: &[(usize, bool)]) -> (Vec<String>, Vec<Delta>) {
        let (mut outputs, mut deltas) = (Vec::new(), Vec::new());
        let mut machine = machine();
        let mut committed = Start { position: 0, watermark: None, log_start: 0 };
        machine.own(0, committed);
        let mut pending = Vec::new();
        let mut stops = stops.iter().peekable();
        let mut offset = 0;
        let mut steps = 0;
        while usize::try_from(offset).unwrap() < times.len() || !pending.is_empty() || machine.has_work() {
            let stop = stops.next_if(|(at, _)| *at <= steps).map(|(_, commit)| *commit);
            let at_end = usize::try_from(offset).unwrap() == times.len();
            match stop.or(at_end.then_some(true)) {
                Some(true) => {
                    let (delta, offsets) = sealed(&mut machine);
                    deltas.push(delta);
                    outputs.append(&mut pending);
                    if let Some(committed_offset) = offsets.first() {
                        let metadata = OffsetMetadata::decode(&committed_offset.metadata).unwrap();
                        committed =
                            Start { position: committed_offset.offset, watermark: metadata.watermark, log_start: 0 };
                    }
                    machine.committed();
                }
                Some(false) => {
                    pending.clear();
                    machine.abandon();
                    machine.own(0, committed);
                    offset = committed.position;
                }
                None => {
                    let time = times[usize::try_from(offset).unwrap()];
                    pending.push(put(&mut machine, offset, &login(time)).unwrap());
                    offset += 1;
                }
            }
            steps += 1;
        }
        (outputs, deltas)
    }

    proptest! {
        /// However the log is cut into transactions, and whichever of them are given up, what is committed is the same, and
        /// the ranges follow each other without a gap.
        #[test]
        fn transactions_and_aborts_do_not_matter(
            times in prop::collection::vec(NOW - 2000..NOW + 300, 1..60),
            stops in prop::collection::vec((0_usize..20, any::<bool>()), 0..20),
        ) {
            let at = stops.iter().scan(0, |at, (gap, commit)| { *at += gap; Some((*at, *commit)) }).collect::<Vec<_>>();
            let (expected, whole) = drive(&times, &[]);
            let (outputs, deltas) = drive(&times, &at);
            prop_assert_eq!(outputs, expected);
            prop_assert_eq!(sums(&deltas), sums(&whole));
            let unmerged = |deltas: &[Delta]| deltas.iter().flat_map(|delta| &delta.ranges).map(|range| range.unmerged).sum::<u64>();
            prop_assert_eq!(unmerged(&deltas), unmerged(&whole));
            let mut next = 0;
            for range in deltas.iter().flat_map(|delta| &delta.ranges) {
                prop_assert_eq!(range.from, next);
                next = range.to;
            }
            prop_assert_eq!(next, i64::try_from(times.len()).unwrap());
        }
    }
}
