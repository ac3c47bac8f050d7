//! `processor dead-letters`: lists dead letters, shows one, and replays them, each once.
//!
//! ```text
//!  command ──> list, show: what stands in the dead letter topic
//!     │          ^
//!     │          └── letter: what a dead letter says of itself; filter: which are meant (both pure)
//!     │          ┌── reader, ledger (I/O): the topics
//!     v          v
//!  replay ──> decide (pure): whether a letter can be replayed ──> writer (I/O): the event and its entry in the ledger,
//!                                                                  in one transaction
//! ```
//!
//! All runs of `replay` share one transactional id: a run fences the one before it and ends its transaction, and only then
//! reads the ledger, which therefore holds all that was ever replayed.

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
