//! `processor dead-letters`: lists dead letters, shows one, and replays them, each at most once.
//!
//! ```text
//!  command ──> list, show: print records of the dead letter topic
//!     │          ^
//!     │          └── letter: parses a dead letter's headers; filter: selects dead letters (both pure)
//!     │          ┌── reader, ledger (I/O): the topics
//!     v          v
//!  replay ──> decide (pure): whether a letter can be replayed ──> writer (I/O): the event and its entry in the ledger,
//!                                                                  in one transaction
//! ```
//!
//! All runs of `replay` share one transactional id. A run first fences the previous one, which ends its transaction,
//! and only then reads the ledger. The ledger therefore holds everything that was ever replayed.

mod command;

mod list;
mod replay;
mod show;

mod decide;
mod ledger;
mod reader;
mod writer;

mod filter;
mod letter;

pub use command::{DeadLettersArgs, DeadLettersError, Subject, run};
