//! The commands beside `run`, a folder each.
//!
//! ```text
//!  generate ──> source                  audit: source, output, dead letters ──> what was lost, doubled, swapped
//!  validate: lines of a file            inspect: deltas, state, offsets ──> a person
//!  dead_letters ──> a person            replay (of them) ──> source, ledger
//!  local: replicas on this machine, with generate and audit around them
//! ```

pub mod audit;
pub mod dead_letters;
pub mod generate;
pub mod inspect;
pub mod local;
pub mod validate;
