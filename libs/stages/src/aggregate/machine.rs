//! The protocol of one replica: what it reads, asks and commits, and when. Pure: it takes events in, and returns what
//! to do next.
//!
//! ```text
//!             state read to its end         the group assigns the deltas, and the stable committed offset is reached
//!  Restoring ───────────────────────> Standby ───────────────────────────────────────────────────────> Emitter
//!      ^                               │   ^                                                            │   │
//!      │      deltas are trimmed       │   └──────────── revoked, everything committed ─────────────────┘   │
//!      └───────────────────────────────┴──────────── revoked or overtaken with uncommitted results ─────────┘
//! ```
//!
//! A standby folds the deltas up to the offset that the emitter has committed, never further, and discards the results.
//! A replica that takes over is therefore at that offset or before it. It folds up to that offset without emitting, and
//! emits results from the next delta on.
//!
//! What the machine asks for is a function of its state: [`Machine::reads`], [`Machine::asks`] and [`Machine::seal`]
//! return the same value until the caller has done what they ask for. The caller can fail and try again any number of
//! times.

mod words;

mod backlog;
#[cfg(test)]
mod tests;

use crds::records::{
    offset::OffsetMetadata,
    state::{Key, Position, StateError, encode},
};

pub use words::{Committed, Failure, Outcome, Question, Reading, Role, Sealed, SetBack};

use super::fold::{Fold, Restore, Restored, ResultRecord};
use backlog::Backlog;

/// Interval between commits of results, milliseconds.
pub const EMIT_MS: i64 = 250;

/// Interval between snapshots while something changes, milliseconds.
pub const SNAPSHOT_MS: i64 = 10_000;

/// A snapshot is committed earlier after this many bytes of deltas. This bounds, roughly, what a cold start folds.
pub const SNAPSHOT_BYTES: usize = 64 << 20;

/// Interval at which a standby asks for the emitter's committed offset, milliseconds.
const FOLLOW_MS: i64 = 1000;

/// Rough maximum number of results in one transaction. A larger backlog is committed in several transactions,
/// regardless of the interval.
const MAX_RESULTS: usize = 100_000;

#[derive(Debug)]
enum Phase {
    Restoring {
        restore: Box<Restore>,
        position: i64,
        /// All committed records before this offset are read. It prevents a partial restore of a transaction.
        whole: i64,
        end: Option<i64>,
    },
    Folding(Box<Folding>),
}

impl Phase {
    fn restoring() -> Self {
        Self::Restoring { restore: Box::default(), position: 0, whole: 0, end: None }
    }
}

#[derive(Debug)]
struct Folding {
    fold: Fold,
    /// How far results were emitted when the snapshot was read.
    position: Option<i64>,
    /// For a standby: the offset that the emitter has committed.
    limit: i64,
}

/// State that holds while the group assigns the deltas to this replica.
#[derive(Debug)]
struct Tenure {
    /// No transaction of another producer is open, and `committed` is the group's committed offset.
    settled: bool,
    committed: Option<Committed>,
    /// The results of all deltas before this offset are emitted. None until the fold and the committed offset are
    /// known.
    emitted: Option<i64>,
    sealed: Option<Sealed>,
    /// When the next transaction is due.
    next_seal_ms: i64,
    /// The offset in the last committed `meta`. The outer option is none until the answer is known. The inner option is
    /// none if there is no `meta`.
    last_snapshot: Option<Option<i64>>,
    /// When the last snapshot was committed; before the first one, when the tenure began.
    snapshot_ms: i64,
    /// Bytes of deltas folded since the last snapshot.
    snapshot_bytes: usize,
}

/// The aggregation of one replica: it restores the fold, follows the deltas, and emits results while it is the emitter.
#[derive(Debug)]
pub struct Machine {
    transactional_id: String,
    sequence: u64,
    phase: Phase,
    backlog: Backlog,
    tenure: Option<Tenure>,
    /// The end of the state topic was asked for when no other producer could commit any more, so what was read there is
    /// final.
    conclusive: bool,
    /// When the committed offset was last reported.
    followed_ms: Option<i64>,
    /// The delta that was missing from the log when it was last read.
    gone: Option<i64>,
    trim: Option<i64>,
    set_back: Option<SetBack>,
    failure: Option<Failure>,
}

impl Machine {
    /// A replica that has read nothing yet. Its transactions are numbered from `first_sequence`. No predecessor with
    /// the same id may have used that number or a later one.
    #[must_use]
    pub fn new(transactional_id: String, first_sequence: u64) -> Self {
        Self {
            transactional_id,
            sequence: first_sequence,
            phase: Phase::restoring(),
            backlog: Backlog::default(),
            tenure: None,
            conclusive: false,
            followed_ms: None,
            gone: None,
            trim: None,
            set_back: None,
            failure: None,
        }
    }

