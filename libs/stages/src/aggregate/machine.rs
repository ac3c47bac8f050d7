//! The protocol of one replica: what it reads, asks and commits, and when. Pure: it is told what happened, and says what is
//! to be done next.
//!
//! ```text
//!             state read to its end         the group assigns the deltas, and the stable committed offset is reached
//!  Restoring ───────────────────────> Standby ───────────────────────────────────────────────────────> Emitter
//!      ^                               │   ^                                                            │   │
//!      │      deltas gone under it     │   └──────────── revoked, everything committed ─────────────────┘   │
//!      └───────────────────────────────┴──────────── revoked or overtaken, something is not committed ──────┘
//! ```
//!
//! A standby folds the deltas up to the offset that the emitter has committed, never further, and forgets the results. So
//! whoever takes over stands at that offset or before it, folds up to it in silence, and goes on with the results of the
//! next delta.
//!
//! What is asked for is a function of the state: [`Machine::reads`], [`Machine::asks`] and [`Machine::seal`] say the same
//! until what they ask for is done. Whoever performs it can fail, and try again, as often as he likes.

mod words;

mod backlog;
#[cfg(test)]
mod tests;

use crds::records::{
    offset::OffsetMetadata,
    state::{Key, Position, StateError, encode},
};

pub use words::{Committed, Failure, Outcome, Question, Reading, Role, Sealed, SetBack};

use super::fold::{Fold, Record, Restore, Restored};
use backlog::Backlog;

/// How often results are committed, milliseconds.
pub const EMIT_MS: i64 = 250;

/// How often a snapshot is committed while something changes, milliseconds.
pub const SNAPSHOT_MS: i64 = 10_000;

/// Bytes of deltas after which a snapshot is committed earlier: what a cold start folds at most, roughly.
pub const SNAPSHOT_BYTES: usize = 64 << 20;

/// How often a standby asks for the emitter's committed offset, milliseconds.
const FOLLOW_MS: i64 = 1000;

/// Results of one transaction, roughly: a backlog is committed in parts, whatever the interval.
const MAX_RESULTS: usize = 100_000;

#[derive(Debug)]
enum Phase {
    Restoring {
        restore: Box<Restore>,
        position: i64,
        /// Where everything committed was read that was there: no transaction is read by half.
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
    /// Where emission stood when the snapshot was read.
    position: Option<i64>,
    /// As standby: what the emitter has committed.
    limit: i64,
}

/// What holds while the group assigns the deltas to this replica.
#[derive(Debug)]
struct Tenure {
    /// Nobody else's transaction is open, and `committed` is what the group has.
    settled: bool,
    committed: Option<Committed>,
    /// The results of the deltas before it are emitted; none until the fold and the committed offset are known.
    emitted: Option<i64>,
    sealed: Option<Sealed>,
    /// When the next transaction is due.
    next_seal_ms: i64,
    /// The offset in the last committed `meta`, if there is one, once that is known.
    last_snapshot: Option<Option<i64>>,
    /// When the last snapshot was committed, or this began.
    snapshot_ms: i64,
    /// Bytes of deltas since.
    snapshot_bytes: usize,
}

/// The protocol of one replica.
#[derive(Debug)]
pub struct Machine {
    transactional_id: String,
    sequence: u64,
    phase: Phase,
    backlog: Backlog,
    tenure: Option<Tenure>,
    /// The state topic's end was asked when nobody else could commit any more: what was read there is the last word.
    conclusive: bool,
    /// When the committed offset was last told.
    followed_ms: Option<i64>,
    /// The delta that was not there when it was to be read.
    gone: Option<i64>,
    trim: Option<i64>,
    set_back: Option<SetBack>,
    failure: Option<Failure>,
}

impl Machine {
    /// A replica that has read nothing yet. Its transactions are numbered from the sequence on; no predecessor with the
    /// same id used it or a later one.
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

    /// What to read next, and hand to [`Self::state_record`], [`Self::state_reached`] and [`Self::delta`]. None while enough
    /// was read.
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

    /// The transaction to commit now, if one is due: the last one as long as its outcome is not known to be good, or
    /// what was folded since. [`Self::outcome`] must be told what became of it.
    pub fn seal(&mut self, now_ms: i64) -> Option<&Sealed> {
        if self.tenure.as_ref().is_none_or(|tenure| now_ms < tenure.next_seal_ms) && !self.is_full() {
            return None;
        }
        self.seal_rest(now_ms)
    }

    /// The same whether it is due or not: the emitter is about to stop.
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

    /// Deltas before this offset are needed by nobody any more. Told once.
    pub fn take_trim(&mut self) -> Option<i64> {
        self.trim.take()
    }

    /// The committed offset was set back by a person, which changes nothing. Told once.
    pub fn take_set_back(&mut self) -> Option<SetBack> {
        self.set_back.take()
    }

    /// What this replica is.
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

    /// Why nothing is aggregated any more.
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

    /// The group has taken the deltas away. What is not known to be committed by now, others emit; then the fold has gone too
    /// far for a standby.
    pub fn revoked(&mut self) {
        let Some(tenure) = self.tenure.take() else { return };
        let Phase::Folding(folding) = &mut self.phase else { return };
        match tenure.emitted {
            None => {}
            Some(emitted) if tenure.sealed.is_some() || folding.fold.next_offset() > emitted => self.restore_anew(),
            Some(emitted) => folding.limit = emitted,
        }
    }

