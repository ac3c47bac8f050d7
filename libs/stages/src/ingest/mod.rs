//! Stage 1: what becomes of a record, and what a transaction adds to the aggregates.
//!
//! ```text
//!  record ──> judge ──> enrich ──> output
//!    scan       │ rejected
//!    text       └────────────────> dead letter
//!             panes (counts) ────> delta
//! ```
//!
//! `machine` is the state machine of a thread, and uses all the others.

pub mod machine;

pub mod dead_letter;
pub mod judge;

mod enrich;
mod panes;
mod scan;
mod text;
