//! The merge-join of one partition: its source records next to the records that name them as origins.
//!
//! ```text
//!  input ────────> judge ──> awaited: what should be there ──┐
//!  output ───────> origin ──> early, until the input is read ─┼─> matched, altered, out of order, duplicated, …
//!  dead letters ─> origin ──> early, until the input is read ─┘
//! ```
//!
//! The three streams may be fed in any order; the report is the same. In the order of [`PartitionAudit::wants`], the
//! audit holds only a few records in memory. No I/O, no clock.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use super::{
    expected::{Expected, Source},
    ranges::Offsets,
    record::{Header, Origin, Record, Stream},
    report::{CorrectRecords, Fault, Finding, Findings, PartitionReport, Place, Wrong},
    verdict::{Judge, Late, Login, Verdict},
};

/// The limits of a partition's audit.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The first audited source offset; records that come from earlier offsets are unchecked.
    pub start: i64,
    /// The first source offset after the audited part; `None` when the audited part ends with its stream.
    pub end: Option<i64>,
    pub window_bytes: usize,
}

/// The maximum number of stored records from other partitions (about 32 MB). Further ones count as misrouted, without a
/// check of what else their source records became.
const MAX_STRAYS: usize = 1 << 20;

/// The streams are too far apart to compare in memory.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "partition {partition}: {records} records wait for their counterparts and take more than {bytes} bytes, the last of them at source offset {offset}: the {stream} is too far ahead of the others"
)]
pub struct WindowFull {
    partition: i32,
    records: usize,
    bytes: usize,
    offset: i64,
    stream: &'static str,
}

/// The audit of one partition.
#[derive(Debug)]
pub struct PartitionAudit {
    judge: Judge,
    source: Source,
    bounds: Bounds,
    /// The highest source offset read.
    last: Option<i64>,
    /// What the source record at that offset counts, if it is a valid event.
    login: Option<(Login, Late)>,
    /// Offsets that the source lacks: control records and compacted records.
    gaps: Offsets,
    /// What the two outcomes should bring next, in source order.
    output: Outcome,
    dead_letters: Outcome,
    /// Records that the stream has passed over: they may still come, out of order.
    passed: BTreeMap<i64, Awaited>,
    /// Bytes of all waiting records.
    held: usize,
    input_done: bool,
    counts: CorrectRecords,
    findings: Findings,
    /// Records that name another partition as their origin.
    strays: Vec<(Origin, Place)>,
    lost: Offsets,
}

/// One of the two streams that source records end in.
#[derive(Debug, Default)]
struct Outcome {
    awaited: VecDeque<Awaited>,
    /// Records whose source record is not read yet, in stream order.
    early: VecDeque<Early>,
    done: bool,
    /// The highest source offset of a correctly placed record.
    highest: Option<i64>,
}

#[derive(Debug)]
struct Awaited {
    expected: Expected,
    /// Where the record was found in the wrong topic.
    misrouted: Vec<Place>,
}

impl Awaited {
    fn bytes(&self) -> usize {
        self.expected.bytes() + self.misrouted.len() * size_of::<Place>()
    }
}