    /// The state topic ends here, transactions that are still open included.
    pub fn state_ends(&mut self, at: i64) {
        if let Phase::Restoring { end, .. } = &mut self.phase {
            *end = Some(at);
            self.conclusive = self.tenure.as_ref().is_some_and(|tenure| tenure.settled);
            self.restored();
        }
    }

    /// A record of the state topic.
    pub fn state_record(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) {
        let Phase::Restoring { restore, position, .. } = &mut self.phase else { return };
        match restore.push(key, value) {
            Ok(()) => *position = (*position).max(offset + 1),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Everything committed before this offset of the state topic was read. There may be more to come behind it, of
    /// transactions that are still open.
    pub fn state_reached(&mut self, at: i64) {
        if let Phase::Restoring { position, whole, .. } = &mut self.phase {
            *position = at.max(*position);
            *whole = at;
            self.restored();
        }
    }

    /// A delta.
    pub fn delta(&mut self, offset: i64, value: &[u8]) {
        let Phase::Folding(folding) = &self.phase else { return };
        if self.failure.is_none() && offset >= self.next_read(folding) {
            self.backlog.push(offset, value);
            self.advance();
        }
    }

    /// The next delta to read is not there: the log goes from `low` to `high`. Behind a snapshot that is newer than
    /// this replica, the deltas are trimmed; so it is read once again.
    pub fn deltas_gone(&mut self, low: i64, high: i64) {
        let Some(Reading::Deltas { from: needed }) = self.reads() else { return };
        if self.gone.replace(needed) == Some(needed) {
            self.fail(Failure::StateLost { needed, low, high });
        } else {
            self.restore_anew();
        }
    }

    /// What the group has committed, whatever is open.
    pub fn committed_is(&mut self, committed: Option<&Committed>, now_ms: i64) {
        self.followed_ms = Some(now_ms);
        if let (Phase::Folding(folding), Some(committed)) = (&mut self.phase, committed) {
            folding.limit = committed.offset;
            self.advance();
        }
    }

    /// What the group has committed, now that nothing is open any more. It also tells what became of a transaction of
    /// unknown outcome: the group has its offset, or still the one before.
    pub fn stable_is(&mut self, committed: Option<Committed>, now_ms: i64) {
        let Some(tenure) = &mut self.tenure else { return };
        let before = std::mem::replace(&mut tenure.committed, committed);
        tenure.settled = true;
        match tenure.sealed.as_ref().map(Sealed::committed) {
            Some(sealed) if Some(&sealed) == tenure.committed.as_ref() => self.outcome(Outcome::Committed, now_ms),
            Some(_) if before.is_some() && before == tenure.committed => {}
            // Somebody else has emitted, or the offset is gone: the state tells what is committed.
            Some(_) => self.restore_anew(),
            None => self.take_over(),
        }
    }

    /// The offset in the last `meta` of the state topic; none where there is no `meta`.
    pub fn last_snapshot_is(&mut self, offset: Option<i64>) {
        if let Some(tenure) = &mut self.tenure {
            tenure.last_snapshot = Some(offset);
        }
    }

    /// What became of the transaction that [`Self::seal`] gave.
    pub fn outcome(&mut self, outcome: Outcome, now_ms: i64) {
        let Some(tenure) = &mut self.tenure else { return };
        match outcome {
            Outcome::Committed => {
                let Some(sealed) = tenure.sealed.take() else { return };
                tenure.emitted = Some(sealed.offset);
                tenure.committed = Some(sealed.committed());
                tenure.next_seal_ms = now_ms + EMIT_MS;
                if sealed.snapshot {
                    // Whoever restores at this moment may have the snapshot before.
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

    /// Ends the restore if the state was read up to where it ended when that was asked. The end of what is committed is not
    /// enough: an emitter's last transaction may still be open, and be committed after all. Nor is it enough to be there: that
    /// end may lie within a transaction, and half a snapshot is none.
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

    /// Decides from which delta on results are emitted, once the fold and the committed offset are known. If they disagree,
    /// restores the snapshot once no other producer can commit: it stands at what was emitted, or before it.
    fn take_over(&mut self) {
        let (Some(tenure), Phase::Folding(folding)) = (&mut self.tenure, &self.phase) else { return };
        if !tenure.settled || tenure.emitted.is_some() {
            return;
        }
        let next = folding.fold.next_offset();
        let committed = tenure.committed.as_ref().map(|committed| committed.offset);
        if self.conclusive {
            // Without a committed offset the state tells how far emission was. One before it was set by a person.
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

    /// Folds the deltas whose turn has come.
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

    /// Whether so many results wait that they are committed before the interval is over.
    fn is_full(&self) -> bool {
        let sealed = self.tenure.as_ref().is_some_and(|tenure| tenure.sealed.is_some());
        !sealed && self.fold().is_some_and(|fold| fold.pending_results() >= MAX_RESULTS)
    }

    /// Makes a transaction of what was folded since the last one, with a snapshot if that is due.
    fn make(&mut self, now_ms: i64) -> Result<Option<Sealed>, StateError> {
        let (Some(tenure), Phase::Folding(folding)) = (&self.tenure, &mut self.phase) else { return Ok(None) };
        let offset = folding.fold.next_offset();
        let Some(emitted) = tenure.emitted.filter(|emitted| *emitted <= offset) else { return Ok(None) };
        let since = tenure.last_snapshot.filter(|_| tenure.wants_snapshot(offset, now_ms));
        if offset == emitted && since.is_none() {
            return Ok(None);
        }
        let position = Record { key: Key::Position.encode(), value: Some(encode(&Position { offset })?) };
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

    /// Drops everything that was folded and read, and begins with the snapshot.
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
