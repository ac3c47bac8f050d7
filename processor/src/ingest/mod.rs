//! Stage 1: from the source to output, dead letters and deltas, exactly once.
//!
//! ```text
//!  record ──> judge ──> enrich ──> output      one transaction about every 100 ms:
//!    scan       │ rejected                     outputs, dead letters, the delta,
//!               └────────────────> dead letter the source offsets and their metadata
//!             panes (counts) ────> delta
//! ```
//!
//! `machine` is the state machine of a thread; it and everything it uses (`judge`, `scan`, `text`, `enrich`, `panes`) is pure.
//! `stage` performs on the producer what the machine says, `resolve` finds out where a partition is taken up, and `worker`
//! is the loop that follows the group.

pub mod worker;

mod history;
mod outbox;
mod resolve;
mod stage;

pub mod dead_letter;
pub mod machine;

mod enrich;
mod judge;
mod panes;
mod scan;
mod text;