/// A record that is read before its source record.
#[derive(Debug)]
struct Early {
    origin: i64,
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl PartitionAudit {
    /// Begins the audit of a partition with nothing read.
    #[must_use]
    pub fn new(judge: Judge, source: Source, bounds: Bounds) -> Self {
        Self {
            judge,
            source,
            bounds,
            last: None,
            login: None,
            gaps: Offsets::default(),
            output: Outcome::default(),
            dead_letters: Outcome::default(),
            passed: BTreeMap::new(),
            held: 0,
            input_done: false,
            counts: CorrectRecords::default(),
            findings: Findings::default(),
            strays: Vec::new(),
            lost: Offsets::default(),
        }
    }

    /// The stream to read next; `None` when all have ended. If that stream has no record yet, ask for it again later.
    #[must_use]
    pub fn wants(&self) -> Option<Stream> {
        let next = |stream| {
            let outcome = self.outcome(stream);
            let waiting = !outcome.done && outcome.early.is_empty();
            outcome.awaited.front().filter(|_| waiting).map(|awaited| (awaited.expected.offset, stream))
        };
        let open = |stream: &Stream| !self.outcome(*stream).done;
        next(Stream::Output)
            .into_iter()
            .chain(next(Stream::DeadLetters))
            .min()
            .map(|(_, stream)| stream)
            .or((!self.input_done).then_some(Stream::Input))
            .or_else(|| [Stream::Output, Stream::DeadLetters].into_iter().find(open))
    }

    /// Takes the next record of a stream.
    ///
    /// # Errors
    /// When the streams are too far apart to compare in memory.
    pub fn push(&mut self, stream: Stream, record: &Record) -> Result<(), WindowFull> {
        match stream {
            Stream::Input => self.input(record),
            Stream::Output | Stream::DeadLetters => self.outcome_record(stream, record),
        }
        if self.held > self.bounds.window_bytes { self.make_room(stream) } else { Ok(()) }
    }

    /// Marks the end of a stream.
    pub fn done(&mut self, stream: Stream) {
        if stream == Stream::Input {
            self.input_done = true;
            self.settle_early();
            return;
        }
        self.outcome_mut(stream).done = true;
        while let Some(awaited) = self.outcome_mut(stream).awaited.pop_front() {
            self.passed.insert(awaited.expected.offset, awaited);
        }
    }

    /// The number of source records read.
    #[must_use]
    pub const fn inputs(&self) -> u64 {
        self.counts.input
    }

    /// Takes what the last source record counts, with its offset; `None` when it is not a valid event.
    pub fn take_login(&mut self) -> Option<(i64, Login, Late)> {
        let ((login, late), offset) = self.login.take().zip(self.last)?;
        Some((offset, login, late))
    }

    /// The highest source offset of a correctly placed record.
    #[must_use]
    pub fn seen(&self) -> Option<i64> {
        self.output.highest.max(self.dead_letters.highest)
    }

    /// The source offset before which every record read has found its outcome.
    #[must_use]
    pub fn settled(&self) -> i64 {
        let next = self.last.map_or(self.bounds.start, |last| last.saturating_add(1));
        let awaited = [&self.output, &self.dead_letters].map(|outcome| outcome.awaited.front());
        let awaited = awaited.into_iter().flatten().chain(self.passed.values().next());
        awaited.map(|awaited| awaited.expected.offset).min().unwrap_or(next)
    }

    /// Drops the source records without an outcome from an offset on: no replica was to process them.
    pub fn cut(&mut self, end: i64) {
        let mut left_out: Vec<Awaited> = self.passed.split_off(&end).into_values().collect();
        for outcome in [&mut self.output, &mut self.dead_letters] {
            let kept = outcome.awaited.partition_point(|awaited| awaited.expected.offset < end);
            left_out.extend(outcome.awaited.drain(kept..));
        }
        self.counts.input -= left_out.len() as u64;
        self.held -= left_out.iter().map(Awaited::bytes).sum::<usize>();
    }

    /// The number of source records that wait for their outcome.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.output.awaited.len() + self.dead_letters.awaited.len() + self.passed.len()
    }

    /// The faults found so far.
    #[must_use]
    pub fn wrong(&self) -> Wrong {
        let others = [Fault::OutOfOrder, Fault::Misrouted, Fault::Altered, Fault::Unexpected];
        let found: u64 = others.into_iter().map(|fault| self.findings.count(fault)).sum();
        Wrong {
            lost: self.passed.len() as u64 + self.lost.count(),
            duplicated: self.findings.count(Fault::Duplicated),
            other: found + self.strays.len() as u64,
        }
    }

