//! Checks that each source event ended exactly once, correctly and in its place, and that every count is correct.
//!
//! ```text
//!  plan (I/O): what to read ──> read, topic (I/O): the three streams of a partition
//!                                          │
//!                                          v
//!  report: all partitions together <── merge: compares the streams
//!    ^                                     ├─ verdict, json: what a source record should become
//!    │                                     └─ expected: how a record differs from that
//!  ledger (I/O) ──> replays: whether each replayed dead letter is there once, unchanged
//!
//!  aggregation (I/O), coverage: what was aggregated, and by which rules ──┐
//!  count (I/O): the source's valid events ────────────────────────────────┴─> batch: the expected results
//! ```
//!
//! This crate judges and counts events with its own code: it does not depend on `stages`, so the audit finds
//! a mistake there.

pub mod plan;

pub mod count;
pub mod ledger;
pub mod read;
pub mod topic;

pub mod aggregation;
pub mod batch;
pub mod report;

pub mod coverage;
pub mod expected;
pub mod merge;
pub mod ranges;
pub mod record;
pub mod replays;
pub mod verdict;

mod json;

pub use expected::{Difference, Source};
pub use merge::{Bounds, PartitionAudit, WindowFull};
pub use record::{Header, Origin, Record, Stream, record_bytes};
pub use replays::{ReplayExample, ReplayFault, Replays};
pub use report::{Aggregates, Fault, Finding, PartitionReport, Place, Report, Wrong, conclude};
pub use topic::{PATIENCE, Polled, TopicReader, headers, is_transient};
pub use verdict::{Judge, Late, Login, Verdict};

#[cfg(test)]
mod tests;
