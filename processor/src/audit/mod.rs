//! `processor audit`: whether each event of the source ended exactly once, in its place, as it should.
//!
//! ```text
//!  command ──> plan (I/O): what there is to read ──> read, topic (I/O): the three streams of a partition
//!    │                                                 │
//!    │                                                 v
//!    │         report: all partitions together <── merge: the streams side by side
//!    │           ^                                     ├─ verdict, json: what a source record should become
//!    │           │                                     └─ expected: in what a record differs from that
//!    ├── ledger (I/O) ──> replays: whether each dead letter that was replayed is there once, and as it was
//!    v           │
//!  aggregation (I/O), coverage: what was aggregated, and by which rules ──┐
//!  count (I/O): the source's valid events ────────────────────────────────┴─> batch: what that should have given
//! ```
//!
//! Nothing is taken from `ingest` and `aggregate`: events are judged and counted apart from the streaming code, so that a mistake there is found here.

pub mod batch;

mod aggregation;
mod command;
mod count;
mod ledger;
mod plan;
mod read;
mod topic;

mod coverage;
mod expected;
mod json;
mod merge;
mod ranges;
mod record;
mod replays;
mod report;
mod verdict;

pub use aggregation::{AggregationError, Skipped};
pub use command::{AuditArgs, AuditError, audit, run};
pub use expected::{Difference, Source};
pub use ledger::LedgerError;
pub use merge::{Bounds, PartitionAudit, WindowFull};
pub use plan::PlanError;
pub use read::ReadError;
pub use record::{Header, Origin, Record, Stream, record_bytes};
pub use replays::{ReplayExample, ReplayFault, Replays};
pub use report::{Aggregates, Fault, Finding, PartitionReport, Place, Report, Wrong, conclude};
pub(crate) use topic::{PATIENCE, headers, is_transient};
pub use topic::{Polled, TopicError, TopicReader};
pub use verdict::{Judge, Late, Login, Verdict};

#[cfg(test)]
mod tests;
