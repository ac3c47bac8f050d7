//! Stage 2: from the deltas to aggregates, insights and alerts.
//!
//! ```text
//!  state ──> restore ─┐   group's committed offset        one transaction every 250 ms:
//!                     v         v                          results, position, perhaps a snapshot,
//!  deltas ──────────> fold <── machine ──> Sealed           the offset of the deltas
//!                               ^ assigned, revoked
//!                        group ─┘
//! ```
//!
//! `fold` sums up the deltas, and `machine` is the protocol of a replica.

pub mod machine;

pub mod fold;
