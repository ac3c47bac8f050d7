//! The commands other than `run`, one module each.
//!
//! ```text
//!  generate ──> source                  audit: source, output, dead letters ──> lost, duplicated and reordered records
//!  validate: lines of a file            inspect: deltas, state, offsets ──> text or JSON
//!  dead_letters ──> text or JSON        replay (of them) ──> source, ledger
//!  local: replicas on this machine, fed by generate and checked by audit
//! ```

pub mod audit;
pub mod dead_letters;
pub mod generate;
pub mod inspect;
pub mod local;
pub mod validate;
