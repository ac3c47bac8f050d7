//! Why a fold cannot go on: the log violates what exactly-once delivery guarantees.

use crds::records::delta::DeltaError;

/// Why a fold cannot go on. Every replica that folds the log halts at the same delta.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Halt {
    /// Events of the source would be counted twice.
    #[error(
        "delta {delta} counts source partition {partition} from offset {from} on, but everything before {expected} is counted \
         already: some events were processed twice; {START_ANEW}"
    )]
    Overlap {
        /// Offset of the delta.
        delta: i64,
        /// The partition of the source.
        partition: i32,
        /// Where its range should begin.
        expected: i64,
        /// Where it begins.
        from: i64,
    },
    /// Events of the source would not be counted, and no delta declares them lost.
    #[error(
        "delta {delta} counts source partition {partition} from offset {from} to {to}, but everything from {expected} on is still \
         to be counted: some events are in no delta; {START_ANEW}"
    )]
    Gap {
        /// Offset of the delta.
        delta: i64,
        /// The partition of the source.
        partition: i32,
        /// Where its range should begin.
        expected: i64,
        /// Where it begins.
        from: i64,
        /// Where it ends.
        to: i64,
    },
    /// A chunk of a transaction is missing.
    #[error(
        "delta {delta} is chunk {chunk} of {chunks} of transaction {sequence} of {producer}, which is not the one that must come \
         next: a part of a transaction is missing; {START_ANEW}"
    )]
    MissingChunk {
        /// Offset of the delta.
        delta: i64,
        /// The transactional id of its producer.
        producer: String,
        /// The number of the transaction.
        sequence: u64,
        /// The number of the chunk, from 0.
        chunk: u32,
        /// The number of chunks of the transaction.
        chunks: u32,
    },
    /// The log does not hold the rules of a revision.
    #[error(
        "delta {delta} was made by the rules of config revision {revision}, which no delta before it holds; {START_ANEW}"
    )]
    UnknownRules {
        /// Offset of the delta.
        delta: i64,
        /// The revision of the job config.
        revision: u64,
    },
    /// Two deltas hold different rules for the same revision.
    #[error(
        "delta {delta} has other rules for config revision {revision} than a delta before it: two pipelines write here, or one was \
         deleted and made anew with an older number; {START_ANEW}"
    )]
    RulesDiffer {
        /// Offset of the delta.
        delta: i64,
        /// The revision of the job config.
        revision: u64,
    },
    /// Rules that this release cannot read.
    #[error(
        "delta {delta} has rules of config revision {revision} that this processor cannot use: {problem}; run a processor of the release that wrote them"
    )]
    Rules {
        /// Offset of the delta.
        delta: i64,
        /// The revision of the job config.
        revision: u64,
        /// Why this release cannot use the rules.
        problem: String,
    },
    /// A sketch that cannot be read.
    #[error("delta {delta} has a sketch that cannot be merged: {problem}; {START_ANEW}")]
    Sketch {
        /// Offset of the delta.
        delta: i64,
        /// The decoder's message.
        problem: String,
    },
    /// A delta that cannot be decoded.
    #[error("delta {delta}: {source}")]
    Delta {
        /// Offset of the delta.
        delta: i64,
        /// The decoder's error.
        source: DeltaError,
    },
}

/// What to do if the history itself is broken.
const START_ANEW: &str = "find out why (processor audit, processor inspect); to aggregate anew, stop the pipeline, delete its \
                          deltas, state and results topics and its aggregate group, and start it";
