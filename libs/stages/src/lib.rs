//! The pure cores of both stages: bytes and time in, effects out as values.
//!
//! ```text
//!  record ──> ingest::machine ────> Fate: output, dead letter     the loops in `processor::replica` read, perform
//!             (one per thread) ───> Sealed: the delta, offsets    the effects in transactions, and report the outcome
//!                                     │
//!  delta ───> aggregate::machine ─> Sealed: results, position, snapshot, the delta's offset
//!            (one per replica) └ fold: the sum of the deltas
//! ```
//!
//! The crate reads no clock, socket, file or log, and has no dependency that could.

#![warn(missing_docs)]

pub mod ingest;

pub mod aggregate;
