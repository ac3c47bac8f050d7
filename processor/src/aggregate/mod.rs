//! Stage 2: from the deltas to aggregates, insights and alerts, exactly once.
//!
//! ```text
//!  state ──> restore ─┐   group's committed offset        one transaction every 250 ms:
//!                     v         v                          results, position, perhaps a snapshot,
//!  deltas ──────────> fold <── machine ──> Sealed ──> stage   the offset of the deltas
//!                               ^ assigned, revoked
//!                        group ─┘
//! ```
//!
//! `fold` is what the deltas add up to, `machine` the protocol of a replica: both pure. `stage` performs transactions, `reader`
//! reads the two logs, and `worker` is the loop that follows the group.

pub mod worker;

mod reader;
mod stage;

pub mod fold;
pub mod machine;

pub mod metrics;
