//! The pure cores of both stages: bytes and time in, effects out as values.
//!
//! ```text
//!  record ──> ingest::machine ────> Fate: output, dead letter     the loops in `processor::replica` read, perform
//!             (one a thread)  ────> Sealed: the delta, offsets    the effects in transactions, and say how it went
//!                                     │
//!  delta ───> aggregate::machine ─> Sealed: results, position, snapshot, the delta's offset
//!             (one a replica)  └ fold: what the deltas add up to
//! ```
//!
//! Nothing here reads a clock, a socket, a file or a log: this crate depends on nothing that could.

pub mod ingest;

pub mod aggregate;
