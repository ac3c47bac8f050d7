//! Stage 2, performed: from the deltas to aggregates, insights and alerts, exactly once.
//!
//! ```text
//!  state, deltas ──> reader ──> worker ──> stage ──> one transaction every 250 ms:
//!                                 │                  results, position, perhaps a snapshot, the offset of the deltas
//!                        group ───┘── stages::aggregate::machine decides
//! ```

pub mod worker;

mod reader;
mod stage;

pub mod metrics;