    /// What to read next, and pass to [`Self::state_record`], [`Self::state_reached`] and [`Self::delta`]. None while
    /// nothing more needs to be read.
    #[must_use]
    pub fn reads(&self) -> Option<Reading> {
        match &self.phase {
            _ if self.failure.is_some() => None,
            Phase::Restoring { end: None, .. } => None,
            Phase::Restoring { position, .. } => Some(Reading::State { from: *position }),
            Phase::Folding(_) if self.backlog.is_full() => None,
            Phase::Folding(folding) => Some(Reading::Deltas { from: self.next_read(folding) }),
        }
    }

    /// What to ask Kafka now.
    #[must_use]
    pub fn asks(&self, now_ms: i64) -> Option<Question> {
        let folding = match &self.phase {
            _ if self.failure.is_some() => return None,
            _ if self.tenure.as_ref().is_some_and(|tenure| !tenure.settled) => return Some(Question::StableCommitted),
            Phase::Restoring { end, .. } => return end.is_none().then_some(Question::StateEnd),
            Phase::Folding(folding) => folding,
        };
        let (question, is_due) = match &self.tenure {
            Some(tenure) => {
                let wanted = tenure.wants_snapshot(folding.fold.next_offset(), now_ms);
                (Question::LastSnapshot, tenure.last_snapshot.is_none() && wanted)
            }
            None => (Question::Committed, self.followed_ms.is_none_or(|at| now_ms - at >= FOLLOW_MS)),
        };
        is_due.then_some(question)
    }

    /// The transaction to commit now, if one is due: the last one until it is known to be committed, else what was
    /// folded since. The caller reports the result to [`Self::outcome`].
    pub fn seal(&mut self, now_ms: i64) -> Option<&Sealed> {
        if self.tenure.as_ref().is_none_or(|tenure| now_ms < tenure.next_seal_ms) && !self.is_full() {
            return None;
        }
        self.seal_rest(now_ms)
    }

    /// Like [`Self::seal`], whether or not a transaction is due: the emitter is about to stop.
    pub fn seal_rest(&mut self, now_ms: i64) -> Option<&Sealed> {
        if self.failure.is_some() || !self.tenure.as_ref()?.settled {
            return None;
        }
        if self.tenure.as_ref()?.sealed.is_none() {
            match self.make(now_ms) {
                Ok(sealed) => self.tenure.as_mut()?.sealed = sealed,
                Err(error) => self.fail(error.into()),
            }
        }
        self.tenure.as_ref()?.sealed.as_ref()
    }

    /// Deltas before this offset are no longer needed. Returned once.
    pub fn take_trim(&mut self) -> Option<i64> {
        self.trim.take()
    }

    /// The committed offset was set back by a person, which has no effect. Returned once.
    pub fn take_set_back(&mut self) -> Option<SetBack> {
        self.set_back.take()
    }

    /// The part of this replica at the moment.
    #[must_use]
    pub fn role(&self) -> Role {
        match (&self.phase, &self.tenure) {
            (Phase::Restoring { .. }, _) => Role::Restoring,
            (Phase::Folding(folding), Some(Tenure { emitted: Some(emitted), .. }))
                if folding.fold.next_offset() >= *emitted =>
            {
                Role::Emitter
            }
            (Phase::Folding(_), _) => Role::Standby,
        }
    }

    /// The fold, once it is restored.
    #[must_use]
    pub fn fold(&self) -> Option<&Fold> {
        match &self.phase {
            Phase::Restoring { .. } => None,
            Phase::Folding(folding) => Some(&folding.fold),
        }
    }

    /// Why this replica has stopped aggregating.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The group has assigned the deltas to this replica.
    pub fn assigned(&mut self, now_ms: i64) {
        self.conclusive = false;
        self.tenure = Some(Tenure {
            settled: false,
            committed: None,
            emitted: None,
            sealed: None,
            next_seal_ms: now_ms,
            last_snapshot: None,
            snapshot_ms: now_ms,
            snapshot_bytes: 0,
        });
    }

    /// The group has revoked the deltas. Another replica emits what is not known to be committed by now. A fold that
    /// contains such deltas is ahead of where a standby may be, so it is restored from the snapshot.
    pub fn revoked(&mut self) {
        let Some(tenure) = self.tenure.take() else { return };
        let Phase::Folding(folding) = &mut self.phase else { return };
        match tenure.emitted {
            None => {}
            Some(emitted) if tenure.sealed.is_some() || folding.fold.next_offset() > emitted => self.restore_anew(),
            Some(emitted) => folding.limit = emitted,
        }
    }

