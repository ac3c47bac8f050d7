//! Whether each event of the source ended exactly once, in its place, as it should, and whether every count is right.
//!
//! ```text
//!  plan (I/O): what there is to read ──> read, topic (I/O): the three streams of a partition
//!                                          │
//!                                          v
//!  report: all partitions together <── merge: the streams side by side
//!    ^                                     ├─ verdict, json: what a source record should become
//!    │                                     └─ expected: in what a record differs from that
//!  ledger (I/O) ──> replays: whether each dead letter that was replayed is there once, and as it was
//!
//!  aggregation (I/O), coverage: what was aggregated, and by which rules ──┐
//!  count (I/O): the source's valid events ────────────────────────────────┴─> batch: what that should have given
//! ```
//!
//! Events are judged and counted by code of this crate alone: it does not depend on `stages`, so that a mistake there is found
//! here.

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