    /// Bytes of the records that wait for their counterparts.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held
    }

    /// Ends the audit when all streams are at their end.
    #[must_use]
    pub fn finish(mut self) -> PartitionReport {
        for stream in Stream::ALL {
            self.done(stream);
        }
        while let Some((_, awaited)) = self.passed.pop_first() {
            self.give_up(&awaited);
        }
        PartitionReport {
            partition: self.source.partition,
            start: self.bounds.start,
            end: self.bounds.end,
            last: self.last,
            seen: self.seen(),
            gaps: self.gaps,
            lost: self.lost,
            counts: self.counts,
            findings: self.findings,
            strays: self.strays,
        }
    }

    fn input(&mut self, record: &Record) {
        let offset = record.offset;
        let next = self.last.map_or(self.bounds.start, |last| last.saturating_add(1));
        if offset < next || self.bounds.end.is_some_and(|end| offset >= end) {
            return;
        }
        self.gaps.insert(next, offset);
        self.last = Some(offset);
        self.counts.input += 1;
        let mut verdict = self.judge.judge(record);
        self.login = match &mut verdict {
            Verdict::Output { login, late, .. } => Some((mem::take(login), *late)),
            Verdict::DeadLetter(_) => None,
        };
        let expected = Expected::new(record, verdict);
        self.held += expected.bytes();
        let outcome = self.outcome_mut(expected.stream());
        let awaited = Awaited { expected, misrouted: Vec::new() };
        if outcome.done {
            self.passed.insert(offset, awaited);
        } else {
            outcome.awaited.push_back(awaited);
        }
        self.settle_early();
    }

    fn outcome_record(&mut self, stream: Stream, record: &Record) {
        let place = Place { stream, partition: self.source.partition, offset: record.offset };
        let Some(origin) = Origin::of(record, stream, &self.source.topic) else {
            self.findings.add(Fault::Unexpected, Finding { source: None, found: Some(place), difference: None });
            return;
        };
        if origin.partition != self.source.partition {
            if self.strays.len() < MAX_STRAYS {
                self.strays.push((origin, place));
            } else {
                self.findings
                    .add(Fault::Misrouted, Finding { source: Some(origin), found: Some(place), difference: None });
            }
        } else if origin.offset < self.bounds.start {
            self.counts.unchecked += 1;
        } else if self.bounds.end.is_none_or(|end| origin.offset < end) {
            let is_early = !self.input_done && self.last.is_none_or(|last| origin.offset > last);
            if is_early || !self.outcome(stream).early.is_empty() {
                let early = Early::new(origin.offset, record);
                self.held += early.bytes();
                self.outcome_mut(stream).early.push_back(early);
            } else {
                self.settle(stream, origin.offset, record);
            }
        }
    }

    /// Settles the early records whose source records are read now.
    fn settle_early(&mut self) {
        for stream in [Stream::Output, Stream::DeadLetters] {
            let (input_done, last) = (self.input_done, self.last);
            let ready = |early: &mut Early| input_done || last.is_some_and(|last| early.origin <= last);
            while let Some(early) = self.outcome_mut(stream).early.pop_front_if(ready) {
                self.held -= early.bytes();
                let headers = early.headers();
                self.settle(stream, early.origin, &early.record(&headers));
            }
        }
    }

    /// Settles a record whose source record was read, if that exists.
    fn settle(&mut self, stream: Stream, origin: i64, record: &Record) {
        let place = Place { stream, partition: self.source.partition, offset: record.offset };
        let finding = self.finding(origin, place);
        if let Some(awaited) = self.take(stream, origin) {
            self.matched(&awaited, stream, record, finding);
        } else if let Some(awaited) = self.awaited_elsewhere(stream, origin) {
            awaited.misrouted.push(place);
            self.held += size_of::<Place>();
        } else if self.gaps.contains(origin) || self.last.is_none_or(|last| origin > last) {
            self.findings.add(Fault::Unexpected, finding);
        } else if self.lost.remove(origin) {
            // The record was given up to free memory, and comes now: whether it is correct is no longer known.
            self.counts.unchecked += 1;
            self.findings.add(Fault::OutOfOrder, finding);
        } else {
            self.findings.add(Fault::Duplicated, finding);
        }
    }

    /// Counts the right record in the right place.
    fn matched(&mut self, awaited: &Awaited, stream: Stream, record: &Record, finding: Finding) {
        let expected = &awaited.expected;
        self.held -= awaited.bytes();
        let late = expected.late == Late::Yes;
        match expected.reason {
            None => self.counts.processed += 1,
            Some(reason) => *self.counts.dead_letters.entry(reason).or_default() += 1,
        }
        self.counts.late += u64::from(late);
        for place in &awaited.misrouted {
            self.findings.add(Fault::Duplicated, Finding { found: Some(*place), ..finding });
        }
        if let Some(difference) = expected.difference(record, &self.source) {
            self.findings.add(Fault::Altered, Finding { difference: Some(difference), ..finding });
        }
        let outcome = self.outcome_mut(stream);
        let in_order = outcome.highest < Some(expected.offset);
        outcome.highest = outcome.highest.max(Some(expected.offset));
        if !in_order {
            self.findings.add(Fault::OutOfOrder, finding);
        }
    }

    /// Takes the awaited record of a stream for a source offset; the stream has passed over all awaited records before
    /// it.
    fn take(&mut self, stream: Stream, origin: i64) -> Option<Awaited> {
        let outcome = self.outcome_mut(stream);
        if let Ok(index) = outcome.awaited.binary_search_by_key(&origin, |awaited| awaited.expected.offset) {
            let passed: Vec<Awaited> = outcome.awaited.drain(..index).collect();
            let taken = outcome.awaited.pop_front();
            self.passed.extend(passed.into_iter().map(|awaited| (awaited.expected.offset, awaited)));
            return taken;
        }
        let here = self.passed.get(&origin).is_some_and(|awaited| awaited.expected.stream() == stream);
        if here { self.passed.remove(&origin) } else { None }
    }

    /// The awaited record of the other stream for a source offset.
    fn awaited_elsewhere(&mut self, stream: Stream, origin: i64) -> Option<&mut Awaited> {
        if self.passed.contains_key(&origin) {
            return self.passed.get_mut(&origin);
        }
        let other = if stream == Stream::Output { &mut self.dead_letters } else { &mut self.output };
        let index = other.awaited.binary_search_by_key(&origin, |awaited| awaited.expected.offset).ok()?;
        other.awaited.get_mut(index)
    }

    /// Gives up the oldest record that its stream has passed over.
    fn make_room(&mut self, fed: Stream) -> Result<(), WindowFull> {
        for stream in [Stream::Output, Stream::DeadLetters] {
            let outcome = self.outcome_mut(stream);
            let Some(early) = outcome.early.front().map(|early| early.origin) else { continue };
            let ahead = outcome.awaited.partition_point(|awaited| awaited.expected.offset < early);
            let passed: Vec<Awaited> = outcome.awaited.drain(..ahead).collect();
            self.passed.extend(passed.into_iter().map(|awaited| (awaited.expected.offset, awaited)));
        }
        while self.held > self.bounds.window_bytes {
            let Some((_, oldest)) = self.passed.pop_first() else { return Err(self.window_full(fed)) };
            self.give_up(&oldest);
        }
        Ok(())
    }

    fn window_full(&self, fed: Stream) -> WindowFull {
        let outcomes = [&self.output, &self.dead_letters];
        let early = || outcomes.iter().filter_map(|outcome| outcome.early.back()).map(|early| early.origin);
        WindowFull {
            partition: self.source.partition,
            records: self.pending() + outcomes.iter().map(|outcome| outcome.early.len()).sum::<usize>(),
            bytes: self.bounds.window_bytes,
            offset: early().max().max(self.last).unwrap_or_default(),
            stream: fed.as_str(),
        }
    }

    /// Counts an awaited record that did not come.
    fn give_up(&mut self, awaited: &Awaited) {
        let offset = awaited.expected.offset;
        self.held -= awaited.bytes();
        if awaited.misrouted.is_empty() {
            self.lost.insert(offset, offset + 1);
        }
        for (index, place) in awaited.misrouted.iter().enumerate() {
            let fault = if index == 0 { Fault::Misrouted } else { Fault::Duplicated };
            self.findings.add(fault, self.finding(offset, *place));
        }
    }

    const fn finding(&self, offset: i64, place: Place) -> Finding {
        let origin = Origin { partition: self.source.partition, offset };
        Finding { source: Some(origin), found: Some(place), difference: None }
    }

    const fn outcome(&self, stream: Stream) -> &Outcome {
        match stream {
            Stream::DeadLetters => &self.dead_letters,
            Stream::Input | Stream::Output => &self.output,
        }
    }

    const fn outcome_mut(&mut self, stream: Stream) -> &mut Outcome {
        match stream {
            Stream::DeadLetters => &mut self.dead_letters,
            Stream::Input | Stream::Output => &mut self.output,
        }
    }
}

impl Early {
    fn new(origin: i64, record: &Record) -> Self {
        let headers = record.headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)));
        Self {
            origin,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }

    fn headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect()
    }

    fn record<'a>(&'a self, headers: &'a [Header<'a>]) -> Record<'a> {
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers,
        }
    }

    fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, value)| 64 + name.len() + length(value)).sum();
        size_of::<Self>() + length(&self.key) + length(&self.value) + headers
    }
}