    /// The end of the state topic, including transactions that are still open.
    pub fn state_ends(&mut self, at: i64) {
        if let Phase::Restoring { end, .. } = &mut self.phase {
            *end = Some(at);
            self.conclusive = self.tenure.as_ref().is_some_and(|tenure| tenure.settled);
            self.restored();
        }
    }

    /// Takes the next record of the state topic. Records after the restore are ignored.
    pub fn state_record(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) {
        let Phase::Restoring { restore, position, .. } = &mut self.phase else { return };
        match restore.push(offset, key, value) {
            Ok(()) => *position = (*position).max(offset + 1),
            Err(error) => self.fail(error.into()),
        }
    }

    /// All committed records before this offset of the state topic are read. More may follow, from transactions that
    /// are still open.
    pub fn state_reached(&mut self, at: i64) {
        if let Phase::Restoring { position, whole, .. } = &mut self.phase {
            *position = at.max(*position);
            *whole = at;
            self.restored();
        }
    }

    /// Takes the record at this offset of the deltas topic. A record that was read before is ignored.
    pub fn delta(&mut self, offset: i64, value: &[u8]) {
        let Phase::Folding(folding) = &self.phase else { return };
        if self.failure.is_none() && offset >= self.next_read(folding) {
            self.backlog.push(offset, value);
            self.advance();
        }
    }

    /// The next delta to read is missing: the log goes from `low` to `high`. Deltas before a newer snapshot are
    /// trimmed, so the machine restores the state once more. If the same delta is missing again, the state is lost.
    pub fn deltas_gone(&mut self, low: i64, high: i64) {
        let Some(Reading::Deltas { from: needed }) = self.reads() else { return };
        if self.gone.replace(needed) == Some(needed) {
            self.fail(Failure::StateLost { needed, low, high });
        } else {
            self.restore_anew();
        }
    }

    /// The group's committed offset, while transactions may still be open.
    pub fn committed_is(&mut self, committed: Option<&Committed>, now_ms: i64) {
        self.followed_ms = Some(now_ms);
        if let (Phase::Folding(folding), Some(committed)) = (&mut self.phase, committed) {
            folding.limit = committed.offset;
            self.advance();
        }
    }

    /// The group's committed offset, now that no transaction is open. It also decides the outcome of a transaction in
    /// doubt: the group has either that transaction's offset or the one before it.
    pub fn stable_is(&mut self, committed: Option<Committed>, now_ms: i64) {
        let Some(tenure) = &mut self.tenure else { return };
        let before = std::mem::replace(&mut tenure.committed, committed);
        tenure.settled = true;
        match tenure.sealed.as_ref().map(Sealed::committed) {
            Some(sealed) if Some(&sealed) == tenure.committed.as_ref() => self.outcome(Outcome::Committed, now_ms),
            Some(_) if before.is_some() && before == tenure.committed => {}
            // Another replica has emitted, or the offset is gone: the state topic decides what is committed.
            Some(_) => self.restore_anew(),
            None => self.take_over(),
        }
    }

    /// The offset in the last `meta` of the state topic; none if there is no `meta`.
    pub fn last_snapshot_is(&mut self, offset: Option<i64>) {
        if let Some(tenure) = &mut self.tenure {
            tenure.last_snapshot = Some(offset);
        }
    }

    /// The outcome of the transaction that [`Self::seal`] returned.
    pub fn outcome(&mut self, outcome: Outcome, now_ms: i64) {
        let Some(tenure) = &mut self.tenure else { return };
        match outcome {
            Outcome::Committed => {
                let Some(sealed) = tenure.sealed.take() else { return };
                tenure.emitted = Some(sealed.offset);
                tenure.committed = Some(sealed.committed());
                tenure.next_seal_ms = now_ms + EMIT_MS;
                if sealed.snapshot {
                    // A replica that is restoring now may read the previous snapshot, so deltas are kept from there on.
                    self.trim = tenure.last_snapshot.replace(Some(sealed.offset)).flatten();
                    tenure.snapshot_ms = now_ms;
                    tenure.snapshot_bytes = 0;
                }
                self.advance();
            }
            Outcome::Aborted => tenure.next_seal_ms = now_ms + EMIT_MS,
            Outcome::Unknown => tenure.settled = false,
        }
    }

