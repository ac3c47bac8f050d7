//! `processor audit`: whether each event of the source ended exactly once, in its place, as it should.
//!
//! ```text
//!  read (I/O) ──> merge: a partition's three streams side by side ──> report: all partitions together
//!                   │
//!                   ├─ json, verdict: what a source record should become, decided apart from the streaming code
//!                   └─ expected: in what a record differs from that
//! ```
//!
//! Everything but `read` is pure, and takes nothing from `ingest`: a mistake there must be found here.

mod expected;
mod json;
mod merge;
mod ranges;
mod record;
mod report;
mod verdict;

pub use expected::{Difference, Source};
pub use merge::{Bounds, PartitionAudit, WindowFull};
pub use record::{Header, Origin, Record, Stream, record_bytes};
pub use report::{Fault, Finding, PartitionReport, Place, Report, conclude};
pub use verdict::{Judge, Late, Verdict};

#[cfg(test)]
mod tests;
