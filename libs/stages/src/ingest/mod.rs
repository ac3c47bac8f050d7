//! Stage 1: decides where each record goes, and what a transaction adds to the aggregates.
//!
//! ```text
//!  record ──> judge ──> enrich ──> output
//!    scan       │ rejected
//!    text       └────────────────> dead letter
//!             panes (counts) ────> delta
//! ```
//!
//! `machine` is the state machine of a thread and uses all other modules.

pub mod machine;

pub mod dead_letter;
pub mod history;
pub mod judge;
pub mod start;

mod enrich;
mod panes;
mod scan;
mod text;
