//! The types that a machine exchanges with its caller.

use crds::records::state::StateError;

use crate::aggregate::fold::{Halt, RestoreError, ResultRecord, Results};

/// What the machine needs to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The state topic from this offset on, 0 being its beginning; committed records only.
    State {
        /// The first offset to read.
        from: i64,
    },
    /// The deltas from this offset on; committed records only.
    Deltas {
        /// The first offset to read.
        from: i64,
    },
}

/// A question to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The end of the state topic, including transactions that are still open. [`Machine::state_ends`] takes the
    /// answer.
    StateEnd,
    /// The group's committed offset, while transactions may still be open. [`Machine::committed_is`] takes the answer.
    Committed,
    /// The group's committed offset, once no transaction of an earlier emitter can commit any more: this replica's
    /// predecessors are fenced, and the transactions of other emitters have ended, by force if necessary.
    /// [`Machine::stable_is`] takes the answer.
    StableCommitted,
    /// The offset in the last `meta` of the state topic. [`Machine::last_snapshot_is`] takes the answer.
    LastSnapshot,
}

/// The group's committed offset of the deltas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next delta whose results are to be emitted.
    pub offset: i64,
    /// The offset's metadata: it names the producer and the transaction.
    pub metadata: String,
}

/// A transaction whose outcome is not known yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sealed {
    /// The records for each results topic.
    pub results: Results,
    /// The records for the state topic: the position, followed by a snapshot if one is due.
    pub state: Vec<ResultRecord>,
    /// The group's offset of the deltas to commit: the next delta whose results are to be emitted.
    pub offset: i64,
    /// The offset's metadata.
    pub metadata: String,
    /// Whether `state` has a snapshot.
    pub snapshot: bool,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its records are in the log, and its offset is committed.
    Committed,
    /// Nothing of it will ever be read.
    Aborted,
    /// Not known. Ask [`Question::StableCommitted`] with a new producer.
    Unknown,
}

/// A committed offset before the position that the state topic proves to be emitted. Emission continues from
/// `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// The group's committed offset.
    pub committed: i64,
    /// The next delta after the last emission.
    pub position: i64,
}

/// The part of a replica in the aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads the snapshot.
    Restoring,
    /// Follows the emitter, or is about to take over.
    Standby,
    /// Commits results.
    Emitter,
}

/// Why a replica stops aggregating until a person intervenes.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The deltas contradict each other.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// The state topic holds something that is not a snapshot of this pipeline, or a snapshot cannot be encoded.
    #[error("StateUnreadable: the state topic: {0}; run the release that wrote it, or stop the pipeline and delete it")]
    State(#[from] StateError),
    /// The snapshot is incomplete, or a release that this one does not know wrote it.
    #[error("StateUnreadable: {0}")]
    Restore(#[from] RestoreError),
    /// The deltas to fold next do not exist.
    #[error(
        "StateLost: the snapshot needs the deltas from offset {needed} on, and there are those from {low} to {high}: restore \
         both topics; or, to count anew, stop the pipeline and delete both with the consumer group of the aggregation"
    )]
    StateLost {
        /// The next delta to fold.
        needed: i64,
        /// The first delta in the log.
        low: i64,
        /// The end of the deltas.
        high: i64,
    },
}

impl Sealed {
    /// The group's committed offset after this transaction commits.
    #[must_use]
    pub fn committed(&self) -> Committed {
        Committed { offset: self.offset, metadata: self.metadata.clone() }
    }
}
