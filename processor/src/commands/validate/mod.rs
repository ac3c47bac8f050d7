//! `processor validate`: shows what would become of events, without a Kafka.
//!
//! ```text
//!  command ──> lines (I/O): one event each ──> trial: stage 1's own state machine, over one partition ──> outcomes
//! ```
//!
//! There are no rules here: the state machine of a replica decides.

mod command;

mod lines;
mod trial;

pub use command::{Show, ValidateArgs, ValidateError, run};
pub use trial::{Fate, Outcome, Totals, Trial};
