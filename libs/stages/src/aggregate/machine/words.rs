//! What a machine asks for, and what it is told.

use crds::records::state::StateError;

use crate::aggregate::fold::{Halt, Record, RestoreError, Results};

/// What to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The state topic from this offset on, 0 being its beginning; committed records only.
    State {
        /// The offset.
        from: i64,
    },
    /// The deltas from this offset on; committed records only.
    Deltas {
        /// The offset.
        from: i64,
    },
}

/// What to ask Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where the state topic ends, transactions that are still open included. [`Machine::state_ends`] answers.
    StateEnd,
    /// What the group has committed, whatever is open. [`Machine::committed_is`] answers.
    Committed,
    /// What the group has committed, once no transaction of an earlier emitter can commit any more: own predecessors are
    /// fenced, and those of others are ended or have ended. [`Machine::stable_is`] answers.
    StableCommitted,
    /// The offset in the last `meta` of the state topic. [`Machine::last_snapshot_is`] answers.
    LastSnapshot,
}

/// What the group has committed for the deltas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next delta whose results are to be emitted.
    pub offset: i64,
    /// The text beside it: it tells whose transaction, and which.
    pub metadata: String,
}

/// A transaction, until it is known what became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sealed {
    /// What goes into which topic.
    pub results: Results,
    /// What goes into the state topic: the position, and perhaps a snapshot behind it.
    pub state: Vec<Record>,
    /// The offset to commit.
    pub offset: i64,
    /// The text beside it.
    pub metadata: String,
    /// Whether it carries a snapshot.
    pub snapshot: bool,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed.
    Committed,
    /// It is aborted.
    Aborted,
    /// Nobody knows. [`Question::StableCommitted`] tells, asked with a new producer.
    Unknown,
}

/// A committed offset that lies before what the state topic proves to be emitted. Emission goes on from `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// The offset that the group has.
    pub committed: i64,
    /// The next delta after the last emission.
    pub position: i64,
}

/// What a replica is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It reads the snapshot.
    Restoring,
    /// It follows the emitter, or is about to take over.
    Standby,
    /// It commits results.
    Emitter,
}

/// Why a replica stops aggregating, until a person has decided.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The deltas contradict themselves.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// The state topic holds something that is no snapshot of ours, or cannot be written.
    #[error("StateUnreadable: the state topic: {0}; run the release that wrote it, or stop the pipeline and delete it")]
    State(#[from] StateError),
    /// The snapshot cannot be used.
    #[error("StateUnreadable: {0}")]
    Restore(#[from] RestoreError),
    /// The deltas that would have to be folded next do not exist.
    #[error(
        "StateLost: the snapshot needs the deltas from offset {needed} on, and there are those from {low} to {high}: restore \
         both topics; or, to count anew, stop the pipeline and delete both with the consumer group of the aggregation"
    )]
    StateLost {
        /// The next delta to fold.
        needed: i64,
        /// The first delta that there is.
        low: i64,
        /// The end of the deltas.
        high: i64,
    },
}

impl Sealed {
    /// What the group has once this is committed.
    #[must_use]
    pub fn committed(&self) -> Committed {
        Committed { offset: self.offset, metadata: self.metadata.clone() }
    }
}
