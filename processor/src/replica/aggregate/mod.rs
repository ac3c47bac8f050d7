//! Stage 2: performs what its machine decides, and turns deltas into aggregates, insights and alerts, exactly once.
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