    /// Ends the restore once the state is read up to the end that [`Self::state_ends`] reported. The end of the
    /// committed records is not enough: an emitter's last transaction may still be open and commit later. Reaching the
    /// reported end is not enough either: it may lie within a transaction, and half a snapshot is unusable.
    fn restored(&mut self) {
        let Phase::Restoring { restore, position, whole, end: Some(end) } = &mut self.phase else { return };
        if *whole < *end || *whole < *position {
            return;
        }
        match std::mem::take(restore).finish() {
            Ok(Restored { fold, position, .. }) => {
                let fold = fold.unwrap_or_default();
                let limit = fold.next_offset();
                self.phase = Phase::Folding(Box::new(Folding { fold, position, limit }));
                self.followed_ms = None;
                self.take_over();
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Decides from which delta results are emitted, once the fold and the committed offset are known. If they
    /// disagree, restores the snapshot again once no other producer can commit: that snapshot is at or before what was
    /// emitted.
    fn take_over(&mut self) {
        let (Some(tenure), Phase::Folding(folding)) = (&mut self.tenure, &self.phase) else { return };
        if !tenure.settled || tenure.emitted.is_some() {
            return;
        }
        let next = folding.fold.next_offset();
        let committed = tenure.committed.as_ref().map(|committed| committed.offset);
        if self.conclusive {
            // Without a committed offset, the state topic says how far results were emitted. A committed offset before
            // that position was set by a person.
            let position = folding.position.unwrap_or(next).max(next);
            if let Some(committed) = committed.filter(|committed| *committed < position) {
                self.set_back = Some(SetBack { committed, position });
            }
            tenure.emitted = Some(committed.unwrap_or(position).max(position));
        } else if committed.is_some_and(|committed| committed >= next) {
            tenure.emitted = committed;
        } else {
            return self.restore_anew();
        }
        self.advance();
    }

    fn next_read(&self, folding: &Folding) -> i64 {
        self.backlog.end().unwrap_or(folding.fold.next_offset())
    }

    /// Folds the deltas that may be folded now.
    fn advance(&mut self) {
        let Phase::Folding(folding) = &mut self.phase else { return };
        while let Some(offset) = self.backlog.first() {
            let silent = match &self.tenure {
                Some(Tenure { sealed: Some(_), .. }) => return,
                Some(Tenure { emitted: Some(emitted), .. }) if offset >= *emitted => false,
                Some(Tenure { emitted: Some(_), .. }) => true,
                _ if offset < folding.limit => true,
                _ => return,
            };
            if !silent && folding.fold.pending_results() >= MAX_RESULTS {
                return;
            }
            let Some(value) = self.backlog.pop() else { return };
            if let Some(tenure) = &mut self.tenure {
                tenure.snapshot_bytes += value.len();
            }
            if let Err(halt) = folding.fold.apply(offset, &value) {
                return self.fail(halt.into());
            }
            if silent {
                folding.fold.forget_results();
            }
            self.gone = None;
        }
    }

    /// Whether enough results are pending to commit them before the interval is over.
    fn is_full(&self) -> bool {
        let sealed = self.tenure.as_ref().is_some_and(|tenure| tenure.sealed.is_some());
        !sealed && self.fold().is_some_and(|fold| fold.pending_results() >= MAX_RESULTS)
    }

    /// Builds a transaction from what was folded since the last one, with a snapshot if one is due.
    fn make(&mut self, now_ms: i64) -> Result<Option<Sealed>, StateError> {
        let (Some(tenure), Phase::Folding(folding)) = (&self.tenure, &mut self.phase) else { return Ok(None) };
        let offset = folding.fold.next_offset();
        let Some(emitted) = tenure.emitted.filter(|emitted| *emitted <= offset) else { return Ok(None) };
        let since = tenure.last_snapshot.filter(|_| tenure.wants_snapshot(offset, now_ms));
        if offset == emitted && since.is_none() {
            return Ok(None);
        }
        let position = ResultRecord { key: Key::Position.encode(), value: Some(encode(&Position { offset })?) };
        let mut state = vec![position];
        if let Some(since) = since {
            state.extend(folding.fold.snapshot(since)?);
        }
        let metadata = OffsetMetadata {
            watermark: None,
            transactional_id: self.transactional_id.clone(),
            sequence: self.sequence,
        };
        self.sequence += 1;
        let results = folding.fold.take_results();
        Ok(Some(Sealed { results, state, offset, metadata: metadata.encode(), snapshot: since.is_some() }))
    }

    /// Drops everything that was folded and read, and starts again from the snapshot.
    fn restore_anew(&mut self) {
        self.phase = Phase::restoring();
        self.backlog = Backlog::default();
        self.conclusive = false;
        if let Some(tenure) = &mut self.tenure {
            tenure.emitted = None;
            tenure.sealed = None;
            tenure.last_snapshot = None;
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.backlog = Backlog::default();
        self.failure = Some(failure);
    }
}

impl Tenure {
    fn wants_snapshot(&self, next_offset: i64, now_ms: i64) -> bool {
        let due = now_ms - self.snapshot_ms >= SNAPSHOT_MS || self.snapshot_bytes >= SNAPSHOT_BYTES;
        let changed = self.last_snapshot.flatten().is_none_or(|last| last < next_offset);
        due && changed && next_offset > 0
    }
}
